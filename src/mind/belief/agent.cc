#include "mind/belief/agent.h"

#include <fmt/format.h>

#include <cassert>
#include <cmath>
#include <deque>

#include "base/random.h"
#include "mind/belief/categorical.h"
#include "mind/belief/compiled_model.h"
#include "mind/belief/joint_model.h"
#include "mind/belief/learning.h"
#include "mind/belief/message_passing.h"
#include "mind/belief/planning.h"
#include "mind/belief/precision.h"
#include "mind/belief/state_inference.h"

namespace skep::belief {

struct Agent::Impl {
  Impl(GenerativeModel source, GenerativeModel engine_model, AgentOptions o)
      : model(std::move(source)),
        options(o),
        compiled(compile(std::move(engine_model))),
        scratch(compiled),
        random(o.seed) {
    const auto total = [&] {
      size_t n = 0;
      for (int s : model.num_states) n += static_cast<size_t>(s);
      return n;
    }();
    marginals.resize(total);
    prior_marginals.resize(total);
    first_pA = model.pA;
    first_pB = model.pB;
    first_pD = model.pD;
    if (model.E.empty()) {
      first_pE.assign(compiled.policies.size(), 1.0);
    } else {
      first_pE = model.E;
    }
    pE = first_pE;
    reset();
  }

  [[nodiscard]] bool joint() const { return options.inference == Inference::joint; }
  [[nodiscard]] bool messages() const { return options.inference == Inference::marginal_messages; }

  void reset() {
    q.assign(compiled.states(), 0);
    prior = start();
    q_before.clear();
    time = 0;
    acted = false;
    action.assign(model.num_controls.size(), 0);
    observations.clear();
    past_actions.clear();
    window_prior = start();
    windows.clear();
    policy_F.clear();
    beta = 1 / options.gamma;
    terms = {};
    publish();
  }

  // D of the engine's model, flat.
  [[nodiscard]] std::vector<double> start() const {
    std::vector<double> D;
    for (const Tensor& d : compiled.model.D) D.insert(D.end(), d.data.begin(), d.data.end());
    return D;
  }

  // The action as the engine's model counts it.
  [[nodiscard]] JointAction engine_action(const JointAction& a) const {
    return compiled.model.factors() == model.factors() ? a : JointAction{model.pack_action(a)};
  }

  void filter(const std::vector<int>& observation) {
    if (acted) {
      q_before = q;
      transition = action;
      predict(compiled, q.data(), engine_action(action).data(), prior.data());
    } else {
      prior = start();
    }
    infer_mean_field(compiled, observation.data(), prior.data(), options.mean_field_sweeps,
                     options.mean_field_tolerance, scratch, q.data());
    F = belief::free_energy(compiled, observation.data(), prior.data(), q.data());
    if (options.adaptive_gamma && acted && !terms.neg_efe.empty()) adapt(observation);
  }

  // Each policy is judged by how well its first action foretold what was observed.
  void adapt(const std::vector<int>& observation) {
    std::vector<double> evidence(compiled.policies.size());
    std::vector<double> predicted(compiled.states()), posterior(compiled.states());
    for (size_t p = 0; p < evidence.size(); ++p) {
      predict(compiled, q_before.data(), compiled.policies[p].front().data(), predicted.data());
      infer_mean_field(compiled, observation.data(), predicted.data(), options.mean_field_sweeps,
                       options.mean_field_tolerance, scratch, posterior.data());
      evidence[p] = belief::free_energy(compiled, observation.data(), predicted.data(), posterior.data()).F;
    }
    beta = adapt_beta(beta, 1 / options.gamma, terms.neg_efe, evidence, compiled.lnE);
  }

