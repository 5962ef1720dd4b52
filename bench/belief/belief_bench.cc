#include "belief_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "machine_limits.h"
#include "mind/belief/collective_state.h"
#include "mind/belief/edge_population.h"
#include "mind/belief/population.h"
#include "mind/belief/random_model.h"
#include "numpy_peer.h"
#include "server_process.h"
#include "side_process.h"

namespace skep::bench {
namespace {

using belief::Population;
using belief::PopulationOptions;

struct Workload {
  const char* name;
  int states;
  bool plan, own;
  uint32_t agents;
  double flops, bytes;  // per update; bytes for own models only
  double bar;           // share of the limit
};

constexpr Workload kWorkloads[] = {
    {"S shared", 16, false, false, 10'000, 560, 0, 0.35},  {"M shared", 32, false, false, 10'000, 2144, 0, 0.65},
    {"P shared", 32, true, false, 10'000, 10848, 0, 0.45}, {"S own", 16, false, true, 100'000, 560, 1216, 0.85},
    {"M own", 32, false, true, 100'000, 2144, 4480, 0.85}, {"P own", 32, true, true, 100'000, 10848, 20864, 0.75},
};

// Own models in bfloat16, beside the same in f32. The bytes of an update, beliefs included, which stay f32.
struct PackedWorkload {
  const char* name;
  int states;
  bool plan;
  double bytes;
};

constexpr PackedWorkload kPackedWorkloads[] = {
    {"S own bf16", 16, false, 672}, {"M own bf16", 32, false, 2368}, {"P own bf16", 32, true, 10624}};

belief::GenerativeModel model_of(int states) {
  return belief::random_model({.states = {states}, .observations = {states}, .controls = {4}}, 1);
}

// A population with its inputs: eight sets of observations and actions, taken in turns.
class Runner {
 public:
  static Result<Runner> create(int states, bool plan, bool own, uint32_t agents, kernel::ThreadPool& pool,
                               belief::ModelStorage own_storage = belief::ModelStorage::full) {
    PopulationOptions options;
    options.capacity = agents;
    options.plan = plan;
    options.own_models = own;
    options.own_storage = own_storage;
    Runner r;
    r.plan_ = plan;
    SKEP_TRY(r.population_, Population::create(model_of(states), options, pool));
    for (uint32_t i = 0; i < agents; ++i) SKEP_CHECK(r.population_->add());
    Random random(7);
    for (int k = 0; k < kSets; ++k) {
      for (uint32_t i = 0; i < agents; ++i) {
        r.observations_[k].push_back(static_cast<uint16_t>(random.below(static_cast<uint32_t>(states))));
        r.actions_[k].push_back(static_cast<uint16_t>(random.below(4)));
      }
    }
    r.run(0);
    r.run(0);
    return r;
  }

  // Updates per second over about `seconds`, at least one step.
  double run(double seconds) {
    const double start = now_seconds();
    double elapsed = 0;
    double steps = 0;
    // Reading the clock costs as much as stepping one agent: it is read once per some thousand updates.
    const size_t steps_per_look = std::max<size_t>(1, 4000 / population_->size());
    do {
      for (size_t i = 0; i < steps_per_look; ++i, ++turn_) {
        // Without planning nobody chooses; the actions come from outside.
        if (!plan_) population_->set_actions(actions_[turn_ % kSets]);
        if (!population_->step(observations_[turn_ % kSets])) return 0;
      }
      steps += static_cast<double>(steps_per_look);
      elapsed = now_seconds() - start;
    } while (elapsed < seconds);
    return steps * static_cast<double>(population_->size()) / elapsed;
  }

  Population& population() { return *population_; }

 private:
  static constexpr int kSets = 8;
  std::unique_ptr<Population> population_;
  std::vector<uint16_t> observations_[kSets], actions_[kSets];
  size_t turn_ = 0;
  bool plan_ = false;
};

class Bench {
 public:
  explicit Bench(const BeliefBenchOptions& options) : options_(options) { report_.bench = "belief"; }

  Result<Report> run() {
    if (options_.side_processes) SKEP_CHECK(processes());  // before threads and buffers
    pool_ = kernel::ThreadPool::create(options_.threads);
    report_.notes.push_back(fmt::format("{} threads", pool_->threads()));
    SKEP_CHECK(shared());
    SKEP_CHECK(own());
    SKEP_CHECK(own_packed());
    SKEP_CHECK(one_agent());
    SKEP_CHECK(scaling());
    SKEP_CHECK(numpy());
    SKEP_CHECK(busy());
    SKEP_CHECK(bytes());
    SKEP_CHECK(collective());
    if (!options_.only.empty() && report_.rows.empty() && report_.notes.size() == 1)  // and no note says why
      return fail(ErrorCode::invalid_argument, fmt::format("no result is called {}", options_.only),
                  "without --only all of them are measured");
    return std::move(report_);
  }

 private:
  [[nodiscard]] bool wanted(const std::string& name) const { return options_.only.empty() || options_.only == name; }

  void add(Row row) { report_.rows.push_back(std::move(row)); }

