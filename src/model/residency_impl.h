#pragma once
// The state behind Residency, shared by its source files: residency.cc (interface, leases, waiters), residency_load.cc
// (from asked for to ready) and residency_leave.cc (expiry, eviction, death, shut-down).

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/load_plan.h"
#include "model/residency.h"
#include "scheduling/next_use.h"

namespace skep::model {

struct Lease::Hold {
  std::weak_ptr<Residency::Impl> residency;
  std::string model;
  uint64_t resident = 0;  // which engine of that model: a reloaded one is another
};

struct Residency::Impl : std::enable_shared_from_this<Residency::Impl> {
  // An engine that is alive, or on its way in or out.
  struct Resident {
    uint64_t id = 0;
    EngineSpec spec;  // that it was started with
    ResidentState state = ResidentState::loading;
    std::unique_ptr<Engine> engine;  // null while loading
    TimePoint load_began{}, ready_since{}, last_used{};
    int leases = 0;
    TimerId expiry = TimerId::none;
    std::optional<TimePoint> expires;

    // Why it leaves; set with draining and unloading, or while it loads: then it leaves when it has served those who
    // wait for it.
    bool leaves = false;
    ResidencyEvent::Kind leave_kind = ResidencyEvent::Kind::unloaded;
    std::string leave_reason;
    std::string room_for;  // draining for this model: stays after all if that one is no longer wanted
    std::vector<std::function<void(Status)>> when_gone;
  };

  static constexpr size_t kLoadsKept = 5;

  struct Model {
    EngineSpec spec;
    bool defined = true;
    bool pinned = false;
    std::optional<Duration> keep_alive;             // set by set_keep_alive()
    std::optional<std::vector<Reservation>> needs;  // as measured before or booked after the last load
    bool measuring = false;
    std::deque<Waiter> waiting;
    std::unique_ptr<Resident> resident;

    int64_t loads = 0;
    Duration last_load{};
    std::deque<double> load_seconds;  // of the last loads, at most kLoadsKept, the newest last
    int crashes = 0;                  // in a row
    std::string last_crash;
    std::optional<TimePoint> blocked_until;
  };

  // One call that waits. Either callback is set. `lease` is filled when it has been granted and is to be handed over.
  struct Waiting {
    std::string model;
    std::function<void(Result<Lease>)> lease_done;
    std::function<void(Status)> load_done;
    Lease lease;
    std::optional<Error> error;
  };

  Impl(EventLoop& event_loop, ResidencyOptions residency_options);

  // residency.cc
  Waiter enqueue(const std::string& name, Waiting waiting);
  void settle(Waiter waiter);  // posts the end of a waiting call whose lease or error is set
  void fail_waiters(Model& model, const Error& error);
  Lease grant(const std::string& name, Model& model);
  void release(const std::string& name, uint64_t resident);
  void emit(ResidencyEvent event);
  Model* find(std::string_view name);
  const Model* find(std::string_view name) const;
  Resident* find_resident(const std::string& name, uint64_t id);

  // residency_load.cc
  void schedule_pump();
  void pump();
  bool advance(const std::string& name, Model& model, bool may_load);  // true: no longer waits in line
  void measure(const std::string& name, Model& model);
  void start(const std::string& name, Model& model);
  void started(const std::string& name, uint64_t id, Result<std::unique_ptr<Engine>> result);
  void became_ready(const std::string& name, Model& model);
  void crashed(Model& model, const Error& error);
  [[nodiscard]] bool blocked(const Model& model) const;
  [[nodiscard]] Error blocked_error(const std::string& name, const Model& model) const;
  [[nodiscard]] LoadPlan plan(const std::string& name, const Model& model) const;
  [[nodiscard]] std::vector<AliveEngine> alive() const;  // that take memory here
  [[nodiscard]] double load_seconds(const Model& model) const;
  [[nodiscard]] double reload_cost(const Model& model) const;
  [[nodiscard]] static double guessed_load_seconds(const Model& model);  // by its size alone
  [[nodiscard]] double chance_of_use(const std::string& name) const;

  // residency_leave.cc
  void arm_expiry(const std::string& name, Model& model);
  void expire(const std::string& name, uint64_t id);
  void leave(const std::string& name, Model& model, ResidencyEvent::Kind kind, std::string reason,
             std::string room_for = {});
  void stop(const std::string& name, Model& model);
  void gone(const std::string& name, uint64_t id);
  void died(const std::string& name, uint64_t id, const Error& error);
  void forget_resident(const std::string& name, Model& model);  // out of the ledger and of `models`
  void keep_those_not_needed();                                 // draining engines whose room nobody wants any more
  void make_room(const LoadPlan& plan, const std::string& reason, const std::string& for_model);
  void relieve();
  void poll();
  void arm_poll();
  void shut_down(std::function<void()> done);
  void check_shut_down();

  EventLoop& loop;
  ResidencyOptions options;
  Ledger ledger;
  scheduling::NextUse next_use;  // of the models that take memory here
  std::map<std::string, Model, std::less<>> models;
  std::vector<std::unique_ptr<Engine>> ended;  // gone or dead, destroyed with the next turn of the loop
  std::deque<std::string> line;                // models that are asked for and not ready, in order of asking; each once
  std::map<Waiter, Waiting> waiting;
  std::map<std::string, std::pair<size_t, int>, std::less<>> demand;  // model → rank, tasks
  Counters counters;
  double load_scale = 1;  // measured by guessed load times, exponential mean over all models
  std::function<void(const ResidencyEvent&)> heard;
  uint64_t next = 1;
  bool pump_posted = false;
  TimerId poll_timer = TimerId::none;
  bool closed = false;
  std::vector<std::function<void()>> shut_down_done;
};

inline std::string ledger_owner(const std::string& model) { return "engine " + model; }

}  // namespace skep::model
