#pragma once
// Where agents live: who is awake, whose state is only on disk, and who must go to sleep. Every change is in the store
// before it is acknowledged, so that an agent's memory is a copy: sleeping is letting it go, waking is reading it.
//
//   asleep ──visit()──▶ active (somebody holds a Visit) ──the last Visit ends──▶ idle
//     ▲                                                                          │
//     └── it was due (buckets of due times), or memory is short (W-TinyLFU) ─────┘
//
// Memory: agents' measured bytes beyond 80 % of the limit put the least wanted to sleep until 75 % are left. Whoever is
// visited (its task or tool is in flight) stays. Wakes are admitted: so many read at once, so many wait, so long.
//
// Lives on the event loop; reads are done in its blocking pool.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/agent_state.h"
#include "agent/agent_store.h"
#include "base/event_loop.h"
#include "base/gate.h"
#include "cache/w_tiny_lfu.h"

namespace skep::agent {

struct HomeOptions {
  Bytes memory = 32_MiB;  // of all states that are awake
  double trigger = 0.80, target = 0.75;
  Duration sleep_after = std::chrono::minutes(5);  // of idleness
  Duration bucket = std::chrono::seconds(5);       // due times are rounded up to it
  int wakes_at_once = 50;
  size_t wakes_waiting = 10'000;
  Duration wake_timeout = std::chrono::seconds(30);
};

enum class Phase { asleep, waking, active, idle, quarantined };
const char* to_string(Phase phase);

class Home;

// Keeps an agent awake, and is the way to its state. One that outlives its Home can only be left.
class Visit {
 public:
  Visit() = default;
  Visit(Visit&& other) noexcept;
  Visit& operator=(Visit&& other) noexcept;
  ~Visit() { leave(); }

  [[nodiscard]] const std::string& agent() const;
  [[nodiscard]] const AgentState& state() const;
  // Changes the state and has it written. An error, of `change` or of the disk: everything is as it was, and `safe` is
  // not called. Otherwise the change is seen from now on, and `safe` (may be empty) hears on the loop, perhaps from
  // inside, when it is on disk as the store promises; what is acknowledged to others waits for that. An error there: it
  // is not known to be safe, but not undone either.
  Status change(const std::function<Status(AgentState&)>& change, const std::function<void(Status)>& safe = {});
  void leave();
  explicit operator bool() const { return home_ != nullptr; }

 private:
  friend class Home;
  struct Resident;
  Visit(Home& home, std::shared_ptr<Resident> resident);
  Home* home_ = nullptr;
  std::shared_ptr<bool> home_lives_;
  std::shared_ptr<Resident> resident_;
};

class Home {
 public:
  Home(EventLoop& loop, AgentStore& store, HomeOptions options);
  ~Home();
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;

  // Wakes the agent if it sleeps. `arrived` is called on the loop, never from inside: with a visit; corrupt: it is
  // quarantined; overloaded: too many wait; deadline_exceeded: it took too long.
  void visit(const std::string& agent, std::function<void(Result<Visit>)> arrived);

  // Replaces or removes what is on disk, with the agent asleep. conflict: somebody visits it, or is about to. `safe`:
  // as in Visit::change().
  Status import_agent(const std::string& agent, std::string_view text, const std::function<void(Status)>& safe = {});
  Status forget(const std::string& agent, const std::function<void(Status)>& safe = {});

  // What is known to be broken before anybody visits it. Not while it is awake.
  void set_apart(const std::string& agent, Error why);

  [[nodiscard]] Phase phase(const std::string& agent) const;
  [[nodiscard]] const Error* quarantine(const std::string& agent) const;  // why; null: it is not
  [[nodiscard]] const std::map<std::string, Error>& quarantined() const { return quarantined_; }
  [[nodiscard]] Bytes memory() const { return policy_.size(); }
  [[nodiscard]] size_t awake() const { return residents_.size(); }

  struct Counters {
    int64_t wakes = 0, sleeps = 0, pressed = 0, refused = 0, timeouts = 0, quarantined = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

  struct Event {
    enum class Kind { woke, slept, quarantined } kind;
    const std::string& agent;
    Duration took{};                    // to wake
    std::string reason;                 // idle, memory, or what is broken
    const AgentState* state = nullptr;  // of one that woke, as it was on disk
  };
  void on_event(std::function<void(const Event&)> heard) { heard_ = std::move(heard); }

 private:
  friend class Visit;
  using Resident = Visit::Resident;
  struct Wake {
    TimePoint asked{};
    TimerId timer = TimerId::none;
    uint64_t number = 0;  // tells its reading from that of an earlier wake
    bool reading = false;
    std::vector<std::function<void(Result<Visit>)>> waiting;
  };

  void begin_reading();
  void read(const std::string& agent);
  void arrived(const std::string& agent, uint64_t wake, Result<AgentState> state);
  [[nodiscard]] Status at_rest(const std::string& agent) const;
  void give_up(const std::string& agent);
  void left(Resident& resident);
  Status save(Resident& resident, const std::function<Status(AgentState&)>& change,
              const std::function<void(Status)>& safe);
  Status replace(const std::string& agent, const char* reason, const std::function<void(Status)>& safe,
                 const std::function<Status(AgentStore::Safe)>& write);
  // What the store tells while it is called stands in `told`, what it tells later on its thread goes to `safe` on the
  // loop, for as long as this lives.
  struct Told {
    std::optional<Status> inside;
  };
  AgentStore::Safe on_loop(const std::shared_ptr<Told>& told, const std::function<void(Status)>& safe);
  void put_to_sleep(const std::string& agent, const char* reason);
  void relieve_pressure();
  void set_due(Resident& resident);
  void arm_timer();
  void sweep();
  void tell(Event::Kind kind, const std::string& agent, Duration took, std::string reason,
            const AgentState* state = nullptr);

  EventLoop& loop_;
  AgentStore& store_;
  HomeOptions options_;
  cache::WTinyLfu policy_;
  std::unordered_map<std::string, std::shared_ptr<Resident>> residents_;
  std::unordered_map<std::string, Wake> waking_;
  std::deque<std::string> queue_;  // of those that are not read yet
  int reading_ = 0;
  uint64_t next_wake_ = 1;
  std::map<int64_t, std::set<std::string>> due_;  // by bucket
  TimerId timer_ = TimerId::none;
  std::map<std::string, Error> quarantined_;
  Counters counters_;
  std::function<void(const Event&)> heard_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};

}  // namespace skep::agent
