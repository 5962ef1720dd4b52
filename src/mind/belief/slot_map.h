#pragma once
// Which of `capacity` slots are taken, with the lowest free one found in at most five words: a tree of 64-way bitmaps
// whose upper levels say where something is free. take() and release() are O(1) in the number of agents, and reuse is
// deterministic: the lowest free slot, whatever happened before. Internal to mind/belief.

#include <array>
#include <bit>
#include <cassert>
#include <cstdint>
#include <optional>
#include <vector>

namespace skep::belief {

class SlotMap {
 public:
  explicit SlotMap(uint32_t capacity) : capacity_(capacity) {
    for (uint32_t bits = capacity;; bits = (bits + 63) / 64) {
      std::vector<uint64_t> words((bits + 63) / 64, ~uint64_t{0});
      if (bits % 64 != 0) words.back() = (uint64_t{1} << (bits % 64)) - 1;
      levels_.push_back(std::move(words));  // 1: free here or below
      if (levels_.back().size() <= 1) break;
    }
  }

  // The lowest free slot, now taken.
  std::optional<uint32_t> take() {
    if (taken_ == capacity_) return std::nullopt;
    uint32_t index = 0;
    for (size_t level = levels_.size(); level-- > 0;) {
      index = index * 64 + static_cast<uint32_t>(std::countr_zero(levels_[level][index]));
    }
    take(index);
    return index;
  }

  void take(uint32_t slot) {
    assert(slot < capacity_ && !taken(slot));
    ++taken_;
    for (auto& words : levels_) {
      words[slot / 64] &= ~(uint64_t{1} << (slot % 64));
      if (words[slot / 64] != 0) return;
      slot /= 64;
    }
  }

  void release(uint32_t slot) {
    assert(slot < capacity_ && taken(slot));
    --taken_;
    for (auto& words : levels_) {
      words[slot / 64] |= uint64_t{1} << (slot % 64);
      slot /= 64;
    }
  }

  [[nodiscard]] bool taken(uint32_t slot) const { return (levels_[0][slot / 64] >> (slot % 64) & 1) == 0; }
  // Bits of the slots 64 · word …, 1: taken. Slots beyond the capacity read as free.
  [[nodiscard]] uint64_t taken_word(uint32_t word) const {
    const uint32_t rest = capacity_ - word * 64;
    const uint64_t exists = rest >= 64 ? ~uint64_t{0} : (uint64_t{1} << rest) - 1;
    return ~levels_[0][word] & exists;
  }
  [[nodiscard]] uint32_t size() const { return taken_; }
  [[nodiscard]] uint32_t capacity() const { return capacity_; }
  [[nodiscard]] size_t bytes() const {
    size_t n = 0;
    for (const auto& words : levels_) n += words.size() * sizeof(uint64_t);
    return n;
  }

 private:
  uint32_t capacity_;
  uint32_t taken_ = 0;
  std::vector<std::vector<uint64_t>> levels_;
};

}  // namespace skep::belief
