#include "engine/prefix_tree.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace skep::engine {

PrefixTree::Match PrefixTree::match(const Scope& scope, std::span<const Token> tokens) {
  Match found{&root_, 0};
  while (static_cast<size_t>(found.tokens) < tokens.size()) {
    auto rest = tokens.subspan(static_cast<size_t>(found.tokens));
    // What is public ends where this sequence's public part does, even if another's goes on.
    if (found.tokens < scope.open_tokens) {
      rest = rest.first(std::min(rest.size(), static_cast<size_t>(scope.open_tokens - found.tokens)));
    }
    const auto name = scopes_.find(scope.at(found.tokens));
    if (name == scopes_.end()) break;
    const auto child = found.node->children.find({&*name, rest.front()});
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
  std::unique_ptr<PrefixNode>& slot = parent.children.at(node.edge());
  std::unique_ptr<PrefixNode> lower = std::move(slot);
  slot = std::make_unique<PrefixNode>();
  PrefixNode& upper = *slot;
  const auto cut = lower->tokens.begin() + (at - lower->begin);
  upper.parent = &parent;
  upper.begin = lower->begin;
  upper.tokens.assign(lower->tokens.begin(), cut);
  upper.scope = lower->scope;
  upper.owner = lower->owner;
  upper.uses = lower->uses;
  upper.used = lower->used;
  lower->tokens.erase(lower->tokens.begin(), cut);
  lower->begin = at;
  lower->parent = &upper;
  const PrefixNode::Edge edge = lower->edge();
  upper.children.emplace(edge, std::move(lower));
  ++nodes_;
  return upper;
}

PrefixNode& PrefixTree::add(PrefixNode& parent, const std::string& scope, std::span<const Token> tokens) {
  assert(!tokens.empty());
  auto node = std::make_unique<PrefixNode>();
  node->parent = &parent;
  node->begin = parent.end();
  node->tokens.assign(tokens.begin(), tokens.end());
  node->scope = &*scopes_.insert(scope).first;
  PrefixNode& added = *node;
  [[maybe_unused]] const bool fresh = parent.children.emplace(added.edge(), std::move(node)).second;
  assert(fresh);
  ++nodes_;
  return added;
}

void PrefixTree::remove(PrefixNode& leaf) {
  assert(leaf.parent != nullptr && leaf.children.empty() && leaf.pins == 0);
  leaf.parent->children.erase(leaf.edge());
  --nodes_;
}

void PrefixTree::for_each(const std::function<void(PrefixNode&)>& visit) {
  std::vector<PrefixNode*> open;
  for (auto& [edge, child] : root_.children) open.push_back(child.get());
  while (!open.empty()) {
    PrefixNode* node = open.back();
    open.pop_back();
    for (auto& [edge, child] : node->children) open.push_back(child.get());
    visit(*node);
  }
}

}  // namespace skep::engine
