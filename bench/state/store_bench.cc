#include <filesystem>
#include <semaphore>
#include <thread>

#include "base/random.h"
#include "base/units.h"
#include "state_bench.h"
#include "store/crash_trial.h"
#include "store/store.h"

namespace skep::bench {
namespace {

namespace fs = std::filesystem;

std::string text_of(Random& random, size_t size) {
  static const char* kWords[] = {"pump", "reads", "degrees", "valve", "the", "is", "too", "hot", "check", "again"};
  std::string text;
  while (text.size() < size)
    text += std::string(kWords[random.below(10)]) + " " + std::to_string(random.below(90)) + " ";
  return text;
}

struct Written {
  std::vector<double> seconds;
  double wall = 0;
};

Result<Written> write(store::Store& store, int count, int threads) {
  std::vector<Written> each(static_cast<size_t>(threads));
  std::vector<Status> failed(static_cast<size_t>(threads));
  auto began = std::chrono::steady_clock::now();
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      Random random(static_cast<uint64_t>(t));
      for (int i = 0; i < count / threads; ++i) {
        std::string value = text_of(random, 1000);
        auto from = std::chrono::steady_clock::now();
        Status put = store.put("bench", std::to_string(random.below(10'000)), value);
        each[static_cast<size_t>(t)].seconds.push_back(seconds(std::chrono::steady_clock::now() - from));
        if (!put) {
          failed[static_cast<size_t>(t)] = put;
          return;
        }
      }
    });
  }
  for (std::thread& thread : all) thread.join();
  Written written;
  written.wall = seconds(std::chrono::steady_clock::now() - began);
  for (const Status& status : failed) SKEP_CHECK(status);
  for (const Written& one : each) written.seconds.insert(written.seconds.end(), one.seconds.begin(), one.seconds.end());
  return written;
}

Status commits(const StoreBenchOptions& options, store::Durability durability, int count, int threads, Report& report) {
  std::string folder = options.folder + "/commits";
  fs::remove_all(folder);
  store::StoreOptions store_options;
  store_options.folder = folder;
  store_options.durability = durability;
  SKEP_TRY(auto store, store::Store::open(store_options));
  SKEP_TRY(Written written, write(*store, count, threads));
  const char* name = durability == store::Durability::always ? "durable: always" : "batched";
  Row row;
  row.name = fmt::format("commits of 1 kB, {}, {} at once", name, threads);
  row.value = static_cast<double>(written.seconds.size()) / written.wall;
  row.unit = "/s";
  report.rows.push_back(row);
  report.notes.push_back(fmt::format("{}: p50 {:.3f} ms, p99 {:.3f} ms", row.name, 1e3 * quantile(written.seconds, 0.5),
                                     1e3 * quantile(written.seconds, 0.99)));
  return {};
}

// What an event loop meets: it hands updates over, eight at most under way, and waits for none of them.
Status handed_over(const StoreBenchOptions& options, int count, Report& report) {
  std::string folder = options.folder + "/handed";
  fs::remove_all(folder);
  store::StoreOptions store_options;
  store_options.folder = folder;
  store_options.durability = store::Durability::always;
  SKEP_TRY(auto store, store::Store::open(store_options));
  constexpr int kUnderWay = 8;
  std::counting_semaphore<kUnderWay> room(kUnderWay);
  std::vector<double> held, safe(static_cast<size_t>(count));
  Random random(1);
  for (int i = 0; i < count; ++i) {
    const std::string value = text_of(random, 1000);
    room.acquire();
    const auto from = std::chrono::steady_clock::now();
    const auto put = [&](store::Store::Update& update) -> Status {
      update.put("bench", std::to_string(random.below(10'000)), value);
      return {};
    };
    SKEP_CHECK(store->update(put, [&, i, from](const Status&) {
      safe[static_cast<size_t>(i)] = seconds(std::chrono::steady_clock::now() - from);
      room.release();
    }));
    held.push_back(seconds(std::chrono::steady_clock::now() - from));
  }
  for (int i = 0; i < kUnderWay; ++i) room.acquire();
  report.rows.push_back(
      latency_row(fmt::format("durable: always, {} under way: an update holds its caller", kUnderWay), held, 0.99, 1));
  report.notes.push_back(fmt::format("they are safe after p50 {:.3f} ms, p99 {:.3f} ms", 1e3 * quantile(safe, 0.5),
                                     1e3 * quantile(safe, 0.99)));
  return {};
}

Status kills(const StoreBenchOptions& options, Report& report) {
  std::string folder = options.folder + "/kills";
  fs::remove_all(folder);
  store::CrashOptions crash;
  crash.folder = folder;
  crash.trials = options.kills;
  crash.longest = std::chrono::milliseconds(110);
  crash.seed = 20261121;
  SKEP_TRY(store::CrashResult result, store::CrashTrials(crash).run());
  Row row;
  row.name = fmt::format("kill -9 at {} random instants: lost", options.kills);
  row.value = static_cast<double>(result.lost);
  row.unit = fmt::format("of {} acknowledged", result.acknowledged);
  row.bar = "0";
  row.met = result.lost == 0 && result.acknowledged > 0;
  report.rows.push_back(row);
  row.name = fmt::format("kill -9 at {} random instants: torn", options.kills);
  row.value = static_cast<double>(result.torn);
  row.unit = fmt::format("updates; {} processes died at work", result.killed_writing);
  row.met = result.torn == 0 && result.killed_writing > options.kills / 2;
  report.rows.push_back(row);
  return {};
}

}  // namespace

Result<Report> run_store_bench(const StoreBenchOptions& options) {
  Report report;
  report.bench = "store";
  if (options.kills > 0) SKEP_CHECK(kills(options, report));  // forks: before there are threads
  SKEP_CHECK(commits(options, store::Durability::batched, options.writes, 1, report));
  SKEP_CHECK(commits(options, store::Durability::batched, options.writes, 4, report));
  SKEP_CHECK(commits(options, store::Durability::always, options.writes / 40, 1, report));
  SKEP_CHECK(commits(options, store::Durability::always, options.writes / 20, 8, report));
  SKEP_CHECK(handed_over(options, options.writes / 20, report));
  return report;
}

}  // namespace skep::bench
