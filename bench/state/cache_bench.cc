#include <sqlite3.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <map>

#include "agent/roster.h"
#include "base/json.h"
#include "base/process_cpu.h"
#include "base/random.h"
#include "cli/http_client.h"
#include "engine/synth/synth.h"
#include "load_generator.h"
#include "server_process.h"
#include "state_bench.h"

namespace skep::bench {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr int kQuestions = 100;
constexpr int kClients = 4;

std::string config_file(const CacheBenchOptions& options, uint16_t port, const std::string& name,
                        const std::string& more) {
  std::string file = options.folder + "/" + name + ".yaml";
  fs::remove_all(options.folder + "/" + name);
  std::ofstream(file) << fmt::format("listen: 127.0.0.1:{}\nstate_folder: {}/{}\n{}", port, options.folder, name, more);
  return file;
}

Result<ServerProcess> serve(const CacheBenchOptions& options, const std::string& name, const std::string& more) {
  uint16_t port = free_port();
  return ServerProcess::start({options.skep, "serve", "--config", config_file(options, port, name, more)}, port,
                              "/readyz", options.folder + "/" + name + ".log", std::chrono::minutes(1));
}

LoadRequest question(const std::string& model, const std::string& text, int max_tokens) {
  json::object body{
      {"model", model},
      {"messages", {{{"role", "system"}, {"content", "You watch sensors."}}, {{"role", "user"}, {"content", text}}}},
      {"temperature", 0},
      {"max_tokens", max_tokens}};
  return {"/v1/chat/completions", json::serialize(body), {}};
}

Status all_answered(const LoadResult& result) {
  for (const LoadAnswer& answer : result.answers) {
    if (answer.status != 200)
      return fail(ErrorCode::internal, fmt::format("status {}: {}", answer.status, answer.body.substr(0, 300)));
  }
  return {};
}

std::vector<double> latencies(const LoadResult& load) {
  std::vector<double> all;
  for (const LoadAnswer& answer : load.answers) all.push_back(seconds(answer.latency));
  return all;
}

// Nobody else can write to a database while this lives: to its owner it hangs.
class LockedDatabase {
 public:
  explicit LockedDatabase(const std::string& path) {
    sqlite3_open(path.c_str(), &db_);
    sqlite3_busy_timeout(db_, 10'000);
    held_ = sqlite3_exec(db_, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr) == SQLITE_OK;
  }
  ~LockedDatabase() { sqlite3_close(db_); }
  LockedDatabase(const LockedDatabase&) = delete;
  LockedDatabase& operator=(const LockedDatabase&) = delete;
  [[nodiscard]] bool held() const { return held_; }

 private:
  sqlite3* db_ = nullptr;
  bool held_ = false;
};

Status exact_hits(const CacheBenchOptions& options, Report& report) {
  SKEP_TRY(
      auto server,
      serve(options, "hits",
            "model_folders: []\nremotes:\n  - {name: nothing, kind: \"null\", slots: 64}\n"
            "tiers:\n  fast: {models: [nothing]}\n  balanced: {models: [nothing]}\n  deep: {models: [nothing]}\n"));
  std::vector<LoadRequest> distinct;
  for (int i = 0; i < kQuestions; ++i) {
    distinct.push_back(question("nothing", fmt::format("Is {} degrees too hot for pump four?", i), 16));
  }
  SKEP_CHECK(all_answered(send_all(server.port(), distinct, kClients)));  // now they are known
  std::vector<LoadRequest> requests;
  Random random(1);
  for (int i = 0; i < options.hits; ++i) requests.push_back(distinct[random.below(kQuestions)]);
  SKEP_CHECK(all_answered(send_all(server.port(), {requests.begin(), requests.begin() + 1000}, kClients)));  // warm

  const double before = process_cpu_seconds(server.pid()).value_or(0);
  LoadResult result = send_all(server.port(), requests, kClients);
  const double used = process_cpu_seconds(server.pid()).value_or(0) - before;
  SKEP_CHECK(all_answered(result));
  LoadResult alone = send_all(server.port(), {requests.begin(), requests.begin() + options.hits / 8}, 1);
  SKEP_CHECK(all_answered(alone));
  const std::vector<double> many = latencies(result), one = latencies(alone);
  report.rows.push_back(latency_row("exact hit over HTTP, one client", one, 0.99, 1));
  report.rows.push_back(latency_row(fmt::format("exact hit over HTTP, {} clients", kClients), many, 0.99, 1));
  {
    const LockedDatabase hanging(options.folder + "/hits/state/events.db");
    if (!hanging.held()) return fail(ErrorCode::io, "the event log's database could not be locked");
    LoadResult beside = send_all(server.port(), {requests.begin(), requests.begin() + options.hits / 8}, 1);
    SKEP_CHECK(all_answered(beside));
    report.rows.push_back(latency_row("exact hit over HTTP, one client, while the event log's database hangs",
                                      latencies(beside), 0.99, 1));
  }
  Row row;
  row.name = "exact hits on one core";
  row.value = used > 0 ? static_cast<double>(options.hits) / used : 0;
  row.unit = "/s of the daemon's CPU time";
  row.bar = ">= 20000 /s";
  row.met = row.value >= 20'000;
  report.rows.push_back(row);
  report.notes.push_back(
      fmt::format("hits: p50 {:.3f} ms with one client, {:.3f} ms with {}; {:.0f} /s measured from "
                  "outside, client and daemon on the same cores",
                  1e3 * quantile(one, 0.5), 1e3 * quantile(many, 0.5), kClients,
                  static_cast<double>(options.hits) / seconds(result.wall)));
  SKEP_TRY(auto client, cli::HttpClient::make(fmt::format("http://127.0.0.1:{}", server.port()), ""));
  SKEP_TRY(auto answer, client.call("GET", "/api/cache"));
  SKEP_TRY(json::value cache, parse_json(answer.body, "the cache's figures"));
  int64_t hits = cache.at("hits").to_number<int64_t>();
  int64_t asked = options.hits + 2 * (options.hits / 8) + 1000;
  if (hits < asked) report.notes.push_back(fmt::format("only {} of {} were hits", hits, asked));
  return {};
}

// What an answer says, without its ids and times.
std::string content_of(const std::string& body) {
  auto parsed = parse_json(body, "an answer");
  if (!parsed) return "";
  return std::string(parsed->at("choices").at(0).at("message").at("content").as_string());
}

struct Played {
  double wall = 0;
  std::vector<std::string> answers;
  double hit_rate = 0;
};

Result<Played> play(const CacheBenchOptions& options, bool cache, const std::vector<std::vector<LoadRequest>>& rounds) {
  std::string more =
      fmt::format("roster: {}\nmodel_folders: [{}/models]\nmemory: {{budget: 1GiB}}\ncache: {{enabled: {}}}\n",
                  options.roster, options.folder, cache);
  SKEP_TRY(auto server, serve(options, cache ? "rounds-on" : "rounds-off", more));
  SKEP_CHECK(all_answered(send_all(
      server.port(), {question("fast", "warm", 1), question("balanced", "warm", 1), question("deep", "warm", 1)}, 1)));
  Played played;
  for (const auto& round : rounds) {
    LoadResult result = send_all(server.port(), round, 16);
    SKEP_CHECK(all_answered(result));
    played.wall += seconds(result.wall);
    for (const LoadAnswer& answer : result.answers) played.answers.push_back(content_of(answer.body));
  }
  SKEP_TRY(auto client, cli::HttpClient::make(fmt::format("http://127.0.0.1:{}", server.port()), ""));
  SKEP_TRY(auto answer, client.call("GET", "/api/cache"));
  SKEP_TRY(json::value figures, parse_json(answer.body, "the cache's figures"));
  played.hit_rate = figures.at("hit_rate").to_number<double>();
  return played;
}

// The roster's agents, ten rounds; three tasks in ten were asked in an earlier round.
Status rounds(const CacheBenchOptions& options, Report& report) {
  fs::create_directories(options.folder + "/models");
  for (const char* tier : {"fast", "balanced", "deep"}) {
    synth::SynthOptions synth;
    synth.shape = *synth::find_shape("tiny");
    synth.path = fmt::format("{}/models/{}.gguf", options.folder, tier);
    if (!fs::exists(synth.path)) SKEP_CHECK(synth::synthesize(synth));
  }
  SKEP_TRY(agent::Roster roster, agent::Roster::read(options.roster));
  Random random(7);
  std::vector<std::vector<LoadRequest>> all;
  std::map<std::string, std::vector<std::string>> asked;
  int number = 0;
  for (int round = 0; round < options.rounds; ++round) {
    auto& requests = all.emplace_back();
    for (const agent::AgentSpec& agent : roster.agents()) {
      auto& earlier = asked[agent.name];
      std::string text =
          fmt::format("Case {}: unit {} reads {}. What now?", number++, random.below(50), random.below(900));
      if (!earlier.empty() && random.below(10) < 3) text = earlier[random.below(static_cast<uint32_t>(earlier.size()))];
      earlier.push_back(text);
      requests.push_back(question(agent.name, text, 24));
    }
  }
  SKEP_TRY(Played off, play(options, false, all));
  SKEP_TRY(Played on, play(options, true, all));
  int64_t wrong = 0;
  for (size_t i = 0; i < on.answers.size(); ++i) wrong += on.answers[i] == off.answers[i] ? 0 : 1;
  Row row;
  row.name = fmt::format("{} agents, {} rounds, 30 % repeated: with the cache", roster.agents().size(), options.rounds);
  row.value = on.wall;
  row.unit = "s";
  row.peer = "without";
  row.peer_value = off.wall;
  row.ratio = off.wall / on.wall;
  report.rows.push_back(row);
  row = {};
  row.name = "its hit rate";
  row.value = 100 * on.hit_rate;
  row.unit = "%";
  report.rows.push_back(row);
  row.name = "answers that differ from those without";
  row.value = static_cast<double>(wrong);
  row.unit = fmt::format("of {}", on.answers.size());
  row.bar = "0";
  row.met = wrong == 0;
  report.rows.push_back(row);
  return {};
}

}  // namespace

Result<Report> run_cache_bench(const CacheBenchOptions& options) {
  std::error_code error;
  fs::create_directories(options.folder, error);
  if (error) return fail(ErrorCode::io, fmt::format("{}: {}", options.folder, error.message()));
  Report report;
  report.bench = "cache";
  SKEP_CHECK(exact_hits(options, report));
  if (options.rounds > 0) SKEP_CHECK(rounds(options, report));
  return report;
}

}  // namespace skep::bench
