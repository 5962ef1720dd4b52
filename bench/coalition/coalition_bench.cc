#include "coalition_bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "base/random.h"
#include "coalition/formation.h"
#include "coalition/graph_formation.h"
#include "coalition/optimum.h"

namespace skep::bench {
namespace {

using namespace skep::coalition;

// Synergies in [0, 1) without any structure that would help.
class NoiseSynergy final : public PairSynergy {
 public:
  void weigh(Agent agent, std::span<const Agent> with, std::span<float> out) const override {
    for (size_t i = 0; i < with.size(); ++i) {
      const uint64_t pair = uint64_t{std::min(agent, with[i])} << 32 | std::max(agent, with[i]);
      out[i] = static_cast<float>(mix_bits(pair) >> 40) * 0x1p-24F;
    }
  }
};

// Agents spread over a square of the earth so that each has about 14 neighbours: two per cell of resolution 9.
constexpr int resolution = 9;
constexpr double cell_km2 = 0.1053, agents_per_cell = 2, km_per_degree = 111.2, latitude = 47;

struct Field {
  std::vector<Position> positions;
  double cell_width = 0;  // degrees of latitude
  Random random;

  Field(size_t agents, uint64_t seed) : positions(agents), random(seed) {
    const double side = std::sqrt(static_cast<double>(agents) / agents_per_cell * cell_km2) / km_per_degree;
    cell_width = std::sqrt(cell_km2) / km_per_degree;
    for (Position& position : positions)
      position = {8 + random.uniform() * side / shrink(), latitude + random.uniform() * side};
  }
  static double shrink() { return std::cos(latitude * M_PI / 180); }  // of a degree of longitude

