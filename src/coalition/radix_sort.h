#pragma once
// Sorts what has a key of some bits in time that grows with the number of items alone.

#include <array>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

namespace skep::coalition {

using KeyedItem = std::pair<uint64_t, uint32_t>;

// Ascending by key, equal ones as they were: least significant digit first, over the bits in which keys differ (of an
// H3 key that is half of them). `scratch` is overwritten.
inline void radix_sort(std::vector<KeyedItem>& items, std::vector<KeyedItem>& scratch) {
  constexpr int digit = 10;
  constexpr uint64_t mask = (1U << digit) - 1;
  if (items.empty()) return;
  uint64_t differs = 0;
  for (const KeyedItem& item : items) differs |= item.first ^ items.front().first;
  if (differs == 0) return;
  scratch.resize(items.size());
  for (int shift = std::countr_zero(differs); shift < 64 && (differs >> shift) != 0; shift += digit) {
    if (((differs >> shift) & mask) == 0) continue;
    std::array<uint32_t, mask + 1> at{};
    for (const KeyedItem& item : items) ++at[(item.first >> shift) & mask];
    for (uint32_t sum = 0; uint32_t & count : at) sum += std::exchange(count, sum);
    for (const KeyedItem& item : items) scratch[at[(item.first >> shift) & mask]++] = item;
    items.swap(scratch);
  }
}

}  // namespace skep::coalition
