#pragma once
// How an answer is generated: by what kind of task it is and by the tier, unless the caller says otherwise.

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/messages.h"
#include "mind/language/request.h"
#include "mind/language/tier.h"

namespace skep::language {

enum class TaskType { code, analysis, creative, general };
constexpr int kTaskTypes = 4;
const char* to_string(TaskType type);

struct ParameterTable {
  struct Row {
    float temperature, top_p;
  };
  std::array<Row, kTaskTypes> types = {Row{0.3F, 0.95F}, Row{0.5F, 0.9F}, Row{0.9F, 0.95F}, Row{0.7F, 0.9F}};
  std::array<float, kTiers> temperature_scale = {0.8F, 1.0F, 1.1F};
  std::array<int, kTiers> max_tokens = {512, 2048, 4096};
};

// Request::task_type where it names a type (or a known synonym: "coding", "review", "story" …), else guessed from the
// last user message.
TaskType task_type_of(const Request& request);

struct Parameters {
  TaskType type = TaskType::general;
  engine::Sampling sampling;
  int max_tokens = 0;
};

// A model outside the tiers counts as balanced. invalid_argument when an override is out of its range, naming it.
Result<Parameters> parameters_for(const Request& request, std::optional<Tier> tier, const ParameterTable& table = {});

}  // namespace skep::language