  void infer_window(const std::vector<int>& observation) {
    const auto horizon = static_cast<size_t>(options.inference_horizon);
    if (acted && time >= options.inference_horizon) {
      // The window moves on: its new start is the average over policies of its old one.
      std::fill(window_prior.begin(), window_prior.end(), 0.0);
      for (size_t p = 0; p < windows.size(); ++p) {
        for (size_t i = 0; i < window_prior.size(); ++i) window_prior[i] += terms.q_pi[p] * windows[p][i];
      }
    }
    observations.push_back(observation);
    if (acted) past_actions.push_back(action);
    while (observations.size() > horizon) observations.pop_front();
    while (past_actions.size() + 1 > observations.size()) past_actions.pop_front();
    const std::vector<std::vector<int>> seen(observations.begin(), observations.end());
    const std::vector<JointAction> done(past_actions.begin(), past_actions.end());
    windows.clear();
    policy_F.clear();
    for (const Policy& policy : compiled.policies) {
      WindowPosterior w = pass_messages(compiled, seen, done, policy, window_prior.data(),
                                        {options.message_iterations, options.message_step});
      window_length = w.length;
      windows.push_back(std::move(w.q));
      policy_F.push_back(w.F);
    }
    // The belief of now: averaged over policies by the last posterior over them, or their prior.
    std::vector<double> weight = terms.q_pi.empty() ? compiled.lnE : terms.q_pi;
    if (terms.q_pi.empty()) softmax(weight.data(), weight.size());
    q_before = acted ? q : std::vector<double>();
    transition = action;
    std::fill(q.begin(), q.end(), 0.0);
    const size_t now = (seen.size() - 1) * compiled.states();
    for (size_t p = 0; p < windows.size(); ++p) {
      for (size_t i = 0; i < q.size(); ++i) q[i] += weight[p] * windows[p][now + i];
    }
    F = {};
    for (size_t p = 0; p < windows.size(); ++p) {
      F.F -= weight[p] * policy_F[p];
      for (size_t t = 0; t < seen.size(); ++t) {
        const double* at = windows[p].data() + t * compiled.states();
        const FreeEnergy part = belief::free_energy(compiled, seen[t].data(), at, at);
        F.accuracy += weight[p] * part.accuracy;
        F.neg_entropy += weight[p] * part.neg_entropy;
      }
    }
    F.complexity = F.F + F.accuracy;
    F.cross_entropy = F.complexity - F.neg_entropy;
  }

  void plan() {
    if (messages()) {
      evaluate_windows(compiled, options, windows, terms);
      if (options.adaptive_gamma) beta = adapt_beta(beta, 1 / options.gamma, terms.neg_efe, policy_F, compiled.lnE);
    } else if (options.sophisticated) {
      search_policies(compiled, options, q.data(), terms);
    } else {
      evaluate_policies(compiled, options, q.data(), terms);
    }
    if (!options.sophisticated) {
      const double gamma = options.adaptive_gamma ? 1 / beta : options.gamma;
      for (size_t p = 0; p < terms.q_pi.size(); ++p) {
        terms.q_pi[p] = gamma * terms.neg_efe[p] + compiled.lnE[p] - (messages() ? policy_F[p] : 0);
      }
      softmax(terms.q_pi.data(), terms.q_pi.size());
    }
    action_posterior = belief::action_marginals(compiled, terms.q_pi);
    if (compiled.model.factors() != model.factors()) unpack_marginals();
  }

  // From joint actions to one marginal per factor.
  void unpack_marginals() {
    std::vector<std::vector<double>> per_factor;
    for (int n : model.num_controls) per_factor.emplace_back(static_cast<size_t>(n), 0.0);
    for (size_t u = 0; u < action_posterior[0].size(); ++u) {
      const JointAction a = model.unpack_action(static_cast<int>(u));
      for (size_t f = 0; f < a.size(); ++f) per_factor[f][static_cast<size_t>(a[f])] += action_posterior[0][u];
    }
    action_posterior = std::move(per_factor);
  }

  // What the accessors show, in the factors of the caller's model.
  void publish() {
    if (compiled.model.factors() == model.factors()) {
      marginals = q;
      prior_marginals = prior;
    } else {
      marginals_of_joint(model, q, marginals.data());
      marginals_of_joint(model, prior, prior_marginals.data());
    }
  }

  [[nodiscard]] size_t offset(int factor) const {
    size_t at = 0;
    for (int f = 0; f < factor; ++f) at += static_cast<size_t>(model.num_states[static_cast<size_t>(f)]);
    return at;
  }

  GenerativeModel model;  // the caller's, with learnt arrays
  AgentOptions options;
  CompiledModel compiled;  // of `model`, or of its joint
  InferenceScratch scratch;
  Random random;
  std::vector<Tensor> first_pA, first_pB, first_pD;
  std::vector<double> first_pE, pE;

  std::vector<double> q, q_before, prior;  // the engine's flat beliefs
  std::vector<double> marginals, prior_marginals;
  FreeEnergy F;
  PolicyTerms terms;
  std::vector<std::vector<double>> action_posterior;
  JointAction action, transition;  // the last one chosen; the one between q_before and q
  int time = 0;                    // actions taken
  bool acted = false;
  double beta = 1;

