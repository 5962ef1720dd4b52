#include "mind/belief/planning.h"

#include <cmath>

#include "mind/belief/categorical.h"
#include "mind/belief/expected_free_energy.h"
#include "mind/belief/state_inference.h"

namespace skep::belief {
namespace {

void resize(PolicyTerms& terms, size_t policies) {
  for (auto* v : {&terms.utility, &terms.states_info_gain, &terms.pA_info_gain, &terms.pB_info_gain, &terms.risk,
                  &terms.ambiguity, &terms.exact_utility, &terms.exact_states_info_gain, &terms.neg_efe, &terms.q_pi}) {
    v->assign(policies, 0);
  }
}

class Evaluator {
 public:
  Evaluator(const CompiledModel& model, const AgentOptions& options, PolicyTerms& terms)
      : model_(model), options_(options), terms_(terms), scratch_(model) {}

  // One step of policy p: `before` leads by `action` to `q`.
  void add(size_t p, int time, const double* before, const JointAction* action, const double* q) {
    const StepTerms t = step_terms(model_, q, time, scratch_);
    terms_.utility[p] += t.utility;
    terms_.states_info_gain[p] += t.states_info_gain;
    terms_.exact_utility[p] += t.exact_utility;
    terms_.exact_states_info_gain[p] += t.exact_states_info_gain;
    terms_.risk[p] += t.risk;
    terms_.ambiguity[p] += t.ambiguity;
    if (options_.use_param_info_gain) {
      terms_.pA_info_gain[p] += A_novelty(model_, q, scratch_);
      if (action != nullptr) terms_.pB_info_gain[p] += B_novelty(model_, before, action->data(), q);
    }
  }

  void finish(size_t p) {
    double G = 0;
    if (options_.use_utility) G += terms_.utility[p];
    if (options_.use_states_info_gain) G += terms_.states_info_gain[p];
    if (options_.use_param_info_gain) G += terms_.pA_info_gain[p] + terms_.pB_info_gain[p];
    terms_.neg_efe[p] = G;
  }

 private:
  const CompiledModel& model_;
  const AgentOptions& options_;
  PolicyTerms& terms_;
  EfeScratch scratch_;
};

}  // namespace

void evaluate_policies(const CompiledModel& model, const AgentOptions& options, const double* q, PolicyTerms& terms) {
  resize(terms, model.policies.size());
  Evaluator evaluator(model, options, terms);
  std::vector<double> before(model.states()), next(model.states());
  for (size_t p = 0; p < model.policies.size(); ++p) {
    before.assign(q, q + model.states());
    for (size_t t = 0; t < model.policies[p].size(); ++t) {
      predict(model, before.data(), model.policies[p][t].data(), next.data());
      evaluator.add(p, static_cast<int>(t), before.data(), &model.policies[p][t], next.data());
      before.swap(next);
    }
    evaluator.finish(p);
  }
}

void evaluate_windows(const CompiledModel& model, const AgentOptions& options,
                      std::span<const std::vector<double>> windows, PolicyTerms& terms) {
  resize(terms, windows.size());
  Evaluator evaluator(model, options, terms);
  for (size_t p = 0; p < windows.size(); ++p) {
    const size_t steps = model.policies[p].size();
    const double* q = windows[p].data() + windows[p].size() - (steps + 1) * model.states();
    for (size_t t = 0; t <= steps; ++t) {
      const JointAction* action = t == 0 ? nullptr : &model.policies[p][t - 1];
      evaluator.add(p, static_cast<int>(t), t == 0 ? nullptr : q + (t - 1) * model.states(), action,
                    q + t * model.states());
    }
    evaluator.finish(p);
  }
}

namespace {

class Search {
 public:
  Search(const CompiledModel& model, const AgentOptions& options) : model_(model), options_(options), scratch_(model) {}

