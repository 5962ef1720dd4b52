#include "preempt_bench.h"

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "engine/synth/synth.h"
#include "prompts.h"
#include "server_process.h"
#include "stream_client.h"

namespace skep::bench {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

constexpr int kBackground = 32;
constexpr int kAnswer = 150;       // tokens of each background task
constexpr int kLongPrompt = 4000;  // tokens, about

std::string body(const std::string& system, const std::string& user, int max_tokens, const char* priority) {
  return json::serialize(json::object{
      {"model", "bench"},
      {"messages", json::array{{{"role", "system"}, {"content", system}}, {{"role", "user"}, {"content", user}}}},
      {"max_tokens", max_tokens},
      {"temperature", 0},
      {"ignore_eos", true},
      {"stream", true},
      {"priority", priority}});
}

// A critical task: a role and a question of its own, so that nothing of it is in any cache but what all have in common.
std::string critical_body(int number) { return body(role(1000 + number), task(1000 + number, 3), 8, "critical"); }

struct Times {
  std::vector<double> idle, busy;  // to the first token, seconds
};

Status check(const std::vector<StreamAnswer>& answers, const std::vector<StreamRequest>& requests) {
  for (size_t i = 0; i < answers.size(); ++i) {
    if (!requests[i].background && (answers[i].status != 200 || answers[i].tokens.empty())) {
      return fail(ErrorCode::unavailable, fmt::format("request {} was answered with status {}", i, answers[i].status));
    }
  }
  return {};
}

// One after the other, each sent a moment after the one before has ended.
std::vector<StreamRequest> in_a_row(int first, int count, size_t behind) {
  std::vector<StreamRequest> requests;
  for (int i = 0; i < count; ++i) {
    StreamRequest request{.body = critical_body(first + i), .delay = milliseconds(60)};
    if (i > 0) request.after = behind + static_cast<size_t>(i) - 1;
    requests.push_back(std::move(request));
  }
  return requests;
}

Result<Times> measure_ttft(uint16_t port, const PreemptBenchOptions& options) {
  Times times;
  const auto warm = in_a_row(500, 2, 0);
  SKEP_CHECK(check(play_streams(port, warm), warm));
  auto requests = in_a_row(0, options.critical, 0);
  const auto idle = play_streams(port, requests);
  SKEP_CHECK(check(idle, requests));
  for (const StreamAnswer& a : idle) times.idle.push_back(seconds(a.first_token()));

  requests.clear();
  for (int i = 0; i < kBackground; ++i) {
    requests.push_back(
        {.body = body(preamble() + "\n\n" + role(i), task(i, 0), kAnswer, "background"), .background = true});
  }
  auto critical = in_a_row(100, options.critical, kBackground);
  critical.front().delay = std::chrono::seconds(4);  // the first of the background tasks generate by then
  requests.insert(requests.end(), critical.begin(), critical.end());
  const auto busy = play_streams(port, requests);
  SKEP_CHECK(check(busy, requests));
  for (size_t i = kBackground; i < busy.size(); ++i) times.busy.push_back(seconds(busy[i].first_token()));
  return times;
}

std::vector<double> gaps_between(const StreamAnswer& answer, Duration from, Duration to) {
  std::vector<double> gaps;
  for (size_t i = 1; i < answer.tokens.size(); ++i) {
    if (answer.tokens[i - 1] >= from && answer.tokens[i] <= to) {
      gaps.push_back(seconds(answer.tokens[i] - answer.tokens[i - 1]));
    }
  }
  return gaps;
}

struct Gaps {
  std::vector<double> without, with;  // seconds
  double prefill = 0;                 // that the long prompt took
};

Result<Gaps> measure_gaps(uint16_t port) {
  constexpr size_t kStreams = 3;
  constexpr auto kAlone = std::chrono::seconds(4);  // before the long prompt comes
  std::vector<StreamRequest> requests;
  for (size_t i = 0; i < kStreams; ++i) {
    requests.push_back(
        {.body = body(role(static_cast<int>(i)), task(static_cast<int>(i), 1), 3000, "normal"), .background = true});
  }
  std::string text;
  for (int part = 0; part < kLongPrompt / 29; ++part) text += task(part, 7) + "\n";
  requests.push_back({.body = body("You read long reports.", text, 4, "normal"), .delay = kAlone});
  const auto answers = play_streams(port, requests);
  SKEP_CHECK(check(answers, requests));
  const StreamAnswer& reader = answers.back();
  Gaps gaps;
  gaps.prefill = seconds(reader.first_token());
  for (size_t i = 0; i < kStreams; ++i) {
    const auto alone = gaps_between(answers[i], std::chrono::seconds(2), reader.sent);
    const auto beside = gaps_between(answers[i], reader.sent, reader.tokens.front());
    gaps.without.insert(gaps.without.end(), alone.begin(), alone.end());
    gaps.with.insert(gaps.with.end(), beside.begin(), beside.end());
  }
  return gaps;
}

Result<std::string> model_file(const PreemptBenchOptions& options) {
  if (!options.model.empty()) return options.model;
  synth::SynthOptions synth;
  synth.shape = *synth::find_shape("smollm-135m");
  synth.path = options.folder + "/bench.gguf";
  std::error_code error;
  if (!std::filesystem::exists(synth.path, error)) SKEP_CHECK(synth::synthesize(synth));
  return synth.path;
}

Result<ServerProcess> start_skep(const std::string& model, const PreemptBenchOptions& options) {
  const uint16_t port = free_port();
  const std::string config = options.folder + "/preempt.yaml";
  std::error_code ignored;
  std::filesystem::remove_all(options.folder + "/preempt-state", ignored);
  std::ofstream(config) << fmt::format(
      "listen: 127.0.0.1:{}\nstate_folder: {}/preempt-state\ncache: {{enabled: false}}\nmodel_folders: []\nmodels:\n  "
      "bench:\n    path: {}\n    "
      "preload: true\nengines:\n  context: 4608\n  slots: 4\n  forward: {}\n",
      port, options.folder, model, options.forward);
  return ServerProcess::start({options.skep, "serve", "--config", config}, port, "/readyz",
                              options.folder + "/skep.log", std::chrono::minutes(2));
}

Result<ServerProcess> start_llama(const std::string& model, const PreemptBenchOptions& options) {
  const uint16_t port = free_port();
  return ServerProcess::start({options.llama_server, "-m", model, "--host", "127.0.0.1", "--port", std::to_string(port),
                               "-np", "4", "--kv-unified", "-c", "18432", "-t", "2", "--alias", "bench", "--no-webui"},
                              port, "/health", options.folder + "/llama-server.log", std::chrono::minutes(2));
}

}  // namespace

