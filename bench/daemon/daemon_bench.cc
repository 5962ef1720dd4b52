#include "daemon_bench.h"

#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "cli/http_client.h"
#include "engine/synth/synth.h"
#include "load_generator.h"
#include "mind/language/route.h"
#include "model/process_memory.h"
#include "server_process.h"

namespace skep::bench {
namespace {

namespace json = boost::json;

constexpr double kMega = 1e6;

struct Config {
  uint16_t port = free_port();
  std::string file;
};

Config write_config(const DaemonBenchOptions& options, const std::string& name, const std::string& more) {
  Config config;
  config.file = options.folder + "/" + name + ".yaml";
  std::ofstream(config.file) << fmt::format(
      "listen: 127.0.0.1:{}\nstate_folder: {}/state\ncache: {{enabled: false}}\nroster: {}\n{}", config.port,
      options.folder, options.roster, more);
  return config;
}

Result<ServerProcess> serve(const DaemonBenchOptions& options, const Config& config) {
  return ServerProcess::start({options.skep, "serve", "--config", config.file}, config.port, "/readyz",
                              options.folder + "/skep.log", std::chrono::minutes(1));
}

Status startup_and_resident(const DaemonBenchOptions& options, Report& report) {
  std::vector<double> startup, resident;
  for (int i = 0; i < options.rounds; ++i) {
    SKEP_TRY(auto server, serve(options, write_config(options, "empty", "model_folders: []\n")));
    startup.push_back(seconds(server.startup()));
    SKEP_TRY(Bytes memory, model::process_tree_memory(server.pid()));
    resident.push_back(static_cast<double>(memory.count) / kMega);
  }
  Row row;
  row.name = "startup";
  row.value = median(startup);
  row.unit = "s until ready";
  row.bar = "< 1 s";
  row.met = row.value < 1;
  report.rows.push_back(row);
  row.name = "resident";
  row.value = median(resident);
  row.unit = "MB (PSS)";
  row.bar = "< 50 MB";
  row.met = row.value < 50;
  report.rows.push_back(row);
  return {};
}

Status overhead(const DaemonBenchOptions& options, Report& report) {
  Config config = write_config(
      options, "null",
      "model_folders: []\nremotes:\n  - {name: nothing, kind: \"null\", slots: 64}\n"
      "tiers:\n  fast: {models: [nothing]}\n  balanced: {models: [nothing]}\n  deep: {models: [nothing]}\n");
  SKEP_TRY(auto server, serve(options, config));
  std::vector<LoadRequest> requests(
      4000,
      {"/v1/chat/completions",
       R"({"model":"nothing","messages":[{"role":"system","content":"You watch sensors."},{"role":"user","content":"Is 81 degrees too hot for pump four?"}],"max_tokens":16})",
       {}});
  std::vector<double> latencies;
  for (int i = 0; i < options.rounds; ++i) {
    LoadResult result = send_all(server.port(), requests, 8);
    for (const LoadAnswer& answer : result.answers) {
      if (answer.status != 200)
        return fail(ErrorCode::internal, fmt::format("status {}: {}", answer.status, answer.body.substr(0, 300)));
      if (i > 0) latencies.push_back(seconds(answer.latency));  // the first round warms up
    }
  }
  report.rows.push_back(latency_row("overhead", latencies, 0.95, 2, "at 8 clients"));
  report.notes.push_back(fmt::format("overhead: p50 {:.2f} ms, p99 {:.2f} ms", 1e3 * quantile(latencies, 0.5),
                                     1e3 * quantile(latencies, 0.99)));
  return {};
}

// Requests of one question to some 4,000 tokens of conversation; the longest are what counts.
Status route(Report& report) {
  language::RouteFacts facts;
  for (size_t i = 0; i < facts.tiers.size(); ++i) facts.tiers.at(i) = {"model " + std::to_string(i), i == 0};
  facts.free_memory = 8_GiB;
  std::vector<double> short_ones, long_ones;
  for (int i = 0; i < 2000; ++i) {
    language::Request request;
    const bool is_long = i % 2 == 1;
    for (int turn = 0; turn < (is_long ? 160 : 1); ++turn) {
      request.messages.push_back(
          {.role = turn % 2 == 0 ? "user" : "assistant",
           .content = fmt::format("Compare the two proofs for pump {}, derive the bound step by step, and say why the "
                                  "valve in line {} stays shut while the pressure rises.",
                                  i, turn)});
    }
    const auto began = std::chrono::steady_clock::now();
    SKEP_TRY(const language::Route chosen, language::route(request, {}, facts));
    const double took = seconds(std::chrono::steady_clock::now() - began);
    if (chosen.model.empty()) return fail(ErrorCode::internal, "a request was routed to no model");
    (is_long ? long_ones : short_ones).push_back(took);
  }
  report.rows.push_back(latency_row("route", long_ones, 0.99, 1, "of 4,000-token requests"));
  report.notes.push_back(fmt::format("route: p50 {:.3f} ms, of one question {:.3f} ms", 1e3 * quantile(long_ones, 0.5),
                                     1e3 * quantile(short_ones, 0.5)));
  return {};
}

// Reads the file as `cat FILE >/dev/null` does, from the page cache.
double cat_seconds(const std::string& path) {
  auto began = std::chrono::steady_clock::now();
  std::string command = "cat '" + path + "' >/dev/null";
  if (std::system(command.c_str()) != 0) return 0;
  return seconds(std::chrono::steady_clock::now() - began);
}

Result<double> load_seconds(cli::HttpClient& client, const std::string& model) {
  auto began = std::chrono::steady_clock::now();
  SKEP_TRY(auto answer,
           client.call("POST", "/api/generate", json::serialize(json::object{{"model", model}, {"stream", false}}),
                       std::chrono::minutes(2)));
  if (answer.status != 200) return fail(ErrorCode::internal, fmt::format("loading {}: {}", model, answer.body));
  return seconds(std::chrono::steady_clock::now() - began);
}

Status unload(cli::HttpClient& client, const std::string& model) {
  SKEP_TRY(auto answer,
           client.call("POST", "/api/generate",
                       json::serialize(json::object{{"model", model}, {"keep_alive", 0}, {"stream", false}})));
  if (answer.status != 200) return fail(ErrorCode::internal, fmt::format("unloading {}: {}", model, answer.body));
  return {};
}

Status loads(const DaemonBenchOptions& options, Report& report) {
  std::vector<std::string> names = {"smollm-135m", "tinyllama"};
  std::string more = "model_folders: []\nmodels:\n";
  for (const std::string& name : names) {
    std::string path = options.folder + "/" + name + ".gguf";
    if (!std::filesystem::exists(path)) {
      synth::SynthOptions synth;
      synth.shape = *synth::find_shape(name);
      synth.path = path;
      SKEP_CHECK(synth::synthesize(synth));
    }
    more += fmt::format("  {}: {{path: {}}}\n", name, path);
  }
  more += "engines: {max_loaded: 1}\n";
  SKEP_TRY(auto server, serve(options, write_config(options, "load", more)));
  SKEP_TRY(auto client, cli::HttpClient::make(fmt::format("http://127.0.0.1:{}", server.port()), ""));
  for (const std::string& name : names) {
    std::vector<double> load, cat;
    for (int i = 0; i < options.rounds; ++i) {
      cat.push_back(cat_seconds(options.folder + "/" + name + ".gguf"));
      SKEP_TRY(double took, load_seconds(client, name));
      load.push_back(took);
      SKEP_CHECK(unload(client, name));
    }
    Row row;
    row.name = "load " + name;
    row.value = median(load);
    row.unit = "s";
    row.peer = "cat FILE";
    row.peer_value = median(cat);
    row.ratio = *row.peer_value / row.value;
    report.rows.push_back(row);
  }
  std::vector<double> swap;
  for (int i = 0; i < 2 * options.rounds; ++i) {  // one model fits: every load evicts the other
    SKEP_TRY(double took, load_seconds(client, names[static_cast<size_t>(i) % 2]));
    if (i > 0) swap.push_back(took);
  }
  Row row;
  row.name = "swap";
  row.value = median(swap);
  row.unit = "s, the other way round each time";
  report.rows.push_back(row);
  return {};
}

}  // namespace

Result<Report> run_daemon_bench(const DaemonBenchOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  if (error) return fail(ErrorCode::io, fmt::format("{}: {}", options.folder, error.message()));
  Report report;
  report.bench = "daemon";
  SKEP_CHECK(startup_and_resident(options, report));
  SKEP_CHECK(overhead(options, report));
  SKEP_CHECK(route(report));
  SKEP_CHECK(loads(options, report));
  return report;
}

}  // namespace skep::bench
