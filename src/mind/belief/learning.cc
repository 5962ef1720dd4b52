#include "mind/belief/learning.h"

#include <algorithm>
#include <cassert>

namespace skep::belief {
namespace {

// Probability of each column of `parents` under the product of their marginals.
std::vector<double> column_weights(const CompiledModel& model, const std::vector<int>& parents, const double* q) {
  std::vector<double> weights{1.0};
  for (int f : parents) {
    std::vector<double> next;
    next.reserve(weights.size() * model.num_states(f));
    for (double w : weights) {
      for (size_t s = 0; s < model.num_states(f); ++s) next.push_back(w * q[model.offset[static_cast<size_t>(f)] + s]);
    }
    weights = std::move(next);
  }
  return weights;
}

}  // namespace

Tensor learn_A(const CompiledModel& model, int modality, int observation, const double* q, const Tensor& counts,
               double rate) {
  Tensor learnt = counts;
  const auto weights = column_weights(model, model.model.A_factors[static_cast<size_t>(modality)], q);
  const size_t row = static_cast<size_t>(observation) * weights.size();
  const std::vector<double>& A = model.model.A[static_cast<size_t>(modality)].data;
  for (size_t c = 0; c < weights.size(); ++c) {
    if (A[row + c] > 0) learnt.data[row + c] += rate * weights[c];
  }
  return learnt;
}

Tensor learn_B(const CompiledModel& model, int factor, int action, const double* before, const double* q,
               const Tensor& counts, double rate) {
  Tensor learnt = counts;
  const auto weights = column_weights(model, model.model.B_factors[static_cast<size_t>(factor)], before);
  const auto actions = static_cast<size_t>(model.model.num_controls[static_cast<size_t>(factor)]);
  const double* own = q + model.offset[static_cast<size_t>(factor)];
  const std::vector<double>& B = model.model.B[static_cast<size_t>(factor)].data;
  for (size_t s = 0; s < model.num_states(factor); ++s) {
    for (size_t c = 0; c < weights.size(); ++c) {
      const size_t at = (s * weights.size() + c) * actions + static_cast<size_t>(action);
      if (B[at] > 0) learnt.data[at] += rate * own[s] * weights[c];
    }
  }
  return learnt;
}

Tensor learn_D(const CompiledModel& model, int factor, const double* q, const Tensor& counts, double rate) {
  Tensor learnt = counts;
  for (size_t s = 0; s < learnt.data.size(); ++s) {
    if (counts.data[s] > 0) learnt.data[s] += rate * q[model.offset[static_cast<size_t>(factor)] + s];
  }
  return learnt;
}

void forget(Tensor& counts, const Tensor& first, double share) {
  assert(counts.shape == first.shape && share >= 0 && share <= 1);
  for (size_t i = 0; i < counts.data.size(); ++i)
    counts.data[i] = first.data[i] + (1 - share) * (counts.data[i] - first.data[i]);
}

Tensor expectation(const Tensor& counts) {
  Tensor p = counts;
  const size_t columns = p.data.size() / static_cast<size_t>(p.shape[0]);
  for (size_t c = 0; c < columns; ++c) {
    double sum = 0;
    for (size_t i = c; i < p.data.size(); i += columns) sum += p.data[i];
    for (size_t i = c; sum > 0 && i < p.data.size(); i += columns) p.data[i] /= sum;
  }
  return p;
}

}  // namespace skep::belief
