#include "engine/prefix_tree.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace skep::engine {

PrefixTree::Match PrefixTree::match(const std::string& scope, std::span<const Token> tokens) {
  const auto [root, fresh] = roots_.try_emplace(scope);
  if (fresh) root->second.scope = &root->first;
  Match found{&root->second, 0};
  while (static_cast<size_t>(found.tokens) < tokens.size()) {
    const auto rest = tokens.subspan(static_cast<size_t>(found.tokens));
    const auto child = found.node->children.find(rest.front());
    if (child == found.node->children.end()) break;
    PrefixNode& node = *child->second;
    const auto compared = std::min(rest.size(), node.tokens.size());
    const auto differs =
        std::mismatch(node.tokens.begin(), node.tokens.begin() + static_cast<std::ptrdiff_t>(compared), rest.begin())
            .first;
    const auto same = static_cast<int>(differs - node.tokens.begin());
    found = {&node, found.tokens + same};
    if (same < node.size()) break;
  }
  return found;
}

PrefixNode& PrefixTree::split(PrefixNode& node, int at) {
  assert(node.parent != nullptr && at > node.begin && at < node.end());
  PrefixNode& parent = *node.parent;
  std::unique_ptr<PrefixNode>& slot = parent.children.at(node.tokens.front());
  std::unique_ptr<PrefixNode> lower = std::move(slot);
  slot = std::make_unique<PrefixNode>();
  PrefixNode& upper = *slot;
  const auto cut = lower->tokens.begin() + (at - lower->begin);
  upper.parent = &parent;
  upper.begin = lower->begin;
  upper.tokens.assign(lower->tokens.begin(), cut);
  upper.scope = lower->scope;
  upper.uses = lower->uses;
  upper.used = lower->used;
  lower->tokens.erase(lower->tokens.begin(), cut);
  lower->begin = at;
  lower->parent = &upper;
  const Token first = lower->tokens.front();
  upper.children.emplace(first, std::move(lower));
  ++nodes_;
  return upper;
}

PrefixNode& PrefixTree::add(PrefixNode& parent, std::span<const Token> tokens) {
  assert(!tokens.empty() && !parent.children.contains(tokens.front()));
  auto node = std::make_unique<PrefixNode>();
  node->parent = &parent;
  node->begin = parent.end();
  node->tokens.assign(tokens.begin(), tokens.end());
  node->scope = parent.scope;
  PrefixNode& added = *node;
  parent.children.emplace(tokens.front(), std::move(node));
  ++nodes_;
  return added;
}

void PrefixTree::remove(PrefixNode& leaf) {
  assert(leaf.parent != nullptr && leaf.children.empty() && leaf.pins == 0);
  leaf.parent->children.erase(leaf.tokens.front());
  --nodes_;
}

void PrefixTree::for_each(const std::function<void(PrefixNode&)>& visit) {
  std::vector<PrefixNode*> open;
  for (auto& [scope, root] : roots_) {
    for (auto& [token, child] : root.children) open.push_back(child.get());
  }
  while (!open.empty()) {
    PrefixNode* node = open.back();
    open.pop_back();
    for (auto& [token, child] : node->children) open.push_back(child.get());
    visit(*node);
  }
}

}  // namespace skep::engine
