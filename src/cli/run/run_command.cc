#include "cli/run/run_command.h"

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <map>
#include <memory>

#include "api/performance_report.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/run/remote_tasks.h"
#include "cli/run/run_display.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

// Everything that one run needs, for as long as it lasts.
struct Work {
  Work(Session& s, api::TaskService& where, TaskFile t, ResultFile r, const RunOptions& options)
      : session(s),
        service(where),
        tasks(std::move(t)),
        results(std::move(r)),
        run(s.loop(), where, tasks, results,
            {options.window, options.strict, options.max_tokens, options.model, options.caller}),
        display(s.loop(), where, run),
        began(s.loop().now()) {
    for (const auto& row : where.performance().models) loads_before[row.name] = row.loads;
  }

  [[nodiscard]] RunSummary summary() const;
  void tell_of_broken_lines() const;

  Session& session;
  api::TaskService& service;
  TaskFile tasks;
  ResultFile results;
  TaskRun run;
  RunDisplay display;
  TimePoint began;
  std::map<std::string, int64_t> loads_before;  // by model
  bool interrupted = false;
};

RunSummary Work::summary() const {
  RunSummary summary;
  summary.counts = run.counts();
  summary.performance = api::performance_report(run.statistics());
  summary.loads_before = loads_before;
  count_loads(summary, service.performance());
  summary.wall = session.loop().now() - began;
  summary.peak_memory = display.peak_memory();
  summary.peak_reserved = display.peak_reserved();
  summary.memory_of_model = display.peak_by_model();
  summary.budget = service.resources().budget;
  summary.resumed = run.counts().skipped;
  summary.interrupted = interrupted;
  return summary;
}

void Work::tell_of_broken_lines() const {
  for (const std::string& complaint : run.complaints())
    fmt::print(stderr, "{} {}\n", paint(Colour::yellow, "skipped", stderr), complaint);
  const auto untold = run.counts().broken - static_cast<int64_t>(run.complaints().size());
  if (untold > 0) fmt::print(stderr, "… and {} more broken lines\n", untold);
}

}  // namespace

RunHandle run_tasks(Session& session, api::TaskService& service, const RunOptions& options,
                    std::function<void(Result<RunSummary>)> done) {
  auto refuse = [&](const Error& error) {
    session.loop().post([done, error] { done(fail(error)); });
    return RunHandle();
  };
  auto tasks = TaskFile::open(options.tasks);
  if (!tasks) return refuse(tasks.error());
  auto results = ResultFile::open(options.results, options.retry_failed);
  if (!results) return refuse(results.error());
  auto work = std::make_shared<Work>(session, service, std::move(*tasks), std::move(*results), options);
  session.on_interrupt([weak = std::weak_ptr(work)] {
    auto alive = weak.lock();
    if (!alive) return;
    alive->interrupted = true;
    alive->run.interrupt();
  });
  work->run.start([work, done = std::move(done)](Status outcome) {
    work->display.stop();
    work->tell_of_broken_lines();
    if (!outcome) return done(fail(outcome.error()));
    done(work->summary());
  });
  return {std::shared_ptr<TaskRun>(work, &work->run)};
}

namespace {

struct CommandOptions {
  RunOptions run;
  RemoteOptions remote;  // its url: of a daemon that runs already
  std::string config, roster, budget;
};

// Tells how it went; the exit code.
int conclude(const CommandOptions& options, const Result<RunSummary>& summary) {
  if (!summary) return report(summary.error());
  if (options.remote.json) {
    fmt::print(options.run.results == "-" ? stderr : stdout, "{}\n", boost::json::serialize(to_json(*summary)));
  } else if (options.run.results != "-") {
    print_table(*summary);
  }
  if (summary->interrupted) return kInterrupted;
  return summary->counts.failed > 0 || summary->counts.broken > 0 ? kFailed : kOk;
}

int run_here(const CommandOptions& options) {
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
  run_tasks(session, session.backend(), options.run, [&](const Result<RunSummary>& summary) {
    code = conclude(options, summary);
    session.finish();
  });
  session.run();
  return code;
}

int run_there(const CommandOptions& options) {
  Session session({});
  auto there = RemoteTasks::make(session.loop(), options.remote.url, key_of(options.remote), options.run.window);
  if (!there) return report(there.error());
  RemoteTasks& remote = **there;
  int code = kOk;
  RunHandle run;
  auto end = [&](const Result<RunSummary>& summary) {
    code = conclude(options, summary);
    session.finish();
  };
  remote.on_lost([&](const Error& error) {
    if (auto going = run.lock()) going->stop(fail(error));
  });
  remote.begin([&](const Status& there_is) {
    if (!there_is) return end(fail(there_is.error()));
    run = run_tasks(session, remote, options.run, [&](const Result<RunSummary>& summary) {
      if (!summary) return end(summary);
      // The loads as of now, not of a second ago; where they can't be had, the run is over all the same.
      remote.refresh([&, counted = *summary](const Status&) mutable {
        count_loads(counted, remote.performance());
        end(counted);
      });
    });
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
  auto* url = command->add_option("--url", options->remote.url,
                                  "A running daemon does the work, e.g. http://127.0.0.1:8051 (default: one inside "
                                  "this process)");
  command->add_option("--key", options->remote.key, "API key for --url (default: SKEP_API_KEY)")->needs(url);
  command->add_option("-c,--config", options->config, "The configuration file (default: skep.yaml, where there is one)")
      ->excludes(url);
  command->add_option("--roster", options->roster, "The agents, a YAML file")->excludes(url);
  command->add_option("--budget", options->budget, "Memory that models may take, e.g. 4GiB")->excludes(url);
  command->add_option("--window", options->run.window, "Tasks under way at once")->check(CLI::Range(1, 100000));
  command->add_option("--max-tokens", options->run.max_tokens, "No answer longer than this")
      ->check(CLI::Range(1, 1000000));
  command->add_option("--model", options->run.model, "Every task goes there: a model, a tier, or auto");
  command->add_flag("--strict", options->run.strict, "Stop at the first line that is no task");
  command->add_flag("--retry-failed", options->run.retry_failed, "Do again what failed in an earlier run");
  command->add_flag("--json", options->remote.json, "The summary as JSON");
  command->footer(
      "Examples:\n  skep run examples/tasks.jsonl -o results.jsonl --roster rosters/edge-131.yaml\n"
      "  skep run tasks.jsonl -o results.jsonl --url http://127.0.0.1:8051\n"
      "  zcat big.jsonl.gz | skep run - -o results.jsonl");
  command->callback(
      [options, &exit_code] { exit_code = options->remote.url.empty() ? run_here(*options) : run_there(*options); });
}

}  // namespace skep::cli
