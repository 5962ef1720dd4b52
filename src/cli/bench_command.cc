#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <type_traits>

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

// The options of a bench: its own, and those that many have.
template <class Bench>
struct Options {
  Bench bench;
  std::string folder, peer = "llama-server";
  bool no_peer = false, json = false;
};

// A subcommand: `declare` adds its options to it, `run` measures with them. Every bench has --json.
template <class Bench>
void add(CLI::App& parent, int& exit_code, const char* name, const char* what,
         const std::type_identity_t<std::function<void(CLI::App&, Options<Bench>&)>>& declare,
         std::type_identity_t<std::function<Result<bench::Report>(Options<Bench>&)>> run) {
  auto options = std::make_shared<Options<Bench>>();
  CLI::App* command = parent.add_subcommand(name, what);
  declare(*command, *options);
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, run = std::move(run), &exit_code] { exit_code = finish(run(*options), options->json); });
}

void add_number(CLI::App& command, const char* name, int& value, int least, int most, const char* what) {
  command.add_option(name, value, what)->check(CLI::Range(least, most))->capture_default_str();
}

void add_forward_choice(CLI::App& command, std::string& forward) {
  command.add_option("--forward", forward, "llama, native or auto")
      ->check(CLI::IsMember({"llama", "native", "auto"}))
      ->capture_default_str();
}

void add_serving_benches(CLI::App& bench, int& exit_code) {
  add<bench::Agents131Options>(
      bench, exit_code, "agents131", "131 agents on one 143 M-parameter model, against llama-server",
      [](CLI::App& command, auto& options) {
        command.add_option("--peer", options.peer, "llama-server, its path, or none")->capture_default_str();
        add_number(command, "--rounds", options.bench.rounds, 1, 100, "Times that each server plays");
        command.add_option("--model", options.bench.model, "Another GGUF than the synthesized one");
        add_forward_choice(command, options.bench.forward);
        command.add_option("--folder", options.folder, "For the model, configurations and logs");
        command.add_flag("--busy-neighbour", options.bench.busy_neighbour, "One spinning process beside both");
      },
      [](auto& options) -> Result<bench::Report> {
        SKEP_TRY(options.bench.llama_server, llama_server(options.peer));
        options.bench.tools = shipped_file(".deps/prefix/usr/bin");
        options.bench.skep = executable();
        options.bench.folder = bench_folder(options.folder);
        return bench::run_agents131(options.bench);
      });
  add<bench::PreemptBenchOptions>(
      bench, exit_code, "preempt", "How soon critical tasks are served, and what long prompts do to streams",
      [](CLI::App& command, auto& options) {
        command.add_option("--peer", options.peer, "llama-server, its path, or none")->capture_default_str();
        add_number(command, "--tasks", options.bench.critical, 1, 1000, "Critical tasks that are measured");
        command.add_option("--model", options.bench.model, "Another GGUF than the synthesized one");
        add_forward_choice(command, options.bench.forward);
        command.add_option("--folder", options.folder, "For the model, configurations and logs");
      },
      [](auto& options) -> Result<bench::Report> {
        SKEP_TRY(options.bench.llama_server, llama_server(options.peer));
        options.bench.skep = executable();
        options.bench.folder = bench_folder(options.folder);
        return bench::run_preempt_bench(options.bench);
      });
  add<bench::DaemonBenchOptions>(
      bench, exit_code, "daemon", "Start-up, memory, overhead per request, loads and swaps",
      [](CLI::App& command, auto& options) {
        add_number(command, "--rounds", options.bench.rounds, 1, 100, "Times that each is measured");
        command.add_option("--folder", options.folder, "For models, configurations and logs");
      },
      [](auto& options) {
        options.bench.skep = executable();
        options.bench.roster = shipped_file("rosters/edge-131.yaml");
        options.bench.folder = bench_folder(options.folder);
        return bench::run_daemon_bench(options.bench);
      });
}

