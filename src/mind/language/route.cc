#include "mind/language/route.h"

#include <fmt/format.h>

namespace skep::language {
namespace {

const TierNow& at(const RouteFacts& facts, Tier tier) { return facts.tiers.at(static_cast<size_t>(tier)); }

// The nearest tier that has a model, the smaller one first: it costs less to be wrong.
std::optional<Tier> nearest(const RouteFacts& facts, Tier wanted) {
  const int from = static_cast<int>(wanted);
  for (int step = 0; step < kTiers; ++step) {
    for (const int tier : {from - step, from + step}) {
      if (tier >= 0 && tier < kTiers && !facts.tiers.at(static_cast<size_t>(tier)).model.empty()) {
        return static_cast<Tier>(tier);
      }
    }
  }
  return std::nullopt;
}

struct Decided {
  Tier tier;
  std::string why;
};

Decided by_score(double score, const RouteFacts& facts, const RouteOptions& options) {
  Decided decided;
  double threshold = 0;
  if (score > options.deep_above) {
    decided = {Tier::deep, fmt::format("complexity {:.2f} is above {:.2f}", score, options.deep_above)};
    threshold = options.deep_above;
  } else if (score > options.balanced_above) {
    decided = {Tier::balanced, fmt::format("complexity {:.2f} is above {:.2f}", score, options.balanced_above)};
    threshold = options.balanced_above;
  } else {
    return {Tier::fast, fmt::format("complexity {:.2f} is not above {:.2f}", score, options.balanced_above)};
  }

  const auto lower = static_cast<Tier>(static_cast<int>(decided.tier) - 1);
  const TierNow& here = at(facts, decided.tier);
  if (decided.tier == Tier::deep && !here.resident && facts.free_memory < options.deep_needs_free) {
    return {lower, fmt::format("{}, but deep needs {} free and {} are", decided.why, to_string(options.deep_needs_free),
                               to_string(facts.free_memory))};
  }
  const TierNow& below = at(facts, lower);
  if (below.model.empty()) return decided;
  if (score - threshold <= options.resident_margin && below.resident && !here.resident) {
    return {lower, fmt::format("{} by little, and {} is resident while {} is not", decided.why, below.model,
                               here.model.empty() ? to_string(decided.tier) : here.model)};
  }
  if (score - threshold <= options.busy_margin && facts.load > options.busy_load) {
    return {lower, fmt::format("{} by little, and the queue is {:.0f} % full", decided.why, 100 * facts.load)};
  }
  return decided;
}

std::string explain(const Complexity& complexity, const RouteFacts& facts, const RouteOptions& options) {
  double all = 0;
  for (const double weight : options.weights) all += weight;
  std::string text = fmt::format("complexity {:.3f}\n", complexity.score);
  for (size_t i = 0; i < kFactors; ++i) {
    const double weight = all > 0 ? options.weights.at(i) / all : 0;
    text += fmt::format("  {:<17} {:.2f}, weight {:.2f}\n", kFactorNames.at(i), complexity.factors.at(i), weight);
  }
  for (const std::string& reason : complexity.reasons) text += fmt::format("  seen: {}\n", reason);
  text += fmt::format("thresholds: deep above {:.2f} with {} free, balanced above {:.2f}, else fast\n",
                      options.deep_above, to_string(options.deep_needs_free), options.balanced_above);
  text += fmt::format("now: {} free, queue {:.0f} % full, resident:", to_string(facts.free_memory), 100 * facts.load);
  bool any = false;
  for (const Tier tier : kAllTiers) {
    if (!at(facts, tier).resident) continue;
    text += fmt::format(" {} ({})", at(facts, tier).model, to_string(tier));
    any = true;
  }
  return text + (any ? "\n" : " none\n");
}

}  // namespace

Result<Route> route(const Request& request, const Choice& choice, const RouteFacts& facts,
                    const RouteOptions& options) {
  Route route;
  if (!choice.model.empty()) {
    route.model = choice.model;
    route.tier = choice.tier;
    for (const Tier tier : kAllTiers) {
      if (!route.tier && at(facts, tier).model == choice.model) route.tier = tier;
    }
    route.reason = fmt::format("{} was asked for", choice.model);
    route.explanation = route.reason + "\n";
    return route;
  }

  Decided decided;
  if (choice.tier) {
    decided = {*choice.tier, fmt::format("the tier {} {}", to_string(*choice.tier),
                                         choice.of_agent ? "is the agent's" : "was asked for")};
  } else {
    route.complexity = complexity_of(request, options.weights);
    decided = by_score(route.complexity.score, facts, options);
    route.explanation = explain(route.complexity, facts, options);
  }
  const auto available = nearest(facts, decided.tier);
  if (!available) {
    return fail(ErrorCode::not_found, "no tier has a model",
                "put GGUF files into the model folder, or name the tiers' models in the config");
  }
  if (*available != decided.tier) {
    decided.why += fmt::format(", and {} has no model", to_string(decided.tier));
    decided.tier = *available;
  }
  route.tier = decided.tier;
  route.model = at(facts, decided.tier).model;
  route.reason = fmt::format("{}: {}", to_string(decided.tier), decided.why);
  route.explanation += fmt::format("-> {} ({}): {}\n", route.model, to_string(decided.tier), decided.why);
  return route;
}

}  // namespace skep::language
