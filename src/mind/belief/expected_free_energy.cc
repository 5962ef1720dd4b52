#include "mind/belief/expected_free_energy.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "mind/belief/categorical.h"

namespace skep::belief {
namespace {

constexpr size_t kMostFactors = 16;

// Walks the joint of a modality's parents: visit(column, probability) for every column.
template <typename Visit>
void for_each_column(const double* const* q, const int* dims, size_t axes, size_t column, double weight,
                     Visit&& visit) {
  if (axes == 0) {
    visit(column, weight);
    return;
  }
  for (int i = 0; i < dims[0]; ++i) {
    const size_t next = column * static_cast<size_t>(dims[0]) + static_cast<size_t>(i);
    for_each_column(q + 1, dims + 1, axes - 1, next, weight * q[0][i], visit);
  }
}

struct Expected {
  double neg_ambiguity_epsilon = 0, neg_ambiguity = 0;
};

// qo = E_q[A]; qo_kept the same without the joint states that SPM skips.
Expected expect(const CompiledModel& model, int m, const double* q, double* qo, double* qo_kept) {
  const auto& mod = model.modality[static_cast<size_t>(m)];
  const auto& parents = model.model.A_factors[static_cast<size_t>(m)];
  const double* A = model.model.A[static_cast<size_t>(m)].data.data();
  const size_t obs = model.num_obs(m);
  std::array<const double*, kMostFactors> marginals{};
  for (size_t i = 0; i < parents.size(); ++i) marginals[i] = q + model.offset[static_cast<size_t>(parents[i])];
  std::fill_n(qo, obs, 0.0);
  std::fill_n(qo_kept, obs, 0.0);
  Expected e;
  for_each_column(marginals.data(), mod.dims.data(), mod.dims.size(), 0, 1.0, [&](size_t column, double p) {
    if (p == 0) return;
    const bool kept = p > kAmbiguityEpsilon;
    for (size_t o = 0; o < obs; ++o) {
      const double joint = p * A[o * mod.columns + column];
      qo[o] += joint;
      if (kept) qo_kept[o] += joint;
    }
    if (kept) e.neg_ambiguity_epsilon += p * mod.neg_entropy_epsilon[column];
    e.neg_ambiguity += p * mod.neg_entropy[column];
  });
  return e;
}

}  // namespace

EfeScratch::EfeScratch(const CompiledModel& model) {
  const auto most = static_cast<size_t>(*std::max_element(model.model.num_obs.begin(), model.model.num_obs.end()));
  qo.resize(most);
  qo_kept.resize(most);
}

StepTerms step_terms(const CompiledModel& model, const double* q, int time, EfeScratch& scratch) {
  StepTerms terms;
  double* qo = scratch.qo.data();
  double* kept = scratch.qo_kept.data();
  for (int m = 0; m < model.model.modalities(); ++m) {
    const Expected e = expect(model, m, q, qo, kept);
    const double* ln_C = model.ln_preference(m, time);
    double entropy_epsilon = 0;
    double entropy = 0;
    double utility = 0;
    for (size_t o = 0; o < model.num_obs(m); ++o) {
      utility += qo[o] * ln_C[o];
      entropy_epsilon -= kept[o] * std::log(kept[o] + kLogEpsilon);
      entropy -= x_log_x(qo[o]);
    }
    terms.utility += utility;
    terms.states_info_gain += entropy_epsilon + e.neg_ambiguity_epsilon;
    terms.exact_utility += utility;
    terms.exact_states_info_gain += entropy + e.neg_ambiguity;
    terms.risk += -entropy - utility;
    terms.ambiguity -= e.neg_ambiguity;
  }
  return terms;
}

double A_novelty(const CompiledModel& model, const double* q, EfeScratch& scratch) {
  double gain = 0;
  for (int m = 0; m < model.model.modalities(); ++m) {
    const auto& mod = model.modality[static_cast<size_t>(m)];
    if (mod.novelty.empty()) continue;
    const auto& parents = model.model.A_factors[static_cast<size_t>(m)];
    std::array<const double*, kMostFactors> marginals{};
    for (size_t i = 0; i < parents.size(); ++i) marginals[i] = q + model.offset[static_cast<size_t>(parents[i])];
    expect(model, m, q, scratch.qo.data(), scratch.qo_kept.data());
    for (size_t o = 0; o < model.num_obs(m); ++o) {
      double w = 0;
      contract(mod.novelty.data() + o * mod.columns, mod.dims.data(), static_cast<int>(mod.dims.size()),
               marginals.data(), -1, 1, &w);
      gain -= scratch.qo[o] * w;
    }
  }
  return gain;
}

double B_novelty(const CompiledModel& model, const double* before, const int* action, const double* q) {
  double gain = 0;
  for (int f = 0; f < model.model.factors(); ++f) {
    const auto& fac = model.factor[static_cast<size_t>(f)];
    if (fac.novelty.empty()) continue;
    const auto& parents = model.model.B_factors[static_cast<size_t>(f)];
    std::array<const double*, kMostFactors> marginals{};
    for (size_t i = 0; i < parents.size(); ++i) marginals[i] = before + model.offset[static_cast<size_t>(parents[i])];
    const size_t states = model.num_states(f);
    const double* W = fac.novelty.data() + static_cast<size_t>(action[f]) * states * fac.columns;
    for (size_t s = 0; s < states; ++s) {
      double w = 0;
      contract(W + s * fac.columns, fac.dims.data(), static_cast<int>(fac.dims.size()), marginals.data(), -1, 1, &w);
      gain -= q[model.offset[static_cast<size_t>(f)] + s] * w;
    }
  }
  return gain;
}

}  // namespace skep::belief