  // A twentieth of the agents, each a cell's width away in some direction.
  std::vector<Formation::Move> moves() {
    std::vector<Formation::Move> result;
    for (size_t i = 0; i < positions.size() / 20; ++i) {
      const Agent agent = random.below(static_cast<uint32_t>(positions.size()));
      const double angle = random.uniform(0, 2 * M_PI);
      positions[agent].x += cell_width * std::cos(angle) / shrink();
      positions[agent].y += cell_width * std::sin(angle);
      result.push_back({agent, positions[agent]});
    }
    return result;
  }
};

double milliseconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

Row timed(std::string name, double milliseconds, double bar) {
  Row row{.name = std::move(name), .value = milliseconds, .unit = "ms"};
  row.bar = fmt::format("<= {} ms", bar);
  row.met = milliseconds <= bar;
  return row;
}

Result<Formation> formation_of(const Field& field, int threads) {
  SKEP_TRY(const Grid grid, Grid::earth(resolution));
  Formation formation(grid, {std::make_shared<NoiseSynergy>(), nullptr, {}}, {.threads = threads, .seed = 1});
  SKEP_CHECK(formation.rebuild(field.positions));
  return formation;
}

Result<double> rebuild_time(Formation& formation, const Field& field, int rounds) {
  std::vector<double> times;
  for (int round = 0; round < rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    SKEP_CHECK(formation.rebuild(field.positions));
    times.push_back(milliseconds_since(begin));
  }
  return median(times);
}

Status add_times(const CoalitionBenchOptions& options, Report& report) {
  constexpr std::pair<size_t, double> sizes[] = {{500, 0.5}, {10'000, 8}, {100'000, 90}};
  double rebuild = 0;
  for (const auto& [agents, bar] : sizes) {
    const Field field(agents, 7);
    SKEP_TRY(Formation formation, formation_of(field, options.threads));
    // The small ones are over before a clock or a core has settled: measured more often.
    SKEP_TRY(rebuild, rebuild_time(formation, field, options.rounds * (agents < 1000 ? 20 : agents < 100'000 ? 4 : 1)));
    report.rows.push_back(timed(fmt::format("rebuild {}", agents), rebuild, bar));
  }

  Field field(100'000, 7);
  SKEP_TRY(Formation formation, formation_of(field, options.threads));
  std::vector<double> times;
  for (int round = 0; round < options.rounds; ++round) {
    const auto moves = field.moves();
    const auto begin = std::chrono::steady_clock::now();
    SKEP_CHECK(formation.update(moves));
    times.push_back(milliseconds_since(begin));
  }
  const double incremental = median(times);
  Row row = timed("incremental 100000", incremental, 9);
  row.peer = "rebuild 100000";
  row.peer_value = rebuild;
  row.ratio = rebuild / incremental;
  report.rows.push_back(row);

  const double kept = formation.value();
  SKEP_CHECK(formation.rebuild(field.positions));
  report.notes.push_back(fmt::format("after {} updates of 5 % the coalitions are worth {:.3f} of rebuilt ones",
                                     options.rounds, kept / formation.value()));
  return {};
}

struct Quality {
  double sum = 0;
  double least = 1;
  int games = 0;

  void add(double value, double optimum) {
    const double share = optimum > 1e-9 ? value / optimum : 1;
    sum += share;
    least = std::min(least, share);
    ++games;
  }
};

Row quality_row(std::string name, double value, std::optional<double> bar) {
  Row row{.name = std::move(name), .value = value, .unit = "of the optimum"};
  row.limit = "exact optimum";
  row.fraction = value;
  if (bar) {
    row.bar = fmt::format(">= {}", *bar);
    row.met = value >= *bar;
  }
  return row;
}

// Random graphs of 12 to 16 agents, five densities, 60 games each, synergies in [0, 1).
Status add_quality(Report& report) {
  Quality kicked, descent;
  for (const double density : {0.1, 0.2, 0.35, 0.5, 0.8})
    for (uint64_t game = 0; game < 60; ++game) {
      Random random(game * 1000 + static_cast<uint64_t>(density * 100));
      const size_t agents = 12 + game % 5;
      std::vector<Links::Edge> edges;
      for (Rank a = 0; a < agents; ++a)
        for (Rank b = a + 1; b < agents; ++b)
          if (random.uniform() < density) edges.push_back({a, b, static_cast<float>(random.uniform())});
      const ValueFunction value;
      SKEP_TRY(const auto table, value_table(agents, edges, nullptr, value.cost));
      SKEP_TRY(const Optimum best, optimum(table));
      kicked.add(form_on_graph(agents, edges, value).value, best.value);
      descent.add(form_on_graph(agents, edges, value, {.kicks_per_agent = 0}).value, best.value);
    }
  report.rows.push_back(quality_row("quality mean", kicked.sum / kicked.games, 0.995));
  report.rows.push_back(quality_row("quality min", kicked.least, 0.93));
  report.rows.push_back(quality_row("descent mean", descent.sum / descent.games, {}));
  report.rows.push_back(quality_row("descent min", descent.least, {}));
  report.notes.push_back(
      fmt::format("quality: {} games; components of at most 24 agents are searched with kicks, "
                  "larger ones by descent alone unless improve() is given time",
                  kicked.games));
  return {};
}

// What a long search finds beyond a rebuild, where there is no exact optimum.
Status add_long_search(const CoalitionBenchOptions& options, Report& report) {
  const Field field(10'000, 7);
  SKEP_TRY(Formation formation, formation_of(field, options.threads));
  const double quick = formation.value();
  const auto begin = std::chrono::steady_clock::now();
  formation.improve({.evaluations = 10'000'000});
  report.notes.push_back(fmt::format("10,000 agents: a rebuild reaches {:.3f} of what {:.1f} s more of search find",
                                     quick / formation.value(), milliseconds_since(begin) / 1000));
  return {};
}

}  // namespace

Result<Report> run_coalition_bench(const CoalitionBenchOptions& options) {
  Report report{.bench = "coalition", .rows = {}, .notes = {}};
  report.notes.push_back(fmt::format("{} threads, H3 resolution {}, about 14 neighbours, median of {} rounds",
                                     options.threads, resolution, options.rounds));
  SKEP_CHECK(add_times(options, report));
  SKEP_CHECK(add_quality(report));
  SKEP_CHECK(add_long_search(options, report));
  return report;
}

}  // namespace skep::bench