  static Row row(std::string name, double value, std::string unit, std::string bar, bool met) {
    Row r;
    r.name = std::move(name);
    r.value = value;
    r.unit = std::move(unit);
    r.bar = std::move(bar);
    r.met = met;
    return r;
  }

  // Limit and workload in turns; the fraction is the median of what each turn gave.
  template <typename Limit>
  Status against(const Workload& w, const char* limit_name, double work_per_update, Limit&& limit) {
    if (!wanted(w.name)) return {};
    SKEP_TRY(Runner runner, Runner::create(w.states, w.plan, w.own, w.agents, *pool_));
    std::vector<double> rates, fractions;
    for (int i = 0; i < options_.rounds; ++i) {
      const double can = limit();
      const double rate = runner.run(options_.round_seconds);
      rates.push_back(rate / 1e6);
      fractions.push_back(rate * work_per_update / can);
    }
    const double fraction = median(fractions);
    Row r = row(w.name, median(rates), "M updates/s", fmt::format(">= {:.0f} %", 100 * w.bar), fraction >= w.bar);
    r.limit = limit_name;
    r.fraction = fraction;
    add(std::move(r));
    return {};
  }

  Status shared() {
    for (const Workload& w : kWorkloads) {
      if (w.own) continue;
      SKEP_CHECK(
          against(w, "measured f32 FMA peak", w.flops, [&] { return fma_peak(*pool_, options_.round_seconds / 2); }));
    }
    return {};
  }

  Status own() {
    std::optional<ReadBandwidth> bandwidth;
    for (const Workload& w : kWorkloads) {
      if (!w.own || !wanted(w.name)) continue;
      if (!bandwidth) bandwidth.emplace();
      SKEP_CHECK(against(w, "measured read bandwidth", w.bytes,
                         [&] { return bandwidth->measure(*pool_, options_.round_seconds); }));
    }
    return {};
  }

  // Limit, f32 and bfloat16 in turns. No bar: the bandwidth's share says how well it reads, the ratio what that is
  // worth.
  Status own_packed() {
    constexpr uint32_t agents = 100'000;
    std::optional<ReadBandwidth> bandwidth;
    for (const PackedWorkload& w : kPackedWorkloads) {
      if (!wanted(w.name)) continue;
      if (!bandwidth) bandwidth.emplace();
      SKEP_TRY(Runner full, Runner::create(w.states, w.plan, true, agents, *pool_));
      SKEP_TRY(Runner packed, Runner::create(w.states, w.plan, true, agents, *pool_, belief::ModelStorage::bfloat16));
      std::vector<double> of_full, of_packed, fractions, ratios;
      for (int i = 0; i < options_.rounds; ++i) {
        const double can = bandwidth->measure(*pool_, options_.round_seconds);
        of_full.push_back(full.run(options_.round_seconds) / 1e6);
        of_packed.push_back(packed.run(options_.round_seconds) / 1e6);
        fractions.push_back(of_packed.back() * 1e6 * w.bytes / can);
        ratios.push_back(of_packed.back() / of_full.back());
      }
      Row r;
      r.name = w.name;
      r.value = median(of_packed);
      r.unit = "M updates/s";
      r.limit = "measured read bandwidth";
      r.fraction = median(fractions);
      r.peer = "f32";
      r.peer_value = median(of_full);
      r.ratio = median(ratios);
      add(std::move(r));
    }
    return {};
  }

  Status one_agent() {
    if (!wanted("one agent")) return {};
    SKEP_TRY(Runner runner, Runner::create(32, false, false, 1, *pool_));
    std::vector<double> times;
    for (int i = 0; i < options_.rounds * 3; ++i) times.push_back(1e9 / runner.run(options_.round_seconds / 10));
    const double ns = median(times);
    add(row("one agent", ns, "ns/update", "< 100 ns", ns < 100));
    return {};
  }

