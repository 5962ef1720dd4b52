#include "mind/belief/message_passing.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "mind/belief/categorical.h"

namespace skep::belief {
namespace {

constexpr size_t kMostFactors = 16;
using Marginals = std::array<const double*, kMostFactors>;

class Window {
 public:
  Window(const CompiledModel& model, std::span<const std::vector<int>> observations,
         std::span<const JointAction> past_actions, const Policy& policy, const double* prior, WindowPosterior& out)
      : model_(model), observations_(observations), prior_(prior), out_(out) {
    for (const JointAction& a : past_actions) actions_.push_back(&a);
    for (const JointAction& a : policy) actions_.push_back(&a);
    past_ = static_cast<int>(observations.size());
    out_.length = past_ + static_cast<int>(policy.size());
    // From here on no message comes back from the future; pymdp's window ends one step before the last belief.
    future_cutoff_ = out_.length - 2;
    out_.q.resize(static_cast<size_t>(out_.length) * model.states());
    for (int t = 0; t < out_.length; ++t) {
      for (int f = 0; f < model.model.factors(); ++f) {
        std::fill_n(at(t, f), model.num_states(f), 1.0 / static_cast<double>(model.num_states(f)));
      }
    }
  }

  void iterate(double step) {
    out_.F = 0;
    const double factors = model_.model.factors();
    for (int t = 0; t < out_.length; ++t) {
      for (int f = 0; f < model_.model.factors(); ++f) {
        const size_t states = model_.num_states(f);
        likelihood(t, f);
        from_past(t, f);
        from_future(t, f);
        const double coefficient = t >= future_cutoff_ ? 1 : 2;
        double* q = at(t, f);
        double mean = 0;
        error_.resize(states);
        for (size_t s = 0; s < states; ++s) {
          error_[s] = coefficient * ln_A_[s] + past_message_[s] + future_message_[s] -
                      coefficient * std::log(q[s] + kLogEpsilon);
          mean += error_[s] / static_cast<double>(states);
        }
        const bool edge = t == 0 || t == out_.length - 1;
        for (size_t s = 0; s < states; ++s) {
          // SPM shares the likelihood out over the factors in the middle of the window.
          out_.F += q[s] * 0.5 * (edge ? error_[s] : error_[s] - (factors - 1) * ln_A_[s] / factors);
        }
        for (size_t s = 0; s < states; ++s) q[s] = std::log(q[s] + kLogEpsilon) + step * (error_[s] - mean);
        softmax(q, states);
      }
    }
  }

 private:
  double* at(int t, int f) {
    return out_.q.data() + static_cast<size_t>(t) * model_.states() + model_.offset[static_cast<size_t>(f)];
  }
  const JointAction& action(int t) const { return *actions_[static_cast<size_t>(t)]; }

  Marginals gather(const std::vector<int>& factors, int t) {
    Marginals marginals{};
    for (size_t i = 0; i < factors.size(); ++i) marginals[i] = at(t, factors[i]);
    return marginals;
  }

  // Σ_m ln(E_{q_-f}[A_m(o)] + eps); nothing for the future.
  void likelihood(int t, int f) {
    ln_A_.assign(model_.num_states(f), 0);
    if (t >= past_) return;
    for (int m : model_.factor[static_cast<size_t>(f)].seen_by) {
      const int o = observations_[static_cast<size_t>(t)][static_cast<size_t>(m)];
      if (o < 0) continue;
      const auto& mod = model_.modality[static_cast<size_t>(m)];
      const auto& parents = model_.model.A_factors[static_cast<size_t>(m)];
      const auto keep = static_cast<int>(std::find(parents.begin(), parents.end(), f) - parents.begin());
      const Marginals marginals = gather(parents, t);
      expected_.assign(ln_A_.size(), 0);
      contract(model_.model.A[static_cast<size_t>(m)].data.data() + static_cast<size_t>(o) * mod.columns,
               mod.dims.data(), static_cast<int>(mod.dims.size()), marginals.data(), keep, 1, expected_.data());
      for (size_t s = 0; s < ln_A_.size(); ++s) ln_A_[s] += std::log(expected_[s] + kLogEpsilon);
    }
  }

  void from_past(int t, int f) {
    const size_t states = model_.num_states(f);
    past_message_.assign(states, 0);
    if (t == 0) {
      std::copy_n(prior_ + model_.offset[static_cast<size_t>(f)], states, past_message_.begin());
    } else {
      const auto& fac = model_.factor[static_cast<size_t>(f)];
      const Marginals parents = gather(model_.model.B_factors[static_cast<size_t>(f)], t - 1);
      const double* B = transition(f, action(t - 1));
      for (size_t s = 0; s < states; ++s) {
        contract(B + s * fac.columns, fac.dims.data(), static_cast<int>(fac.dims.size()), parents.data(), -1, 1,
                 &past_message_[s]);
      }
    }
    for (double& p : past_message_) p = std::log(p + kLogEpsilon);
  }

  // Half of the sum over the children i of f of ln(B̃ᵀ q_{t+1}(i)), B̃ᵀ being B marginalised over the co-parents and
  // normalised over f.
  void from_future(int t, int f) {
    const size_t states = model_.num_states(f);
    future_message_.assign(states, 0);
    if (t >= future_cutoff_) return;
    for (int child : model_.factor[static_cast<size_t>(f)].drives) {
      const auto& fac = model_.factor[static_cast<size_t>(child)];
      const auto& parents = model_.model.B_factors[static_cast<size_t>(child)];
      const auto keep = static_cast<int>(std::find(parents.begin(), parents.end(), f) - parents.begin());
      const Marginals marginals = gather(parents, t + 1);
      const double* B = transition(child, action(t));
      expected_.assign(states, 0);
      for (size_t next = 0; next < model_.num_states(child); ++next) {
        marginal_.assign(states, 0);
        contract(B + next * fac.columns, fac.dims.data(), static_cast<int>(fac.dims.size()), marginals.data(), keep, 1,
                 marginal_.data());
        double sum = 0;
        for (double p : marginal_) sum += p + kLogEpsilon;
        const double q = at(t + 1, child)[next];
        for (size_t s = 0; s < states; ++s) expected_[s] += q * (marginal_[s] + kLogEpsilon) / sum;
      }
      for (size_t s = 0; s < states; ++s) future_message_[s] += 0.5 * std::log(expected_[s] + kLogEpsilon);
    }
  }

  const double* transition(int f, const JointAction& a) const {
    const auto& fac = model_.factor[static_cast<size_t>(f)];
    return fac.B.data() + static_cast<size_t>(a[static_cast<size_t>(f)]) * model_.num_states(f) * fac.columns;
  }

  const CompiledModel& model_;
  std::span<const std::vector<int>> observations_;
  const double* prior_;
  WindowPosterior& out_;
  std::vector<const JointAction*> actions_;
  int past_ = 0;
  int future_cutoff_ = 0;
  std::vector<double> ln_A_, past_message_, future_message_, error_, expected_, marginal_;
};

}  // namespace

WindowPosterior pass_messages(const CompiledModel& model, std::span<const std::vector<int>> observations,
                              std::span<const JointAction> past_actions, const Policy& policy, const double* prior,
                              const MessageOptions& options) {
  assert(!observations.empty() && past_actions.size() + 1 == observations.size());
  WindowPosterior posterior;
  Window window(model, observations, past_actions, policy, prior, posterior);
  for (int i = 0; i < options.iterations; ++i) window.iterate(options.step);
  return posterior;
}

}  // namespace skep::belief
