#include "mind/belief/precision.h"

#include <algorithm>
#include <cassert>
#include <vector>

#include "mind/belief/categorical.h"

namespace skep::belief {

double adapt_beta(double beta, double beta_prior, std::span<const double> neg_efe, std::span<const double> policy_F,
                  std::span<const double> ln_E, const PrecisionOptions& options) {
  assert(neg_efe.size() == policy_F.size() && neg_efe.size() == ln_E.size());
  const size_t n = neg_efe.size();
  std::vector<double> before(n), after(n);
  for (int i = 0; i < options.iterations; ++i) {
    for (size_t p = 0; p < n; ++p) {
      before[p] = ln_E[p] + neg_efe[p] / beta;
      after[p] = before[p] - policy_F[p];
    }
    softmax(before.data(), n);
    softmax(after.data(), n);
    double error = 0;
    for (size_t p = 0; p < n; ++p) error += (after[p] - before[p]) * neg_efe[p];
    beta = std::max(options.smallest, beta - (beta - beta_prior + error) / options.step);
  }
  return beta;
}

}  // namespace skep::belief
