#include "agents131.h"

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/json.h"
#include "engine/synth/synth.h"
#include "llama_peer.h"
#include "load_generator.h"
#include "prompts.h"
#include "server_process.h"

namespace skep::bench {
namespace {

namespace json = boost::json;

struct Agent {
  json::array messages;
};

struct Round {
  double seconds = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
};

std::string body_of(const Agent& agent, const Agents131Options& options) {
  return json::serialize(json::object{{"model", "bench"},
                                      {"messages", agent.messages},
                                      {"max_tokens", options.tokens_out},
                                      {"temperature", 0},
                                      {"ignore_eos", true},
                                      {"cache_prompt", true}});
}

// One round: everybody asks at once. The answers join the conversations.
Result<Round> play(uint16_t port, std::vector<Agent>& agents, int round, const Agents131Options& options) {
  std::vector<LoadRequest> requests;
  for (size_t i = 0; i < agents.size(); ++i) {
    agents[i].messages.push_back({{"role", "user"}, {"content", task(static_cast<int>(i), round)}});
    requests.push_back({"/v1/chat/completions", body_of(agents[i], options), {}});
  }
  LoadResult result = send_all(port, requests, static_cast<int>(requests.size()));
  Round sum;
  sum.seconds = seconds(result.wall);
  for (size_t i = 0; i < agents.size(); ++i) {
    const LoadAnswer& answer = result.answers[i];
    if (answer.status != 200) {
      return fail(ErrorCode::unavailable, fmt::format("agent {} in round {}: status {}: {}", i, round, answer.status,
                                                      answer.body.substr(0, 300)));
    }
    SKEP_TRY(json::value value, parse_json(answer.body, "answer"));
    const json::object& usage = value.at("usage").as_object();
    sum.prompt_tokens += usage.at("prompt_tokens").to_number<int64_t>();
    sum.completion_tokens += usage.at("completion_tokens").to_number<int64_t>();
    if (const auto* details = usage.if_contains("prompt_tokens_details"); details != nullptr && details->is_object()) {
      if (const auto* cached = details->as_object().if_contains("cached_tokens"))
        sum.cached_tokens += cached->to_number<int64_t>();
    }
    const json::value& message = value.at("choices").at(0).at("message");
    const auto* content = message.as_object().if_contains("content");
    agents[i].messages.push_back(
        {{"role", "assistant"}, {"content", content != nullptr && content->is_string() ? content->as_string() : ""}});
  }
  if (sum.completion_tokens != static_cast<int64_t>(agents.size()) * options.tokens_out) {
    return fail(ErrorCode::internal, fmt::format("{} tokens came where {} were asked for", sum.completion_tokens,
                                                 static_cast<int64_t>(agents.size()) * options.tokens_out));
  }
  return sum;
}

struct Pair {
  Round cold, second;
};

Result<Pair> play_both(uint16_t port, const Agents131Options& options) {
  std::vector<Agent> agents(static_cast<size_t>(options.agents));
  for (size_t i = 0; i < agents.size(); ++i) {
    agents[i].messages.push_back({{"role", "system"}, {"content", preamble() + "\n\n" + role(static_cast<int>(i))}});
  }
  Pair pair;
  SKEP_TRY(pair.cold, play(port, agents, 0, options));
  if (!options.busy_neighbour) {
    SKEP_TRY(pair.second, play(port, agents, 1, options));
  }
  return pair;
}

Result<std::string> model_file(const Agents131Options& options) {
  if (!options.model.empty()) return options.model;
  std::string path = options.folder + "/bench.gguf";
  if (std::filesystem::exists(path)) return path;
  synth::SynthOptions synth;
  synth.shape = *synth::find_shape("smollm-135m");
  synth.path = path;
  SKEP_CHECK(synth::synthesize(synth));
  return path;
}

Result<Pair> measure_skep(const std::string& model, const Agents131Options& options) {
  std::string config = options.folder + "/skep.yaml";
  // What an earlier run parked on disk would make the cold round a warm one.
  std::error_code ignored;
  std::filesystem::remove_all(options.folder + "/state/parked", ignored);
  uint16_t port = free_port();
  std::ofstream(config) << fmt::format(
      "listen: 127.0.0.1:{}\nstate_folder: {}/state\ncache: {{enabled: false}}\nmodel_folders: []\nmodels:\n  bench:\n "
      "   path: {}\n    preload: "
      "true\n"
      "engines:\n  context: 2048\n  forward: {}\n",
      port, options.folder, model, options.forward);
  SKEP_TRY(auto server, ServerProcess::start({options.skep, "serve", "--config", config}, port, "/readyz",
                                             options.folder + "/skep.log", std::chrono::minutes(2)));
  return play_both(server.port(), options);
}

// The context is what 131 conversations of two rounds could take at most, as far as the slots go: llama-server clears
// idle slots' cells when it runs short of them, and prompts it has seen are kept in its host-memory cache by default.
Result<Pair> measure_llama(const std::string& model, int slots, const Agents131Options& options) {
  uint16_t port = free_port();
  SKEP_TRY(auto server,
           ServerProcess::start({options.llama_server, "-m", model, "--host", "127.0.0.1", "--port",
                                 std::to_string(port), "-np", std::to_string(slots), "--kv-unified", "-c",
                                 std::to_string(2048 * slots), "-t", "2", "--alias", "bench", "--no-webui"},
                                port, "/health", options.folder + "/llama-server.log", std::chrono::minutes(2)));
  return play_both(server.port(), options);
}

// What libllama's bare loops would need for what skep had to compute in a round.
struct Limit {
  double prefill = 0, decode = 0;  // tokens per second

