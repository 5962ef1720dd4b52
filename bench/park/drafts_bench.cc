#include "drafts_bench.h"

#include <filesystem>
#include <map>
#include <optional>

#include "base/clock.h"
#include "base/random.h"
#include "engine/generator.h"
#include "engine_under_test.h"
#include "mind/language/json_schema.h"
#include "model_tools/widen.h"

namespace skep::bench {
namespace {

constexpr int kAnswers = 72;
constexpr int kMostStreams = 4;

// A question and the form of its answer.
struct Question {
  std::vector<engine::ChatMessage> messages;
  std::string grammar;
};

Result<std::string> form(const char* first, const char* second, const char* number) {
  return language::schema_grammar(fmt::format(
      R"({{"type": "object", "properties": {{"{0}": {{"type": "string"}}, "{1}": {{"type": "string"}},
          "{2}": {{"type": "integer"}}}}, "required": ["{0}", "{1}", "{2}"], "additionalProperties": false}})",
      first, second, number));
}

// Fields to be extracted from lines of three kinds, in the words that the demo models know; no line comes twice.
Result<std::vector<Question>> extractions() {
  SKEP_TRY(const std::string duty, form("name", "place", "hour"));
  SKEP_TRY(const std::string service, form("host", "service", "code"));
  SKEP_TRY(const std::string sensor, form("sensor", "room", "pressure"));
  Random random(11);
  const auto name = [&] {
    std::string made;
    for (int i = 0; i < 2; ++i) {
      made += "bdfgklmnprstvz"[random.below(14)];
      made += "aeiou"[random.below(5)];
    }
    return made;
  };
  std::vector<Question> questions;
  for (int i = 0; i < kAnswers; ++i) {
    const std::string a = name(), b = name();
    const auto n = random.below(24);
    Question question;
    std::string line;
    if (i % 3 == 0) {
      line = fmt::format("{} is on duty in {} from {} h.", a, b, n);
      question.grammar = duty;
    } else if (i % 3 == 1) {
      line = fmt::format("service {} on host {} ended with code {}.", a, b, n + 10);
      question.grammar = service;
    } else {
      line = fmt::format("in room {} sensor {} shows pressure {}.", a, b, n + 30);
      question.grammar = sensor;
    }
    question.messages = {{"user", "Extract as JSON: " + line}};
    questions.push_back(std::move(question));
  }
  return questions;
}

struct Play {
  double tokens_per_second = 0;
  double accepted = 0;  // of the drafted tokens
  std::map<engine::RequestId, std::string> answers;
  std::optional<Error> failed;  // the first
};

Play play(engine::ReadyModel& model, const std::vector<Question>& questions, int streams, bool drafts) {
  SystemClock clock;
  Play result;
  // What whoever was there before left in the cache.
  for (engine::SequenceId id = 0; id < model.forward->limits().sequences; ++id) {
    model.forward->drop(id, 0, engine::Forward::kEnd);
  }
  engine::Generator generator(*model.forward, *model.vocabulary, clock, {.slots = streams, .drafts = drafts},
                              [&](engine::RequestId id, const engine::Message& message) {
                                if (const auto* piece = std::get_if<engine::Piece>(&message))
                                  result.answers[id] += piece->text;
                                const auto* failed = std::get_if<engine::Failed>(&message);
                                if (failed != nullptr && !result.failed) result.failed = failed->error;
                              });
  for (size_t i = 0; i < questions.size(); ++i) {
    engine::Generate request;
    request.messages = questions[i].messages;
    request.grammar = questions[i].grammar;
    request.max_tokens = 160;
    generator.start(static_cast<engine::RequestId>(i), std::move(request));
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

// The demo model `deep` in the shape of the others' 143 M parameters; its vocabulary stays small.
Result<std::string> trained_model(const ParkBenchOptions& options) {
  std::error_code error;
  const std::string path = options.folder + "/deep-in-smollm-135m.gguf";
  if (std::filesystem::exists(path, error)) return path;
  std::filesystem::create_directories(options.folder, error);
  SKEP_CHECK(model_tools::widen({.input = options.trained,
                                 .output = path,
                                 .embedding = 576,
                                 .feed_forward = 1536,
                                 .layers = 30,
                                 .heads = 18,
                                 .kv_heads = 6},
                                {}));
  return path;
}

Result<Row> measure(engine::ReadyModel& model, const std::vector<Question>& questions, int streams, int rounds) {
  std::vector<double> with, without, ratios;
  double accepted = 0;
  int differ = 0;
  for (int i = 0; i < rounds; ++i) {
    const Play plain = play(model, questions, streams, false);
    const Play guessing = play(model, questions, streams, true);
    for (const Play* each : {&plain, &guessing}) {
      if (each->failed) return fail(ErrorCode::internal, "a structured answer failed: " + each->failed->text());
    }
    without.push_back(plain.tokens_per_second);
    with.push_back(guessing.tokens_per_second);
    ratios.push_back(guessing.tokens_per_second / plain.tokens_per_second);
    accepted = guessing.accepted;
    for (const auto& [id, text] : plain.answers) differ += guessing.answers.at(id) == text ? 0 : 1;
  }
  Row row;
  row.value = median(with);
  row.unit = "tokens/s";
  row.peer = fmt::format("without drafts ({:.0f} % of the drafts accepted, {} of {} answers differ)", 100 * accepted,
                         differ, rounds * kAnswers);
  row.peer_value = median(without);
  row.ratio = median(ratios);
  return row;
}

}  // namespace

Result<std::vector<Row>> measure_drafts(const ParkBenchOptions& options) {
  SKEP_TRY(const std::string path, trained_model(options));
  SKEP_TRY(engine::ReadyModel model, load_bench_model(path, options.forward, kMostStreams, 4096));
  SKEP_TRY(const std::vector<Question> questions, extractions());
  SKEP_TRY(Row one, measure(model, questions, 1, options.rounds));
  one.name = "drafts";
  one.bar = ">= 1.3 x";
  one.met = *one.ratio >= 1.3;
  SKEP_TRY(Row four, measure(model, questions, kMostStreams, options.rounds));
  four.name = fmt::format("drafts, {} streams", kMostStreams);
  return std::vector{one, four};
}

}  // namespace skep::bench
