#pragma once
// Where packed rows of beliefs lie between steps: a row goes in as f32 and comes out as nearly the same. What a store
// changed it measures and tells, in L1; it promises nothing else about its rows.
// Internal to mind/belief. Thread: one at a time.

#include <cstdint>
#include <span>

#include "base/units.h"

namespace skep::belief {

class RowStore {
 public:
  virtual ~RowStore() = default;
  // Takes a distribution (sum 1 within 1e-4); returns the L1 distance of what is kept to it.
  virtual double store(uint32_t slot, std::span<const float> belief) = 0;
  virtual void load(uint32_t slot, std::span<float> out) const = 0;  // of a slot that was stored
  virtual void erase(uint32_t slot) = 0;
  [[nodiscard]] virtual Bytes bytes() const = 0;

 protected:
  RowStore() = default;
  RowStore(const RowStore&) = default;
  RowStore(RowStore&&) = default;
  RowStore& operator=(const RowStore&) = default;
  RowStore& operator=(RowStore&&) = default;
};

}  // namespace skep::belief
