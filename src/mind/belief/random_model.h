#pragma once
// Seeded random models, as tests and benches want them.

#include <cmath>

#include "base/random.h"
#include "mind/belief/model.h"

namespace skep::belief {

struct RandomModel {
  std::vector<int> states{4}, observations{4}, controls{2};
  int policy_length = 1;
  bool zeros = false;        // some entries of A and B are 0
  bool counts = false;       // pA, pB, pD
  int preference_steps = 0;  // > 0: C over time
  double mixing = 0;         // 0 … 1: how much every transition is blended with the uniform one
};

// A valid model; Dirichlet(1) columns.
inline GenerativeModel random_model(const RandomModel& shape, uint64_t seed) {
  Random random(seed);
  GenerativeModel m;
  m.num_states = shape.states;
  m.num_obs = shape.observations;
  m.num_controls = shape.controls;
  m.policy_length = shape.policy_length;
  const auto fill_columns = [&random](Tensor& t, bool zeros, double mixing) {
    const auto lead = static_cast<size_t>(t.shape[0]);
    const size_t columns = t.data.size() / lead;
    for (size_t c = 0; c < columns; ++c) {
      double sum = 0;
      for (size_t i = 0; i < lead; ++i) {
        const double x = zeros && i != c % lead && random.below(3) == 0 ? 0 : -std::log(1 - random.uniform()) + 1e-3;
        sum += t.data[i * columns + c] = x;
      }
      for (size_t i = 0; i < lead; ++i) {
        t.data[i * columns + c] = (1 - mixing) * t.data[i * columns + c] / sum + mixing / static_cast<double>(lead);
      }
    }
  };
  const auto scaled = [&random](Tensor t) {
    const double scale = random.uniform(2, 6);
    for (double& x : t.data) x *= scale;
    return t;
  };
  for (int observations : shape.observations) {
    std::vector<int> dims{observations};
    dims.insert(dims.end(), shape.states.begin(), shape.states.end());
    Tensor A(dims);
    fill_columns(A, shape.zeros, 0);
    m.A.push_back(A);
    if (shape.counts) m.pA.push_back(scaled(A));
    Tensor C(shape.preference_steps > 0 ? std::vector<int>{observations, shape.preference_steps}
                                        : std::vector<int>{observations});
    for (double& c : C.data) c = random.normal();
    m.C.push_back(C);
  }
  for (size_t f = 0; f < shape.states.size(); ++f) {
    Tensor B({shape.states[f], shape.states[f], shape.controls[f]});
    fill_columns(B, shape.zeros, shape.mixing);
    m.B.push_back(B);
    if (shape.counts) m.pB.push_back(scaled(B));
    Tensor D({shape.states[f]});
    fill_columns(D, false, 0);
    m.D.push_back(D);
    if (shape.counts) m.pD.push_back(scaled(D));
  }
  return complete(std::move(m)).value();
}

}  // namespace skep::belief
