#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "agents131/agents131.h"
#include "belief_bench.h"
#include "cli/commands.h"
#include "cli/shipped_files.h"
#include "cli/terminal.h"
#include "coalition_bench.h"
#include "daemon/daemon_bench.h"
#include "forward_bench.h"
#include "model_bench.h"
#include "park_bench.h"
#include "preempt_bench.h"
#include "state_bench.h"
#include "vectors_bench.h"

namespace skep::cli {
namespace {

std::string bench_folder(const std::string& option) {
  if (!option.empty()) return option;
  std::error_code error;
  return (std::filesystem::temp_directory_path(error) / "skep-bench").string();
}

// The peer's program: as named, else where scripts/setup puts it.
Result<std::string> llama_server(const std::string& peer) {
  if (peer == "none") return std::string();
  if (peer.find('/') != peer.npos) return peer;
  std::string shipped = shipped_file(".deps/prefix/usr/bin/" + peer);
  std::error_code error;
  return std::filesystem::exists(shipped, error) ? shipped : peer;
}

int finish(const Result<bench::Report>& result, bool json) {
  if (!result) return report(result.error());
  bench::print(*result, json);
  for (const bench::Row& row : result->rows) {
    if (row.met && !*row.met) return kFailed;
  }
  return kOk;
}

void add_agents131(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::Agents131Options bench;
    std::string peer = "llama-server", folder;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = bench.add_subcommand("agents131", "131 agents on one 143 M-parameter model, against llama-server");
  command->add_option("--peer", options->peer, "llama-server, its path, or none")->capture_default_str();
  command->add_option("--rounds", options->bench.rounds, "Times that each server plays")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_option("--model", options->bench.model, "Another GGUF than the synthesized one");
  command->add_option("--folder", options->folder, "For the model, configurations and logs");
  command->add_flag("--busy-neighbour", options->bench.busy_neighbour, "One spinning process beside both");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    auto peer = llama_server(options->peer);
    if (!peer) {
      exit_code = report(peer.error());
      return;
    }
    options->bench.llama_server = *peer;
    options->bench.tools = shipped_file(".deps/prefix/usr/bin");
    options->bench.skep = executable();
    options->bench.folder = bench_folder(options->folder);
    exit_code = finish(bench::run_agents131(options->bench), options->json);
  });
}

void add_daemon(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::DaemonBenchOptions bench;
    std::string folder;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = bench.add_subcommand("daemon", "Start-up, memory, overhead per request, loads and swaps");
  command->add_option("--rounds", options->bench.rounds, "Times that each is measured")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_option("--folder", options->folder, "For models, configurations and logs");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    options->bench.skep = executable();
    options->bench.roster = shipped_file("rosters/edge-131.yaml");
    options->bench.folder = bench_folder(options->folder);
    exit_code = finish(bench::run_daemon_bench(options->bench), options->json);
  });
}

void add_belief(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::BeliefBenchOptions bench;
    bool no_peer = false, json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = bench.add_subcommand("belief", "Active-inference populations against the machine's limits and numpy");
  command->add_option("--threads", options->bench.threads, "0: all cores")->check(CLI::Range(0, 1024));
  command->add_option("--rounds", options->bench.rounds, "Of each workload, in turns")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--only", options->bench.only, "One result by its name");
  command->add_flag("--no-peer", options->no_peer, "Without numpy");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    options->bench.peer = !options->no_peer;
    exit_code = finish(bench::run_belief_bench(options->bench), options->json);
  });
}

