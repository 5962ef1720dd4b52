#include <CLI/CLI.hpp>
#include <array>
#include <boost/json.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "base/duration.h"
#include "base/folder_lock.h"
#include "cli/commands.h"
#include "cli/demo_models.h"
#include "cli/run/run_command.h"
#include "cli/shipped_files.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

constexpr const char* kKnownAnswers = "examples/tasks-demo.jsonl";  // in the small language of the shipped models

struct Options {
  std::string config, folder, tasks, roster, listen, budget = "4GiB";
  bool once = false, json = false;
};

// The same tasks once more, all on one choice of model, to show what choosing by complexity is worth. Each pass has a
// caller of its own: no context that an earlier one left makes it look faster.
struct Pass {
  std::string model;
  RunSummary summary;
};

void print_passes(const std::vector<Pass>& passes) {
  using Align = Table::Align;
  Table table({{"the same tasks with", Align::left},
               {"right", Align::right},
               {"time", Align::right},
               {"prompt", Align::right},
               {"reused", Align::right},
               {"answer", Align::right},
               {"tasks/s", Align::right}});
  for (const Pass& pass : passes) {
    const RunSummary& s = pass.summary;
    double wall = seconds(s.wall);
    table.row({pass.model == "auto" ? "auto (by complexity)" : "everything on " + pass.model,
               percent(s.counts.accuracy), to_string(s.wall), human_count(s.counts.prompt_tokens),
               percent(s.counts.cached_tokens, s.counts.prompt_tokens), human_count(s.counts.completion_tokens),
               wall > 0 ? fmt::format("{:.1f}", static_cast<double>(s.counts.finished) / wall) : ""});
  }
  fmt::print("\n");
  table.print();
}

boost::json::array passes_json(const std::vector<Pass>& passes) {
  boost::json::array out;
  for (const Pass& pass : passes) {
    boost::json::object one = to_json(pass.summary);
    one["model"] = pass.model;
    out.push_back(std::move(one));
  }
  return out;
}

void print_agents(api::Backend& backend) {
  int counts[3] = {};
  auto agents = backend.agents();
  for (const auto& agent : agents) ++counts[agent.tier == "deep" ? 0 : agent.tier == "balanced" ? 1 : 2];
  fmt::print("{} agents: {} deep, {} balanced, {} fast\n", agents.size(), counts[0], counts[1], counts[2]);
}

// Every demo is a whole one: what agents and models remember of an earlier one is gone, and a daemon's own state is not
// touched. The lock keeps a second demo out of the folder while this one lasts.
Result<FolderLock> begin_anew(daemon::Config& config, const std::string& folder) {
  SKEP_TRY(FolderLock lock, FolderLock::take(folder));
  config.state_folder = folder + "/skep-demo-state";
  std::error_code code;
  std::filesystem::remove_all(config.state_folder, code);
  if (code)
    return fail(ErrorCode::io, fmt::format("{}: {}", config.state_folder, code.message()),
                "name another folder with --folder");
  return lock;
}

int demo(const Options& options) {
  auto config = daemon::load_config(options.config);
  if (!config) return report(config.error());
  std::string folder = options.folder.empty() ? config->state_folder + "/demo" : options.folder;
  auto budget = parse_bytes(options.budget);
  if (!budget) return report(budget.error());
  config->memory.budget = *budget;
  if (!options.listen.empty()) config->listen = options.listen;
  auto lock = begin_anew(*config, folder);
  if (!lock) return report(lock.error());
  config->log_level = "error";    // the live view tells what goes on
  config->cache.enabled = false;  // it shows models at work
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
  run.tasks = options.tasks.empty() ? shipped_file(models->random_weights ? "examples/tasks.jsonl" : kKnownAnswers)
                                    : options.tasks;
  run.results = folder + "/results.jsonl";
  // Random weights never come to an end by themselves, and nobody reads what they say.
  if (models->random_weights) run.max_tokens = 24;
  int exit_code = kOk;
  auto end = [&](int with) {
    exit_code = with;
    session.finish();
  };

  std::error_code code;
  // What follows the main run where right answers are known: one pass after the other.
  std::vector<Pass> passes;
  std::optional<RunSummary> main_run;
  auto finish = [&] {
    if (options.json) {
      boost::json::object out = to_json(*main_run);
      if (!passes.empty()) out["passes"] = passes_json(passes);
      fmt::print("{}\n", boost::json::serialize(out));
    } else {
      if (!passes.empty()) print_passes(passes);
      fmt::print("\nanswers: {}\n", run.results);
    }
    std::fflush(stdout);
    int outcome = main_run->counts.failed > 0 || main_run->counts.broken > 0 ? kFailed : kOk;
    if (main_run->interrupted) outcome = kInterrupted;
    if (options.once || main_run->interrupted) return end(outcome);
    exit_code = outcome;
    fmt::print(
        "\nskep goes on serving on http://127.0.0.1:{} until Ctrl-C. Try:\n"
        "  curl http://127.0.0.1:{}/v1/chat/completions -d '{{\"model\": \"auto\", \"messages\": [{{\"role\": "
        "\"user\", \"content\": \"Pump 4 "
        "reads 81 degrees.\"}}]}}'\n",
        port, port);
    std::fflush(stdout);
    session.on_interrupt([&] { session.finish(); });
  };
  std::function<void()> next_pass = [&] {
    static constexpr std::array kPasses = {"deep", "auto", "fast"};
    if (passes.size() == kPasses.size()) return finish();
    RunOptions again = run;
    again.model = kPasses.at(passes.size());
    again.caller = "pass-" + again.model;
    again.results = fmt::format("{}/results-{}.jsonl", folder, again.model);
    std::filesystem::remove(again.results, code);
    run_tasks(session, session.backend(), again, [&, model = again.model](Result<RunSummary> summary) {
      if (!summary) return end(report(summary.error()));
      bool interrupted = summary->interrupted;
      if (!interrupted) passes.push_back({model, std::move(*summary)});
      if (!interrupted) return next_pass();
      main_run->interrupted = true;
      finish();
    });
  };
  std::filesystem::remove(run.results, code);
  run_tasks(session, session.backend(), run, [&](Result<RunSummary> summary) {
    if (!summary) return end(report(summary.error()));
    main_run = std::move(*summary);
    if (!options.json) print_table(*main_run);
    std::fflush(stdout);
    if (main_run->counts.accuracy.graded == 0 || main_run->interrupted) return finish();
    next_pass();
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
  command->add_option("--tasks", options->tasks,
                      "Other tasks than examples/tasks-demo.jsonl (with random weights, examples/tasks.jsonl)");
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
