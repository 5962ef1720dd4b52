#include "cli/run/run_command.h"

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/run/run_display.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

// Everything that one run needs, for as long as it lasts.
struct Work {
  Work(Session& s, TaskFile t, ResultFile r, const RunOptions& options)
      : session(s),
        tasks(std::move(t)),
        results(std::move(r)),
        run(s.loop(), s.backend(), tasks, results, {options.window, options.strict, options.max_tokens, options.model}),
        display(s.loop(), s.backend(), run),
        began(s.loop().now()) {}

  Session& session;
  TaskFile tasks;
  ResultFile results;
  TaskRun run;
  RunDisplay display;
  TimePoint began;
  bool interrupted = false;
};

}  // namespace

void run_tasks(Session& session, const RunOptions& options, std::function<void(Result<RunSummary>)> done) {
  auto refuse = [&](const Error& error) { session.loop().post([done, error] { done(fail(error)); }); };
  auto tasks = TaskFile::open(options.tasks);
  if (!tasks) return refuse(tasks.error());
  auto results = ResultFile::open(options.results, options.retry_failed);
  if (!results) return refuse(results.error());
  auto work = std::make_shared<Work>(session, std::move(*tasks), std::move(*results), options);
  session.on_interrupt([weak = std::weak_ptr(work)] {
    auto alive = weak.lock();
    if (!alive) return;
    alive->interrupted = true;
    alive->run.interrupt();
  });
  work->run.start([work, done = std::move(done)](Status outcome) {
    work->display.stop();
    for (const std::string& complaint : work->run.complaints())
      fmt::print(stderr, "{} {}\n", paint(Colour::yellow, "skipped", stderr), complaint);
    if (work->run.counts().broken > static_cast<int64_t>(work->run.complaints().size())) {
      fmt::print(stderr, "… and {} more broken lines\n",
                 work->run.counts().broken - static_cast<int64_t>(work->run.complaints().size()));
    }
    if (!outcome) return done(fail(outcome.error()));
    RunSummary summary;
    summary.counts = work->run.counts();
    summary.performance = work->session.backend().performance();
    summary.wall = work->session.loop().now() - work->began;
    summary.peak_memory = work->display.peak_memory();
    summary.budget = work->session.daemon().budget();
    summary.resumed = work->run.counts().skipped;
    summary.interrupted = work->interrupted;
    done(std::move(summary));
  });
}

namespace {

struct CommandOptions {
  RunOptions run;
  std::string config, roster, budget;
  bool json = false;
};

int run(const CommandOptions& options) {
  auto config = daemon::load_config(options.config);
  if (!config) return report(config.error());
  if (!options.roster.empty()) config->roster = options.roster;
  config->log_level = "error";  // the live view tells what goes on
  if (!options.budget.empty()) {
    auto budget = parse_bytes(options.budget);
    if (!budget) return report(budget.error());
    config->memory.budget = *budget;
  }
  Session session({std::move(*config), "", false, false});
  if (auto started = session.start(); !started) return report(started.error());
  int code = kOk;
  run_tasks(session, options.run, [&](Result<RunSummary> summary) {
    if (!summary) {
      code = report(summary.error());
    } else {
      if (options.json) {
        fmt::print(options.run.results == "-" ? stderr : stdout, "{}\n", boost::json::serialize(to_json(*summary)));
      } else if (options.run.results != "-") {
        print_table(*summary);
      }
      code = summary->interrupted                                       ? kInterrupted
             : summary->counts.failed > 0 || summary->counts.broken > 0 ? kFailed
                                                                        : kOk;
    }
    session.finish();
  });
  session.run();
  return code;
}

}  // namespace

void add_run(CLI::App& app, int& exit_code) {
  auto* command =
      app.add_subcommand("run", "Work through a file of tasks (JSONL), in constant memory; a second run resumes");
  auto options = std::make_shared<CommandOptions>();
  command->add_option("tasks", options->run.tasks, "One task a line: {\"agent\", \"input\", …}; - for standard input")
      ->required();
  command
      ->add_option("-o,--output", options->run.results,
                   "Results, a line each in the order of completion; - for standard output")
      ->required();
  command->add_option("-c,--config", options->config,
                      "The configuration file (default: skep.yaml, where there is one)");
  command->add_option("--roster", options->roster, "The agents, a YAML file");
  command->add_option("--budget", options->budget, "Memory that models may take, e.g. 4GiB");
  command->add_option("--window", options->run.window, "Tasks under way at once")->check(CLI::Range(1, 100000));
  command->add_option("--max-tokens", options->run.max_tokens, "No answer longer than this")
      ->check(CLI::Range(1, 1000000));
  command->add_option("--model", options->run.model, "Every task goes there: a model, a tier, or auto");
  command->add_flag("--strict", options->run.strict, "Stop at the first line that is no task");
  command->add_flag("--retry-failed", options->run.retry_failed, "Do again what failed in an earlier run");
  command->add_flag("--json", options->json, "The summary as JSON");
  command->footer(
      "Examples:\n  skep run examples/tasks.jsonl -o results.jsonl --roster rosters/edge-131.yaml\n"
      "  zcat big.jsonl.gz | skep run - -o results.jsonl");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace skep::cli
