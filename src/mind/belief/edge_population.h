#pragma once
// Agents for tiny devices (requirement B2): up to 16 states, a belief in 16 bytes, 28 bytes an agent all in all.
// Arithmetic is f32 on 16-entry rows; what is stored is rounded to 1/255 with the sum kept exact.
//
// Error. Let e bound the L1 distance to the unrounded filter, τ the Dobrushin coefficient of the transition (half the
// largest L1 distance between two of its columns: how much of a difference survives a prediction), ẑ the evidence and
// L the largest likelihood of the outcome. One step: e ← min(2, 2 L τ e / ẑ + 8/255), the last term from rounding. Each
// agent carries its bound; error_bound() tells it. A tight model keeps it small, a sticky one lets it grow to 2 while
// the true error stays small: it is a promise, not an estimate.
//
// Thread: one at a time.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "mind/belief/model.h"

namespace skep::belief {

struct EdgeAgent {
  std::array<uint8_t, 16> q{};  // units of 1/255, summing to 255
  float error = 0;              // bound on the L1 distance to the exact filter
  uint32_t age = 0;
  uint16_t free_energy = 0;  // units of 1/1024 nat, saturating
  uint8_t action = 0;
  uint8_t alive = 0;
};
static_assert(sizeof(EdgeAgent) <= 32);

class EdgePopulation {
 public:
  // One factor of at most 16 states, one modality of at most 255 outcomes, at most 16 actions.
  static Result<EdgePopulation> create(const GenerativeModel& model, uint32_t capacity, double gamma = 16.0);

  Result<uint32_t> add();  // the slot; starts from D
  void remove(uint32_t slot);
  static constexpr uint8_t kNoNews = 255;
  // Every living agent: predict with its action, correct, choose the next. By slot; kNoNews only predicts.
  Status step(std::span<const uint8_t> observations);
  void set_action(uint32_t slot, uint8_t action) { agents_[slot].action = action; }

  [[nodiscard]] size_t size() const { return living_; }
  [[nodiscard]] uint8_t action(uint32_t slot) const { return agents_[slot].action; }
  [[nodiscard]] float free_energy(uint32_t slot) const { return static_cast<float>(agents_[slot].free_energy) / 1024; }
  [[nodiscard]] float error_bound(uint32_t slot) const { return agents_[slot].error; }
  void belief(uint32_t slot, std::span<float> out) const;  // as many as the model has states
  [[nodiscard]] Bytes bytes() const;

 private:
  using Row = std::array<float, 16>;
  EdgePopulation() = default;
  void step_one(EdgeAgent& agent, uint8_t observation) const;

  size_t states_ = 0, outcomes_ = 0, actions_ = 0;
  float gamma_ = 16;
  std::vector<Row> likelihood_;     // per outcome
  std::vector<float> most_likely_;  // per outcome: largest entry of its row
  std::vector<Row> transitions_;    // [action][state] columns
  std::vector<float> survival_;     // τ per action
  std::vector<Row> predictive_;     // A B_a: [action][outcome] rows over states
  std::vector<Row> folded_;         // per action
  EdgeAgent start_;
  std::vector<EdgeAgent> agents_;
  std::vector<uint32_t> free_;
  size_t living_ = 0;
};

}  // namespace skep::belief
