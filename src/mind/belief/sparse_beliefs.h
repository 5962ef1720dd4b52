#pragma once
// Beliefs that sit on few states (requirement B2), kept as (state, probability) pairs; a row that would take more as
// pairs than as f32 is kept as f32. Entries of at most `prune` are dropped, unless they hold more than 5 % together:
// then they are the belief and not its edge, and all stay. What is left is scaled to the sum that it had. The error is
// measured: store() returns it, at most twice the mass dropped and rounding. With prune = 0 a row comes back bit for
// bit.
// Rows of up to 4, 8, 16 … pairs are pooled; store() is O(S) and reuses the freed place.

#include <cstdint>
#include <span>
#include <vector>

#include "mind/belief/row_store.h"

namespace skep::belief {

// What of a row is kept.
struct Pruning {
  float least = 0;       // entries above this
  float scale = 1;       // by so much more
  uint32_t support = 0;  // so many of them

  static Pruning of(std::span<const float> belief, float prune);
  [[nodiscard]] float kept(float p) const { return p > least ? p * scale : 0; }
};

class SparseBeliefs final : public RowStore {
 public:
  SparseBeliefs(uint32_t capacity, size_t states, double prune);

  double store(uint32_t slot, std::span<const float> belief) override;
  void load(uint32_t slot, std::span<float> out) const override;
  void erase(uint32_t slot) override;

  [[nodiscard]] uint32_t support(uint32_t slot) const { return places_[slot].support; }  // states kept
  [[nodiscard]] Bytes bytes() const override;

 private:
  struct Entry {
    uint32_t state;
    float p;
  };
  struct Place {
    uint32_t support = 0;  // 0: nothing is stored
    uint32_t row = 0;
  };
  struct Pool {
    std::vector<Entry> entries;  // rows of one size, one after the other
    std::vector<float> dense;    // in the last pool instead
    std::vector<uint32_t> free;
  };
  // The pool whose rows hold so many pairs; the last one holds rows of f32.
  [[nodiscard]] size_t pool_of(uint32_t support) const;
  static constexpr size_t row_size(size_t pool) { return size_t{4} << pool; }

  size_t states_;
  float prune_;
  std::vector<Place> places_;
  std::vector<Pool> pools_;
};

}  // namespace skep::belief
