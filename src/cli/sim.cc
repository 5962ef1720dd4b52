#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <csignal>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/duration.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "scenario/history.h"
#include "scenario/plot.h"
#include "scenario/recording.h"
#include "scenario/resumption.h"
#include "scenario/simulation.h"
#include "scenario/sweep.h"
#include "scenario/table.h"
#include "scenario/view.h"

namespace skep::cli {
namespace {

using namespace scenario;

struct SimOptions {
  std::string file;
  std::string replay, resume;
  std::optional<uint64_t> seed;
  std::optional<int64_t> steps;
  std::vector<std::string> set;
  std::vector<std::string> tables;
  std::string record, plot;
  int seeds = 0;
  int threads = 0;
  int fps = 10;
  bool sweep = false;
  bool verify = false;
  bool headless = false;
  bool json = false;
};

std::atomic<bool> interrupted{false};

// Ctrl-C ends a run in good order: the terminal is put back and files are finished.
class Interruptible {
 public:
  Interruptible() : before_(std::signal(SIGINT, [](int) { interrupted.store(true); })) { interrupted.store(false); }
  ~Interruptible() { std::signal(SIGINT, before_); }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

 private:
  void (*before_)(int);
};

// The whole terminal while it lives; what was there comes back afterwards.
class Screen {
 public:
  explicit Screen(int fps) : period_(std::chrono::nanoseconds(1'000'000'000 / fps)) {
    fmt::print("\033[?1049h\033[?25l");
  }
  ~Screen() {
    fmt::print("\033[?25h\033[?1049l");
    std::fflush(stdout);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void show(const Stage& stage, const Frame& frame, const History& history) {
    ViewSize size{.columns = terminal_width(stdout), .rows = 24, .colours = has_colours(stdout)};
    winsize window{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_row > 0) size.rows = window.ws_row;
    size.rows -= 1;
    std::string text = "\033[H";
    for (const std::string& line : compose_view(stage, frame, history, size)) text += line + "\033[K\n";
    fmt::print("{}\033[J", text);
    std::fflush(stdout);
    std::this_thread::sleep_until(next_);
    next_ = std::max(next_, std::chrono::steady_clock::now()) + period_;
  }

 private:
  std::chrono::nanoseconds period_;
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now();
};

Status write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return fail(ErrorCode::io, fmt::format("{}: cannot be written", path));
  return {};
}

Result<std::vector<Override>> overrides_of(const SimOptions& options) {
  std::vector<Override> overrides;
  for (const std::string& text : options.set) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail(ErrorCode::invalid_argument, fmt::format("--set {}: expected KEY=VALUE", text),
                  "for example --set world.change=0.05");
    overrides.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  if (options.steps) overrides.emplace_back("steps", std::to_string(*options.steps));
  if (options.seed) overrides.emplace_back("seed", std::to_string(*options.seed));
  return overrides;
}

// One frame after the other, null at the end.
using NextFrame = std::function<Result<const Frame*>()>;

void print_summary(const Stage& stage, const History& history, Duration took, bool json) {
  if (json) {
    boost::json::array populations;
    for (size_t p = 0; p < history.populations(); ++p) {
      const CurvePoint mean = history.mean(p);
      populations.push_back({{"name", stage.scenario.populations[p].name},
                             {"agents", stage.scenario.populations[p].agents},
                             {"reward", mean.reward},
                             {"free_energy", mean.free_energy},
                             {"entropy", mean.entropy},
                             {"coalition_size", mean.coalition_size}});
    }
    fmt::print("{}\n", boost::json::serialize(boost::json::object{{"scenario", stage.scenario.name},
                                                                  {"seed", stage.seed},
                                                                  {"steps", history.steps()},
                                                                  {"populations", std::move(populations)}}));
    return;
  }
  fmt::print("{}: {} steps, seed {}, {}\n\n", stage.scenario.name, human_count(history.steps()), stage.seed,
             to_string(took));
  using Align = Table::Align;
  Table table({{"population"},
               {"agents", Align::right},
               {"mind"},
               {"reward", Align::right},
               {"free energy", Align::right},
               {"entropy", Align::right},
               {"coalition size", Align::right}});
  for (size_t p = 0; p < history.populations(); ++p) {
    const PopulationConfig& config = stage.scenario.populations[p];
    const CurvePoint mean = history.mean(p);
    table.row({config.name, human_count(config.agents), to_string(config.mind), fmt::format("{:.4f}", mean.reward),
               fmt::format("{:.3f}", mean.free_energy), fmt::format("{:.3f}", mean.entropy),
               fmt::format("{:.1f}", mean.coalition_size)});
  }
  table.print();
}

// Plays frames to the screen, the tables, the recording and the plot.
Status play(const SimOptions& options, const Stage& stage, const NextFrame& next,
            std::optional<RecordingWriter> record) {
  std::vector<TableWriter> tables;
  for (const std::string& path : options.tables) {
    SKEP_TRY(TableWriter table, TableWriter::create(path));
    tables.push_back(std::move(table));
  }
  const auto begin = std::chrono::steady_clock::now();
  History history(stage.scenario.populations.size());
  {
    std::optional<Screen> screen;
    if (!options.headless && !options.json && isatty(STDOUT_FILENO) != 0) screen.emplace(options.fps);
    LiveLines progress;
    const Interruptible guard;
    while (!interrupted.load()) {
      SKEP_TRY(const Frame* frame, next());
      if (frame == nullptr) break;
      history.add(*frame);
      for (TableWriter& table : tables) SKEP_CHECK(table.write(stage, *frame));
      if (record) SKEP_CHECK(record->write(*frame));
      if (screen) {
        screen->show(stage, *frame, history);
      } else if (progress.due()) {
        const double share = static_cast<double>(frame->step) / static_cast<double>(stage.scenario.steps);
        progress.show({fmt::format("{} {} step {} of {}", stage.scenario.name, bar(share, 30), human_count(frame->step),
                                   human_count(stage.scenario.steps))});
      }
    }
  }
  for (TableWriter& table : tables) SKEP_CHECK(table.finish());
  if (record) SKEP_CHECK(record->finish());
  if (!options.plot.empty()) SKEP_CHECK(write_file(options.plot, plot_svg(stage, history)));
  print_summary(stage, history, std::chrono::steady_clock::now() - begin, options.json);
  return {};
}

Status simulate(const SimOptions& options, const std::string& text, const std::vector<Override>& overrides) {
  SKEP_TRY(const Scenario scenario, parse_scenario(text, options.file, overrides));
  SKEP_TRY(Simulation simulation, Simulation::create(scenario, scenario.seed, options.threads));
  std::optional<RecordingWriter> record;
  if (!options.record.empty()) {
    SKEP_TRY(RecordingWriter writer, RecordingWriter::create(options.record, {text, overrides, scenario.seed}));
    record.emplace(std::move(writer));
  }
  int64_t left = scenario.steps;
  return play(
      options, simulation.stage(),
      [&]() -> Result<const Frame*> {
        if (left-- == 0) return nullptr;
        SKEP_CHECK(simulation.step());
        return &simulation.frame();
      },
      std::move(record));
}

Status replay(const SimOptions& options) {
  SKEP_TRY(RecordingReader reader, RecordingReader::open(options.replay));
  std::optional<Simulation> again;
  if (options.verify) {
    SKEP_TRY(Simulation simulation, Simulation::create(reader.stage().scenario, reader.stage().seed, options.threads));
    again.emplace(std::move(simulation));
  }
  Frame frame;
  int64_t verified = 0;
  const auto next = [&]() -> Result<const Frame*> {
    SKEP_TRY(const std::string line, reader.next_line());
    if (line.empty()) return nullptr;
    SKEP_TRY(frame, read_frame(line, reader.stage(), reader.place()));
    if (!again) return &frame;
    SKEP_CHECK(again->step());
    if (write_frame(again->frame()) != line)
      return fail(ErrorCode::corrupt, fmt::format("{}: the simulation gives another frame", reader.place()),
                  "recorded by another version, or on a machine with other vector instructions");
    ++verified;
    return &frame;
  };
  SKEP_CHECK(play(options, reader.stage(), next, std::nullopt));
  if (again && !options.json) fmt::print("\n{} frames simulated again: all the same\n", human_count(verified));
  return {};
}

Status resume(const SimOptions& options) {
  SKEP_TRY(Resumption run, Resumption::open(options.resume, options.steps, options.threads));
  SKEP_CHECK(play(
      options, run.stage(), [&run] { return run.next(); }, std::nullopt));
  return run.finish();
}

std::string with_margin(const Estimate& estimate) {
  return estimate.margin > 0 ? fmt::format("{:.4f} ± {:.4f}", estimate.mean, estimate.margin)
                             : fmt::format("{:.4f}", estimate.mean);
}

// "share=true": keys by their last parts, unless two end alike; whole keys would not fit a table.
std::string label(const SweepCell& cell) {
  const auto last = [](const std::string& key) { return key.substr(key.rfind('.') + 1); };
  std::string text;
  for (const auto& [key, value] : cell.values) {
    const auto alike = std::count_if(cell.values.begin(), cell.values.end(),
                                     [&](const auto& other) { return last(other.first) == last(key); });
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", alike > 1 ? key : last(key), value);
  }
  return text;
}

Estimate of_runs(const SweepCell& cell, size_t population, double CurvePoint::*value) {
  std::vector<double> values;
  for (const auto& run : cell.means) values.push_back(run[population].*value);
  return estimate(values);
}

void print_sweep(const std::vector<SweepCell>& cells, bool json) {
  boost::json::array rows;
  using Align = Table::Align;
  std::vector<Table::Column> columns{{"population"},
                                     {"runs", Align::right},
                                     {"reward", Align::right},
                                     {"free energy", Align::right},
                                     {"coalition size", Align::right}};
  const bool varied = !cells.front().values.empty();
  if (varied) columns.insert(columns.begin(), {"values"});
  Table table(columns);
  for (const SweepCell& cell : cells)
    for (size_t p = 0; p < cell.populations.size(); ++p) {
      const Estimate reward = of_runs(cell, p, &CurvePoint::reward),
                     energy = of_runs(cell, p, &CurvePoint::free_energy),
                     size = of_runs(cell, p, &CurvePoint::coalition_size);
      std::vector<std::string> row{cell.populations[p], std::to_string(cell.means.size()), with_margin(reward),
                                   fmt::format("{:.3f}", energy.mean), fmt::format("{:.1f}", size.mean)};
      if (varied) row.insert(row.begin(), label(cell));
      table.row(std::move(row));
      rows.push_back({{"values", label(cell)},
                      {"population", cell.populations[p]},
                      {"runs", cell.means.size()},
                      {"reward", reward.mean},
                      {"reward_margin", reward.margin},
                      {"free_energy", energy.mean},
                      {"coalition_size", size.mean}});
    }
  if (json) {
    fmt::print("{}\n", boost::json::serialize(rows));
    return;
  }
  table.print();
  fmt::print("\nmeans over the run, ± the 95 % confidence interval over seeds\n");
  for (const SweepCell& cell : cells)
    for (const Comparison& versus : compare(cell))
      fmt::print("{}{} beats {} in {} of {} seeds, by {} per agent and step\n", varied ? label(cell) + ": " : "",
                 versus.first, versus.other, versus.wins, versus.runs, with_margin(versus.difference));
}

Status sweep(const SimOptions& options, const std::string& text, const std::vector<Override>& overrides) {
  SKEP_TRY(const Scenario scenario, parse_scenario(text, options.file, overrides));
  if (!options.record.empty() || !options.plot.empty())
    return fail(ErrorCode::invalid_argument, "--record and --plot are for one run", "leave --seeds and --sweep away");
  for (const std::string& path : options.tables) SKEP_CHECK(check_table_name(path));
  LiveLines progress;
  std::mutex mutex;  // of the progress line
  SweepOptions runs{.first_seed = scenario.seed,
                    .seeds = options.seeds > 0 ? options.seeds : scenario.seeds,
                    .threads = options.threads,
                    .overrides = overrides,
                    .cancelled = &interrupted};
  runs.progress = [&](size_t done, size_t all) {
    const std::lock_guard lock(mutex);
    if (progress.due())
      progress.show({fmt::format("{} {} run {} of {}", scenario.name,
                                 bar(static_cast<double>(done) / static_cast<double>(all), 30), done, all)});
  };
  const Interruptible guard;
  auto cells = run_sweep(text, options.file, runs);
  progress.clear();
  if (!cells) return fail(std::move(cells).error());
  print_sweep(*cells, options.json);
  for (const std::string& path : options.tables) SKEP_CHECK(write_sweep_table(path, *cells, scenario.seed));
  return {};
}

Status run(const SimOptions& options) {
  if (!options.replay.empty()) return replay(options);
  if (!options.resume.empty()) return resume(options);
  if (options.file.empty())
    return fail(ErrorCode::invalid_argument, "which scenario?", "skep sim SCENARIO.yaml, --replay or --resume");
  SKEP_TRY(const std::string text, read_scenario_file(options.file));
  SKEP_TRY(const std::vector<Override> overrides, overrides_of(options));
  return options.sweep || options.seeds > 0 ? sweep(options, text, overrides) : simulate(options, text, overrides);
}

}  // namespace

void add_sim(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<SimOptions>();
  auto* command = app.add_subcommand("sim", "Simulate worlds of active-inference agents");
  command->add_option("scenario", options->file, "A YAML file (doc/sim.md; examples/scenarios has three)");
  command->add_option("--seed", options->seed, "Another than the scenario's");
  command->add_option("--steps", options->steps, "As many")->check(CLI::Range(int64_t{1}, int64_t{10'000'000}));
  command->add_option("--set", options->set, "KEY=VALUE: another value, as world.change=0.05; repeatable")
      ->allow_extra_args(false);
  command->add_option("--seeds", options->seeds, "Run this many seeds and print a summary table")
      ->check(CLI::Range(1, 10'000));
  command->add_flag("--sweep", options->sweep, "Run the scenario's sweep and print a summary table");
  command->add_option("--table", options->tables, "Rows per step to a .csv or .jsonl; repeatable")
      ->allow_extra_args(false);
  command->add_option("--plot", options->plot, "Curves to an .svg");
  command->add_option("--record", options->record, "Every frame to a .jsonl");
  command->add_option("--replay", options->replay, "Play such a recording");
  command->add_option("--resume", options->resume, "Go on with such a recording where it ended; --steps for more");
  command->add_flag("--verify", options->verify, "With --replay: simulate again and compare every frame");
  command->add_option("--threads", options->threads, "0: one per CPU")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  command->add_option("--fps", options->fps, "Steps per second of the live view")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--headless", options->headless, "No live view, a progress bar");
  command->add_flag("--json", options->json, "The summary as JSON");
  command->footer(
      "Examples:\n  skep sim examples/scenarios/foraging.yaml\n"
      "  skep sim examples/scenarios/foraging.yaml --seeds 30\n"
      "  skep sim examples/scenarios/patrol.yaml --headless --record run.jsonl --table run.csv --plot run.svg\n"
      "  skep sim --replay run.jsonl --verify");
  command->callback([options, &exit_code] {
    const Status status = run(*options);
    exit_code = !status ? report(status.error()) : interrupted.load() ? kInterrupted : kOk;
  });
}

}  // namespace skep::cli
