#include "mind/belief/edge_population.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "mind/belief/joint_tables.h"
#include "mind/belief/rounding.h"

namespace skep::belief {

Result<EdgePopulation> EdgePopulation::create(const GenerativeModel& model, uint32_t capacity, double gamma) {
  std::vector<ModelWarning> warnings;
  SKEP_CHECK(validate(model, {}, &warnings));
  if (model.factors() != 1 || model.modalities() != 1 || model.num_states[0] > 16 || model.num_obs[0] > 255 ||
      model.num_controls[0] > 16) {
    return fail(ErrorCode::unsupported,
                "edge agents have one factor of at most 16 states, one modality of at most 255 outcomes and at most 16 "
                "actions");
  }
  if (policies_of(model).size() != static_cast<size_t>(model.num_controls[0])) {
    return fail(ErrorCode::unsupported, "edge agents plan one step ahead over all actions");
  }
  if (capacity == 0 || capacity > (1u << 24))
    return fail(ErrorCode::invalid_argument, "capacity: expected 1 to 16777216");
  EdgePopulation p;
  p.states_ = static_cast<size_t>(model.num_states[0]);
  p.outcomes_ = static_cast<size_t>(model.num_obs[0]);
  p.actions_ = static_cast<size_t>(model.num_controls[0]);
  p.gamma_ = static_cast<float>(gamma);
  const auto t = joint_tables<float>(compile(model), true, true, true);
  const auto row_of = [&](const float* from) {
    Row row{};
    std::copy_n(from, p.states_, row.begin());
    return row;
  };
  for (size_t o = 0; o < p.outcomes_; ++o) {
    p.likelihood_.push_back(row_of(t.observation(0, o)));
    p.most_likely_.push_back(*std::max_element(p.likelihood_.back().begin(), p.likelihood_.back().end()));
  }
  for (size_t a = 0; a < p.actions_; ++a) {
    float survival = 0;
    for (size_t s = 0; s < p.states_; ++s) {
      p.transitions_.push_back(row_of(t.transition(a) + s * t.stride));
      for (size_t other = 0; other < s; ++other) {
        const Row& x = p.transitions_[a * p.states_ + s];
        const Row& y = p.transitions_[a * p.states_ + other];
        float distance = 0;
        for (size_t i = 0; i < 16; ++i) distance += std::abs(x[i] - y[i]);
        survival = std::max(survival, distance / 2);
      }
    }
    p.survival_.push_back(std::min(1.0F, survival));
    p.folded_.push_back(row_of(t.folded_at(0, a)));
    for (size_t o = 0; o < p.outcomes_; ++o) {
      Row row{};
      for (size_t s = 0; s < p.states_; ++s) row[s] = t.predictive_of(a)[s * t.pitch + o];
      p.predictive_.push_back(row);
    }
  }
  float scratch[16];
  round_to_bytes(t.start.data(), p.states_, p.start_.q.data(), scratch);
  p.start_.error = static_cast<float>(p.states_) / (2 * kUnits);
  p.start_.alive = 1;
  p.agents_.resize(capacity);
  p.free_.reserve(capacity);
  for (uint32_t slot = capacity; slot-- > 0;) p.free_.push_back(slot);
  return p;
}

Result<uint32_t> EdgePopulation::add() {
  if (free_.empty()) return fail(ErrorCode::overloaded, fmt::format("population full: {} agents", agents_.size()));
  const uint32_t slot = free_.back();
  free_.pop_back();
  agents_[slot] = start_;
  ++living_;
  return slot;
}

void EdgePopulation::remove(uint32_t slot) {
  assert(slot < agents_.size() && agents_[slot].alive != 0);
  agents_[slot].alive = 0;
  free_.push_back(slot);
  --living_;
}

Status EdgePopulation::step(std::span<const uint8_t> observations) {
  if (observations.size() != agents_.size()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} observations, expected {}", observations.size(), agents_.size()));
  }
  for (size_t slot = 0; slot < agents_.size(); ++slot) {
    if (agents_[slot].alive != 0 && observations[slot] != kNoNews && observations[slot] >= outcomes_) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("observation of slot {}: no outcome {}", slot, observations[slot]));
    }
  }
  for (size_t slot = 0; slot < agents_.size(); ++slot) {
    if (agents_[slot].alive != 0) step_one(agents_[slot], observations[slot]);
  }
  return {};
}

void EdgePopulation::step_one(EdgeAgent& agent, uint8_t observation) const {
  Row prior{};
  float survival = 1;
  if (agent.age == 0) {
    for (size_t s = 0; s < 16; ++s) prior[s] = static_cast<float>(agent.q[s]) / kUnits;
  } else {
    survival = survival_[agent.action];
    for (size_t s = 0; s < states_; ++s) {
      if (agent.q[s] == 0) continue;
      const float weight = static_cast<float>(agent.q[s]) / kUnits;
      const Row& column = transitions_[agent.action * states_ + s];
      for (size_t i = 0; i < 16; ++i) prior[i] += weight * column[i];
    }
  }
  Row q = prior;
  float z = 1;
  float growth = survival;
  if (observation != kNoNews) {
    const Row& likelihood = likelihood_[observation];
    z = 0;
    for (size_t i = 0; i < 16; ++i) z += q[i] *= likelihood[i];
    if (z >= 1e-16F) {
      for (float& p : q) p /= z;
      growth = 2 * most_likely_[observation] * survival / z;
    } else {  // impossible: the prediction stands, and nothing is promised any more
      q = prior;
      z = 1e-16F;
      growth = INFINITY;
    }
  }
  Row scratch;
  round_to_bytes(q.data(), states_, agent.q.data(), scratch.data());
  const float carried = agent.error > 0 ? growth * agent.error : 0;
  agent.error = std::min(2.0F, carried + static_cast<float>(states_) / (2 * kUnits));
  agent.free_energy = static_cast<uint16_t>(std::clamp(-std::log(z) * 1024, 0.0F, 65535.0F));
  ++agent.age;

  size_t best = 0;
  float top = -INFINITY;
  for (size_t a = 0; a < actions_; ++a) {
    float value = 0;
    for (size_t i = 0; i < 16; ++i) value += folded_[a][i] * q[i];
    for (size_t o = 0; o < outcomes_; ++o) {
      float p = 0;
      const Row& row = predictive_[a * outcomes_ + o];
      for (size_t i = 0; i < 16; ++i) p += row[i] * q[i];
      if (p > 0) value -= p * std::log(p);
    }
    if (value > top + 1e-6F) {
      top = value;
      best = a;
    }
  }
  agent.action = static_cast<uint8_t>(best);
}

void EdgePopulation::belief(uint32_t slot, std::span<float> out) const {
  assert(out.size() == states_);
  read_bytes(agents_[slot].q.data(), states_, out.data());
}

Bytes EdgePopulation::bytes() const {
  size_t n = agents_.capacity() * sizeof(EdgeAgent) + free_.capacity() * sizeof(uint32_t);
  n += (likelihood_.capacity() + transitions_.capacity() + predictive_.capacity() + folded_.capacity()) * sizeof(Row);
  return Bytes(static_cast<int64_t>(n));
}

}  // namespace skep::belief