void add_engine_benches(CLI::App& bench, int& exit_code) {
  add<bench::ForwardBenchOptions>(
      bench, exit_code, "forward", "Our own forward pass against llama-bench and llama-batched-bench",
      [](CLI::App& command, auto& options) {
        command.add_option("--threads", options.bench.threads, "0: all cores")->check(CLI::Range(0, 255));
        add_number(command, "--rounds", options.bench.rounds, 1, 100, "Of each workload, in turns");
        command.add_option("--only", options.bench.only,
                           "Models whose name contains this (\"143M Q4_0\"), load, or flat");
        command.add_option("--folder", options.folder, "For the models");
        command.add_flag("--no-peer", options.no_peer, "Without libllama's tools");
        command.add_flag("!--no-kernels", options.bench.kernels, "Without the kernels by themselves");
      },
      [](auto& options) {
        options.bench.folder = bench_folder(options.folder);
        options.bench.tools = options.no_peer ? "" : shipped_file(".deps/prefix/usr/bin");
        return bench::run_forward_bench(options.bench);
      });
  add<bench::ParkBenchOptions>(
      bench, exit_code, "park", "Parked contexts against evaluating them again; drafts",
      [](CLI::App& command, auto& options) {
        add_number(command, "--rounds", options.bench.rounds, 1, 100, "Times that each is measured");
        command.add_option("--model", options.bench.model, "Another GGUF than the synthesized one");
        command.add_option("--only", options.bench.only, "drafts: nothing else")->check(CLI::IsMember({"drafts"}));
        add_forward_choice(command, options.bench.forward);
        command.add_option("--folder", options.folder, "For the model and what is parked");
      },
      [](auto& options) {
        options.bench.folder = bench_folder(options.folder);
        options.bench.trained = shipped_file("models/deep.gguf");
        return bench::run_park_bench(options.bench);
      });
  add<bench::ModelBenchOptions>(
      bench, exit_code, "model", "The model tools against llama-quantize and zstd; sizes and rates",
      [](CLI::App& command, auto& options) {
        auto& own = options.bench;
        command.add_option("--only", own.only, "quantize, delta, sizes, curves or distill");
        command.add_option("--model", own.models,
                           "For sizes, curves and distill: score these instead of the tinyllama shape");
        command.add_option("--text", own.text, "… their perplexity on this text");
        command.add_option("--tasks", own.tasks, "… their accuracy on this task file");
        command.add_option("--type", own.type, "For sizes: only this quantization");
        command.add_option("--data", own.data, "For distill: tasks that the pruned model learns from");
        command.add_option("--steps", own.steps, "… in so many steps, one row each: 50,100,200")
            ->delimiter(',')
            ->check(CLI::Range(1, 1'000'000))
            ->capture_default_str();
        add_number(command, "--layers", own.most_removed, 1, 1000,
                   "For curves: remove so many at most; for distill: remove so many");
        add_number(command, "--rounds", own.rounds, 1, 100, "Of quantize, in turns");
        command.add_option("--folder", options.folder, "For the models");
        command.add_flag("--no-peer", options.no_peer, "Without llama-quantize");
      },
      [](auto& options) {
        options.bench.skep = executable();
        options.bench.folder = bench_folder(options.folder);
        if (!options.no_peer) options.bench.llama_quantize = shipped_file(".deps/prefix/usr/bin/llama-quantize");
        return bench::run_model_bench(options.bench);
      });
}

