#include "mind/belief/state_inference.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "mind/belief/categorical.h"

namespace skep::belief {
namespace {

constexpr size_t kMostFactors = 16;  // ModelLimits::factors
using Marginals = std::array<const double*, kMostFactors>;

Marginals gather(const CompiledModel& model, const std::vector<int>& factors, const double* q) {
  assert(factors.size() <= kMostFactors);
  Marginals marginals{};
  for (size_t i = 0; i < factors.size(); ++i) marginals[i] = q + model.offset[static_cast<size_t>(factors[i])];
  return marginals;
}

const double* ln_likelihood(const CompiledModel& model, int m, int o) {
  const auto& mod = model.modality[static_cast<size_t>(m)];
  return mod.ln_A.data() + static_cast<size_t>(o) * mod.columns;
}

// E_q[Σ_m ln A_m(o_m)].
double accuracy_of(const CompiledModel& model, const int* observation, const double* q) {
  double sum = 0;
  for (int m = 0; m < model.model.modalities(); ++m) {
    if (observation[m] < 0) continue;
    const auto& mod = model.modality[static_cast<size_t>(m)];
    const Marginals marginals = gather(model, model.model.A_factors[static_cast<size_t>(m)], q);
    contract(ln_likelihood(model, m, observation[m]), mod.dims.data(), static_cast<int>(mod.dims.size()),
             marginals.data(), -1, 1, &sum);
  }
  return sum;
}

// Σ q ln(q + eps) - Σ q ln_prior.
double complexity_of(const CompiledModel& model, const double* ln_prior, const double* q) {
  double sum = 0;
  for (size_t i = 0; i < model.states(); ++i) sum += q[i] * (std::log(q[i] + kLogEpsilon) - ln_prior[i]);
  return sum;
}

}  // namespace

InferenceScratch::InferenceScratch(const CompiledModel& model)
    : ln_prior(model.states()), next(model.states()), message(model.states()) {}

void predict(const CompiledModel& model, const double* q, const int* action, double* prior) {
  for (int f = 0; f < model.model.factors(); ++f) {
    const auto& fac = model.factor[static_cast<size_t>(f)];
    const Marginals parents = gather(model, model.model.B_factors[static_cast<size_t>(f)], q);
    const size_t states = model.num_states(f);
    const double* B = fac.B.data() + static_cast<size_t>(action[f]) * states * fac.columns;
    double* out = prior + model.offset[static_cast<size_t>(f)];
    for (size_t s = 0; s < states; ++s) {
      out[s] = 0;
      contract(B + s * fac.columns, fac.dims.data(), static_cast<int>(fac.dims.size()), parents.data(), -1, 1, out + s);
    }
  }
}

void infer_mean_field(const CompiledModel& model, const int* observation, const double* prior, int sweeps,
                      double tolerance, InferenceScratch& scratch, double* q) {
  const int factors = model.model.factors();
  double* ln_prior = scratch.ln_prior.data();
  for (size_t i = 0; i < model.states(); ++i) ln_prior[i] = std::log(prior[i] + kLogEpsilon);
  for (int f = 0; f < factors; ++f) {
    const size_t states = model.num_states(f);
    std::fill_n(q + model.offset[static_cast<size_t>(f)], states, 1.0 / static_cast<double>(states));
  }
  const auto sweep = [&](double* out) {
    for (int f = 0; f < factors; ++f) {
      double* next = out + model.offset[static_cast<size_t>(f)];
      std::copy_n(ln_prior + model.offset[static_cast<size_t>(f)], model.num_states(f), next);
      for (int m : model.factor[static_cast<size_t>(f)].seen_by) {
        if (observation[m] < 0) continue;
        const auto& mod = model.modality[static_cast<size_t>(m)];
        const auto& parents = model.model.A_factors[static_cast<size_t>(m)];
        const Marginals marginals = gather(model, parents, q);
        const auto keep = static_cast<int>(std::find(parents.begin(), parents.end(), f) - parents.begin());
        contract(ln_likelihood(model, m, observation[m]), mod.dims.data(), static_cast<int>(mod.dims.size()),
                 marginals.data(), keep, 1, next);
      }
      softmax(next, model.num_states(f));
    }
  };
  if (factors == 1) {  // exact: no other factor's belief enters
    sweep(scratch.next.data());
    std::copy(scratch.next.begin(), scratch.next.end(), q);
    return;
  }
  double before = complexity_of(model, ln_prior, q);
  for (int i = 0; i < sweeps; ++i) {
    sweep(scratch.next.data());
    std::copy(scratch.next.begin(), scratch.next.end(), q);
    if (tolerance <= 0) continue;
    const double now = complexity_of(model, ln_prior, q) - accuracy_of(model, observation, q);
    if (std::abs(before - now) < tolerance) return;
    before = now;
  }
}

FreeEnergy free_energy(const CompiledModel& model, const int* observation, const double* prior, const double* q) {
  FreeEnergy F;
  for (size_t i = 0; i < model.states(); ++i) {
    F.neg_entropy += q[i] * std::log(q[i] + kLogEpsilon);
    F.cross_entropy -= q[i] * std::log(prior[i] + kLogEpsilon);
  }
  F.complexity = F.neg_entropy + F.cross_entropy;
  F.accuracy = accuracy_of(model, observation, q);
  F.F = F.complexity - F.accuracy;
  return F;
}

double exact_joint_posterior(const CompiledModel& model, const int* observation, const double* prior,
                             std::span<double> joint) {
  const GenerativeModel& m = model.model;
  assert(static_cast<int64_t>(joint.size()) == m.joint_states());
  std::array<int, kMostFactors> state{};
  double evidence = 0;
  for (double& p : joint) {
    p = 1;
    for (int f = 0; f < m.factors(); ++f)
      p *= prior[model.offset[static_cast<size_t>(f)] + static_cast<size_t>(state[static_cast<size_t>(f)])];
    for (int i = 0; i < m.modalities(); ++i) {
      if (observation[i] < 0) continue;
      const auto& mod = model.modality[static_cast<size_t>(i)];
      size_t column = 0;
      for (size_t a = 0; a < mod.dims.size(); ++a) {
        column = column * static_cast<size_t>(mod.dims[a]) +
                 static_cast<size_t>(state[static_cast<size_t>(m.A_factors[static_cast<size_t>(i)][a])]);
      }
      p *= m.A[static_cast<size_t>(i)].data[static_cast<size_t>(observation[i]) * mod.columns + column];
    }
    evidence += p;
    for (size_t f = m.num_states.size(); f-- > 0 && ++state[f] == m.num_states[f];) state[f] = 0;
  }
  if (evidence > 0) {
    for (double& p : joint) p /= evidence;
  }
  return -std::log(evidence);
}

void marginals_of_joint(const GenerativeModel& m, std::span<const double> joint, double* q) {
  std::array<int, kMostFactors> state{};
  size_t total = 0;
  for (int n : m.num_states) total += static_cast<size_t>(n);
  std::fill_n(q, total, 0.0);
  for (double p : joint) {
    size_t offset = 0;
    for (size_t f = 0; f < m.num_states.size(); ++f) {
      q[offset + static_cast<size_t>(state[f])] += p;
      offset += static_cast<size_t>(m.num_states[f]);
    }
    for (size_t f = m.num_states.size(); f-- > 0 && ++state[f] == m.num_states[f];) state[f] = 0;
  }
}

}  // namespace skep::belief