  // -G of every policy from `q`, `depth` steps into the tree.
  std::vector<double> expand(const double* q, int depth) {
    ++nodes_;
    const size_t policies = model_.policies.size();
    std::vector<double> G(policies);
    std::vector<std::vector<double>> next(policies, std::vector<double>(model_.states()));
    EfeScratch efe(model_);
    for (size_t p = 0; p < policies; ++p) {
      predict(model_, q, model_.policies[p].front().data(), next[p].data());
      const StepTerms t = step_terms(model_, next[p].data(), depth, efe);
      G[p] = (options_.use_utility ? t.utility : 0) + (options_.use_states_info_gain ? t.states_info_gain : 0);
      if (options_.use_param_info_gain) {
        G[p] += A_novelty(model_, next[p].data(), efe) +
                B_novelty(model_, q, model_.policies[p].front().data(), next[p].data());
      }
    }
    if (depth >= options_.si_horizon - 1) return G;
    std::vector<double> q_pi = G;
    softmax(q_pi.data(), policies);
    for (size_t p = 0; p < policies; ++p) {
      if (q_pi[p] < options_.si_policy_prune || nodes_ >= options_.si_node_limit) {
        G[p] -= options_.si_prune_penalty;
      } else {
        G[p] += over_outcomes(next[p], depth);
      }
    }
    return G;
  }

  [[nodiscard]] int64_t nodes() const { return nodes_; }

 private:
  // Σ over combinations of outcomes of P(o) · (q_pi · -G) one step deeper.
  double over_outcomes(const std::vector<double>& q, int depth) {
    const int modalities = model_.model.modalities();
    std::vector<std::vector<double>> qo(static_cast<size_t>(modalities));
    for (int m = 0; m < modalities; ++m) qo[static_cast<size_t>(m)] = expected_observation(m, q.data());
    std::vector<int> outcome(static_cast<size_t>(modalities), 0);
    std::vector<double> posterior(model_.states());
    double value = 0;
    for (;;) {
      double p = 1;
      for (size_t m = 0; m < qo.size(); ++m) p *= qo[m][static_cast<size_t>(outcome[m])];
      if (p >= options_.si_state_prune && nodes_ < options_.si_node_limit) {
        infer_mean_field(model_, outcome.data(), q.data(), options_.mean_field_sweeps, options_.mean_field_tolerance,
                         scratch_, posterior.data());
        const std::vector<double> G = expand(posterior.data(), depth + 1);
        std::vector<double> q_pi = G;
        softmax(q_pi.data(), q_pi.size());
        double expected = 0;
        for (size_t i = 0; i < G.size(); ++i) expected += q_pi[i] * G[i];
        value += p * expected;
      }
      size_t m = outcome.size();
      while (m > 0 && ++outcome[m - 1] == model_.model.num_obs[m - 1]) outcome[--m] = 0;
      if (m == 0) return value;
    }
  }

  std::vector<double> expected_observation(int m, const double* q) {
    const auto& mod = model_.modality[static_cast<size_t>(m)];
    const auto& parents = model_.model.A_factors[static_cast<size_t>(m)];
    std::vector<const double*> marginals;
    for (int f : parents) marginals.push_back(q + model_.offset[static_cast<size_t>(f)]);
    std::vector<double> qo(model_.num_obs(m), 0);
    for (size_t o = 0; o < qo.size(); ++o) {
      contract(model_.model.A[static_cast<size_t>(m)].data.data() + o * mod.columns, mod.dims.data(),
               static_cast<int>(mod.dims.size()), marginals.data(), -1, 1, &qo[o]);
    }
    return qo;
  }

  const CompiledModel& model_;
  const AgentOptions& options_;
  InferenceScratch scratch_;
  int64_t nodes_ = 0;
};

}  // namespace

int64_t search_policies(const CompiledModel& model, const AgentOptions& options, const double* q, PolicyTerms& terms) {
  resize(terms, model.policies.size());
  Search search(model, options);
  terms.neg_efe = search.expand(q, 0);
  terms.q_pi = terms.neg_efe;
  softmax(terms.q_pi.data(), terms.q_pi.size());
  return search.nodes();
}

std::vector<std::vector<double>> action_marginals(const CompiledModel& model, const std::vector<double>& q_pi) {
  std::vector<std::vector<double>> marginals;
  for (int n : model.model.num_controls) marginals.emplace_back(static_cast<size_t>(n), 0.0);
  for (size_t p = 0; p < q_pi.size(); ++p) {
    const JointAction& first = model.policies[p].front();
    for (size_t f = 0; f < marginals.size(); ++f) marginals[f][static_cast<size_t>(first[f])] += q_pi[p];
  }
  for (auto& marginal : marginals) {
    double sum = 0;
    for (double p : marginal) sum += p;
    for (double& p : marginal) p /= sum;
  }
  return marginals;
}

}  // namespace skep::belief
