#pragma once
// Which engines are alive inside the byte budget (R1). Effects on the event loop over the EngineFactory seam; the
// decisions are pure and elsewhere: ledger.h (bytes), load_plan.h (what must go), scheduling/eviction.h (whose going
// costs least).
//
// The life of an engine:   absent → loading → ready ⇄ draining → unloading → absent
//   loading    measured, booked in the ledger, its process starts
//   ready      may be leased
//   draining   has to make room (or to end) but still generates: gives no new leases, unloads with its last one
//   unloading  told to end; its bytes stay booked until its process is gone
//
// One model is loaded at a time, in the order of asking: reading two files at once is slower than one after the other,
// and the first to ask must not be overtaken by those that happen to fit. What is ready is leased at once.
//
// Everything runs on the event loop's thread; callbacks come on the loop and never from inside the call.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/result.h"
#include "base/units.h"
#include "engine/messages.h"
#include "model/engine.h"
#include "model/ledger.h"

namespace skep::model {

inline constexpr Duration kForever = Duration::max();  // as a keep-alive: until evicted or told to go

struct ResidencyOptions {
  std::vector<Ledger::Book> budgets;  // host first; at least one
  bool unified_memory = false;        // CPU and GPU share the first book
  Bytes daemon_reserve = 64_MiB;      // the daemon's own process, an entry of the ledger
  int max_loaded = 0;                 // local engines alive at once; 0: as many as fit. Remote ones don't count
  size_t max_waiting = 4096;          // acquire() and ensure() calls waiting; then overloaded
  Duration keep_alive = std::chrono::minutes(5);  // after the last lease ended, unless the model has its own
  Duration poll = std::chrono::seconds(1);        // between looks at engines' measured memory
  // A crash is retried at once; from the second in a row on, loads wait first_backoff, doubling up to max_backoff.
  Duration first_backoff = std::chrono::seconds(1);
  Duration max_backoff = std::chrono::minutes(1);
  Duration stable_after = std::chrono::minutes(1);  // alive for so long: earlier crashes are forgotten
};

// How a model becomes an engine.
struct EngineSpec {
  EngineFactory* factory = nullptr;  // outlives the residency
  engine::LoadOptions options;
  std::optional<Duration> keep_alive;  // unset: ResidencyOptions::keep_alive; 0: unload when idle
  bool pinned = false;                 // never evicted for another; unload() still ends it
};

enum class ResidentState { loading, ready, draining, unloading };
const char* to_string(ResidentState state);

// One engine, for `ps`, the API and the metrics.
struct ResidentView {
  std::string model;
  ResidentState state = ResidentState::loading;
  std::vector<Reservation> reserved;  // per device, as in the ledger
  Bytes measured;                     // PSS; 0: not measured or remote
  int context_tokens = 0;             // per sequence; 0 while loading
  std::string forward;                // engine::Loaded::forward
  engine::StreamedWeights streamed;   // engine::Loaded::streamed
  int slots = 0;
  int leases = 0;
  bool pinned = false;
  std::optional<TimePoint> expires;  // unset: in use, pinned, or for ever
  int process_id = 0;
  int64_t loads = 0;     // of this model since the daemon started
  Duration load_time{};  // of the last load
  engine::Heartbeat heartbeat;
};

struct ResidencyEvent {
  enum class Kind { loading, loaded, load_failed, evicted, unloaded, died };
  Kind kind;
  std::string model;
  std::string reason;  // "to make room for deepseek-r1", "idle for 5 min", "killed by signal 9 (SIGKILL)"
  Duration took{};     // loaded: how long it took
};
const char* to_string(ResidencyEvent::Kind kind);

// Keeps an engine alive and undisturbed while a task generates. Move-only; empty when default-made or moved from.
class Lease {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();

  explicit operator bool() const { return engine() != nullptr; }
  // Null once the engine died or the residency was destroyed: look again after every callback.
  [[nodiscard]] Engine* engine() const;
  [[nodiscard]] const std::string& model() const;  // of a non-empty lease
  void release();

 private:
  friend class Residency;
  struct Hold;
  explicit Lease(std::shared_ptr<Hold> hold);
  std::shared_ptr<Hold> hold_;
};

class Residency {
 public:
  struct Impl;              // residency_impl.h
  using Waiter = uint64_t;  // one call of acquire(); 0 is never given

