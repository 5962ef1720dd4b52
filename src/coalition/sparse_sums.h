#pragma once
// Sums by key, for few keys at a time out of many: an open hash table that stays in the first-level cache, whatever the
// keys' range, and is cleared in constant time.
//
// Keys that are near each other have places that are, so neighbouring ones don't collide, and where keys don't collide
// adding takes no branch that depends on them: whether a key is new is as good as random, and a branch on it would be
// mispredicted half of the time.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace skep::coalition {

class SparseSums {
 public:
  struct Entry {
    double sum = 0;
    uint64_t tag = 0;  // key, and above it the epoch: the entry counts only in the one that it was written in

    [[nodiscard]] uint32_t key() const { return static_cast<uint32_t>(tag); }
  };

  void clear() {
    count_ = 0;
    if (++epoch_ == 0) {  // after 2^32 clears old epochs would look new
      entries_.assign(entries_.size(), {});
      epoch_ = 1;
    }
  }
  // Makes room for so many keys more, and one.
  void expect(size_t keys) {
    if (2 * (count_ + keys + 1) > entries_.size()) grow(2 * (count_ + keys + 1));
  }
  // Many adds in a row, of keys that were expected: what an add reads besides its entry stays in registers, which
  // stores to entries would forbid.
  class Adding {
   public:
    Adding(SparseSums& sums, size_t most)
        : sums_((sums.expect(most), sums)),
          entries_(sums.entries_.data()),
          places_(sums.places_.data()),
          mask_(static_cast<uint32_t>(sums.entries_.size() - 1)),
          epoch_(uint64_t{sums.epoch_} << 32),
          count_(sums.count_) {}
    ~Adding() { sums_.count_ = count_; }
    Adding(const Adding&) = delete;
    Adding& operator=(const Adding&) = delete;
    void add(uint32_t key, double value) {
      uint32_t place = key & mask_;
      const uint64_t tag = epoch_ | key;
      uint64_t differs = entries_[place].tag ^ tag;
      while (differs - 1 < UINT32_MAX) [[unlikely]] {  // in the key, and not in the epoch
          place = (place + 1) & mask_;
          differs = entries_[place].tag ^ tag;
        }
      Entry& entry = entries_[place];
      const bool old = differs == 0;
      // A mask where a choice would say the same, for compilers like to make a branch of that.
      const auto kept = std::bit_cast<double>(std::bit_cast<uint64_t>(entry.sum) & (uint64_t{0} - uint64_t{old}));
      entry = {kept + value, tag};
      places_[count_] = place;  // there is one more than expected, for this
      count_ += old ? 0 : 1;
    }

   private:
    SparseSums& sums_;
    Entry* entries_;
    uint32_t* places_;
    uint32_t mask_;
    uint64_t epoch_;
    size_t count_;
  };
  void add(uint32_t key, double value) { Adding(*this, 1).add(key, value); }

  [[nodiscard]] bool has(uint32_t key) const { return at(key).tag == tag_of(key); }
  [[nodiscard]] double of(uint32_t key) const {
    const Entry& entry = at(key);
    return entry.tag == tag_of(key) ? entry.sum : 0;
  }
  // The keys that have a sum, in the order of first adds.
  [[nodiscard]] size_t size() const { return count_; }
  [[nodiscard]] const Entry& operator[](size_t i) const { return entries_[places_[i]]; }

 private:
  [[nodiscard]] uint64_t tag_of(uint32_t key) const { return uint64_t{epoch_} << 32 | key; }
  // The key's entry, or the one that it would get.
  [[nodiscard]] const Entry& at(uint32_t key) const {
    const auto mask = static_cast<uint32_t>(entries_.size() - 1);
    uint32_t place = key & mask;
    while ((entries_[place].tag ^ tag_of(key)) - 1 < UINT32_MAX) place = (place + 1) & mask;
    return entries_[place];
  }
  void grow(size_t entries) {
    std::vector<Entry> kept;
    for (size_t i = 0; i < count_; ++i) kept.push_back((*this)[i]);
    entries_.assign(std::bit_ceil(entries), {});
    places_.assign(entries_.size(), 0);
    epoch_ = 1;
    count_ = 0;
    Adding again(*this, kept.size());
    for (const Entry& entry : kept) again.add(entry.key(), entry.sum);
  }

  static constexpr size_t fewest = 1024;
  std::vector<Entry> entries_ = std::vector<Entry>(fewest);  // a power of two of them, at most half full
  std::vector<uint32_t> places_ = std::vector<uint32_t>(fewest);
  uint32_t epoch_ = 1;
  size_t count_ = 0;
};

// A set of numbers below a limit, emptied in constant time.
class Marks {
 public:
  void clear(size_t limit) {
    if (epochs_.size() < limit) epochs_.resize(limit, 0);
    if (++epoch_ == 0) {
      epochs_.assign(epochs_.size(), 0);
      epoch_ = 1;
    }
  }
  // Whether it was not there yet.
  bool add(uint32_t number) { return std::exchange(epochs_[number], epoch_) != epoch_; }

 private:
  std::vector<uint32_t> epochs_;
  uint32_t epoch_ = 0;
};

}  // namespace skep::coalition
