#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <filesystem>
#include <memory>

#include "cli/commands.h"
#include "cli/demo_models.h"
#include "cli/run/run_command.h"
#include "cli/shipped_files.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

struct Options {
  std::string config, folder, tasks, roster, listen, budget = "4GiB";
  bool once = false, json = false;
};

void print_agents(api::Backend& backend) {
  int counts[3] = {};
  auto agents = backend.agents();
  for (const auto& agent : agents) ++counts[agent.tier == "deep" ? 0 : agent.tier == "balanced" ? 1 : 2];
  fmt::print("{} agents: {} deep, {} balanced, {} fast\n", agents.size(), counts[0], counts[1], counts[2]);
}

int demo(const Options& options) {
  auto config = daemon::load_config(options.config);
  if (!config) return report(config.error());
  std::string folder = options.folder.empty() ? config->state_folder + "/demo" : options.folder;
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code)
    return report({ErrorCode::io, fmt::format("{}: {}", folder, code.message()), "name another folder with --folder"});

  auto budget = parse_bytes(options.budget);
  if (!budget) return report(budget.error());
  config->memory.budget = *budget;
  if (!options.listen.empty()) config->listen = options.listen;
  config->log_level = "error";  // the live view tells what goes on
  if (config->roster.empty())
    config->roster = options.roster.empty() ? shipped_file("rosters/edge-131.yaml") : options.roster;
  auto models = prepare_demo_models(*config, folder);
  if (!models) return report(models.error());

  Session session({std::move(*config), "", true, false});
  if (auto started = session.start(); !started) return report(started.error());
  uint16_t port = session.daemon().port();
  if (!options.json) {
    print_agents(session.backend());
    fmt::print("budget {}, API on http://127.0.0.1:{}\n\n", to_string(session.daemon().budget()), port);
  }
  RunOptions run;
  run.tasks = options.tasks.empty() ? shipped_file("examples/tasks.jsonl") : options.tasks;
  run.results = folder + "/results.jsonl";
  // Random weights never come to an end by themselves, and nobody reads what they say.
  if (models->random_weights) run.max_tokens = 24;
  std::filesystem::remove(run.results, code);  // every demo is a whole one
  int exit_code = kOk;
  run_tasks(session, run, [&](Result<RunSummary> summary) {
    if (!summary) {
      exit_code = report(summary.error());
      session.finish();
      return;
    }
    if (options.json) {
      fmt::print("{}\n", boost::json::serialize(to_json(*summary)));
    } else {
      print_table(*summary);
      fmt::print("answers: {}\n", run.results);
    }
    std::fflush(stdout);
    exit_code = summary->counts.failed > 0 || summary->counts.broken > 0 ? kFailed : kOk;
    if (options.once || summary->interrupted) {
      if (summary->interrupted) exit_code = kInterrupted;
      session.finish();
      return;
    }
    fmt::print(
        "\nskep goes on serving on http://127.0.0.1:{} until Ctrl-C. Try:\n"
        "  curl http://127.0.0.1:{}/v1/chat/completions -d '{{\"model\": \"auto\", \"messages\": [{{\"role\": "
        "\"user\", \"content\": \"Pump 4 "
        "reads 81 degrees.\"}}]}}'\n",
        port, port);
    std::fflush(stdout);
    session.on_interrupt([&] { session.finish(); });
  });
  session.run();
  return exit_code;
}

}  // namespace

void add_demo(CLI::App& app, int& exit_code) {
  auto* command =
      app.add_subcommand("demo", "131 agents work through the example tasks inside 4 GiB, then keep serving");
  auto options = std::make_shared<Options>();
  command->add_option("-c,--config", options->config, "A configuration file (default: skep.yaml, where there is one)");
  command->add_option("--tasks", options->tasks, "Other tasks than examples/tasks.jsonl");
  command->add_option("--roster", options->roster, "Other agents than rosters/edge-131.yaml");
  command->add_option("--budget", options->budget, "Memory that everything may take")->capture_default_str();
  command->add_option("--listen", options->listen, "Address and port (default 127.0.0.1:8051)");
  command->add_option("--folder", options->folder, "For results, and for models where none are there");
  command->add_flag("--once", options->once, "Exit after the summary instead of serving on");
  command->add_flag("--json", options->json, "The summary as JSON");
  command->footer("Examples:\n  skep demo\n  skep demo --once --json");
  command->callback([options, &exit_code] { exit_code = demo(*options); });
}

}  // namespace skep::cli
