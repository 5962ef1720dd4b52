#include "mind/language/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "mind/language/words.h"

namespace skep::language {
namespace {

using std::string_view;

constexpr std::array kCode = {
    string_view("function"),    string_view("code"),         string_view("bug"),        string_view("compile*"),
    string_view("python"),      string_view("javascript"),   string_view("typescript"), string_view("rust"),
    string_view("java"),        string_view("sql"),          string_view("regex"),      string_view("refactor*"),
    string_view("unit test*"),  string_view("script"),       string_view("api"),        string_view("class"),
    string_view("stack trace"), string_view("debug*"),       string_view("implement"),  string_view("bash"),
    string_view("html"),        string_view("css"),          string_view("dockerfile"), string_view("algorithm"),
    string_view("segfault"),    string_view("null pointer"), string_view("endpoint"),   string_view("yaml"),
    string_view("golang"),      string_view("exception"),    string_view("query")};

constexpr std::array kAnalysis = {
    string_view("analy*"),        string_view("compare"),    string_view("comparison"), string_view("evaluate"),
    string_view("assess*"),       string_view("why"),        string_view("explain"),    string_view("summar*"),
    string_view("pros and cons"), string_view("trade offs"), string_view("tradeoffs"),  string_view("cause*"),
    string_view("review"),        string_view("interpret"),  string_view("prove"),      string_view("derive"),
    string_view("calculate"),     string_view("estimate"),   string_view("extract"),    string_view("classify"),
    string_view("risk*"),         string_view("data"),       string_view("statistic*"), string_view("trend*"),
    string_view("diagnos*"),      string_view("evidence"),   string_view("report"),     string_view("recommend*")};

constexpr std::array kCreative = {
    string_view("story"),     string_view("poem"),      string_view("haiku"),      string_view("song"),
    string_view("lyrics"),    string_view("creative"),  string_view("imagin*"),    string_view("fiction"),
    string_view("novel"),     string_view("slogan*"),   string_view("tagline*"),   string_view("brainstorm*"),
    string_view("joke*"),     string_view("limerick"),  string_view("dialogue"),   string_view("character"),
    string_view("invent"),    string_view("names for"), string_view("fairy tale"), string_view("screenplay"),
    string_view("metaphor*"), string_view("sonnet"),    string_view("toast")};

struct Synonym {
  string_view name;
  TaskType type;
};
constexpr std::array kSynonyms = {Synonym{"code", TaskType::code},
                                  Synonym{"coding", TaskType::code},
                                  Synonym{"programming", TaskType::code},
                                  Synonym{"debugging", TaskType::code},
                                  Synonym{"refactoring", TaskType::code},
                                  Synonym{"testing", TaskType::code},
                                  Synonym{"analysis", TaskType::analysis},
                                  Synonym{"reasoning", TaskType::analysis},
                                  Synonym{"review", TaskType::analysis},
                                  Synonym{"research", TaskType::analysis},
                                  Synonym{"math", TaskType::analysis},
                                  Synonym{"extraction", TaskType::analysis},
                                  Synonym{"classification", TaskType::analysis},
                                  Synonym{"summary", TaskType::analysis},
                                  Synonym{"summarization", TaskType::analysis},
                                  Synonym{"creative", TaskType::creative},
                                  Synonym{"story", TaskType::creative},
                                  Synonym{"writing", TaskType::creative},
                                  Synonym{"brainstorming", TaskType::creative},
                                  Synonym{"general", TaskType::general},
                                  Synonym{"chat", TaskType::general}};

string_view last_user_text(const Request& request) {
  for (auto it = request.messages.rbegin(); it != request.messages.rend(); ++it) {
    if (it->role == "user") return it->content;
  }
  return request.prompt;
}

Status check(const char* name, const std::optional<float>& value, float low, float high) {
  if (!value || (std::isfinite(*value) && *value >= low && *value <= high)) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("{} is {}, it must be from {} to {}", name, *value, low, high));
}

}  // namespace

const char* to_string(TaskType type) {
  constexpr std::array<const char*, kTaskTypes> names = {"code", "analysis", "creative", "general"};
  return names.at(static_cast<size_t>(type));
}

TaskType task_type_of(const Request& request) {
  for (const Synonym& synonym : kSynonyms) {
    if (request.task_type == synonym.name) return synonym.type;
  }
  const Words words(last_user_text(request));
  // A story about a function is a story; code in the text decides before anything else.
  const int code = words.matches(kCode) + (words.code_block() ? 3 : 0);
  const int analysis = words.matches(kAnalysis);
  const int creative = 2 * words.matches(kCreative);
  if (creative > 0 && creative >= code && creative >= analysis) return TaskType::creative;
  if (code > 0 && code >= analysis) return TaskType::code;
  if (analysis > 0) return TaskType::analysis;
  return TaskType::general;
}

Result<Parameters> parameters_for(const Request& request, std::optional<Tier> tier, const ParameterTable& table) {
  const Overrides& o = request.overrides;
  SKEP_CHECK(check("temperature", o.temperature, 0, 2));
  SKEP_CHECK(check("top_p", o.top_p, 0, 1));
  SKEP_CHECK(check("min_p", o.min_p, 0, 1));
  SKEP_CHECK(check("repeat_penalty", o.repeat_penalty, 0, 10));
  SKEP_CHECK(check("presence_penalty", o.presence_penalty, -2, 2));
  SKEP_CHECK(check("frequency_penalty", o.frequency_penalty, -2, 2));
  if (o.top_k && (*o.top_k < 0 || *o.top_k > 1'000'000)) {
    return fail(ErrorCode::invalid_argument, fmt::format("top_k is {}, it must be from 0 to 1000000", *o.top_k));
  }
  if (o.max_tokens && *o.max_tokens < 1) {
    return fail(ErrorCode::invalid_argument, fmt::format("max_tokens is {}, it must be at least 1", *o.max_tokens));
  }

  const auto level = static_cast<size_t>(tier.value_or(Tier::balanced));
  Parameters parameters;
  parameters.type = task_type_of(request);
  const ParameterTable::Row& row = table.types.at(static_cast<size_t>(parameters.type));
  parameters.max_tokens = o.max_tokens.value_or(table.max_tokens.at(level));
  parameters.sampling = engine::Sampling{
      .temperature = o.temperature.value_or(std::min(2.0F, row.temperature * table.temperature_scale.at(level))),
      .top_k = o.top_k.value_or(0),
      .top_p = o.top_p.value_or(row.top_p),
      .min_p = o.min_p.value_or(0),
      .repeat_penalty = o.repeat_penalty.value_or(1),
      .presence_penalty = o.presence_penalty.value_or(0),
      .frequency_penalty = o.frequency_penalty.value_or(0),
      .seed = o.seed.value_or(0),
      .logit_bias = o.logit_bias,
  };
  return parameters;
}

}  // namespace skep::language
