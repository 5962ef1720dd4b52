#pragma once
// A population whose beliefs lie in CompactBeliefs (requirement B2): each row in bytes, bfloat16 or f32, the smallest
// that keeps it within `tolerance`, chosen anew in every step, so that memory follows uncertainty. Arithmetic is f32: a
// row is unpacked, filtered and packed again.
//
// Error. With e the L1 distance to the exact filter so far, d what packing changed (measured, at most `tolerance`), ẑ
// the computed evidence and L the largest likelihood of the outcome: a prediction does not increase e, a correction
// makes it at most 2 L e / ẑ (sparse_population.h has why), packing adds d. error_bound() carries the sum, at most 2.
// An observation that seems impossible to a belief with e > 0 makes its likelihood the belief, and e = 2.
// Thread: one at a time; step() uses the pool. A step allocates only while more rows of a format are needed than ever
// before. Results don't depend on the number of threads.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernel/thread_pool.h"
#include "mind/belief/compact_beliefs.h"
#include "mind/belief/model.h"

namespace skep::belief {

struct CompactOptions {
  uint32_t capacity = 1024;
  double tolerance = 0.01;  // L1, of one packing; 0: f32 always
};

class CompactPopulation {
 public:
  // One factor, one modality.
  static Result<std::unique_ptr<CompactPopulation>> create(const GenerativeModel& model, CompactOptions options,
                                                           kernel::ThreadPool& pool);
  ~CompactPopulation();

  Result<uint32_t> add();
  void remove(uint32_t slot);
  // Joint actions lead here from the last step (ignored on an agent's first); kNotObserved: only predicts. By slot.
  Status step(std::span<const uint16_t> actions, std::span<const uint16_t> observations);

  [[nodiscard]] size_t size() const;
  [[nodiscard]] BeliefFormat format(uint32_t slot) const;
  void belief(uint32_t slot, std::span<float> out) const;
  [[nodiscard]] double error_bound(uint32_t slot) const;
  [[nodiscard]] float free_energy(uint32_t slot) const;
  [[nodiscard]] Bytes bytes() const;  // of the agents, without the model

 private:
  struct Impl;
  explicit CompactPopulation(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::belief
