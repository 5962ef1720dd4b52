#include <filesystem>
#include <fstream>

#include "agent/agent_store.h"
#include "agent/home.h"
#include "base/asio_event_loop.h"
#include "base/random.h"
#include "model/process_memory.h"
#include "server_process.h"
#include "state_bench.h"

namespace skep::bench {
namespace {

namespace fs = std::filesystem;

constexpr size_t kStateBytes = 4096;  // of an agent
constexpr int kAtOnce = 8;            // wakes under way

std::string name_of(int agent) { return fmt::format("agent-{:05}", agent); }

// What agents say to each other: words of a few hundred, numbers that differ.
std::string sentence(Random& random) {
  static const char* kSubjects[] = {"Pump", "Valve", "Sensor", "Compressor", "Line", "Conveyor", "Boiler", "Fan"};
  static const char* kVerbs[] = {"reads", "reports", "shows", "has reached", "dropped to", "is stuck at"};
  static const char* kUnits[] = {"degrees", "bar", "rpm", "volts", "percent", "litres a minute"};
  static const char* kAdvice[] = {"Check the bearing before the next shift.",
                                  "No action is needed for now.",
                                  "Stop the line and call the technician.",
                                  "Watch it for another ten minutes.",
                                  "The limit in the manual is higher, so this can wait until Monday.",
                                  "Compare it with the neighbouring unit, then decide."};
  return fmt::format("{} {} {} {} {}. {} ", kSubjects[random.below(8)], random.below(40), kVerbs[random.below(6)],
                     random.below(2000), kUnits[random.below(6)], kAdvice[random.below(6)]);
}

Status fill(store::Store& store, int agents) {
  agent::AgentStore states(store);
  for (int i = 0; i < agents; ++i) {
    Random random(static_cast<uint64_t>(i) + 1);
    agent::AgentState state;
    WallTime now{std::chrono::seconds(1'795'262'400 + i)};
    state.was_active(now);
    SKEP_CHECK(state.write_block("persona", "You watch machines, and you say what you would do. " + sentence(random)));
    size_t bytes = 200;
    for (int turn = 0; bytes < kStateBytes; ++turn) {
      agent::Turn one;
      one.at = now + std::chrono::seconds(turn * 30 + static_cast<int>(random.below(30)));
      one.message.role = turn % 2 == 0 ? "user" : "assistant";
      size_t length = 150 + random.below(250);
      while (one.message.content.size() < length) one.message.content += sentence(random);
      bytes += one.message.content.size();
      SKEP_CHECK(state.say("default", std::move(one)));
    }
    SKEP_CHECK(states.save(name_of(i), state));
  }
  return store.flush();
}

// Wakes every agent once, in random order, some at a time, and puts it to sleep again by the memory limit.
class Waker {
 public:
  Waker(AsioEventLoop& loop, agent::Home& home, int agents) : loop_(loop), home_(home) {
    Random random(4);
    for (int i = 0; i < agents; ++i) order_.push_back(i);
    for (size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random.below(static_cast<uint32_t>(i))]);
  }
  Status run() {
    began_ = loop_.now();
    loop_.post([this] {
      for (int i = 0; i < kAtOnce; ++i) wake();
    });
    loop_.run();
    wall_ = seconds(loop_.now() - began_);
    return failed_;
  }
  [[nodiscard]] const std::vector<double>& latencies() const { return latencies_; }
  [[nodiscard]] double wall() const { return wall_; }

 private:
  void wake() {
    if (next_ == order_.size()) {
      if (latencies_.size() == order_.size() || !failed_) loop_.stop();
      return;
    }
    TimePoint asked = loop_.now();
    home_.visit(name_of(order_[next_++]), [this, asked](const Result<agent::Visit>& visit) {
      if (!visit) failed_ = fail(visit.error());
      if (visit && visit->state().conversations().empty()) failed_ = fail(ErrorCode::internal, "an agent woke empty");
      latencies_.push_back(seconds(loop_.now() - asked));
      wake();
    });
  }

  AsioEventLoop& loop_;
  agent::Home& home_;
  std::vector<int> order_;
  size_t next_ = 0;
  std::vector<double> latencies_;
  TimePoint began_{};
  double wall_ = 0;
  Status failed_;
};

Status wakes(const std::string& folder, int agents, Report& report) {
  SKEP_TRY(auto store, store::Store::open({.folder = folder}));
  agent::AgentStore states(*store);
  AsioEventLoop loop;
  agent::HomeOptions options;
  options.memory = 4_MiB;  // a few hundred awake: nearly every visit is a wake
  agent::Home home(loop, states, options);
  Waker waker(loop, home, agents);
  SKEP_CHECK(waker.run());
  report.rows.push_back(
      latency_row(fmt::format("wake of a sleeping agent, {} at once", kAtOnce), waker.latencies(), 0.99, 2));
  Row row;
  row.name = "wakes";
  row.value = static_cast<double>(agents) / waker.wall();
  row.unit = "/s";
  row.bar = ">= 5000 /s";
  row.met = row.value >= 5000;
  report.rows.push_back(row);
  report.notes.push_back(fmt::format("wake: p50 {:.3f} ms; {} wakes, {} sleeps", 1e3 * quantile(waker.latencies(), 0.5),
                                     home.counters().wakes, home.counters().sleeps));
  return {};
}

Status resident(const WakeBenchOptions& options, Report& report) {
  std::string roster = options.folder + "/roster.yaml";
  std::ofstream out(roster);
  out << "agents:\n";
  for (int i = 0; i < options.agents; ++i) {
    out << fmt::format("  - {{name: {}, tier: fast, system_prompt: You watch machines.}}\n", name_of(i));
  }
  out.close();
  uint16_t port = free_port();
  std::string config = options.folder + "/skep.yaml";
  std::ofstream(config) << fmt::format("listen: 127.0.0.1:{}\nstate_folder: {}\nroster: {}\nmodel_folders: []\n", port,
                                       options.folder, roster);
  SKEP_TRY(auto server, ServerProcess::start({options.skep, "serve", "--config", config}, port, "/readyz",
                                             options.folder + "/skep.log", std::chrono::minutes(1)));
  SKEP_TRY(Bytes memory, model::process_tree_memory(server.pid()));
  Row row;
  row.name = fmt::format("daemon with {} sleeping agents", options.agents);
  row.value = static_cast<double>(memory.count) / 1e6;
  row.unit = "MB resident (PSS)";
  row.bar = "< 60 MB";
  row.met = row.value < 60;
  report.rows.push_back(row);
  return {};
}

}  // namespace

Result<Report> run_wake_bench(const WakeBenchOptions& options) {
  Report report;
  report.bench = "wake";
  std::error_code error;
  std::string folder = options.folder + "/state";
  fs::remove_all(folder, error);
  fs::create_directories(folder, error);
  {
    SKEP_TRY(auto store, store::Store::open({.folder = folder}));
    SKEP_CHECK(fill(*store, options.agents));
    Row row;
    row.name = fmt::format("on disk, {} agents of 4 KB", options.agents);
    row.value = static_cast<double>(store->usage().used.count) / options.agents;
    row.unit = "bytes each";
    row.bar = "<= 2048";
    row.met = row.value <= 2048;
    report.rows.push_back(row);
  }
  SKEP_CHECK(resident(options, report));
  SKEP_CHECK(wakes(folder, options.agents, report));
  return report;
}

}  // namespace skep::bench
