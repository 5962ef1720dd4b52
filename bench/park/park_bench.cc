#include "park_bench.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <thread>

#include "drafts_bench.h"
#include "engine/kv_cache.h"
#include "engine/parked_file.h"
#include "engine/parking_lot.h"
#include "engine_under_test.h"
#include "machine.h"
#include "prompts.h"

namespace skep::bench {
namespace {

namespace fs = std::filesystem;
using engine::Forward;
using engine::Token;

constexpr int kTokens = 1000;
constexpr int kAgents = 131;
constexpr engine::SequenceId kSequence = 0;
// From an agent's wake to the moment when an engine looks for its cells: its task is read, planned and sent.
constexpr std::chrono::milliseconds kAhead{10};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::vector<Token> some_tokens(const Forward& forward, int count) {
  std::vector<Token> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back((300 + i * 7919) % forward.limits().vocabulary);
  return tokens;
}

// The files' pages leave the page cache, as after a reboot.
void forget_pages(const fs::path& folder) {
  for (const auto& item : fs::directory_iterator(folder)) {
    const int file = open(item.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    fdatasync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
  }
}

// What comes after the sequence, evaluated alone: the same bits if and only if the cells are the same.
Result<std::vector<float>> probe(Forward& forward, int position) {
  const Token next = 17;
  const engine::Slice slice{kSequence, position, std::span(&next, 1), 1};
  SKEP_CHECK(forward.step({&slice, 1}));
  const auto row = forward.logits(0);
  std::vector<float> logits(row.begin(), row.end());
  forward.drop(kSequence, position, position + 1);
  return logits;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// `limit`: seconds in which the machine could do it at best, by `what`.
Row speed_row(const char* name, const std::vector<double>& resume, const std::vector<double>& recompute, double bar,
              const std::string& what, double limit) {
  Row row;
  row.name = name;
  row.value = 1e3 * median(resume);
  row.unit = "ms";
  row.peer = "evaluating again";
  row.peer_value = 1e3 * median(recompute);
  row.ratio = *row.peer_value / row.value;
  row.limit = fmt::format("{}: {:.2f} ms", what, 1e3 * limit);
  row.fraction = limit / median(resume);
  row.bar = fmt::format(">= {:.0f} x", bar);
  row.met = *row.ratio >= bar;
  return row;
}

// Seconds that plain reading of all files takes.
double read_plainly(const fs::path& folder) {
  std::vector<char> part(1U << 20U);
  const double began = now();
  for (const auto& item : fs::directory_iterator(folder)) {
    const int file = open(item.path().c_str(), O_RDONLY | O_CLOEXEC);
    while (file >= 0 && read(file, part.data(), part.size()) > 0) {
    }
    if (file >= 0) close(file);
  }
  return now() - began;
}

Status measure_speed(Forward& forward, const fs::path& folder, int rounds, Report& report) {
  SystemClock clock;
  const auto tokens = some_tokens(forward, kTokens);
  std::vector<double> recompute, memory, disk, ahead, plain;
  int64_t bytes = 0;
  engine::ParkingLot in_memory({1_GiB, {}, {}, "bench"}, clock);
  engine::Parking::Ticket ticket = 0;
  for (int i = 0; i <= rounds; ++i) {
    forward.drop(kSequence, 0, Forward::kEnd);
    double began = now();
    SKEP_CHECK(evaluate(forward, kSequence, tokens, 0));
    if (i > 0) recompute.push_back(now() - began);  // the first brings the weights into memory
    SKEP_TRY(std::string cells, forward.save(kSequence, 0, kTokens));
    forward.drop(kSequence, 0, Forward::kEnd);
    bytes = static_cast<int64_t>(cells.size());

    if (ticket != 0) in_memory.erase(ticket);
    ticket = in_memory.put("", tokens, 0, cells);
    began = now();
    SKEP_TRY(const auto parked, in_memory.get(ticket));
    SKEP_CHECK(forward.load(kSequence, 0, kTokens, *parked));
    if (i > 0) memory.push_back(now() - began);
    forward.drop(kSequence, 0, Forward::kEnd);

    fs::remove_all(folder);
    {
      engine::ParkingLot writes({1_GiB, folder, 1_GiB, "bench"}, clock);
      writes.put("", tokens, 0, std::move(cells));
      writes.sync();
    }
    engine::ParkingLot finds({1_GiB, folder, 1_GiB, "bench"}, clock);
    const auto left = finds.survivors();
    if (left.size() != 1) return fail(ErrorCode::internal, "what was parked on disk is not found");
    forget_pages(folder);
    const auto from_disk = [&](engine::ParkingLot& lot, engine::Parking::Ticket entry) -> Result<double> {
      const double start = now();
      SKEP_TRY(const auto read, lot.get(entry));
      SKEP_CHECK(forward.load(kSequence, 0, kTokens, *read));
      return now() - start;
    };
    SKEP_TRY(const double cold, from_disk(finds, left[0].ticket));
    if (i > 0) disk.push_back(cold);
    forward.drop(kSequence, 0, Forward::kEnd);
    forget_pages(folder);
    for (const auto& item : fs::directory_iterator(folder)) engine::read_ahead(item.path());
    std::this_thread::sleep_for(kAhead);
    SKEP_TRY(const double warm, from_disk(finds, left[0].ticket));
    if (i > 0) ahead.push_back(warm);
    forget_pages(folder);
    const double reading = read_plainly(folder);
    if (i > 0) plain.push_back(reading);
  }
  forward.drop(kSequence, 0, Forward::kEnd);
  fs::remove_all(folder);
  const double copied = 2 * static_cast<double>(bytes) / read_bandwidth(1);  // read and written
  report.rows.push_back(speed_row("park_memory", memory, recompute, 100,
                                  fmt::format("copying {} once", to_string(Bytes(bytes))), copied));
  report.rows.push_back(speed_row("park_disk", disk, recompute, 20, "reading the file", median(plain)));
  Row row;
  row.name = "park_disk, read ahead";
  row.value = 1e3 * median(ahead);
  row.unit = "ms";
  row.peer = "not read ahead";
  row.peer_value = 1e3 * median(disk);
  row.ratio = *row.peer_value / row.value;
  report.rows.push_back(std::move(row));
  return {};
}

// 131 agents through a cache that holds a few of them: all but those wait in the parking lot, then a new worker finds
// them on disk, and each must go on with exactly the cells that it had.
Status measure_bytes(engine::ReadyModel& model, const fs::path& folder, Report& report) {
  SystemClock clock;
  Forward& forward = *model.forward;
  fs::remove_all(folder);
  const engine::ParkingOptions parking{4_GiB, folder, 4_GiB, "bench"};
  std::vector<std::vector<Token>> agents;
  for (int agent = 0; agent < kAgents; ++agent) {
    SKEP_TRY(auto tokens,
             model.vocabulary->tokenize(preamble() + "\n\n" + role(agent) + "\n\n" + task(agent, 0), true, false));
    agents.push_back(std::move(tokens));
  }
  std::vector<std::vector<float>> expected;
  int64_t tokens = 0, own = 0;
  Bytes in_memory, on_disk;
  {
    engine::ParkingLot lot(parking, clock);
    engine::KvCache cache(forward, 1, clock, &lot);
    for (const auto& agent : agents) {
      const int taken = cache.take(kSequence, "", agent);
      const int rest = static_cast<int>(agent.size()) - taken;
      if (!cache.make_room(rest + 1)) return fail(ErrorCode::internal, "no room in the cache");
      SKEP_CHECK(evaluate(forward, kSequence, agent, taken));
      cache.advance(kSequence, rest);
      SKEP_TRY(auto logits, probe(forward, static_cast<int>(agent.size())));
      expected.push_back(std::move(logits));
      cache.publish(kSequence, "", agent);
      cache.release(kSequence);
      tokens += static_cast<int64_t>(agent.size());
      own += rest;
    }
    while (cache.park_copies(1) > 0) lot.sync();
    lot.sync();
    in_memory = lot.memory_used();
    on_disk = lot.disk_used();
    cache.make_room(forward.limits().cells);  // the next worker begins with an empty cache
  }
  int exact = 0;
  int64_t evaluated = 0;
  engine::ParkingLot lot(parking, clock);
  engine::KvCache cache(forward, 1, clock, &lot);
  for (const auto& left : lot.survivors()) cache.adopt(left.scope, left.prefix, left.begin, left.ticket);
  for (size_t agent = 0; agent < agents.size(); ++agent) {
    const auto& text = agents[agent];
    const int taken = cache.take(kSequence, "", text);
    const int rest = static_cast<int>(text.size()) - taken;
    evaluated += rest;
    if (!cache.make_room(rest + 1)) return fail(ErrorCode::internal, "no room in the cache");
    if (rest > 0) SKEP_CHECK(evaluate(forward, kSequence, text, taken));
    cache.advance(kSequence, rest);
    SKEP_TRY(const auto logits, probe(forward, static_cast<int>(text.size())));
    exact += same_bits(logits, expected[agent]) ? 1 : 0;
    cache.release(kSequence);
  }
  fs::remove_all(folder);
  Row row;
  row.name = "park_bytes";
  row.value = static_cast<double>(in_memory.count) / kAgents;
  row.unit = "bytes per agent in memory";
  row.peer = "without sharing the preamble";
  row.peer_value = row.value * static_cast<double>(tokens) / static_cast<double>(own);
  row.ratio = *row.peer_value / row.value;
  row.bar = fmt::format("all {} resume exactly", kAgents);
  row.met = exact == kAgents && evaluated == 0;
  report.rows.push_back(row);
  report.notes.push_back(fmt::format(
      "park_bytes: {} agents, {} tokens, {} of them parked; {} in memory, {} on disk ({:.0f} bytes per agent); {} "
      "resumed with the same bits, {} tokens evaluated again",
      kAgents, tokens, own, to_string(in_memory), to_string(on_disk), static_cast<double>(on_disk.count) / kAgents,
      exact, evaluated));
  return {};
}

}  // namespace

Result<Report> run_park_bench(const ParkBenchOptions& options) {
  Report report;
  report.bench = "park";
  if (options.only == "drafts") {
    SKEP_TRY(report.rows, measure_drafts(options));
    return report;
  }
  SKEP_TRY(const std::string path, bench_model(options));
  SKEP_TRY(engine::ReadyModel model, load_bench_model(path, options.forward, 4, 8192));
  const fs::path folder = fs::path(options.folder) / "parked";
  SKEP_CHECK(measure_speed(*model.forward, folder, options.rounds, report));
  SKEP_CHECK(measure_bytes(model, folder, report));
  SKEP_TRY(const std::vector<Row> drafts, measure_drafts(options));
  report.rows.insert(report.rows.end(), drafts.begin(), drafts.end());
  report.notes.push_back("forward pass: " + model.loaded.forward);
  return report;
}

}  // namespace skep::bench
