// Populations against a golden case: beliefs, free energy and policies of the vector kernels for models with one
// factor; the exact joint posterior of the first step, and the mean-field backend, for several.

#include <fmt/format.h>

#include <cmath>

#include "mind/belief/categorical.h"
#include "mind/belief/compiled_model.h"
#include "mind/belief/golden_case.h"
#include "mind/belief/population.h"

namespace skep::belief {
namespace {

namespace json = boost::json;

// More than one agent, so that blocks and tails of the kernels see work: all but the first are copies.
constexpr uint32_t kCopies = 11;

const json::value* find(const json::object& o, std::initializer_list<const char*> path) {
  const json::object* at = &o;
  const json::value* v = nullptr;
  for (const char* key : path) {
    if (at == nullptr) return nullptr;
    v = at->if_contains(key);
    if (v == nullptr || v->is_null()) return nullptr;
    at = v->is_object() ? &v->get_object() : nullptr;
  }
  return v;
}

class BatchChecker {
 public:
  BatchChecker(const GoldenInput& input, BackendKind backend, bool f32, GoldenRecorder& recorder)
      : input_(input), backend_(backend), f32_(f32), recorder_(recorder) {}

  Status run() {
    const auto pool = kernel::ThreadPool::create(1, kernel::Pinning::never);
    PopulationOptions options;
    options.capacity = kCopies;
    options.precision = f32_ ? Precision::f32 : Precision::f64;
    options.backend = backend_;
    options.gamma = input_.options.gamma;
    options.plan = plans();
    options.keep_policies = plans();
    SKEP_TRY(const auto population, Population::create(input_.model, options, *pool));
    for (uint32_t i = 0; i < kCopies; ++i) SKEP_CHECK(population->add());
    for (size_t t = 0; t < input_.steps.size(); ++t) {
      if (!input_.steps[t].is_object()) return fail(ErrorCode::invalid_argument, "steps: expected objects");
      SKEP_CHECK(step(*population, input_.steps[t].get_object(), t));
      // Of several factors the joint keeps correlations that the goldens' marginals don't: only the first step
      // compares.
      if (joint_of_several()) return {};
    }
    return {};
  }

 private:
  // Populations plan without parameter information gain and without a tree search.
  [[nodiscard]] bool plans() const {
    return !input_.options.sophisticated && !input_.options.use_param_info_gain && !joint_of_several();
  }
  [[nodiscard]] bool joint_of_several() const {
    return input_.model.factors() > 1 && backend_ == BackendKind::vector_joint;
  }

  Status step(Population& population, const json::object& golden, size_t t) {
    const auto where = fmt::format("step {}", t);
    const json::value* obs = golden.if_contains("obs");
    if (obs == nullptr) return fail(ErrorCode::invalid_argument, "no obs");
    SKEP_TRY(const auto observation, golden_ints(*obs, "obs"));
    if (observation.size() != input_.model.num_obs.size())
      return fail(ErrorCode::invalid_argument, "obs: one index per modality expected");
    std::vector<uint16_t> observations;
    for (uint32_t i = 0; i < kCopies; ++i) {
      for (int o : observation) observations.push_back(o < 0 ? kNotObserved : static_cast<uint16_t>(o));
    }
    if (const json::value* before = find(golden, {"action_prev"})) {
      SKEP_TRY(const auto action, golden_ints(*before, "action_prev"));
      for (uint32_t i = 0; i < kCopies; ++i)
        population.set_action(i, static_cast<uint16_t>(input_.model.pack_action(action)));
    }
    SKEP_CHECK(population.step(observations));
    for (uint32_t i : {0U, kCopies - 1}) compare(population, golden, where, i);
    return {};
  }

  void compare(const Population& population, const json::object& golden, const std::string& where, uint32_t slot) {
    std::vector<double> q;
    for (int f = 0; f < input_.model.factors(); ++f) {
      std::vector<double> marginal(static_cast<size_t>(input_.model.num_states[static_cast<size_t>(f)]));
      population.marginal(slot, f, marginal);
      q.insert(q.end(), marginal.begin(), marginal.end());
    }
    const bool exact = joint_of_several();
    const auto* beliefs = exact ? find(golden, {"exact", "marginals"}) : find(golden, {"qs"});
    const auto* F = exact ? find(golden, {"exact", "neg_log_evidence"}) : find(golden, {"vfe", "F"});
    if (beliefs != nullptr) recorder_.compare(name("qs"), where, q, *beliefs);
    if (F != nullptr) recorder_.compare(name("F"), where, static_cast<double>(population.free_energy()[slot]), *F);
    if (plans()) compare_policies(population, golden, where, slot);
  }

  // Populations compute the exact form; pymdp's epsilons would show at gamma times 4e-6.
  void compare_policies(const Population& population, const json::object& golden, const std::string& where,
                        uint32_t slot) {
    const auto* utility = find(golden, {"G_terms_no_epsilon", "expected_utility"});
    const auto* gain = find(golden, {"G_terms_no_epsilon", "states_info_gain"});
    if (utility == nullptr || gain == nullptr || !utility->is_array() || !gain->is_array()) return;
    const auto policies = population.policy_posterior(slot).size();
    if (utility->get_array().size() != policies || gain->get_array().size() != policies) {
      recorder_.mismatch(name("q_pi"), where, fmt::format("{} policies", policies));
      return;
    }
    const CompiledModel compiled = compile(input_.model);
    json::array G, q_pi;
    std::vector<double> posterior(policies);
    for (size_t p = 0; p < policies; ++p) {
      const double value = utility->get_array()[p].to_number<double>() + gain->get_array()[p].to_number<double>();
      G.push_back(value);
      posterior[p] = input_.options.gamma * value + compiled.lnE[p];
    }
    softmax(posterior.data(), policies);
    for (double p : posterior) q_pi.push_back(p);
    const auto as_double = [](std::span<const float> x) { return std::vector<double>(x.begin(), x.end()); };
    recorder_.compare(name("q_pi"), where, as_double(population.policy_posterior(slot)), q_pi);
    // Kept in f32, whose rounding of a large sum says nothing about the f64 arithmetic.
    if (f32_) recorder_.compare(name("neg_efe_G"), where, as_double(population.neg_efe(slot)), G);
  }

  [[nodiscard]] std::string name(const char* quantity) const {
    return backend_ == BackendKind::mean_field ? fmt::format("mean-field {}", quantity) : quantity;
  }

  const GoldenInput& input_;
  BackendKind backend_;
  bool f32_;
  GoldenRecorder& recorder_;
};

}  // namespace

Status check_population(const GoldenInput& input, bool f32, GoldenRecorder& recorder) {
  if (input.messages) return {};
  if (input.model.joint_states() <= 512)
    SKEP_CHECK(BatchChecker(input, BackendKind::vector_joint, f32, recorder).run());
  // f64 only: rows in f32 may stop the fixed point one sweep earlier or later, which is no error of arithmetic.
  if (!f32) SKEP_CHECK(BatchChecker(input, BackendKind::mean_field, f32, recorder).run());
  return {};
}

}  // namespace skep::belief
