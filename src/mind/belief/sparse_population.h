#pragma once
// Sparse beliefs (requirement B2): agents on large state spaces whose belief sits on few states keep only those, as
// (state, probability) pairs, and a step costs the non-zero entries of the columns it touches instead of S². An agent
// whose support outgrows `dense_share` of the states goes dense until it shrinks again.
//
// Error. Entries below `prune` are dropped after each correction, unless they hold more than 5 % together, as those of
// a belief spread over thousands of states do: then all stay. With d the mass dropped, e the L1 distance to the
// unpruned filter so far, ẑ the computed evidence, L the largest likelihood of the outcome: a prediction does not
// increase e; a correction makes it at most 2 L e / ẑ (|L p/z - L p̂/ẑ| <= |L (p - p̂)|/ẑ + |z - ẑ|/ẑ); dropping and
// renormalising adds 2 d. error_bound() carries the sum, at most 2. prune = 0 is exact.
// Thread: one at a time; step() uses the pool. Allocates only when an agent first goes dense.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernel/thread_pool.h"
#include "mind/belief/model.h"

namespace skep::belief {

struct SparseOptions {
  uint32_t capacity = 1024;
  double prune = 1e-6;
  double dense_share = 0.25;
};

class SparsePopulation {
 public:
  // One factor, one modality.
  static Result<std::unique_ptr<SparsePopulation>> create(const GenerativeModel& model, SparseOptions options,
                                                          kernel::ThreadPool& pool);
  ~SparsePopulation();

  Result<uint32_t> add();
  void remove(uint32_t slot);
  // Joint actions lead here from the last step (ignored on an agent's first); kNotObserved: only predicts. By slot.
  Status step(std::span<const uint16_t> actions, std::span<const uint16_t> observations);

  [[nodiscard]] size_t size() const;
  [[nodiscard]] size_t support(uint32_t slot) const;  // states kept
  [[nodiscard]] bool dense(uint32_t slot) const;
  void belief(uint32_t slot, std::span<double> out) const;
  [[nodiscard]] double error_bound(uint32_t slot) const;
  [[nodiscard]] float free_energy(uint32_t slot) const;
  [[nodiscard]] Bytes bytes() const;

 private:
  struct Impl;
  explicit SparsePopulation(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::belief
