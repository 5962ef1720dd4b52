// The reference agent against a golden case, quantity by quantity.

#include <fmt/format.h>

#include <cmath>

#include "mind/belief/golden_case.h"
#include "mind/belief/json_tensor.h"
#include "mind/belief/learning.h"
#include "mind/belief/state_inference.h"

namespace skep::belief {
namespace {

namespace json = boost::json;

class Checker {
 public:
  Checker(const GoldenInput& input, Agent& agent, GoldenRecorder& recorder)
      : input_(input), agent_(agent), recorder_(recorder), compiled_(compile(input.model)), scratch_(compiled_) {}

  Status step(const json::object& golden, size_t t) {
    where_ = fmt::format("step {}", t);
    golden_ = &golden;
    for (const char* key : {"qs", "neg_efe_G", "q_pi", input_.messages ? "F_policies" : "vfe"}) {
      if (member(key).is_null()) return fail(ErrorCode::invalid_argument, fmt::format("{}: no {}", where_, key));
    }
    if (!input_.messages && (!member("vfe").is_object() || !member("vfe").get_object().contains("F")))
      return fail(ErrorCode::invalid_argument, where_ + ": no F in vfe");
    SKEP_TRY(const auto observation, golden_ints(member("obs"), "obs"));
    const json::value& before = member("action_prev");
    if (!before.is_null()) {
      SKEP_TRY(const auto action, golden_ints(before, "action_prev"));
      for (size_t f = 0; f < action.size(); ++f) {
        if (action.size() != input_.model.num_controls.size() || action[f] < 0 ||
            action[f] >= input_.model.num_controls[f]) {
          return fail(ErrorCode::invalid_argument, "action_prev: no such action");
        }
      }
      agent_.set_action(action);
    }
    const std::vector<double> q_before = beliefs();
    SKEP_CHECK(agent_.infer_states(observation));
    if (input_.messages) {
      windows();
    } else {
      filtered(observation);
      fixed_sweeps(observation);
      exact(observation);
    }
    agent_.infer_policies();
    policies();
    learning(observation, q_before, !before.is_null());
    agent_.sample_action();
    return {};
  }

 private:
  const json::value& member(const char* key) const {
    static const json::value null;
    const json::value* v = golden_->if_contains(key);
    return v == nullptr ? null : *v;
  }

  void compare(const char* quantity, std::span<const double> ours, const json::value& golden) {
    if (!golden.is_null()) recorder_.compare(quantity, where_, ours, golden);
  }

  std::vector<double> beliefs() const {
    std::vector<double> q;
    for (int f = 0; f < input_.model.factors(); ++f)
      q.insert(q.end(), agent_.belief(f).begin(), agent_.belief(f).end());
    return q;
  }
  std::vector<double> priors() const {
    std::vector<double> p;
    for (int f = 0; f < input_.model.factors(); ++f) p.insert(p.end(), agent_.prior(f).begin(), agent_.prior(f).end());
    return p;
  }

  void energies(const char* quantity, const FreeEnergy& F, const json::value& golden) {
    if (!golden.is_object()) return;
    const std::pair<const char*, double> parts[] = {{"neg_entropy", F.neg_entropy},
                                                    {"cross_entropy", F.cross_entropy},
                                                    {"complexity", F.complexity},
                                                    {"accuracy", F.accuracy},
                                                    {"F", F.F}};
    for (const auto& [name, ours] : parts) {
      if (const json::value* v = golden.get_object().if_contains(name)) {
        recorder_.compare(quantity, fmt::format("{} {}", where_, name), ours, *v);
      }
    }
  }

  void filtered(const std::vector<int>&) {
    compare("prior", priors(), member("prior"));
    compare("qs", beliefs(), member("qs"));
    energies("vfe", agent_.free_energy(), member("vfe"));
  }

  void fixed_sweeps(const std::vector<int>& observation) {
    if (member("qs_fpi_16_fixed_iterations").is_null()) return;
    const std::vector<double> prior = priors();
    std::vector<double> q(compiled_.states());
    infer_mean_field(compiled_, observation.data(), prior.data(), 16, 0, scratch_, q.data());
    compare("qs_fpi_16", q, member("qs_fpi_16_fixed_iterations"));
    energies("vfe_fpi_16", free_energy(compiled_, observation.data(), prior.data(), q.data()), member("vfe_fpi_16"));
  }

  void exact(const std::vector<int>& observation) {
    const json::value& golden = member("exact");
    if (!golden.is_object() || input_.model.joint_states() > (1 << 20)) return;
    std::vector<double> joint(static_cast<size_t>(input_.model.joint_states()));
    const double surprise = exact_joint_posterior(compiled_, observation.data(), priors().data(), joint);
    std::vector<double> marginals(compiled_.states());
    marginals_of_joint(input_.model, joint, marginals.data());
    const json::object& o = golden.get_object();
    if (const json::value* v = o.if_contains("neg_log_evidence"))
      recorder_.compare("exact", where_ + " -ln P(o)", surprise, *v);
    if (const json::value* v = o.if_contains("joint")) compare("exact", joint, *v);
    if (const json::value* v = o.if_contains("marginals")) compare("exact", marginals, *v);
  }

