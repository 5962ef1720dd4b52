#pragma once
// Where KV cells wait outside the cache: in host memory first, the longest unused on disk, both bounded. What is on
// disk outlives the worker: the next one of the same model finds it again (survivors()). Every entry carries what it
// belongs to (model, cache type, library, scope, agent, all tokens up to its end) and a checksum; what does not match
// is forgotten, and then evaluated again. doc/parked.md has the file format.
//
// One thread, but for the writing: a thread of its own brings new entries to disk behind the caller's back, so that a
// killed worker loses at most the last moments.

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/units.h"
#include "engine/parking.h"

namespace skep::engine {

struct ParkingOptions {
  Bytes memory;                     // for entries in host memory
  std::filesystem::path directory;  // empty: no disk. Made if missing; one per model will do, others are told apart
  Bytes disk;                       // for files in it
  std::string identity;             // of model, adapter, cache type and library: entries of another are not ours
};

class ParkingLot final : public Parking {
 public:
  explicit ParkingLot(ParkingOptions options, const Clock& clock);
  ~ParkingLot() override;  // after what is being written
  ParkingLot(const ParkingLot&) = delete;
  ParkingLot& operator=(const ParkingLot&) = delete;

  [[nodiscard]] int64_t room() const override;
  [[nodiscard]] int64_t largest_entry() const override { return options_.memory.count; }
  Ticket put(const Scope& scope, std::span<const Token> prefix, int begin, std::string bytes) override;
  [[nodiscard]] bool holds(Ticket ticket) const override { return entries_.contains(ticket); }
  Result<std::shared_ptr<const std::string>> get(Ticket ticket) override;
  void erase(Ticket ticket) override;
  void restored(int64_t bytes, Duration took) override;
  [[nodiscard]] bool pays(Ticket ticket) const override;

  // What an earlier worker left on disk, beginnings before what follows them. Its ticket is 0 once it was given up.
  struct Survivor {
    Ticket ticket;
    Scope scope;
    std::vector<Token> prefix;
    int begin;
  };
  std::vector<Survivor> survivors();

  // Entries wait to be written: more of them now could push others out of memory before those are on disk.
  [[nodiscard]] bool behind() const;

  // All entries, those on disk too.
  void forget_all();

  void sync() override;

  // What waits to be written, and how many bytes of it a second were written lately.
  [[nodiscard]] int64_t unwritten_bytes() const;
  [[nodiscard]] double write_rate() const;

  // Measured: what one prompt token costs to evaluate. Reading back is measured here.
  void set_recompute_cost(double seconds_per_token) { recompute_ = seconds_per_token; }

  [[nodiscard]] Bytes memory_used() const { return memory_used_; }
  [[nodiscard]] Bytes disk_used() const;
  [[nodiscard]] int entries() const { return static_cast<int>(entries_.size()); }

 private:
  struct Entry {
    Ticket ticket = 0;
    int tokens = 0;
    int64_t size = 0;                          // of the bytes
    std::shared_ptr<const std::string> bytes;  // null: only on disk
    std::filesystem::path file;                // empty: only in memory
    std::list<Ticket>::iterator age;
  };
  struct Write {
    std::filesystem::path file;
    std::string header;
    std::shared_ptr<const std::string> bytes;
  };
  void make_room(Bytes bytes);
  void forget_file(Entry& entry);
  void withdraw(const std::string& file);
  void touch(Entry& entry);
  void trim_disk(int64_t more);
  std::vector<std::filesystem::path> left_files() const;
  void write_behind();
  [[nodiscard]] bool written(const Entry& entry) const;
  Result<std::string> read_back(const Entry& entry) const;

  ParkingOptions options_;
  const Clock& clock_;
  std::unordered_map<Ticket, Entry> entries_;
  std::unordered_map<std::string, Ticket> by_file_;
  std::list<Ticket> ages_;  // the longest unused first
  Ticket next_ = 1;
  Bytes memory_used_;
  int64_t disk_used_ = 0;
  double recompute_ = 0;  // seconds per token; 0: not known
  // Bytes per second, moving averages: from host memory into the cache, and from disk into host memory.
  double memory_rate_ = 2e9, disk_rate_ = 200e6;

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<Write> writes_;
  std::unordered_map<std::string, int> unwritten_;  // files in writes_ or being written
  int64_t unwritten_bytes_ = 0;                     // of them
  double write_rate_ = 200e6;                       // bytes per second, moving average
  bool closing_ = false;
  std::thread writer_;
};

}  // namespace skep::engine
