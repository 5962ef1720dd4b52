#include "scenario/sweep.h"

#include <cmath>
#include <mutex>

#include "kernel/thread_pool.h"
#include "scenario/simulation.h"

namespace skep::scenario {
namespace {

// 97.5 % quantiles of Student's t by degrees of freedom, 1 to 30; beyond, the normal's is near enough.
constexpr double quantiles[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                                2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                                2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};

struct Run {
  const Scenario* scenario = nullptr;
  SweepCell* cell = nullptr;
  size_t index = 0;  // of the seed
  uint64_t seed = 0;
};

Status play(const Run& run, const std::atomic<bool>* cancelled) {
  SKEP_TRY(Simulation simulation, Simulation::create(*run.scenario, run.seed, 1));
  History history(run.scenario->populations.size());
  for (int64_t step = 0; step < run.scenario->steps; ++step) {
    if (cancelled != nullptr && cancelled->load()) return fail(ErrorCode::cancelled, "the sweep was interrupted");
    SKEP_CHECK(simulation.step());
    history.add(simulation.frame());
  }
  for (size_t p = 0; p < history.populations(); ++p) run.cell->means[run.index].push_back(history.mean(p));
  return {};
}

std::vector<std::vector<Override>> combinations(const std::vector<SweepParameter>& parameters) {
  std::vector<std::vector<Override>> all(1);
  for (const SweepParameter& parameter : parameters) {
    std::vector<std::vector<Override>> longer;
    for (const auto& values : all)
      for (const std::string& value : parameter.values) {
        longer.push_back(values);
        longer.back().emplace_back(parameter.key, value);
      }
    all = std::move(longer);
  }
  return all;
}

}  // namespace

Estimate estimate(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  if (values.empty()) return {};
  double mean = 0, squares = 0;
  for (const double value : values) mean += value / n;
  for (const double value : values) squares += (value - mean) * (value - mean);
  if (values.size() < 2) return {mean, 0};
  const double t = values.size() <= 31 ? quantiles[values.size() - 2] : 1.96;
  return {mean, t * std::sqrt(squares / (n - 1) / n)};
}

Result<std::vector<SweepCell>> run_sweep(const std::string& text, const std::string& what,
                                         const SweepOptions& options) {
  SKEP_TRY(const Scenario base, parse_scenario(text, what, options.overrides));
  const auto values = combinations(base.sweep);
  const auto seeds = static_cast<size_t>(options.seeds);
  if (values.size() * seeds > most_runs)
    return fail(ErrorCode::too_large,
                fmt::format("{} combinations × {} seeds are more than {} runs", values.size(), seeds, most_runs));

  std::vector<Scenario> scenarios;
  std::vector<SweepCell> cells(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    std::vector<Override> overrides = options.overrides;
    overrides.insert(overrides.end(), values[i].begin(), values[i].end());
    SKEP_TRY(Scenario scenario, parse_scenario(text, what, overrides));
    cells[i] = {values[i], {}, std::vector<std::vector<CurvePoint>>(seeds), scenario.steps};
    for (const PopulationConfig& population : scenario.populations) cells[i].populations.push_back(population.name);
    scenarios.push_back(std::move(scenario));
  }
  std::vector<Run> runs;
  for (size_t i = 0; i < cells.size(); ++i)
    for (size_t seed = 0; seed < seeds; ++seed)
      runs.push_back({&scenarios[i], &cells[i], seed, options.first_seed + seed});

  std::mutex mutex;  // guards `failure`
  Status failure;
  std::atomic<size_t> done{0};
  const auto pool = kernel::ThreadPool::create(options.threads);
  pool->run(static_cast<uint32_t>(runs.size()), [&](uint32_t number, uint32_t) {
    {
      const std::lock_guard lock(mutex);
      if (!failure) return;
    }
    if (Status status = play(runs[number], options.cancelled); !status) {
      const std::lock_guard lock(mutex);
      failure = std::move(status);
    }
    if (options.progress) options.progress(done.fetch_add(1) + 1, runs.size());
  });
  SKEP_CHECK(failure);
  return cells;
}

std::vector<Comparison> compare(const SweepCell& cell) {
  std::vector<Comparison> result;
  for (size_t p = 1; p < cell.populations.size(); ++p) {
    Comparison comparison{cell.populations[0], cell.populations[p], {}, 0, static_cast<int>(cell.means.size())};
    std::vector<double> differences;
    for (const auto& run : cell.means) {
      differences.push_back(run[0].reward - run[p].reward);
      comparison.wins += differences.back() > 0 ? 1 : 0;
    }
    comparison.difference = estimate(differences);
    result.push_back(std::move(comparison));
  }
  return result;
}

}  // namespace skep::scenario