void add_vectors(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::VectorsBenchOptions bench;
    std::string folder;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = bench.add_subcommand("vectors", "Semantic lookup and long-term memory, beside pgvector and Redis");
  command->add_option("--facts", options->bench.facts, "How many")
      ->check(CLI::Range(100, 10'000'000))
      ->capture_default_str();
  command->add_option("--dimensions", options->bench.dimensions, "Of the vectors")
      ->check(CLI::Range(8, 8192))
      ->capture_default_str();
  command->add_option("--queries", options->bench.queries, "Searches that are timed")
      ->check(CLI::Range(10, 1'000'000))
      ->capture_default_str();
  command->add_option("--only", options->bench.only, "semantic, facts or peers")
      ->check(CLI::IsMember({"semantic", "facts", "peers"}));
  command->add_flag("--peers", options->bench.peers, "Also with PostgreSQL + pgvector and Redis, the same facts");
  command->add_option("--folder", options->folder, "For the files");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    options->bench.folder = bench_folder(options->folder) + "/vectors";
    options->bench.deps = shipped_file(".deps");
    exit_code = finish(bench::run_vectors_bench(options->bench), options->json);
  });
}

void add_coalition(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::CoalitionBenchOptions bench;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = bench.add_subcommand("coalition", "Coalitions: rebuild, change, and how near to the optimum");
  command->add_option("--threads", options->bench.threads, "For the rebuild")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--rounds", options->bench.rounds, "Of each time")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--json", options->json, "As JSON");
  command->callback(
      [options, &exit_code] { exit_code = finish(bench::run_coalition_bench(options->bench), options->json); });
}

void add_forward(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::ForwardBenchOptions bench;
    std::string folder;
    bool no_peer = false, no_kernels = false, json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = bench.add_subcommand("forward", "Our own forward pass against llama-bench and llama-batched-bench");
  command->add_option("--threads", options->bench.threads, "0: all cores")->check(CLI::Range(0, 255));
  command->add_option("--rounds", options->bench.rounds, "Of each workload, in turns")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_option("--only", options->bench.only, "Models whose name contains this (\"143M Q4_0\"), load, or flat");
  command->add_option("--folder", options->folder, "For the models");
  command->add_flag("--no-peer", options->no_peer, "Without libllama's tools");
  command->add_flag("--no-kernels", options->no_kernels, "Without the kernels by themselves");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    options->bench.folder = bench_folder(options->folder);
    options->bench.tools = options->no_peer ? "" : shipped_file(".deps/prefix/usr/bin");
    options->bench.kernels = !options->no_kernels;
    exit_code = finish(bench::run_forward_bench(options->bench), options->json);
  });
}

void add_park(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::ParkBenchOptions bench;
    std::string folder;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = bench.add_subcommand("park", "Parked contexts against evaluating them again; drafts");
  command->add_option("--rounds", options->bench.rounds, "Times that each is measured")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_option("--model", options->bench.model, "Another GGUF than the synthesized one");
  command->add_option("--only", options->bench.only, "drafts: nothing else")->check(CLI::IsMember({"drafts"}));
  command->add_option("--forward", options->bench.forward, "llama, native or auto")->capture_default_str();
  command->add_option("--folder", options->folder, "For the model and what is parked");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    options->bench.folder = bench_folder(options->folder);
    options->bench.trained = shipped_file("models/deep.gguf");
    exit_code = finish(bench::run_park_bench(options->bench), options->json);
  });
}

void add_preempt(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::PreemptBenchOptions bench;
    std::string peer = "llama-server", folder;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command =
      bench.add_subcommand("preempt", "How soon critical tasks are served, and what long prompts do to streams");
  command->add_option("--peer", options->peer, "llama-server, its path, or none")->capture_default_str();
  command->add_option("--tasks", options->bench.critical, "Critical tasks that are measured")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--model", options->bench.model, "Another GGUF than the synthesized one");
  command->add_option("--forward", options->bench.forward, "llama, native or auto")->capture_default_str();
  command->add_option("--folder", options->folder, "For the model, configurations and logs");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    auto peer = llama_server(options->peer);
    if (!peer) {
      exit_code = report(peer.error());
      return;
    }
    options->bench.llama_server = *peer;
    options->bench.skep = executable();
    options->bench.folder = bench_folder(options->folder);
    exit_code = finish(bench::run_preempt_bench(options->bench), options->json);
  });
}

