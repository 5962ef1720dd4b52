#include "drafts_bench.h"

#include <map>
#include <optional>

#include "base/clock.h"
#include "engine/generator.h"
#include "mind/language/json_schema.h"
#include "prompts.h"

namespace skep::bench {
namespace {

constexpr int kAgents = 24;
constexpr int kSlots = 4;

// What a monitoring agent reports. Its free parts are choices and numbers, as in most reports between agents; a model
// of random weights would fill free text with noise that no draft could foresee.
constexpr const char* kSchema = R"({
  "type": "object",
  "properties": {
    "subject": {"type": "string", "enum": ["pump", "valve", "sensor", "door", "warehouse", "service", "queue"]},
    "status": {"type": "string", "enum": ["nominal", "degraded", "failed", "unknown"]},
    "severity": {"type": "integer", "minimum": 0, "maximum": 9},
    "recommended_action": {"type": "string", "enum": ["none", "restart", "inspect on site", "call an operator"]},
    "confirmed_by_second_reading": {"type": "boolean"},
    "next_check_in_minutes": {"type": "integer", "minimum": 0, "maximum": 99}
  },
  "required": ["subject", "status", "severity", "recommended_action", "confirmed_by_second_reading",
               "next_check_in_minutes"],
  "additionalProperties": false
})";

struct Play {
  double tokens_per_second = 0;
  double accepted = 0;  // of the drafted tokens
  std::map<engine::RequestId, std::string> answers;
  std::optional<Error> failed;  // the first
};

Play play(engine::ReadyModel& model, const std::string& grammar, bool drafts) {
  SystemClock clock;
  Play result;
  // What whoever was there before left in the cache.
  for (engine::SequenceId id = 0; id < model.forward->limits().sequences; ++id) {
    model.forward->drop(id, 0, engine::Forward::kEnd);
  }
  engine::Generator generator(*model.forward, *model.vocabulary, clock, {.slots = kSlots, .drafts = drafts},
                              [&](engine::RequestId id, const engine::Message& message) {
                                if (const auto* piece = std::get_if<engine::Piece>(&message))
                                  result.answers[id] += piece->text;
                                const auto* failed = std::get_if<engine::Failed>(&message);
                                if (failed != nullptr && !result.failed) result.failed = failed->error;
                              });
  for (int agent = 0; agent < kAgents; ++agent) {
    engine::Generate request;
    request.messages = {{"system", preamble() + "\n\n" + role(agent)}, {"user", task(agent, 0)}};
    request.grammar = grammar;
    request.max_tokens = 160;
    generator.start(static_cast<engine::RequestId>(agent), std::move(request));
  }
  // Prompts are the same with and without: only the answers are timed, from the moment that the last prompt is read.
  double decoding = 0;
  int64_t tokens = 0;
  for (bool more = true; more;) {
    const engine::Heartbeat before = generator.heartbeat();
    const TimePoint began = clock.now();
    more = generator.step();
    const engine::Heartbeat after = generator.heartbeat();
    if (after.prompt_tokens != before.prompt_tokens) continue;
    decoding += seconds(clock.now() - began);
    tokens += after.generated_tokens - before.generated_tokens;
  }
  result.tokens_per_second = decoding > 0 ? static_cast<double>(tokens) / decoding : 0;
  const engine::Heartbeat end = generator.heartbeat();
  result.accepted =
      end.draft_tokens > 0 ? static_cast<double>(end.draft_accepted) / static_cast<double>(end.draft_tokens) : 0;
  return result;
}

}  // namespace

Result<Row> measure_drafts(engine::ReadyModel& model, int rounds) {
  SKEP_TRY(const std::string grammar, language::schema_grammar(kSchema));
  std::vector<double> with, without;
  double accepted = 0;
  int differ = 0;
  for (int i = 0; i < rounds; ++i) {
    const Play plain = play(model, grammar, false);
    const Play guessing = play(model, grammar, true);
    for (const Play* each : {&plain, &guessing}) {
      if (each->failed) return fail(ErrorCode::internal, "a structured answer failed: " + each->failed->text());
    }
    without.push_back(plain.tokens_per_second);
    with.push_back(guessing.tokens_per_second);
    accepted = guessing.accepted;
    for (const auto& [id, text] : plain.answers) differ += guessing.answers.at(id) == text ? 0 : 1;
  }
  Row row;
  row.name = "drafts";
  row.value = median(with);
  row.unit = "tokens/s";
  row.peer = fmt::format("without drafts ({:.0f} % of the drafts accepted, {} of {} answers differ)", 100 * accepted,
                         differ, rounds * kAgents);
  row.peer_value = median(without);
  row.ratio = row.value / *row.peer_value;
  row.bar = ">= 1.3 x";
  row.met = *row.ratio >= 1.3;
  return row;
}

}  // namespace skep::bench
