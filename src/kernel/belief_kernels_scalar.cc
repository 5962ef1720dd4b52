// The belief kernels as their definitions read: the reference. Sums run in f64, so that what is left of a difference
// is the vector kernels' own rounding.

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "kernel/belief_kernels.h"

namespace skep::kernel {
namespace {

template <typename T>
void predict_row(const T* transition, size_t states, const T* q, double* prior) {
  const size_t stride = belief_stride<T>(states);
  std::fill_n(prior, states, 0.0);
  for (size_t s = 0; s < states; ++s) {
    for (size_t next = 0; next < states; ++next) {
      prior[next] += static_cast<double>(transition[s * stride + next]) * static_cast<double>(q[s]);
    }
  }
}

template <typename T>
T correct_row(const double* prior, size_t states, const T* const* likelihood, size_t modalities, T* target) {
  const size_t stride = belief_stride<T>(states);
  double evidence = 0;
  std::vector<double> joint(prior, prior + states);
  for (size_t s = 0; s < states; ++s) {
    for (size_t m = 0; m < modalities; ++m) {
      if (likelihood[m] != nullptr) joint[s] *= static_cast<double>(likelihood[m][s]);
    }
    evidence += joint[s];
  }
  const bool impossible = !(evidence >= kImpossible);
  double sum = 0;
  for (size_t s = 0; s < states; ++s) sum += impossible ? prior[s] : joint[s];
  for (size_t s = 0; s < states; ++s) target[s] = static_cast<T>((impossible ? prior[s] : joint[s]) / sum);
  std::fill(target + states, target + stride, T(0));
  return static_cast<T>(impossible ? kImpossible : evidence);
}

template <typename T>
void filter_row(const T* transition, size_t states, const T* source, const T* const* likelihood, size_t modalities,
                T* target, T* evidence) {
  std::vector<double> prior(source, source + states);
  if (transition != nullptr) predict_row(transition, states, source, prior.data());
  *evidence = correct_row(prior.data(), states, likelihood, modalities, target);
}

template <typename T>
void filter(const FilterArgs<T>& a) {
  for (size_t i = 0; i < a.n; ++i) {
    filter_row(a.transition, a.states, a.source[i], a.likelihood + i * a.modalities, a.modalities, a.target[i],
               a.evidence + i);
  }
}

template <typename T>
void filter_own(const FilterOwnArgs<T>& a) {
  for (size_t i = 0; i < a.n; ++i) {
    filter_row(a.transition[i], a.states, a.source[i], a.likelihood + i * a.modalities, a.modalities, a.target[i],
               a.evidence + i);
  }
}

template <typename T>
void filter_run(const FilterRunArgs<T>& a) {
  const size_t stride = belief_stride<T>(a.states);
  for (size_t i = 0; i < a.n; ++i) {
    const T* given = a.outcome[i] == kNoOutcome ? nullptr : a.likelihood + a.outcome[i] * stride;
    T* row = a.beliefs + i * stride;
    filter_row(a.transitions + a.action[i] * a.states * stride, a.states, row, &given, 1, row, a.evidence + i);
  }
}

template <typename T>
void predict(const FilterArgs<T>& a) {
  std::vector<double> prior(a.states);
  for (size_t i = 0; i < a.n; ++i) {
    predict_row(a.transition, a.states, a.source[i], prior.data());
    for (size_t s = 0; s < a.states; ++s) a.target[i][s] = static_cast<T>(prior[s]);
    std::fill(a.target[i] + a.states, a.target[i] + belief_stride<T>(a.states), T(0));
  }
}

double neg_x_log_x(double p) { return p > 0 ? -p * std::log(p) : 0; }

template <typename T>
void efe(const EfeArgs<T>& a) {
  const size_t pitch = belief_stride<T>(a.outcomes);
  for (size_t i = 0; i < a.n; ++i) {
    double value = 0;
    for (size_t s = 0; s < a.states; ++s)
      value += static_cast<double>(a.linear[s]) * static_cast<double>(a.beliefs[i][s]);
    for (size_t o = 0; o < a.outcomes && a.entropy; ++o) {
      double p = 0;
      for (size_t s = 0; s < a.states; ++s) {
        p += static_cast<double>(a.predictive[s * pitch + o]) * static_cast<double>(a.beliefs[i][s]);
      }
      value += neg_x_log_x(p);
    }
    a.value[i] += static_cast<T>(value);
  }
}

template <typename T>
void efe_own(const OwnEfeArgs<T>& a) {
  assert(a.actions <= kMostOwnActions);
  const size_t stride = belief_stride<T>(a.states);
  std::vector<double> next(a.states);
  for (size_t u = 0; u < a.actions; ++u) {
    predict_row(a.transitions + u * a.states * stride, a.states, a.belief, next.data());
    double value = 0;
    for (size_t s = 0; s < a.states; ++s) {
      value += static_cast<double>(a.linear[s]) * next[s];
      a.predicted[u * stride + s] = static_cast<T>(next[s]);
    }
    std::fill(a.predicted + u * stride + a.states, a.predicted + (u + 1) * stride, T(0));
    for (size_t o = 0; o < a.outcomes && a.entropy; ++o) {
      double p = 0;
      for (size_t s = 0; s < a.states; ++s) p += static_cast<double>(a.likelihood[o * stride + s]) * next[s];
      value += neg_x_log_x(p);
    }
    a.value[u] = static_cast<T>(value);
  }
}

template <typename T>
void surprise(const T* x, size_t n, T* out) {
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<T>(-std::log(static_cast<double>(x[i])));
}

template <typename T>
void softmax(T* x, size_t policies, size_t pitch, size_t n, T gamma, const T* ln_prior) {
  std::vector<double> column(policies);
  for (size_t i = 0; i < n; ++i) {
    double top = -INFINITY;
    double sum = 0;
    for (size_t p = 0; p < policies; ++p) {
      column[p] = static_cast<double>(gamma) * static_cast<double>(x[p * pitch + i]) + static_cast<double>(ln_prior[p]);
      top = std::max(top, column[p]);
    }
    for (double& c : column) sum += c = std::exp(c - top);
    for (size_t p = 0; p < policies; ++p) x[p * pitch + i] = static_cast<T>(column[p] / sum);
  }
}

template <typename T>
T total_variation(const T* a, const T* b, size_t stride) {
  double sum = 0;
  for (size_t s = 0; s < stride; ++s) sum += std::abs(static_cast<double>(a[s]) - static_cast<double>(b[s]));
  return static_cast<T>(sum / 2);
}

template <typename T>
T entropy(const T* p, size_t stride) {
  double sum = 0;
  for (size_t s = 0; s < stride; ++s) sum += neg_x_log_x(static_cast<double>(p[s]));
  return static_cast<T>(sum);
}

}  // namespace

template <typename T>
const BeliefKernels<T>& belief_kernels_scalar() {
  static constexpr BeliefKernels<T> kernels{"scalar",           filter<T>, filter_own<T>, filter_run<T>, SIZE_MAX,
                                            predict<T>,         efe<T>,    efe_own<T>,    surprise<T>,   softmax<T>,
                                            total_variation<T>, entropy<T>};
  return kernels;
}

template const BeliefKernels<float>& belief_kernels_scalar<float>();
template const BeliefKernels<double>& belief_kernels_scalar<double>();

}  // namespace skep::kernel