void add_mind_benches(CLI::App& bench, int& exit_code) {
  add<bench::BeliefBenchOptions>(
      bench, exit_code, "belief", "Active-inference populations against the machine's limits and numpy",
      [](CLI::App& command, auto& options) {
        command.add_option("--threads", options.bench.threads, "0: all cores")->check(CLI::Range(0, 1024));
        add_number(command, "--rounds", options.bench.rounds, 1, 1000, "Of each workload, in turns");
        command.add_option("--only", options.bench.only, "One result by its name");
        command.add_flag("!--no-peer", options.bench.peer, "Without numpy");
      },
      [](auto& options) { return bench::run_belief_bench(options.bench); });
  add<bench::CoalitionBenchOptions>(
      bench, exit_code, "coalition", "Coalitions: rebuild, change, and how near to the optimum",
      [](CLI::App& command, auto& options) {
        add_number(command, "--threads", options.bench.threads, 1, 1024, "For the rebuild");
        add_number(command, "--rounds", options.bench.rounds, 1, 1000, "Of each time");
      },
      [](auto& options) { return bench::run_coalition_bench(options.bench); });
}

void add_state_benches(CLI::App& bench, int& exit_code) {
  add<bench::StoreBenchOptions>(
      bench, exit_code, "store", "The state store: commits, and processes killed at work",
      [](CLI::App& command, auto& options) {
        add_number(command, "--kills", options.bench.kills, 0, 100'000, "Processes that are killed; 0: none");
        add_number(command, "--writes", options.bench.writes, 100, 10'000'000, "Of each workload");
        command.add_option("--folder", options.folder, "For the stores");
      },
      [](auto& options) {
        options.bench.folder = bench_folder(options.folder) + "/store";
        return bench::run_store_bench(options.bench);
      });
  add<bench::WakeBenchOptions>(
      bench, exit_code, "wake", "Sleeping agents: their bytes, and how fast they wake",
      [](CLI::App& command, auto& options) {
        add_number(command, "--agents", options.bench.agents, 100, 10'000, "How many");
        command.add_option("--folder", options.folder, "For the state");
      },
      [](auto& options) {
        options.bench.skep = executable();
        options.bench.folder = bench_folder(options.folder) + "/wake";
        return bench::run_wake_bench(options.bench);
      });
  add<bench::CacheBenchOptions>(
      bench, exit_code, "cache", "The response cache: hits over HTTP, and ten rounds with and without",
      [](CLI::App& command, auto& options) {
        add_number(command, "--hits", options.bench.hits, 1000, 10'000'000, "Requests");
        add_number(command, "--rounds", options.bench.rounds, 0, 1000, "Of the roster's agents; 0: none");
        command.add_option("--folder", options.folder, "For models, configurations and logs");
      },
      [](auto& options) {
        options.bench.skep = executable();
        options.bench.roster = shipped_file("rosters/edge-131.yaml");
        options.bench.folder = bench_folder(options.folder) + "/cache";
        return bench::run_cache_bench(options.bench);
      });
  add<bench::VectorsBenchOptions>(
      bench, exit_code, "vectors", "Semantic lookup and long-term memory, beside pgvector and Redis",
      [](CLI::App& command, auto& options) {
        add_number(command, "--facts", options.bench.facts, 100, 10'000'000, "How many");
        add_number(command, "--dimensions", options.bench.dimensions, 8, 8192, "Of the vectors");
        add_number(command, "--queries", options.bench.queries, 10, 1'000'000, "Searches that are timed");
        command.add_option("--only", options.bench.only, "semantic, facts or peers")
            ->check(CLI::IsMember({"semantic", "facts", "peers"}));
        command.add_flag("--peers", options.bench.peers, "Also with PostgreSQL + pgvector and Redis, the same facts");
        command.add_option("--folder", options.folder, "For the files");
      },
      [](auto& options) {
        options.bench.folder = bench_folder(options.folder) + "/vectors";
        options.bench.deps = shipped_file(".deps");
        return bench::run_vectors_bench(options.bench);
      });
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("bench", "Measure skep, beside its peers, on this machine");
  command->require_subcommand(1);
  add_serving_benches(*command, exit_code);
  add_engine_benches(*command, exit_code);
  add_mind_benches(*command, exit_code);
  add_state_benches(*command, exit_code);
  command->footer("Example:\n  skep bench agents131 --peer llama-server --rounds 3");
}

}  // namespace skep::cli
