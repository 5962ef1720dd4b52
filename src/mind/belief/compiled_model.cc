#include "mind/belief/compiled_model.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "mind/belief/categorical.h"

namespace skep::belief {
namespace {

// SPM's approximation of the expected information gain about a Dirichlet (spm_wnorm), zero where there is no count.
// `counts` is [lead][columns]; normalisers run over the lead.
std::vector<double> novelty_of(const std::vector<double>& counts, size_t lead, size_t columns) {
  std::vector<double> w(counts.size());
  for (size_t c = 0; c < columns; ++c) {
    double sum = 0;
    for (size_t i = 0; i < lead; ++i) sum += counts[i * columns + c] + kLogEpsilon;
    for (size_t i = 0; i < lead; ++i) {
      const double a = counts[i * columns + c];
      w[i * columns + c] = a > 0 ? 1 / sum - 1 / (a + kLogEpsilon) : 0;
    }
  }
  return w;
}

// [lead][columns][actions] to [actions][lead][columns].
std::vector<double> by_action(const std::vector<double>& from, size_t actions) {
  std::vector<double> to(from.size());
  const size_t block = from.size() / actions;
  for (size_t i = 0; i < block; ++i) {
    for (size_t u = 0; u < actions; ++u) to[u * block + i] = from[i * actions + u];
  }
  return to;
}

std::vector<double> ln_preferences(const Tensor& C) {
  const auto obs = static_cast<size_t>(C.shape[0]);
  const size_t steps = C.data.size() / obs;
  std::vector<double> ln_C(C.data.size());
  for (size_t t = 0; t < steps; ++t) {
    double* row = ln_C.data() + t * obs;
    for (size_t o = 0; o < obs; ++o) row[o] = C.data[o * steps + t];
    softmax(row, obs);
    for (size_t o = 0; o < obs; ++o) row[o] = std::log(row[o] + kLogEpsilon);
  }
  return ln_C;
}

}  // namespace

const double* CompiledModel::ln_preference(int m, int time) const {
  const Modality& mod = modality[static_cast<size_t>(m)];
  return mod.ln_C.data() + static_cast<size_t>(std::min(time, mod.preference_steps - 1)) * num_obs(m);
}

void CompiledModel::refresh_A() {
  for (int m = 0; m < model.modalities(); ++m) {
    Modality& mod = modality[static_cast<size_t>(m)];
    const std::vector<double>& A = model.A[static_cast<size_t>(m)].data;
    const size_t obs = num_obs(m);
    mod.ln_A.resize(A.size());
    std::transform(A.begin(), A.end(), mod.ln_A.begin(), [](double p) { return std::log(p + kLogEpsilon); });
    mod.neg_entropy.assign(mod.columns, 0);
    mod.neg_entropy_epsilon.assign(mod.columns, 0);
    for (size_t o = 0; o < obs; ++o) {
      for (size_t c = 0; c < mod.columns; ++c) {
        const double p = A[o * mod.columns + c];
        mod.neg_entropy_epsilon[c] += p * std::log(p + kAmbiguityEpsilon);
        mod.neg_entropy[c] += x_log_x(p);
      }
    }
    if (!model.pA.empty()) mod.novelty = novelty_of(model.pA[static_cast<size_t>(m)].data, obs, mod.columns);
  }
}

void CompiledModel::refresh_B() {
  for (int f = 0; f < model.factors(); ++f) {
    Factor& fac = factor[static_cast<size_t>(f)];
    const auto actions = static_cast<size_t>(model.num_controls[static_cast<size_t>(f)]);
    fac.B = by_action(model.B[static_cast<size_t>(f)].data, actions);
    if (model.pB.empty()) continue;
    const std::vector<double> counts = by_action(model.pB[static_cast<size_t>(f)].data, actions);
    const size_t block = counts.size() / actions;
    fac.novelty.clear();
    for (size_t u = 0; u < actions; ++u) {
      const auto first = counts.begin() + static_cast<std::ptrdiff_t>(u * block);
      const auto w = novelty_of({first, first + static_cast<std::ptrdiff_t>(block)}, num_states(f), fac.columns);
      fac.novelty.insert(fac.novelty.end(), w.begin(), w.end());
    }
  }
}

CompiledModel compile(GenerativeModel source) {
  CompiledModel c;
  c.model = std::move(source);
  const GenerativeModel& m = c.model;
  c.policies = policies_of(m);
  c.offset.push_back(0);
  for (int n : m.num_states) c.offset.push_back(c.offset.back() + static_cast<size_t>(n));
  const double uniform = 1.0 / static_cast<double>(c.policies.size());
  for (size_t p = 0; p < c.policies.size(); ++p)
    c.lnE.push_back(std::log((m.E.empty() ? uniform : m.E[p]) + kLogEpsilon));

  c.modality.resize(m.A.size());
  c.factor.resize(m.B.size());
  const auto lay_out = [&m](auto& array, const std::vector<int>& parents) {
    for (int f : parents) {
      array.dims.push_back(m.num_states[static_cast<size_t>(f)]);
      array.columns *= static_cast<size_t>(array.dims.back());
    }
  };
  for (size_t i = 0; i < c.modality.size(); ++i) {
    lay_out(c.modality[i], m.A_factors[i]);
    c.modality[i].ln_C = ln_preferences(m.C[i]);
    c.modality[i].preference_steps = m.C[i].rank() == 2 ? m.C[i].shape[1] : 1;
    for (int f : m.A_factors[i]) c.factor[static_cast<size_t>(f)].seen_by.push_back(static_cast<int>(i));
  }
  for (size_t f = 0; f < c.factor.size(); ++f) {
    lay_out(c.factor[f], m.B_factors[f]);
    for (int parent : m.B_factors[f]) c.factor[static_cast<size_t>(parent)].drives.push_back(static_cast<int>(f));
  }
  c.refresh_A();
  c.refresh_B();
  return c;
}

}  // namespace skep::belief