void add_model_tools(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::ModelBenchOptions bench;
    std::string folder;
    bool no_peer = false, json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = bench.add_subcommand("model", "The model tools against llama-quantize and zstd; sizes and rates");
  command->add_option("--only", options->bench.only, "quantize, delta, sizes, curves or distill");
  command->add_option("--model", options->bench.models,
                      "For sizes, curves and distill: score these instead of the tinyllama shape");
  command->add_option("--text", options->bench.text, "… their perplexity on this text");
  command->add_option("--tasks", options->bench.tasks, "… their accuracy on this task file");
  command->add_option("--type", options->bench.type, "For sizes: only this quantization");
  command->add_option("--data", options->bench.data, "For distill: tasks that the pruned model learns from");
  command->add_option("--steps", options->bench.steps, "… in so many steps, one row each: 50,100,200")
      ->delimiter(',')
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--layers", options->bench.most_removed,
                   "For curves: remove so many at most; for distill: remove so many")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--rounds", options->bench.rounds, "Of quantize, in turns")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_option("--folder", options->folder, "For the models");
  command->add_flag("--no-peer", options->no_peer, "Without llama-quantize");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    options->bench.skep = executable();
    options->bench.folder = bench_folder(options->folder);
    if (!options->no_peer) options->bench.llama_quantize = shipped_file(".deps/prefix/usr/bin/llama-quantize");
    exit_code = finish(bench::run_model_bench(options->bench), options->json);
  });
}

void add_store(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::StoreBenchOptions bench;
    std::string folder;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = bench.add_subcommand("store", "The state store: commits, and processes killed at work");
  command->add_option("--kills", options->bench.kills, "Processes that are killed; 0: none")
      ->check(CLI::Range(0, 100'000))
      ->capture_default_str();
  command->add_option("--writes", options->bench.writes, "Of each workload")
      ->check(CLI::Range(100, 10'000'000))
      ->capture_default_str();
  command->add_option("--folder", options->folder, "For the stores");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    options->bench.folder = bench_folder(options->folder) + "/store";
    exit_code = finish(bench::run_store_bench(options->bench), options->json);
  });
}

void add_wake(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::WakeBenchOptions bench;
    std::string folder;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = bench.add_subcommand("wake", "Sleeping agents: their bytes, and how fast they wake");
  command->add_option("--agents", options->bench.agents, "How many")
      ->check(CLI::Range(100, 10'000))
      ->capture_default_str();
  command->add_option("--folder", options->folder, "For the state");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    options->bench.skep = executable();
    options->bench.folder = bench_folder(options->folder) + "/wake";
    exit_code = finish(bench::run_wake_bench(options->bench), options->json);
  });
}

void add_cache_bench(CLI::App& bench, int& exit_code) {
  struct Options {
    bench::CacheBenchOptions bench;
    std::string folder;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = bench.add_subcommand("cache", "The response cache: hits over HTTP, and ten rounds with and without");
  command->add_option("--hits", options->bench.hits, "Requests")
      ->check(CLI::Range(1000, 10'000'000))
      ->capture_default_str();
  command->add_option("--rounds", options->bench.rounds, "Of the roster's agents; 0: none")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->add_option("--folder", options->folder, "For models, configurations and logs");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    options->bench.skep = executable();
    options->bench.roster = shipped_file("rosters/edge-131.yaml");
    options->bench.folder = bench_folder(options->folder) + "/cache";
    exit_code = finish(bench::run_cache_bench(options->bench), options->json);
  });
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("bench", "Measure skep, beside its peers, on this machine");
  command->require_subcommand(1);
  add_agents131(*command, exit_code);
  add_daemon(*command, exit_code);
  add_belief(*command, exit_code);
  add_coalition(*command, exit_code);
  add_forward(*command, exit_code);
  add_model_tools(*command, exit_code);
  add_park(*command, exit_code);
  add_preempt(*command, exit_code);
  add_store(*command, exit_code);
  add_wake(*command, exit_code);
  add_cache_bench(*command, exit_code);
  add_vectors(*command, exit_code);
  command->footer("Example:\n  skep bench agents131 --peer llama-server --rounds 3");
}

}  // namespace skep::cli