Result<Report> run_preempt_bench(const PreemptBenchOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  if (error) return fail(ErrorCode::io, fmt::format("{}: {}", options.folder, error.message()));
  SKEP_TRY(const std::string model, model_file(options));
  Report report;
  report.bench = "preempt";
  Times ours, theirs;
  Gaps gaps, their_gaps;
  if (!options.llama_server.empty()) {
    PreemptBenchOptions one = options;
    one.critical = 1;
    SKEP_TRY(auto server, start_llama(model, options));
    SKEP_TRY(their_gaps, measure_gaps(server.port()));
    SKEP_TRY(theirs, measure_ttft(server.port(), one));
  }
  {
    SKEP_TRY(auto server, start_skep(model, options));
    SKEP_TRY(gaps, measure_gaps(server.port()));
    SKEP_TRY(ours, measure_ttft(server.port(), options));
  }
  const double idle = quantile(ours.idle, 0.95);
  Row ttft;
  ttft.name = "preempt_ttft";
  ttft.value = 1e3 * quantile(ours.busy, 0.95);
  ttft.unit = "ms, p95";
  ttft.limit = fmt::format("the same on an idle engine, {:.1f} ms", 1e3 * idle);
  ttft.fraction = 1e3 * idle / ttft.value;
  ttft.bar = "<= 2 x idle";
  ttft.met = ttft.value <= 2 * 1e3 * idle;
  if (!options.llama_server.empty()) {
    ttft.peer = "llama-server, 4 slots";
    ttft.peer_value = 1e3 * quantile(theirs.busy, 0.95);
    ttft.ratio = *ttft.peer_value / ttft.value;
  }
  report.rows.push_back(ttft);

  Row gap;
  gap.name = "prefill_gap";
  gap.value = 1e3 * quantile(gaps.with, 0.99);
  gap.unit = "ms, p99";
  const double without = 1e3 * quantile(gaps.without, 0.99);
  gap.limit = fmt::format("without the long prompt, {:.1f} ms", without);
  gap.fraction = without / gap.value;
  gap.bar = "<= 3 x without";
  gap.met = gap.value <= 3 * without;
  if (!options.llama_server.empty()) {
    gap.peer = "llama-server, 4 slots";
    gap.peer_value = 1e3 * quantile(their_gaps.with, 0.99);
    gap.ratio = *gap.peer_value / gap.value;
    report.notes.push_back(fmt::format(
        "llama-server: first token after {:.1f} ms idle, {:.1f} s behind the background; gaps of {:.1f} ms without the "
        "long prompt and {:.1f} ms beside it (p99 of {} and {}); it read that in {:.1f} s",
        1e3 * median(theirs.idle), median(theirs.busy), 1e3 * quantile(their_gaps.without, 0.99), *gap.peer_value,
        their_gaps.without.size(), their_gaps.with.size(), their_gaps.prefill));
  }
  report.rows.push_back(gap);
  report.notes.push_back(fmt::format(
      "preempt_ttft: medians {:.1f} ms idle, {:.1f} ms busy, of {}; prefill_gap: medians {:.1f} ms without, {:.1f} ms "
      "with, of {} and {} gaps; the long prompt took {:.1f} s",
      1e3 * median(ours.idle), 1e3 * median(ours.busy), ours.idle.size(), 1e3 * median(gaps.without),
      1e3 * median(gaps.with), gaps.without.size(), gaps.with.size(), gaps.prefill));
  return report;
}

}  // namespace skep::bench