  Status scaling() {
    if (!wanted("scaling")) return {};
    SKEP_TRY(Runner few, Runner::create(32, false, false, 1'000, *pool_));
    SKEP_TRY(Runner many, Runner::create(32, false, false, 100'000, *pool_));
    std::vector<double> growth;
    for (int i = 0; i < options_.rounds; ++i) {
      const double at_few = few.run(options_.round_seconds);
      growth.push_back(at_few / many.run(options_.round_seconds));
    }
    const double ratio = median(growth);
    add(row("scaling", ratio, "cost at 100,000 / cost at 1,000", "< 1.3", ratio < 1.3));
    return {};
  }

  Status numpy() {
    if (!options_.peer || !wanted("numpy")) return {};
    SKEP_TRY(Runner runner, Runner::create(32, false, false, 10'000, *pool_));
    std::vector<double> ours, theirs;
    for (int i = 0; i < 3; ++i) {
      const auto peer = numpy_updates_per_second();
      if (!peer) {
        report_.notes.push_back("numpy: " + peer.error().text());
        return {};
      }
      theirs.push_back(*peer / 1e6);
      ours.push_back(runner.run(3 * options_.round_seconds) / 1e6);
    }
    Row r = row("numpy", median(ours), "M updates/s", ">= 30 x", median(ours) >= 30 * median(theirs));
    r.peer = "numpy";
    r.peer_value = median(theirs);
    r.ratio = median(ours) / median(theirs);
    add(std::move(r));
    return {};
  }

  Status busy() {
    if (!options_.side_processes || !wanted("busy")) return {};
    SKEP_TRY(Runner runner, Runner::create(32, false, false, 10'000, *pool_));
    std::vector<double> shares;
    for (int i = 0; i < std::max(3, options_.rounds / 3); ++i) {
      const double quiet = runner.run(4 * options_.round_seconds);
      const BusyNeighbour neighbour;
      runner.run(options_.round_seconds);  // the scheduler settles
      shares.push_back(runner.run(6 * options_.round_seconds) / quiet);
    }
    const double share = median(shares);
    add(row("busy", 100 * share, "% of the quiet rate", ">= 45 %", share >= 0.45));
    return {};
  }

  Status bytes() {
    if (!wanted("bytes per agent")) return {};
    PopulationOptions options;
    options.capacity = 10'000;
    options.history = 100;
    SKEP_TRY(const auto without, Population::create(model_of(32), options, *pool_));
    options.history_beliefs = true;
    SKEP_TRY(const auto with, Population::create(model_of(32), options, *pool_));
    const double small = static_cast<double>(without->bytes().count) / options.capacity;
    const double large = static_cast<double>(with->bytes().count) / options.capacity;
    add(row("bytes per agent", small, "B", "< 1024 B", small < 1024));
    add(row("bytes per agent, distributions kept", large, "B", "< 16384 B", large < 16 * 1024));
    return {};
  }

  // 20,000 agents of which 5 % have news: what they believe together, kept, against computed.
  Status collective() {
    if (!wanted("collective")) return {};
    constexpr uint32_t agents = 20'000;
    SKEP_TRY(Runner runner, Runner::create(32, false, false, agents, *pool_));
    std::vector<uint32_t> slots;
    for (uint32_t slot = 0; slot < agents; slot += 20) slots.push_back(slot);
    belief::CollectiveState state(runner.population(), 8);
    state.update();
    std::vector<double> kept, computed;
    for (int i = 0; i < options_.rounds * 3; ++i) {
      const std::vector<uint16_t> news(slots.size(), static_cast<uint16_t>(i % 32));
      SKEP_CHECK(runner.population().step_some(slots, news));
      double start = now_seconds();
      state.update();
      kept.push_back((now_seconds() - start) * 1e6);
      start = now_seconds();
      state.update_full();
      computed.push_back((now_seconds() - start) * 1e6);
    }
    Row r = row("collective", median(kept), "us/update, 5 % with news", "cheaper than in full",
                median(kept) < median(computed));
    r.peer = "in full";
    r.peer_value = median(computed);
    r.ratio = median(kept) / median(computed);
    add(std::move(r));
    return {};
  }

  // Whole processes: 1,000 agents with everything there is, and 10,000 of the edge profile.
  Status processes() {
    if (wanted("process 1000")) {
      SKEP_TRY(const Bytes resident, resident_after([] {
                 auto pool = kernel::ThreadPool::create();
                 PopulationOptions options;
                 options.capacity = 1000;
                 options.history = 100;
                 options.history_beliefs = options.keep_policies = options.own_models = options.learning = true;
                 auto model =
                     belief::random_model({.states = {32}, .observations = {32}, .controls = {4}, .counts = true}, 1);
                 auto population = Population::create(std::move(model), options, *pool);
                 if (!population) return false;
                 belief::CollectiveState collective(**population, 8);
                 const std::vector<uint16_t> observations(1000, 3);
                 for (int i = 0; i < 1000; ++i) {
                   if (!(*population)->add()) return false;
                 }
                 for (int t = 0; t < 110; ++t) {
                   if (!(*population)->step(observations) || !(*population)->learn(observations)) return false;
                   collective.update();
                 }
                 return true;
               }));
      const double mb = static_cast<double>(resident.count) / 1e6;
      add(row("process 1000", mb, "MB resident", "< 100 MB", mb < 100));
    }
    if (wanted("process edge")) {
      SKEP_TRY(const Bytes resident, resident_after([] {
                 auto population = belief::EdgePopulation::create(model_of(16), 10'000);
                 if (!population) return false;
                 for (int i = 0; i < 10'000; ++i) {
                   if (!population->add()) return false;
                 }
                 const std::vector<uint8_t> observations(10'000, 2);
                 return population->step(observations).has_value() && population->step(observations).has_value();
               }));
      const double mb = static_cast<double>(resident.count) / 1e6;
      add(row("process edge", mb, "MB resident", "< 50 MB", mb < 50));
    }
    return {};
  }

  BeliefBenchOptions options_;
  Report report_;
  std::unique_ptr<kernel::ThreadPool> pool_;
};

}  // namespace

Result<Report> run_belief_bench(const BeliefBenchOptions& options) { return Bench(options).run(); }

}  // namespace skep::bench
