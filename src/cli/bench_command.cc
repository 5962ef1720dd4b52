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
#include "park_bench.h"
#include "preempt_bench.h"

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
  command->add_option("--forward", options->bench.forward, "llama, native or auto")->capture_default_str();
  command->add_option("--folder", options->folder, "For the model and what is parked");
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] {
    options->bench.folder = bench_folder(options->folder);
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

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("bench", "Measure skep, beside its peers, on this machine");
  command->require_subcommand(1);
  add_agents131(*command, exit_code);
  add_daemon(*command, exit_code);
  add_belief(*command, exit_code);
  add_coalition(*command, exit_code);
  add_forward(*command, exit_code);
  add_park(*command, exit_code);
  add_preempt(*command, exit_code);
  command->footer("Example:\n  skep bench agents131 --peer llama-server --rounds 3");
}

}  // namespace skep::cli
