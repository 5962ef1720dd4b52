#include "cache/w_tiny_lfu.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include "base/random.h"

namespace skep::cache {
namespace {

constexpr int kRows = 4;
constexpr uint8_t kMostCount = 15;
constexpr int kLookAhead = 64;  // from a region's old end, for one that may go

uint64_t hash_of(std::string_view name) { return mix_bits(std::hash<std::string_view>()(name)); }

}  // namespace

FrequencySketch::FrequencySketch(size_t names) {
  size_t width = std::bit_ceil(std::max<size_t>(names, 64));
  counters_.assign(kRows * width, 0);
  mask_ = width - 1;
  halve_at_ = 10 * width;
}

size_t FrequencySketch::slot(uint64_t hash, int row) const {
  return static_cast<size_t>(row) * (mask_ + 1) + (mix_bits(hash + static_cast<uint64_t>(row)) & mask_);
}

void FrequencySketch::add(uint64_t hash) {
  int least = estimate(hash);  // conservative update: only the smallest counters grow
  if (least >= kMostCount) return;
  for (int row = 0; row < kRows; ++row) {
    uint8_t& counter = counters_[slot(hash, row)];
    if (counter == least) ++counter;
  }
  if (++added_ < halve_at_) return;
  for (uint8_t& counter : counters_) counter /= 2;
  added_ /= 2;
}

int FrequencySketch::estimate(uint64_t hash) const {
  int least = kMostCount;
  for (int row = 0; row < kRows; ++row) least = std::min<int>(least, counters_[slot(hash, row)]);
  return least;
}

WTinyLfu::WTinyLfu(Bytes capacity, size_t expected_names)
    : window_most_(capacity.count / 100), protected_most_(capacity.count / 100 * 80), sketch_(expected_names) {}

void WTinyLfu::miss(std::string_view name) { sketch_.add(hash_of(name)); }

void WTinyLfu::insert(std::string_view name, Bytes size) {
  assert(!holds(name));
  uint64_t hash = hash_of(name);
  sketch_.add(hash);
  window_.names.emplace_front(name);
  window_.size += size;
  nodes_.emplace(std::string(name), Node{&window_, window_.names.begin(), size, hash});
  balance();
}

void WTinyLfu::touch(std::string_view name) {
  auto found = nodes_.find(name);
  assert(found != nodes_.end());
  Node& node = found->second;
  sketch_.add(node.hash);
  move(node, node.region == &window_ ? window_ : protected_);
  balance();
}

void WTinyLfu::resize(std::string_view name, Bytes size) {
  auto found = nodes_.find(name);
  assert(found != nodes_.end());
  found->second.region->size += size - found->second.size;
  found->second.size = size;
  balance();
}

void WTinyLfu::erase(std::string_view name) {
  auto found = nodes_.find(name);
  if (found == nodes_.end()) return;
  Node& node = found->second;
  node.region->size -= node.size;
  node.region->names.erase(node.place);
  nodes_.erase(found);
}

void WTinyLfu::move(Node& node, Region& to) {
  to.names.splice(to.names.begin(), node.region->names, node.place);
  node.region->size -= node.size;
  to.size += node.size;
  node.region = &to;
}

// The window's and the protected region's overflow goes on probation. The window keeps one in any case.
void WTinyLfu::balance() {
  while (window_.size > window_most_ && window_.names.size() > 1) move(nodes_.at(window_.names.back()), probation_);
  while (protected_.size > protected_most_ && protected_.names.size() > 1) {
    move(nodes_.at(protected_.names.back()), probation_);
  }
}

std::optional<std::string> WTinyLfu::victim() {
  return victim([](const std::string&) { return true; });
}

// What left the window last stands at the head of probation. It has to be more wanted than the oldest there.
std::optional<std::string> WTinyLfu::victim(const std::function<bool(const std::string&)>& may_go) {
  auto oldest = [&](const Region& region) -> const std::string* {
    int looked = 0;
    for (auto it = region.names.rbegin(); it != region.names.rend() && looked < kLookAhead; ++it, ++looked) {
      if (may_go(*it)) return &*it;
    }
    return nullptr;
  };
  const std::string* old = oldest(probation_);
  const std::string* candidate = nullptr;
  if (!probation_.names.empty() && may_go(probation_.names.front())) candidate = &probation_.names.front();
  if (old != nullptr && candidate != nullptr) {
    int old_fame = sketch_.estimate(nodes_.at(*old).hash);
    int new_fame = sketch_.estimate(nodes_.at(*candidate).hash);
    return new_fame > old_fame ? *old : *candidate;
  }
  if (old != nullptr) return *old;
  for (const Region* region : {&window_, &protected_}) {
    if (const std::string* name = oldest(*region)) return *name;
  }
  // Everything near an old end is pinned: anybody who may go.
  for (const auto& [name, node] : nodes_) {
    if (may_go(name)) return name;
  }
  return std::nullopt;
}

}  // namespace skep::cache
