#include "agent/language_planner.h"

#include <algorithm>
#include <memory>
#include <random>
#include <utility>

#include "base/nearest.h"
#include "base/random.h"
#include "mind/language/compression.h"
#include "mind/language/prompt.h"
#include "mind/language/tool_calls.h"

namespace skep::agent {
namespace {

constexpr std::string_view kLatest = ":latest";  // Ollama's clients add it to every name

class ParserReader final : public AnswerReader {
 public:
  explicit ParserReader(const language::AnswerFormat& format) : parser_(format) {}
  language::Delta feed(std::string_view text) override { return parser_.feed(text); }
  language::Delta finish() override { return parser_.finish(); }

 private:
  language::AnswerParser parser_;
};

int estimated_tokens(const engine::Generate& generate) {
  constexpr int kFrame = 4;  // of a message, in any template
  int tokens = language::estimate_tokens(generate.prompt) + language::estimate_tokens(generate.assistant_prefix);
  for (const auto& message : generate.messages) tokens += language::estimate_tokens(message.content) + kFrame;
  return tokens;
}

}  // namespace

LanguagePlanner::LanguagePlanner(const Roster& roster, const ModelSource& models, const model::Residency& residency,
                                 PlannerOptions options)
    : roster_(roster),
      models_(models),
      residency_(residency),
      options_(std::move(options)),
      plans_(std::random_device{}()) {}

// What the caller wrote as agent and as model. A model may be called what an agent is called: the agent wins, because a
// roster is written for its daemon.
Result<LanguagePlanner::Addressed> LanguagePlanner::address(const TaskRequest& request) const {
  Addressed addressed;
  auto nobody = [&](const std::string& name) {
    std::vector<std::string> names;
    for (const AgentSpec& agent : roster_.agents()) names.push_back(agent.name);
    return fail(ErrorCode::not_found, fmt::format("no agent is called '{}'", name), did_you_mean(name, names));
  };
  if (!request.agent.empty()) {
    addressed.agent = roster_.find(request.agent);
    if (addressed.agent == nullptr) return nobody(request.agent);
  }
  std::string_view name = request.model;
  if (name.ends_with(kLatest)) name.remove_suffix(kLatest.size());
  auto by_agent = [&](const AgentSpec& agent) {
    addressed.choice.tier = language::tier_from(agent.tier);
    addressed.choice.of_agent = true;
  };
  if (name.empty()) {
    if (addressed.agent != nullptr) by_agent(*addressed.agent);
  } else if (auto tier = language::tier_from(name)) {
    addressed.choice.tier = tier;
  } else if (const AgentSpec* agent = roster_.find(name)) {
    if (addressed.agent == nullptr) addressed.agent = agent;
    by_agent(*agent);
  } else if (name != "auto") {
    SKEP_TRY(model::ModelInfo model, models_.find(name));
    if (model.embeds) {
      return fail(ErrorCode::invalid_argument, fmt::format("the model {} makes embeddings, not text", model.name),
                  "ask /v1/embeddings");
    }
    addressed.choice.model = model.name;
  }
  return addressed;
}

language::RouteFacts LanguagePlanner::facts() const {
  language::RouteFacts facts;
  for (language::Tier tier : language::kAllTiers) {
    auto model = models_.tier(to_string(tier));
    if (!model) continue;
    language::TierNow& now = facts.tiers.at(static_cast<size_t>(tier));
    now.model = model->name;
    now.resident = residency_.ready(model->name);
  }
  facts.free_memory = residency_.ledger().free();
  for (const model::ResidentView& view : residency_.views()) {
    if (view.state == model::ResidentState::ready && view.leases == 0 && !view.pinned) {
      facts.free_memory += residency_.known_size(view.model).value_or(Bytes(0));
    }
  }
  if (load_) facts.load = load_();
  return facts;
}

Result<language::Route> LanguagePlanner::decide(const TaskRequest& request, const Addressed& addressed) const {
  return language::route(request.input, addressed.choice, facts(), options_.routing);
}

Result<language::Route> LanguagePlanner::route(const TaskRequest& request) const {
  SKEP_TRY(Addressed addressed, address(request));
  return decide(request, addressed);
}

language::Request LanguagePlanner::compressed(const language::Request& input, language::Tier tier) {
  language::Request shorter = input;
  for (language::Message& message : shorter.messages) {
    if (message.role != "user") continue;
    if (language::estimate_tokens(message.content) <= options_.compression.above.at(static_cast<size_t>(tier)))
      continue;
    const language::Compressed c = language::compress_by_rules(message.content, tier);
    message.content = c.text();
    saved_ += c.tokens_before - c.tokens_after;
  }
  return shorter;
}

Result<Plan> LanguagePlanner::plan(const TaskRequest& request) {
  SKEP_TRY(Addressed addressed, address(request));
  SKEP_TRY(language::Route route, decide(request, addressed));
  SKEP_TRY(language::Parameters parameters, language::parameters_for(request.input, route.tier, options_.parameters));

  language::PromptContext context;
  const AgentSpec* agent = addressed.agent;
  if (agent != nullptr) {
    context.preamble = roster_.preamble();
    context.system_prompt = agent->system_prompt;
    context.public_preamble = agent->is_public || roster_.preamble_is_public();
    if (agent->is_public) context.public_prompt = agent->system_prompt.size();
    if (const std::string core = core_ ? core_(agent->name) : ""; !core.empty()) context.system_prompt += "\n\n" + core;
  }
  if (auto info = models_.find(route.model)) {
    context.chat_template = info->chat_template;
    context.thinks =
        std::find(info->capabilities.begin(), info->capabilities.end(), "thinking") != info->capabilities.end();
  }
  context.public_beginnings = options_.public_preambles;
  context.id_seed = ++plans_;
  const bool compresses = options_.compression.on && route.tier && !request.input.raw;
  SKEP_TRY(language::Prompt prompt,
           language::make_prompt(compresses ? compressed(request.input, *route.tier) : request.input, context));

  Plan plan;
  plan.generate = std::move(prompt.generate);
  plan.generate.sampling = parameters.sampling;
  plan.generate.max_tokens = parameters.max_tokens;
  plan.generate.share_scope = request.caller;
  if (engine::Sampling& s = plan.generate.sampling; s.seed == 0 && s.temperature > 0) {
    // Known here, so that an answer that moves to another engine goes on exactly. Engines draw where it is 0: who asks
    // for the seed 0 gets another one, always the same.
    constexpr uint32_t kForZero = 0x9E3779B9;
    s.seed = request.input.overrides.seed ? kForZero : static_cast<uint32_t>(mix_bits(plans_) >> 32U) | 1U;
  }
  if (auto info = models_.find(route.model)) {
    if (!request.adapter.empty()) {
      SKEP_TRY(plan.generate.adapter, models_.adapter(request.adapter, *info));
    } else if (agent != nullptr && !agent->adapter.empty()) {
      // An agent's own goes along to the models that it is for; elsewhere the agent does without.
      if (auto fits = models_.adapter(agent->adapter, *info)) plan.generate.adapter = *fits;
    }
  }
  plan.route = {route.model, route.tier ? to_string(*route.tier) : "", std::move(route.reason), route.complexity.score};
  plan.prompt_tokens = estimated_tokens(plan.generate);
  if (agent != nullptr) {
    plan.agent = agent->name;
    plan.generate.sequence_key = agent->name;
    plan.weight = agent->weight;
    plan.priority = agent->priority;
  }
  plan.reader = [format = std::move(prompt.format)] { return std::make_unique<ParserReader>(format); };
  return plan;
}

}  // namespace skep::agent