  Residency(EventLoop& loop, ResidencyOptions options);
  ~Residency();  // ends every engine without waiting; waiting calls hear nothing more
  Residency(const Residency&) = delete;
  Residency& operator=(const Residency&) = delete;

  // Makes a model known, or changes how it is loaded: an engine with other options unloads once it is idle.
  void define(const std::string& model, EngineSpec spec);
  // Forgets it; its engine unloads once it is idle, what waits for it fails with not_found.
  void undefine(const std::string& model);
  [[nodiscard]] bool defined(std::string_view model) const;

  // A lease on the model's engine, loaded first if need be: measure → refuse what can never fit (out_of_memory, with
  // the numbers and the way out) → make room by value, never from an engine that generates; if only those are in the
  // way, drain and wait → start → correct the ledger. Fails with not_found (not defined), out_of_memory, unavailable
  // (crashes; the text says when the next try may be), overloaded (max_waiting), or what the engine reported.
  Waiter acquire(const std::string& model, std::function<void(Result<Lease>)> done);
  // The callback of that acquire() won't come. A load under way goes on: the next one may want it.
  void cancel(Waiter waiter);
  // Right now or not at all: a lease if the model is ready, else an empty one.
  Lease try_acquire(const std::string& model);
  // Loads without leasing; for preloading and `keep_alive` requests with an empty prompt.
  void ensure(const std::string& model, std::function<void(Status)> done);

  // Ends it once its leases are gone; `done` comes when its process is. At once when it is not loaded.
  void unload(const std::string& model, std::function<void(Status)> done);
  // From now on, for this model; counts from its last use. nullopt: back to the configured one.
  void set_keep_alive(const std::string& model, std::optional<Duration> keep_alive);
  void set_pinned(const std::string& model, bool pinned);
  // Queue look-ahead: how many tasks wait for each model now, in the order in which they would run (the nearest
  // first). Models that aren't named have none. Eviction spares what is needed soon.
  struct Demand {
    std::string model;
    int tasks = 0;
  };
  void set_demand(std::vector<Demand> demand);
  // Bytes of the daemon itself, measured by the caller (process_memory.h).
  void record_daemon_memory(Bytes pss);

  // Books host memory for something beside the engines, such as a job of a model tool; `owner` must not be an engine's.
  // True: it is booked until unbook(). False: ask again later; idle engines are leaving for it if they suffice, else
  // nobody does until others are idle, too: engines at work are not drained for it. out_of_memory: it can never be had.
  Result<bool> book(const std::string& owner, Bytes bytes);
  void unbook(const std::string& owner);

  // What pinned models but the one in the file `except` take of the host or, once measured, will take.
  [[nodiscard]] Bytes pinned_bytes(const std::string& except) const;

  // Absent: nullopt; but loading as soon as acquire() or ensure() asked for it, also while others make room.
  [[nodiscard]] std::optional<ResidentState> state(std::string_view model) const;
  [[nodiscard]] bool ready(std::string_view model) const;  // try_acquire() would succeed
  // Absent: it could load without waiting for an engine that generates. True while its size is not known yet.
  [[nodiscard]] bool fits(std::string_view model) const;
  // The bytes the model is known to need (measured before or booked now), all devices; nullopt: not known yet.
  [[nodiscard]] std::optional<Bytes> known_size(std::string_view model) const;
  // Seconds that the next load of it will take, by its last loads, else from its size; for scheduling and eviction.
  [[nodiscard]] double load_seconds(std::string_view model) const;
  [[nodiscard]] int64_t loads(std::string_view model) const;
  // When it may be tried again after crashes; nullopt: now.
  [[nodiscard]] std::optional<TimePoint> blocked_until(std::string_view model) const;
  [[nodiscard]] std::vector<ResidentView> views() const;
  [[nodiscard]] const Ledger& ledger() const;

  struct Counters {
    int64_t loads = 0, load_failures = 0, evictions = 0, expiries = 0, deaths = 0;
    double load_seconds = 0;  // sum
  };
  [[nodiscard]] const Counters& counters() const;

  // Heard on the loop, after the state changed. One observer; it may call back into the residency.
  void on_event(std::function<void(const ResidencyEvent&)> heard);

  // Refuses new work (unavailable), ends every engine, then `done`.
  void shut_down(std::function<void()> done);

 private:
  std::shared_ptr<Impl> impl_;  // shared with callbacks under way, which then find it closed
};

}  // namespace skep::model