  std::deque<std::vector<int>> observations;
  std::deque<JointAction> past_actions;
  std::vector<double> window_prior;
  std::vector<std::vector<double>> windows;
  std::vector<double> policy_F;
  int window_length = 0;
};

Agent::Agent(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Agent::Agent(Agent&&) noexcept = default;
Agent& Agent::operator=(Agent&&) noexcept = default;
Agent::~Agent() = default;

Result<Agent> Agent::create(GenerativeModel model, AgentOptions options) {
  std::vector<ModelWarning> warnings;  // an unreachable state is odd, but no obstacle
  SKEP_CHECK(validate(model, {}, &warnings));
  const auto refuse = [](const char* what) { return fail(ErrorCode::invalid_argument, what); };
  if (!(options.gamma > 0)) return refuse("gamma: must be positive");
  if (!(options.alpha > 0)) return refuse("alpha: must be positive");
  if (options.mean_field_sweeps < 1 || options.mean_field_sweeps > 10'000)
    return refuse("mean_field_sweeps: expected 1 to 10000");
  if (options.inference_horizon < 1 || options.inference_horizon > 1024)
    return refuse("inference_horizon: expected 1 to 1024");
  if (!(options.forgetting >= 0 && options.forgetting <= 1)) return refuse("forgetting: expected 0 to 1");
  const int length = model.policies.empty() ? model.policy_length : static_cast<int>(model.policies.front().size());
  if (options.sophisticated && length != 1) return refuse("sophisticated inference needs policies of length 1");
  if (options.sophisticated && options.inference == Inference::marginal_messages) {
    return refuse("sophisticated inference does not go with marginal message passing");
  }
  if (options.inference == Inference::automatic) {
    const bool small = model.joint_states() <= options.joint_limit;
    const bool joint = model.factors() > 1 && small && !options.use_param_info_gain;
    options.inference = joint ? Inference::joint : Inference::mean_field;
  }
  if (options.use_param_info_gain && options.inference == Inference::joint && model.factors() > 1) {
    return fail(ErrorCode::unsupported, "use_param_info_gain: joint inference has no beliefs per factor to learn from",
                "use mean-field inference");
  }
  GenerativeModel engine_model = model;
  if (options.inference == Inference::joint) {
    SKEP_TRY(engine_model, joint_model(model, options.joint_limit));
  }
  return Agent(std::make_unique<Impl>(std::move(model), std::move(engine_model), options));
}

Status Agent::infer_states(std::span<const int> observation) {
  Impl& a = *impl_;
  if (observation.size() != a.model.num_obs.size()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("observation: {} entries, expected {}", observation.size(), a.model.num_obs.size()));
  }
  for (size_t m = 0; m < observation.size(); ++m) {
    if (observation[m] < -1 || observation[m] >= a.model.num_obs[m]) {
      return fail(ErrorCode::invalid_argument, fmt::format("observation[{}]: no outcome {}", m, observation[m]));
    }
  }
  const std::vector<int> seen(observation.begin(), observation.end());
  if (a.messages()) {
    a.infer_window(seen);
  } else {
    a.filter(seen);
  }
  a.publish();
  return {};
}

void Agent::infer_policies() { impl_->plan(); }

const JointAction& Agent::sample_action() {
  Impl& a = *impl_;
  assert(!a.action_posterior.empty());
  const auto p = a.options.action_selection == ActionSelection::sampled ? action_probabilities() : a.action_posterior;
  for (size_t f = 0; f < p.size(); ++f) {
    a.action[f] = static_cast<int>(a.options.action_selection == ActionSelection::sampled
                                       ? draw(p[f].data(), p[f].size(), a.random.uniform())
                                       : select_highest(p[f].data(), p[f].size()));
  }
  ++a.time;
  a.acted = true;
  return a.action;
}

void Agent::set_action(const JointAction& action) {
  assert(action.size() == impl_->model.num_controls.size());
  if (!impl_->acted) ++impl_->time;
  impl_->action = action;
  impl_->acted = true;
}

void Agent::reset() { impl_->reset(); }

const GenerativeModel& Agent::model() const { return impl_->model; }
const AgentOptions& Agent::options() const { return impl_->options; }
std::span<const double> Agent::prior(int factor) const {
  return {impl_->prior_marginals.data() + impl_->offset(factor),
          static_cast<size_t>(impl_->model.num_states[static_cast<size_t>(factor)])};
}
std::span<const double> Agent::belief(int factor) const {
  return {impl_->marginals.data() + impl_->offset(factor),
          static_cast<size_t>(impl_->model.num_states[static_cast<size_t>(factor)])};
}
std::span<const double> Agent::joint() const {
  return impl_->joint() ? std::span<const double>(impl_->q) : std::span<const double>();
}
const FreeEnergy& Agent::free_energy() const { return impl_->F; }
const PolicyTerms& Agent::policy_terms() const { return impl_->terms; }
const std::vector<Policy>& Agent::policies() const { return impl_->compiled.policies; }
const std::vector<std::vector<double>>& Agent::action_marginals() const { return impl_->action_posterior; }
const JointAction& Agent::action() const { return impl_->action; }
double Agent::gamma() const { return impl_->options.adaptive_gamma ? 1 / impl_->beta : impl_->options.gamma; }
int Agent::window_length() const { return impl_->window_length; }
std::span<const double> Agent::policy_free_energy() const { return impl_->policy_F; }
std::span<const double> Agent::window_belief(int policy, int time, int factor) const {
  const CompiledModel& c = impl_->compiled;
  return {impl_->windows[static_cast<size_t>(policy)].data() + static_cast<size_t>(time) * c.states() +
              c.offset[static_cast<size_t>(factor)],
          c.num_states(factor)};
}

std::vector<std::vector<double>> Agent::action_probabilities() const {
  auto p = impl_->action_posterior;
  for (auto& marginal : p) {
    for (double& x : marginal) x = impl_->options.alpha * std::log(x + kLogEpsilon);
    softmax(marginal.data(), marginal.size());
  }
  return p;
}

namespace {

Status learnable(const std::vector<Tensor>& counts, bool joint, const char* name) {
  if (joint)
    return fail(ErrorCode::unsupported, "learning needs beliefs per factor", "use mean-field inference or one factor");
  if (counts.empty()) return fail(ErrorCode::invalid_argument, fmt::format("the model has no {} to learn", name));
  return {};
}

}  // namespace

Status Agent::update_A(std::span<const int> observation) {
  Impl& a = *impl_;
  SKEP_CHECK(learnable(a.model.pA, a.compiled.model.factors() != a.model.factors(), "pA"));
  if (observation.size() != a.model.num_obs.size())
    return fail(ErrorCode::invalid_argument, "observation: one entry per modality expected");
  for (size_t m = 0; m < observation.size(); ++m) {
    if (observation[m] >= a.model.num_obs[m])
      return fail(ErrorCode::invalid_argument, fmt::format("observation[{}]: no outcome {}", m, observation[m]));
    if (observation[m] < 0) continue;
    forget(a.model.pA[m], a.first_pA[m], a.options.forgetting);
    a.model.pA[m] =
        learn_A(a.compiled, static_cast<int>(m), observation[m], a.q.data(), a.model.pA[m], a.options.lr_pA);
    a.model.A[m] = expectation(a.model.pA[m]);
  }
  a.compiled.model.pA = a.model.pA;
  a.compiled.model.A = a.model.A;
  a.compiled.refresh_A();
  return {};
}

Status Agent::update_B() {
  Impl& a = *impl_;
  SKEP_CHECK(learnable(a.model.pB, a.compiled.model.factors() != a.model.factors(), "pB"));
  if (a.q_before.empty()) return {};
  for (size_t f = 0; f < a.model.B.size(); ++f) {
    forget(a.model.pB[f], a.first_pB[f], a.options.forgetting);
    a.model.pB[f] = learn_B(a.compiled, static_cast<int>(f), a.transition[f], a.q_before.data(), a.q.data(),
                            a.model.pB[f], a.options.lr_pB);
    a.model.B[f] = expectation(a.model.pB[f]);
  }
  a.compiled.model.pB = a.model.pB;
  a.compiled.model.B = a.model.B;
  a.compiled.refresh_B();
  return {};
}

Status Agent::update_D() {
  Impl& a = *impl_;
  SKEP_CHECK(learnable(a.model.pD, a.compiled.model.factors() != a.model.factors(), "pD"));
  for (size_t f = 0; f < a.model.D.size(); ++f) {
    forget(a.model.pD[f], a.first_pD[f], a.options.forgetting);
    a.model.pD[f] = learn_D(a.compiled, static_cast<int>(f), a.q.data(), a.model.pD[f], a.options.lr_pD);
    a.model.D[f] = expectation(a.model.pD[f]);
  }
  a.compiled.model.D = a.model.D;
  return {};
}

Status Agent::update_E() {
  Impl& a = *impl_;
  if (a.terms.q_pi.empty()) return fail(ErrorCode::invalid_argument, "no policies inferred yet");
  double sum = 0;
  for (size_t p = 0; p < a.pE.size(); ++p) {
    a.pE[p] =
        a.first_pE[p] + (1 - a.options.forgetting) * (a.pE[p] - a.first_pE[p]) + a.options.lr_pE * a.terms.q_pi[p];
    sum += a.pE[p];
  }
  a.model.E.resize(a.pE.size());
  for (size_t p = 0; p < a.pE.size(); ++p) {
    a.model.E[p] = a.pE[p] / sum;
    a.compiled.lnE[p] = std::log(a.model.E[p] + kLogEpsilon);
  }
  return {};
}

}  // namespace skep::belief