  void windows() {
    std::vector<double> q;
    for (size_t p = 0; p < agent_.policies().size(); ++p) {
      for (int t = 0; t < agent_.window_length(); ++t) {
        for (int f = 0; f < input_.model.factors(); ++f) {
          const auto belief = agent_.window_belief(static_cast<int>(p), t, f);
          q.insert(q.end(), belief.begin(), belief.end());
        }
      }
    }
    compare("mmp qs", q, member("qs"));
    compare("mmp F", agent_.policy_free_energy(), member("F_policies"));
  }

  void policies() {
    const PolicyTerms& terms = agent_.policy_terms();
    compare("neg_efe_G", terms.neg_efe, member("neg_efe_G"));
    compare("q_pi", terms.q_pi, member("q_pi"));
    const auto parts = [&](const json::value& golden, const char* quantity,
                           std::initializer_list<std::pair<const char*, const std::vector<double>*>> list) {
      if (!golden.is_object()) return;
      for (const auto& [name, ours] : list) {
        if (const json::value* v = golden.get_object().if_contains(name)) compare(quantity, *ours, *v);
      }
    };
    parts(member("G_terms"), "G_terms",
          {{"expected_utility", &terms.utility},
           {"states_info_gain", &terms.states_info_gain},
           {"pA_info_gain", &terms.pA_info_gain},
           {"pB_info_gain", &terms.pB_info_gain}});
    parts(member("G_terms_no_epsilon"), "G_terms_exact",
          {{"expected_utility", &terms.exact_utility},
           {"states_info_gain", &terms.exact_states_info_gain},
           {"risk", &terms.risk},
           {"ambiguity", &terms.ambiguity}});
    std::vector<double> marginals, probabilities;
    for (const auto& m : agent_.action_marginals()) marginals.insert(marginals.end(), m.begin(), m.end());
    for (const auto& p : agent_.action_probabilities()) probabilities.insert(probabilities.end(), p.begin(), p.end());
    compare("action_marginals", marginals, member("action_marginals"));
    compare("p_action", probabilities, member("p_action_stochastic_alpha16"));
    action();
  }

  // Ties may fall either way: the golden action must be as probable as ours.
  void action() {
    const json::value& golden = member("action");
    if (golden.is_null()) return;
    auto list = golden_ints(golden, "action");
    if (!list || list->size() != agent_.action_marginals().size()) {
      recorder_.mismatch("action", where_, "can't be read");
      return;
    }
    for (size_t f = 0; f < list->size(); ++f) {
      const auto& p = agent_.action_marginals()[f];
      const double best = *std::max_element(p.begin(), p.end());
      const auto u = static_cast<size_t>((*list)[f]);
      if (u >= p.size() || p[u] < best - 1e-8)
        recorder_.mismatch("action", where_, fmt::format("factor {} would not take {}", f, u));
    }
  }

  void learning(const std::vector<int>& observation, const std::vector<double>& q_before, bool acted) {
    const json::value& golden = member("learn");
    if (!golden.is_object()) return;
    const json::object& o = golden.get_object();
    const std::vector<double> q = beliefs();
    const GenerativeModel& m = input_.model;
    const AgentOptions& options = input_.options;
    std::vector<double> qA, E_qA, qB, qD;
    const auto append = [](std::vector<double>& to, const Tensor& t) {
      to.insert(to.end(), t.data.begin(), t.data.end());
    };
    for (int i = 0; i < m.modalities() && !m.pA.empty(); ++i) {
      const Tensor learnt = learn_A(compiled_, i, observation[static_cast<size_t>(i)], q.data(),
                                    m.pA[static_cast<size_t>(i)], options.lr_pA);
      append(qA, learnt);
      append(E_qA, expectation(learnt));
    }
    for (int f = 0; f < m.factors(); ++f) {
      const auto at = static_cast<size_t>(f);
      if (acted && !m.pB.empty()) {
        append(qB, learn_B(compiled_, f, agent_.action()[at], q_before.data(), q.data(), m.pB[at], options.lr_pB));
      }
      if (!m.pD.empty()) append(qD, learn_D(compiled_, f, q.data(), m.pD[at], options.lr_pD));
    }
    const std::pair<const char*, const std::vector<double>*> parts[] = {
        {"qA", &qA}, {"E_qA", &E_qA}, {"qB", &qB}, {"qD", &qD}};
    for (const auto& [name, ours] : parts) {
      if (const json::value* v = o.if_contains(name); v != nullptr && !v->is_null()) compare(name, *ours, *v);
    }
  }

  const GoldenInput& input_;
  Agent& agent_;
  GoldenRecorder& recorder_;
  CompiledModel compiled_;
  InferenceScratch scratch_;
  const json::object* golden_ = nullptr;
  std::string where_;
};

}  // namespace

Status check_agent(const GoldenInput& input, GoldenRecorder& recorder) {
  SKEP_TRY(Agent agent, Agent::create(input.model, input.options));
  Checker checker(input, agent, recorder);
  for (size_t t = 0; t < input.steps.size(); ++t) {
    if (!input.steps[t].is_object())
      return fail(ErrorCode::invalid_argument, fmt::format("step {}: expected an object", t));
    SKEP_CHECK(checker.step(input.steps[t].get_object(), t));
  }
  return {};
}

}  // namespace skep::belief
