#include "engine/kv_cache.h"

#include <algorithm>
#include <cassert>
#include <unordered_set>

namespace skep::engine {
namespace {

std::vector<PrefixNode*> path_to(PrefixNode& node) {
  std::vector<PrefixNode*> path;
  for (PrefixNode* n = &node; n->parent != nullptr; n = n->parent) path.push_back(n);
  std::reverse(path.begin(), path.end());
  return path;
}

// A part of a node is worth cutting it in two from here on.
constexpr int kWorthCutting = 4;

// How many of the tokens found are of use: whole nodes, and a part of the last if it is worth it.
int usable(const PrefixTree::Match& found) {
  const PrefixNode& node = *found.node;
  const bool whole = found.tokens == node.end();
  return whole || found.tokens - node.begin >= kWorthCutting ? found.tokens : node.begin;
}

std::vector<Token> prefix_of(PrefixNode& node) {
  std::vector<Token> tokens;
  for (const PrefixNode* n : path_to(node)) tokens.insert(tokens.end(), n->tokens.begin(), n->tokens.end());
  return tokens;
}

// A node below one of another scope is below what is public. The owner is the node's own.
Scope scope_of(const PrefixNode& node) {
  Scope scope(*node.scope);
  scope.owner = node.owner;
  for (const PrefixNode* n = node.parent; n->parent != nullptr; n = n->parent) {
    if (n->scope == node.scope) continue;
    scope.open = *n->scope;
    scope.open_tokens = n->end();
    break;
  }
  return scope;
}

}  // namespace

KvCache::KvCache(Forward& forward, int slots, const Clock& clock, Parking* parking)
    : forward_(forward), clock_(clock), parking_(parking), slots_(static_cast<size_t>(slots)) {
  assert(slots > 0 && slots <= forward.limits().sequences);
  if (!forward.limits().can_share || !forward.limits().can_truncate) return;
  for (SequenceId id = forward.limits().sequences - 1; id >= slots; --id) free_ids_.push_back(id);
}

bool KvCache::known(const PrefixNode& node) const {
  return node.resident() || (parking_ != nullptr && node.parked != 0 && parking_->holds(node.parked));
}

int KvCache::known(const Scope& scope, std::span<const Token> tokens) {
  const PrefixTree::Match found = tree_.match(scope, tokens);
  for (const PrefixNode* node : path_to(*found.node)) {
    if (!known(*node)) return node->begin;
  }
  return usable(found);
}

int KvCache::evictable_cells() {
  std::vector<PrefixNode*> nodes;
  tree_.for_each([&](PrefixNode& node) { nodes.push_back(&node); });
  std::unordered_set<const PrefixNode*> held;  // with a pin at or below them
  int cells = 0;
  for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {  // children first
    PrefixNode& node = **it;
    const bool below = held.contains(&node);
    if (node.pins > 0 || below) {
      held.insert(&node);
      held.insert(node.parent);
    } else if (node.sequence != PrefixNode::kNowhere) {
      cells += node.size();
    }
  }
  return cells;
}

int KvCache::take(Slot slot, const Scope& scope, std::span<const Token> tokens) {
  Running& running = slots_[static_cast<size_t>(slot)];
  assert(running.shared == 0 && running.own == 0);
  if (!forward_.limits().can_share) return 0;
  sweep();
  const PrefixTree::Match found = tree_.match(scope, tokens);
  const int useful = usable(found);
  for (PrefixNode* node : path_to(*found.node)) {
    if (node->begin >= useful || (!node->resident() && !restore(*node))) break;
    // Of a node that is used in part the rest must stay free to be evicted.
    if (node->end() > useful) node = cut(*node, useful);
    if (node == nullptr) break;
    forward_.share(node->sequence, slot, node->begin, node->end());
    running.pin = Pin(*node);
    running.shared = node->end();
    ++node->uses;
    node->used = clock_.now();
    node->awaited = false;
    if (node->owner != scope.owner) node->owner.clear();
  }
  return running.shared;
}

void KvCache::advance(Slot slot, int count) {
  slots_[static_cast<size_t>(slot)].own += count;
  used_ += count;
  assert(used_ <= forward_.limits().cells);
}

// The public part first: a node lies on one side of its end.
void KvCache::publish(Slot slot, const Scope& scope, std::span<const Token> tokens) {
  const int open = scope.open_tokens;
  const Running& running = slots_[static_cast<size_t>(slot)];
  if (running.shared<open&& static_cast<int>(tokens.size())> open) {
    publish_part(slot, scope, tokens.first(static_cast<size_t>(open)));
    if (running.shared < open) return;
  }
  publish_part(slot, scope, tokens);
}

void KvCache::publish_part(Slot slot, const Scope& scope, std::span<const Token> tokens) {
  Running& running = slots_[static_cast<size_t>(slot)];
  const int length = static_cast<int>(tokens.size());
  if (!forward_.limits().can_share || length <= running.shared) return;
  PrefixTree::Match found = tree_.match(scope, tokens);
  // What is known but not in the cache gets the slot's cells. Where the ways part inside of it, the rest stays parked.
  for (PrefixNode* node : path_to(*found.node)) {
    if (node->resident()) continue;
    if (node->end() > found.tokens) node = found.node = &tree_.split(*node, found.tokens);
    if (!revive(*node, slot)) {
      PrefixNode* parent = node->parent;
      if (!forget(*node)) return;
      found = {parent, parent->end()};
      break;
    }
    running.pin = Pin(*node);
    running.shared = node->end();
  }
  if (found.tokens == length) {
    running.shared = length;  // others published the same meanwhile; the own cells are duplicates then
    return;
  }
  if (found.tokens < scope.open_tokens && length > scope.open_tokens) return;  // evicted since: it can wait
  const Pin path(*found.node);                                                 // from eviction for want of an id
  PrefixNode* parent = found.node;
  if (parent->parent != nullptr && found.tokens < parent->end()) parent = cut(*parent, found.tokens);
  if (parent == nullptr) return;
  const auto rest = tokens.subspan(static_cast<size_t>(found.tokens));
  PrefixNode* node = nullptr;
  if (parent->parent != nullptr && parent->children.empty() && parent->pins <= 2 && !parent->awaited &&
      running.shared == parent->end() && *parent->scope == scope.at(found.tokens)) {
    // Nobody else is on it: the same conversation grows, and needs no further id.
    node = parent;
    forward_.share(slot, node->sequence, found.tokens, length);
    node->tokens.insert(node->tokens.end(), rest.begin(), rest.end());
    if (parking_ != nullptr && node->parked != 0) parking_->erase(node->parked);
    node->parked = 0;
    node->copied = false;
  } else {
    const auto id = free_id();
    if (!id) return;
    node = &tree_.add(*parent, scope.at(found.tokens), rest);
    settle(*node, *id);
    forward_.share(slot, *id, found.tokens, length);
  }
  if (length > scope.open_tokens) node->owner = scope.owner;
  node->used = clock_.now();
  running.pin = Pin(*node);
  running.shared = length;
  running.own -= length - found.tokens;
  assert(running.own >= 0);
}

bool KvCache::revive(PrefixNode& node, Slot slot) {
  const Pin parent(*node.parent);
  const auto id = free_id();
  if (!id) return false;
  settle(node, *id);
  forward_.share(slot, *id, node.begin, node.end());
  slots_[static_cast<size_t>(slot)].own -= node.size();
  return true;
}

void KvCache::release(Slot slot) {
  Running& running = slots_[static_cast<size_t>(slot)];
  forward_.drop(slot, 0, Forward::kEnd);
  used_ -= running.own;
  running = {};
}

void KvCache::suspend(Slot slot, const Scope& scope, std::span<const Token> tokens) {
  publish(slot, scope, tokens);
  PrefixNode& node = *tree_.match(scope, tokens).node;
  node.awaited = node.parent != nullptr;
  release(slot);
}

bool KvCache::make_room(int cells) {
  while (free_cells() < cells) {
    PrefixNode* node = weakest();
    if (node == nullptr) return false;
    evict(*node);
  }
  return true;
}

bool KvCache::adopt(const Scope& scope, std::span<const Token> prefix, int begin, Parking::Ticket ticket) {
  if (!forward_.limits().can_save || static_cast<int>(prefix.size()) > forward_.limits().context_tokens) return false;
  const PrefixTree::Match found = tree_.match(scope, prefix);
  const auto length = static_cast<int>(prefix.size());
  if (found.tokens < begin) return false;
  PrefixNode* node = found.node;
  if (found.tokens == length && node->end() > length) {
    node = &tree_.split(*node, length);
  } else if (found.tokens < length && node->end() == found.tokens) {
    node = &tree_.add(*node, scope.at(found.tokens), prefix.subspan(static_cast<size_t>(found.tokens)));
    node->owner = scope.owner;
  } else if (found.tokens < length || node->parent == nullptr || node->parked != 0) {
    return false;  // the ways part inside of an entry, or it is known
  }
  node->parked = ticket;
  node->parked_begin = begin;
  node->used = clock_.now();
  return true;
}

int KvCache::park_copies(int count) {
  if (parking_ == nullptr) return 0;
  int parked = 0;
  tree_.for_each([&](PrefixNode& node) {
    if (parked >= count || node.sequence == PrefixNode::kNowhere || node.copied) return;
    node.copied = true;
    if (parking_->holds(node.parked)) return;
    const int piece = piece_of(node);
    const auto tickets = piece > 0 ? park(node, piece) : std::vector<Parking::Ticket>();
    if (tickets.empty()) return;
    // Pieces are for the next worker to find. A node has one ticket here, and is saved once more if it is evicted.
    node.parked = tickets.size() == 1 ? tickets.front() : 0;
    node.parked_begin = node.begin;
    ++parked;
  });
  return parked;
}

int64_t KvCache::unparked_bytes() {
  int64_t tokens = 0;
  if (parking_ == nullptr) return 0;
  tree_.for_each([&](PrefixNode& node) {
    if (node.sequence == PrefixNode::kNowhere || node.copied || parking_->holds(node.parked)) return;
    if (tokens == 0) (void)piece_of(node);  // measures token_bytes_
    tokens += node.size();
  });
  return tokens * token_bytes_;
}

// Into the parking lot, the cells staying where they are. A ticket for each piece, in their order; none: no room.
std::vector<Parking::Ticket> KvCache::park(PrefixNode& node, int piece) {
  const Scope scope = scope_of(node);
  const std::vector<Token> prefix = prefix_of(node);
  std::vector<Parking::Ticket> tickets;
  for (int begin = node.begin; begin < node.end(); begin += piece) {
    const int end = std::min(begin + piece, node.end());
    auto bytes = forward_.save(node.sequence, begin, end);
    const auto size = bytes ? static_cast<int64_t>(bytes->size()) : 0;
    token_bytes_ = std::max(token_bytes_, size / (end - begin));
    const auto ticket =
        bytes ? parking_->put(scope, std::span(prefix).first(static_cast<size_t>(end)), begin, std::move(*bytes)) : 0;
    if (ticket == 0) {
      for (const Parking::Ticket put : tickets) parking_->erase(put);
      return {};
    }
    tickets.push_back(ticket);
    if (piece < node.size()) parking_->sync();  // the next one may need its place in memory
  }
  return tickets;
}

// How many tokens of a node go into one entry: all, where they fit; 0: it does not fit at all.
int KvCache::piece_of(const PrefixNode& node) {
  constexpr int kProbe = 16;
  if (token_bytes_ == 0) {
    const int probed = std::min(kProbe, node.size());
    const auto bytes = forward_.save(node.sequence, node.begin, node.begin + probed);
    if (!bytes) return 0;
    token_bytes_ = std::max<int64_t>(1, static_cast<int64_t>(bytes->size()) / probed);
  }
  const int64_t whole = token_bytes_ * node.size();
  if (whole > parking_->room()) return 0;
  if (whole <= parking_->largest_entry()) return node.size();
  // Half of it, so that one piece is made while the last is written.
  return static_cast<int>(std::min<int64_t>(node.size() - 1, parking_->largest_entry() / 2 / token_bytes_));
}

void KvCache::truncate(Slot slot, int length, int evaluated) {
  if (length == evaluated) return;
  Running& running = slots_[static_cast<size_t>(slot)];
  assert(forward_.limits().can_truncate && length >= running.shared && evaluated - length <= running.own);
  forward_.drop(slot, length, evaluated);
  running.own -= evaluated - length;
  used_ -= evaluated - length;
}

// Uses per second since the last one: what is used often and was used lately stays. Costs and sizes cancel out, as both
// grow with the tokens.
double KvCache::value(const PrefixNode& node) const {
  const double age = seconds(clock_.now() - node.used);
  const double rate = static_cast<double>(1 + node.uses) / (age + 1);
  return node.awaited ? 1e9 * rate : rate;
}

PrefixNode* KvCache::weakest() {
  PrefixNode* found = nullptr;
  tree_.for_each([&](PrefixNode& node) {
    if (node.sequence == PrefixNode::kNowhere || node.pins > 0 || node.resident_children > 0) return;
    if (found == nullptr || value(node) < value(*found)) found = &node;
  });
  return found;
}

void KvCache::evict(PrefixNode& leaf) {
  assert(leaf.pins == 0 && leaf.resident_children == 0);
  int piece = 0;
  std::vector<Parking::Ticket> pieces;
  if (parking_ != nullptr && !(leaf.parked != 0 && parking_->holds(leaf.parked))) {
    piece = piece_of(leaf);
    if (piece > 0) pieces = park(leaf, piece);
    leaf.parked = pieces.empty() ? 0 : pieces.back();
    leaf.parked_begin = leaf.begin;
  }
  forward_.drop(leaf.sequence, 0, Forward::kEnd);
  free_ids_.push_back(std::exchange(leaf.sequence, PrefixNode::kNowhere));
  used_ -= leaf.size();
  --leaf.parent->resident_children;
  if (leaf.parked == 0) {
    forget(leaf);
    return;
  }
  // Each piece is a node from now on; those that are not in the cache need no id.
  for (size_t i = 0; i + 1 < pieces.size(); ++i) {
    PrefixNode& upper = tree_.split(leaf, leaf.begin + piece);
    upper.parked = pieces[i];
    upper.parked_begin = upper.begin;
    leaf.parked_begin = leaf.begin;
  }
}

// Removes a node that is not in the cache, and all below it. False: something holds it.
bool KvCache::forget(PrefixNode& node) {
  assert(!node.resident());
  if (node.pins > 0) return false;
  while (!node.children.empty()) forget(*node.children.begin()->second);
  if (parking_ != nullptr && node.parked != 0) parking_->erase(node.parked);
  tree_.remove(node);
  return true;
}

// The parking lot forgets without telling: what is neither there nor in the cache leaves the tree, and all below it,
// which can't be used without it. Whenever the tree has doubled, so that it costs each node little.
void KvCache::sweep() {
  constexpr int kFew = 16;
  if (tree_.nodes() < 2 * nodes_swept_ + kFew) return;
  std::vector<PrefixNode*> gone;
  std::unordered_set<const PrefixNode*> lost;  // they and all below them
  tree_.for_each([&](PrefixNode& node) {
    const bool below = lost.contains(node.parent);
    if (!below && known(node)) return;
    lost.insert(&node);
    if (!below) gone.push_back(&node);
  });
  for (PrefixNode* node : gone) forget(*node);
  nodes_swept_ = tree_.nodes();
}

void KvCache::settle(PrefixNode& node, SequenceId id) {
  node.sequence = id;
  ++node.parent->resident_children;
}

std::optional<SequenceId> KvCache::free_id() {
  if (free_ids_.empty()) {
    PrefixNode* node = weakest();
    if (node == nullptr) return std::nullopt;
    evict(*node);
  }
  const SequenceId id = free_ids_.back();
  free_ids_.pop_back();
  return id;
}

// The upper part of a node that is in the cache, under an id of its own.
PrefixNode* KvCache::cut(PrefixNode& node, int at) {
  const Pin pin(node);
  const auto id = free_id();
  if (!id) return nullptr;
  const int begin = node.begin;
  PrefixNode& upper = tree_.split(node, at);
  forward_.share(node.sequence, *id, begin, at);
  forward_.drop(node.sequence, begin, at);
  upper.sequence = *id;
  upper.resident_children = 1;  // the parent has one resident child as before
  return &upper;
}

bool KvCache::restore(PrefixNode& node) {
  if (!known(node) || !node.parent->resident() || !parking_->pays(node.parked)) return false;
  const Pin parent(*node.parent);
  if (!make_room(node.end() - node.parked_begin)) return false;
  const auto id = free_id();
  if (!id) return false;
  const auto bytes = parking_->get(node.parked);
  const TimePoint before = clock_.now();
  const Status loaded = bytes ? forward_.load(*id, node.parked_begin, node.end(), **bytes) : fail(bytes.error());
  if (!loaded) {
    free_ids_.push_back(*id);
    parking_->erase(std::exchange(node.parked, 0));
    return false;
  }
  parking_->restored(static_cast<int64_t>((*bytes)->size()), clock_.now() - before);
  if (node.parked_begin < node.begin) forward_.drop(*id, node.parked_begin, node.begin);
  settle(node, *id);
  used_ += node.size();
  return true;
}

}  // namespace skep::engine
