#pragma once
// A radix tree over tokens: what is in the KV cache, by what stands before it. A node is a range of tokens that follows
// its parent's; the path from the root spells a whole prefix. A node is of one scope, and only sequences of that scope
// find it; below a public one (scope.h) the callers' own begin. Pure book-keeping: KvCache moves the cells.
//
// Invariants: siblings of one scope begin with different tokens; a node is not empty (the root is);
// node.begin == parent.end(); no node lies on both sides of the end of a public beginning.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/forward.h"
#include "engine/scope.h"

namespace skep::engine {

struct PrefixNode {
  static constexpr SequenceId kNowhere = -1;

  // Where a node hangs at its parent.
  struct Edge {
    const std::string* scope = nullptr;  // the tree's: equal names are one string
    Token first = 0;
    friend bool operator<(const Edge& a, const Edge& b) {
      return a.scope != b.scope ? *a.scope < *b.scope : a.first < b.first;
    }
  };

  PrefixNode* parent = nullptr;  // null: the root
  int begin = 0;                 // position of the first token
  std::vector<Token> tokens;
  std::map<Edge, std::unique_ptr<PrefixNode>> children;
  const std::string* scope = nullptr;
  std::string owner;  // the agent whose conversation alone it is; empty: nobody's, or taken over by another

  SequenceId sequence = kNowhere;  // the id that holds its cells; kNowhere: not in the cache (parked)
  uint64_t parked = 0;             // the parking lot's ticket; 0: none
  int parked_begin = 0;            // where what is parked begins: before `begin` if the node was split since
  bool copied = false;             // KvCache::park_copies() was here
  int pins = 0;                    // running sequences that need its cells and all above it
  bool awaited = false;            // a suspended sequence comes back to it
  int resident_children = 0;
  int64_t uses = 0;  // how often it was taken over
  TimePoint used{};  // last time

  [[nodiscard]] int size() const { return static_cast<int>(tokens.size()); }
  [[nodiscard]] int end() const { return begin + size(); }
  [[nodiscard]] Edge edge() const { return {scope, tokens.front()}; }
  [[nodiscard]] bool resident() const { return sequence != kNowhere || parent == nullptr; }
};

class PrefixTree {
 public:
  // How far `tokens` are known: `tokens` of them, the last of which is in `node` (the root when none is).
  struct Match {
    PrefixNode* node = nullptr;
    int tokens = 0;
  };
  Match match(const Scope& scope, std::span<const Token> tokens);

  // Cuts `node` at the position `at`, strictly inside. Returns the new upper part; `node` stays what it was to those
  // who hold it and its children, what is parked included, and begins at `at` now. The caller gives the upper part its
  // cells.
  PrefixNode& split(PrefixNode& node, int at);

  // A new child of that scope, not yet resident. No sibling in it begins with the same token.
  PrefixNode& add(PrefixNode& parent, const std::string& scope, std::span<const Token> tokens);

  // Removes a node without children.
  void remove(PrefixNode& leaf);

  void for_each(const std::function<void(PrefixNode&)>& visit);  // parents first
  [[nodiscard]] int nodes() const { return nodes_; }             // without the root

 private:
  PrefixNode root_;
  std::set<std::string> scopes_;  // names of nodes' scopes: as many as there are callers and adapters
  int nodes_ = 0;
};

}  // namespace skep::engine