  void put_into(Row& row, const Round& round, const Agents131Options& options) const {
    const auto evaluated = static_cast<double>(round.prompt_tokens - round.cached_tokens);
    const auto generated = static_cast<double>(round.completion_tokens);
    const double seconds = evaluated / prefill + generated / decode;
    row.limit = fmt::format(
        "{:.0f} tokens evaluated at {:.0f}/s (llama-bench), {:.0f} generated at {:.0f}/s (llama-batched-bench, 8 "
        "sequences): {:.1f} s",
        evaluated, prefill, generated, decode, seconds);
    row.fraction = row.value * seconds / options.agents;
  }
};

Result<std::optional<Limit>> measure_limit(const std::string& model, const Agents131Options& options) {
  const LlamaPeer tools(options.tools, 2);
  if (!tools.available()) return std::nullopt;
  Limit limit;
  SKEP_TRY(limit.prefill, tools.prefill(model, 512));
  SKEP_TRY(limit.decode, tools.decode(model, 8, 256, options.tokens_out));
  return limit;
}

}  // namespace

Result<Report> run_agents131(const Agents131Options& options) {
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  if (error) return fail(ErrorCode::io, fmt::format("{}: {}", options.folder, error.message()));
  SKEP_TRY(std::string model, model_file(options));

  std::optional<BusyNeighbour> neighbour;
  if (options.busy_neighbour) neighbour.emplace();

  std::vector<double> skep_cold, skep_second;
  Pair last;
  struct Peer {
    int slots;
    std::vector<double> cold, second;
  };
  std::vector<Peer> peers;
  if (!options.llama_server.empty()) peers = {{4, {}, {}}, {8, {}, {}}};
  for (int i = 0; i < options.rounds; ++i) {  // in turn, so that a slow minute of the machine hits all
    for (Peer& peer : peers) {
      SKEP_TRY(Pair pair, measure_llama(model, peer.slots, options));
      peer.cold.push_back(pair.cold.seconds);
      peer.second.push_back(pair.second.seconds);
    }
    SKEP_TRY(last, measure_skep(model, options));
    skep_cold.push_back(last.cold.seconds);
    skep_second.push_back(last.second.seconds);
  }

  SKEP_TRY(const std::optional<Limit> limit, measure_limit(model, options));

  Report report;
  report.bench = options.busy_neighbour ? "agents131, one core busy" : "agents131";
  if (options.forward != "auto") report.notes.push_back("forward pass of skep: " + options.forward);
  auto row = [&](const char* name, const Round& round, const std::vector<double>& ours,
                 std::vector<double> Peer::*theirs, double bar) {
    Row r;
    r.name = name;
    r.value = options.agents / median(ours);
    r.unit = "requests/s";
    if (limit) limit->put_into(r, round, options);
    if (!peers.empty()) {
      double best = 0;
      for (const Peer& peer : peers) {
        double rate = options.agents / median(peer.*theirs);
        if (rate <= best) continue;
        best = rate;
        r.peer = fmt::format("llama-server, {} slots", peer.slots);
      }
      r.peer_value = best;
      r.ratio = r.value / best;
      r.bar = fmt::format(">= {} x", bar);
      r.met = *r.ratio >= bar;
    }
    report.rows.push_back(std::move(r));
  };
  struct Bars {
    double cold, second, busy;
  };
  const Bars bars = options.forward == "llama" ? Bars{1.15, 1.8, 2.5} : Bars{2.5, 3.5, 4.0};
  row("cold", last.cold, skep_cold, &Peer::cold, options.busy_neighbour ? bars.busy : bars.cold);
  if (options.busy_neighbour) {
    report.notes.push_back(fmt::format("skep: {:.1f} s (median of {})", median(skep_cold), options.rounds));
    for (const Peer& peer : peers) {
      report.notes.push_back(fmt::format("llama-server, {} slots: {:.1f} s", peer.slots, median(peer.cold)));
    }
    return report;
  }
  row("second", last.second, skep_second, &Peer::second, bars.second);
  report.notes.push_back(fmt::format(
      "skep: cold {:.1f} s, second {:.1f} s (medians of {}); {} of {} and {} of {} prompt tokens taken over",
      median(skep_cold), median(skep_second), options.rounds, last.cold.cached_tokens, last.cold.prompt_tokens,
      last.second.cached_tokens, last.second.prompt_tokens));
  for (const Peer& peer : peers) {
    report.notes.push_back(fmt::format("llama-server, {} slots: cold {:.1f} s, second {:.1f} s", peer.slots,
                                       median(peer.cold), median(peer.second)));
  }
  return report;
}

}  // namespace skep::bench
