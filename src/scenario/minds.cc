#include "scenario/minds.h"

#include <algorithm>

namespace skep::scenario {
namespace {

constexpr Bytes most_bytes = 4_GiB;

belief::PopulationOptions options_of(const PopulationConfig& config, uint64_t seed) {
  belief::PopulationOptions options;
  options.capacity = static_cast<uint32_t>(config.agents);
  options.gamma = config.gamma;
  options.alpha = 1;  // actions are drawn from the posterior itself
  options.action_selection = config.sampled ? belief::ActionSelection::sampled : belief::ActionSelection::deterministic;
  options.use_states_info_gain = config.curiosity;
  options.own_models = config.own;
  if (config.own_bfloat16) options.own_storage = belief::ModelStorage::bfloat16;
  options.learning = config.learning > 0;
  options.lr_pA = options.lr_pB = config.learning;
  options.own_habits = !config.habits.empty();
  options.seed = seed;
  switch (config.precision) {
    case BeliefPrecision::f32:
      break;
    case BeliefPrecision::f64:
      options.precision = belief::Precision::f64;
      break;
    case BeliefPrecision::compact:
      options.tolerance = config.tolerance;
      break;
    case BeliefPrecision::edge:
      options.rows = belief::RowStorage::edge;
      break;
    case BeliefPrecision::sparse:
      options.rows = belief::RowStorage::sparse;
      options.prune = config.prune;
      break;
  }
  return options;
}

// As if the world's model had been learnt from so many observations of each column.
void count(belief::GenerativeModel& model, double confidence) {
  const auto counts_of = [confidence](std::vector<belief::Tensor> counts) {
    for (belief::Tensor& tensor : counts)
      for (double& x : tensor.data) x *= confidence;
    return counts;
  };
  model.pA = counts_of(model.A);
  model.pB = counts_of(model.B);
}

// D of every factor, with another one for the last, which is what is hidden.
std::vector<std::vector<double>> start_with(const belief::GenerativeModel& model, const std::vector<double>& hidden) {
  std::vector<std::vector<double>> D;
  for (const belief::Tensor& of_factor : model.D) D.push_back(of_factor.data);
  D.back() = hidden;
  return D;
}

// A policy is as habitual as its first action; those that begin alike share in that evenly.
std::vector<double> habits_of(const belief::GenerativeModel& model, const std::vector<belief::Policy>& policies,
                              const std::vector<double>& first_actions) {
  std::vector<double> E;
  double sum = 0;
  for (const belief::Policy& policy : policies) {
    E.push_back(first_actions[static_cast<size_t>(model.pack_action(policy.front()))]);
    sum += E.back();
  }
  for (double& p : E) p /= sum;
  return E;
}

Status set_own(belief::Population& minds, const PopulationConfig& config) {
  const belief::GenerativeModel& model = minds.model();
  const auto policies = belief::policies_of(model);
  for (uint32_t slot = 0; slot < minds.capacity(); ++slot) {
    if (!config.start.empty())
      SKEP_CHECK(minds.set_start(slot, start_with(model, config.start[slot % config.start.size()])));
    if (!config.habits.empty())
      SKEP_CHECK(minds.set_habits(slot, habits_of(model, policies, config.habits[slot % config.habits.size()])));
  }
  return {};
}

// Rows of a config that must have an entry for each of something.
Status check_rows(const std::vector<std::vector<double>>& rows, const char* key, int expected, const char* of_what) {
  for (const auto& row : rows) {
    if (row.size() != static_cast<size_t>(expected)) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{}: a row of {}, but this world has {} {}", key, row.size(), expected, of_what));
    }
  }
  return {};
}

Result<std::unique_ptr<belief::Population>> make(const PopulationConfig& config, belief::GenerativeModel model,
                                                 uint64_t seed, kernel::ThreadPool& pool) {
  SKEP_CHECK(check_rows(config.start, "start", model.num_states.back(), "hidden states"));
  SKEP_CHECK(check_rows(config.habits, "habits", model.joint_actions(), "actions"));
  if (config.learning > 0) count(model, config.confidence);
  SKEP_TRY(auto minds, belief::Population::create(std::move(model), options_of(config, seed), pool));
  if (minds->bytes() > most_bytes) {
    return fail(ErrorCode::too_large,
                fmt::format("takes {}, at most {}", to_string(minds->bytes()), to_string(most_bytes)),
                "fewer agents, a smaller world, or a shared model");
  }
  for (uint32_t i = 0; i < minds->capacity(); ++i) SKEP_CHECK(minds->add());
  SKEP_CHECK(set_own(*minds, config));
  return minds;
}

}  // namespace

Result<std::unique_ptr<belief::Population>> make_minds(const PopulationConfig& config, belief::GenerativeModel model,
                                                       uint64_t seed, kernel::ThreadPool& pool) {
  auto minds = make(config, std::move(model), seed, pool);
  if (!minds) {
    Error error = std::move(minds).error();
    error.message = fmt::format("populations.{}: {}", config.name, error.message);
    return fail(std::move(error));
  }
  return minds;
}

}  // namespace skep::scenario
