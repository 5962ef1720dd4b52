#pragma once
// A scenario at work: agents observe, infer, plan and act; the world moves; coalitions form and pass on what members
// saw. The same scenario and seed give the same frames, whatever the number of threads.

#include <memory>

#include "base/result.h"
#include "scenario/frame.h"

namespace skep::scenario {

class Simulation {
 public:
  // `threads` 0: one per CPU.
  static Result<Simulation> create(const Scenario& scenario, uint64_t seed, int threads = 0);
  ~Simulation();
  Simulation(Simulation&&) noexcept;
  Simulation& operator=(Simulation&&) noexcept;

  Status step();

  [[nodiscard]] const Stage& stage() const;
  [[nodiscard]] const Frame& frame() const;  // of the last step

 private:
  struct Impl;
  explicit Simulation(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::scenario
