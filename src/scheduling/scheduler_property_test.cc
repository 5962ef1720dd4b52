// Random traces on a simulated box: engines that load, drain, generate, fail and die, tasks that come, are cancelled
// and have deadlines. What scheduler.h promises is checked at every step.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "scheduling/scheduler.h"

namespace skep::scheduling {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Trace {
  uint32_t seed = 1;
  int models = 3, fit = 2, agents = 6;  // fit: engines that memory has room for
  double arrivals_per_second = 2;
  Duration length = seconds(600);
  double deadline_share = 0.2, cancel_share = 0.05, critical_share = 0.1;
  double deaths_per_second = 0.005;
  Config config;
};

class Box {
 public:
  explicit Box(const Trace& trace) : trace_(trace), random_(trace.seed), scheduler_(trace.config) {
    for (int m = 0; m < trace.models; ++m) {
      EngineFacts facts;
      facts.model = "model " + std::to_string(m);
      facts.slots = 1 + static_cast<int>(random_() % 4);
      facts.load_cost = milliseconds(200 + random_() % 5000);
      if (random_() % 2 == 0) {
        facts.prefill_tokens_per_second = 500;
        facts.decode_tokens_per_second = 50;
      }
      engines_.push_back({.facts = facts, .load_cost = facts.load_cost});
    }
  }

  // Runs until all tasks have ended.
  void run() {
    next_arrival_ = now_;
    for (int step = 0;; ++step) {
      ASSERT_LT(step, 1'000'000) << "it does not end";
      for (again_ = true; again_;) {
        again_ = false;
        act();
        if (::testing::Test::HasFatalFailure()) return;
        ASSERT_LT(++rounds_, 100) << "preemption without end";
      }
      rounds_ = 0;
      std::optional<TimePoint> next = wake_;
      const auto consider = [&](TimePoint at) { next = std::min(next.value_or(at), at); };
      if (next_arrival_ < TimePoint() + trace_.length) consider(next_arrival_);
      for (const auto& [id, end] : ends_) consider(end);
      for (const Engine& engine : engines_) {
        if (engine.facts.state == EngineState::loading && engine.room) consider(engine.loaded_at);
      }
      if (!next) {
        ASSERT_TRUE(live_.empty()) << live_.size() << " tasks wait and nothing will ever happen";
        return;
      }
      ASSERT_GE(*next, now_);
      standstill_ = *next == now_ ? standstill_ + 1 : 0;
      ASSERT_LT(standstill_, 1000) << "wakes without progress";
      const double passed = skep::seconds(*next - now_);
      now_ = *next;
      happen(passed);
    }
  }

  int started_ = 0, loads_ = 0, expired_ = 0, cancelled_ = 0, refused_ = 0, finished_ = 0, preempted_ = 0;
  Duration longest_wait_{};
  std::map<std::string, Duration> longest_turn_wait_;

 private:
  struct Engine {
    EngineFacts facts;
    Duration load_cost{};
    bool room = false;  // loading: memory was made, weights are read
    TimePoint loaded_at{};
    int running = 0;
  };
  struct Live {
    TaskFacts facts;
    bool running = false;
  };

  double uniform() { return std::uniform_real_distribution<>(0, 1)(random_); }

  Engine& engine(const std::string& model) {
    return *std::find_if(engines_.begin(), engines_.end(), [&](const Engine& e) { return e.facts.model == model; });
  }
  int resident() const {
    return static_cast<int>(std::count_if(engines_.begin(), engines_.end(), [](const Engine& e) {
      return e.facts.state == EngineState::ready || e.facts.state == EngineState::draining ||
             (e.facts.state == EngineState::loading && e.room);
    }));
  }

  // What the residency does: make room by draining, then load.
  void make_room() {
    for (Engine& wanted : engines_) {
      if (wanted.facts.state != EngineState::loading || wanted.room) continue;
      for (Engine& victim : engines_) {
        if (victim.facts.state == EngineState::draining && victim.running == 0) {
          victim.facts.state = EngineState::absent;
        }
      }
      if (resident() < trace_.fit) {
        wanted.room = true;
        wanted.loaded_at = now_ + wanted.load_cost;
        continue;
      }
      const bool draining = std::any_of(engines_.begin(), engines_.end(),
                                        [](const Engine& e) { return e.facts.state == EngineState::draining; });
      if (draining) continue;
      // The engine with the least work is drained.
      Engine* victim = nullptr;
      const auto work = [this](const Engine& e) { return e.running + scheduler_.waiting(e.facts.model); };
      for (Engine& e : engines_) {
        if (e.facts.state == EngineState::ready && (victim == nullptr || work(e) < work(*victim))) victim = &e;
      }
      if (victim != nullptr) {
        victim->facts.state = victim->running == 0 ? EngineState::absent : EngineState::draining;
        if (victim->running == 0 && resident() < trace_.fit) {
          wanted.room = true;
          wanted.loaded_at = now_ + wanted.load_cost;
        }
      }
    }
  }

  std::vector<EngineFacts> facts() {
    int idle = 0;
    for (const Engine& e : engines_) {
      if (e.facts.state == EngineState::ready && e.running == 0 && scheduler_.waiting(e.facts.model) == 0) ++idle;
    }
    std::vector<EngineFacts> all;
    for (Engine& e : engines_) {
      e.facts.fits = resident() - idle < trace_.fit;
      all.push_back(e.facts);
    }
    return all;
  }

  void act() {
    make_room();
    const Decision decision = scheduler_.decide(now_, facts());
    wake_ = decision.wake;
    ASSERT_TRUE(!wake_ || *wake_ > now_);
    for (const Action& action : decision.actions) {
      if (const auto* start = std::get_if<Start>(&action)) on_start(*start);
      if (const auto* load = std::get_if<Load>(&action)) {
        Engine& e = engine(load->model);
        ASSERT_TRUE(e.facts.state == EngineState::absent ||
                    (e.facts.state == EngineState::failed && e.facts.retry_at <= now_));
        e.facts.state = EngineState::loading;
        e.room = false;
        ++loads_;
        make_room();
      }
      if (const auto* expire = std::get_if<Expire>(&action)) on_expire(*expire);
      if (const auto* preempt = std::get_if<Preempt>(&action)) on_preempt(*preempt);
      if (::testing::Test::HasFatalFailure()) return;
    }
    int generating = 0, running = 0, loading = 0;
    for (const Engine& e : engines_) {
      ASSERT_LE(e.running, e.facts.slots);
      generating += e.running > 0 ? 1 : 0;
      running += e.running;
      loading += e.facts.state == EngineState::loading ? 1 : 0;
    }
    ASSERT_LE(generating, trace_.config.caps.generating_engines);
    ASSERT_LE(running, trace_.config.caps.running_tasks);
    ASSERT_LE(loading, trace_.config.caps.loads_at_once);
    ASSERT_LE(scheduler_.waiting(), trace_.config.caps.queue_length);
    ASSERT_EQ(scheduler_.running(), running);
    ASSERT_EQ(scheduler_.waiting() + scheduler_.running(), static_cast<int>(live_.size()));
    for (const auto& [id, task] : live_) ASSERT_TRUE(!task.facts.deadline || *task.facts.deadline > now_);
  }

  void on_start(const Start& start) {
    const auto found = live_.find(start.task);
    ASSERT_NE(found, live_.end()) << "started after its end";
    Live& task = found->second;
    ASSERT_FALSE(task.running);
    ASSERT_EQ(task.facts.model, start.model);
    Engine& e = engine(start.model);
    ASSERT_EQ(e.facts.state, EngineState::ready);
    check_starvation(task.facts);
    task.running = true;
    ++e.running;
    ++started_;
    ends_[start.task] = now_ + milliseconds(50 + random_() % 3000);
    longest_wait_ = std::max(longest_wait_, now_ - task.facts.submitted);
  }

  // The starvation bound of scheduler.h, word for word.
  void check_starvation(const TaskFacts& started) {
    bool aged_waits = false;
    for (const auto& [id, other] : live_) {
      if (other.running || other.facts.model != started.model || id == started.id) continue;
      if (now_ - other.facts.submitted < trace_.config.starvation_limit) continue;
      const bool critical_waits = other.facts.priority == Priority::critical;
      if (!critical_waits) aged_waits = true;
      if (started.submitted <= other.facts.submitted) continue;
      if (critical_waits) {
        ASSERT_GE(now_ - started.submitted, trace_.config.starvation_limit) << "passed an aged critical task";
      } else {
        ASSERT_EQ(started.priority, Priority::critical) << "passed an aged task";
      }
    }
    int& streak = streak_[started.model];
    streak = started.priority == Priority::critical && aged_waits ? streak + 1 : 0;
    ASSERT_LE(streak, trace_.config.critical_burst);
  }

  void on_expire(const Expire& expire) {
    const auto found = live_.find(expire.task);
    ASSERT_NE(found, live_.end());
    ASSERT_EQ(found->second.running, expire.running);
    ASSERT_TRUE(found->second.facts.deadline);
    if (expire.needed == Duration::zero()) {
      ASSERT_LE(*found->second.facts.deadline, now_);
    } else {
      ASSERT_GT(expire.needed, *found->second.facts.deadline - now_);
    }
    if (expire.running) {
      --engine(found->second.facts.model).running;
      ends_.erase(expire.task);
    }
    live_.erase(found);
    ++expired_;
  }

  // The victim goes back to the queue; that may allow a start at once.
  void on_preempt(const Preempt& preempt) {
    ASSERT_TRUE(trace_.config.preemption);
    Live& victim = live_.at(preempt.victim);
    ASSERT_TRUE(victim.running);
    ASSERT_NE(victim.facts.priority, Priority::critical);
    const Live& critical = live_.at(preempt.critical);
    ASSERT_FALSE(critical.running);
    ASSERT_EQ(critical.facts.priority, Priority::critical);
    victim.running = false;
    --engine(victim.facts.model).running;
    ends_.erase(preempt.victim);
    ASSERT_TRUE(scheduler_.requeue(preempt.victim, victim.facts.model, {}, now_));
    ++preempted_;
    again_ = true;
  }

  void end(TaskId id, End how) {
    const Live& task = live_.at(id);
    if (task.running) --engine(task.facts.model).running;
    ends_.erase(id);
    ASSERT_TRUE(scheduler_.ended(id, how, {.prompt_tokens = 50, .completion_tokens = 20}, now_));
    ASSERT_FALSE(scheduler_.ended(id, how, {}, now_)) << "ended twice";
    live_.erase(id);
  }

  void happen(double passed) {
    if (now_ >= next_arrival_ && next_arrival_ < TimePoint() + trace_.length) {
      arrive();
      next_arrival_ += std::chrono::duration_cast<Duration>(
          std::chrono::duration<double>(std::exponential_distribution<>(trace_.arrivals_per_second)(random_)));
    }
    std::vector<TaskId> over;
    for (const auto& [id, at] : ends_) {
      if (at <= now_) over.push_back(id);
    }
    for (TaskId id : over) {
      end(id, uniform() < 0.95 ? End::finished : End::failed);
      ++finished_;
    }
    if (!live_.empty() && uniform() < trace_.cancel_share) {
      auto it = live_.begin();
      std::advance(it, static_cast<std::ptrdiff_t>(random_() % live_.size()));
      end(it->first, End::cancelled);
      ++cancelled_;
    }
    for (Engine& e : engines_) {
      if (e.facts.state == EngineState::loading && e.room && e.loaded_at <= now_) {
        const bool fails = uniform() < 0.05;
        e.facts.state = fails ? EngineState::failed : EngineState::ready;
        e.facts.retry_at = now_ + seconds(3);
      }
      if (e.facts.state == EngineState::ready && uniform() < trace_.deaths_per_second * passed) die(e);
    }
  }

  void die(Engine& e) {
    e.facts.state = EngineState::failed;
    e.facts.retry_at = now_ + seconds(2);
    for (auto& [id, task] : live_) {
      if (!task.running || task.facts.model != e.facts.model) continue;
      task.running = false;
      ends_.erase(id);
      const std::string elsewhere = engines_[random_() % engines_.size()].facts.model;
      task.facts.model = elsewhere;
      ASSERT_TRUE(scheduler_.requeue(id, elsewhere, {.prompt_tokens = 10, .completion_tokens = 1}, now_));
    }
    e.running = 0;
  }

  void arrive() {
    TaskFacts facts;
    facts.id = ++last_id_;
    facts.agent = "agent " + std::to_string(random_() % static_cast<unsigned>(trace_.agents));
    facts.caller = uniform() < 0.5 ? "key" : "";
    facts.model = engines_[random_() % engines_.size()].facts.model;
    facts.priority = uniform() < trace_.critical_share ? Priority::critical : static_cast<Priority>(1 + random_() % 3);
    facts.submitted = now_;
    facts.prompt_tokens = static_cast<int>(random_() % 200);
    facts.max_tokens = 1 + static_cast<int>(random_() % 100);
    facts.weight = 1 + static_cast<double>(random_() % 3);
    if (uniform() < trace_.deadline_share) facts.deadline = now_ + milliseconds(random_() % 60000);
    const auto admitted = scheduler_.admit(facts, now_);
    if (admitted) {
      live_[facts.id] = {.facts = facts};
    } else {
      ASSERT_GE(admitted.error().retry_after, seconds(1));
      ++refused_;
    }
  }

  Trace trace_;
  std::mt19937 random_;
  Scheduler scheduler_;
  std::vector<Engine> engines_;
  std::map<TaskId, Live> live_;
  std::map<TaskId, TimePoint> ends_;  // of running tasks
  std::map<std::string, int> streak_;
  TimePoint now_{}, next_arrival_{};
  std::optional<TimePoint> wake_;
  TaskId last_id_ = 0;
  int standstill_ = 0;
  bool again_ = false;
  int rounds_ = 0;
};

TEST(SchedulerProperties, HoldOnRandomTraces) {
  int started = 0, expired = 0, cancelled = 0, preempted = 0;
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    Trace trace{.seed = seed};
    std::mt19937 random(seed);
    trace.models = 1 + static_cast<int>(random() % 5);
    trace.fit = 1 + static_cast<int>(random() % 3);
    trace.arrivals_per_second = 0.5 + static_cast<double>(random() % 40) / 10;
    trace.config.caps.generating_engines = 1 + static_cast<int>(random() % 2);
    trace.config.caps.running_tasks = 1 + static_cast<int>(random() % 8);
    trace.config.caps.queue_length = 20 + static_cast<int>(random() % 400);
    trace.config.starvation_limit = seconds(20 + random() % 100);
    trace.config.aging_step = seconds(5 + random() % 15);
    trace.config.preemption = random() % 2 == 0;
    if (random() % 3 == 0) trace.config.caller_limits = {.tokens_per_minute = 2000, .concurrent = 10};
    SCOPED_TRACE("seed " + std::to_string(seed));
    Box box(trace);
    box.run();
    ASSERT_FALSE(::testing::Test::HasFatalFailure());
    started += box.started_;
    expired += box.expired_;
    cancelled += box.cancelled_;
    preempted += box.preempted_;
  }
  EXPECT_GT(started, 10000);  // the traces do exercise it
  EXPECT_GT(expired, 500);
  EXPECT_GT(cancelled, 500);
  EXPECT_GT(preempted, 500);
}

// Below saturation nobody waits for long, whatever the class: three models of which two fit.
TEST(SchedulerProperties, NobodyStarvesBelowSaturation) {
  for (uint32_t seed = 1; seed <= 10; ++seed) {
    Trace trace{.seed = seed, .arrivals_per_second = 0.4, .length = seconds(1200), .deaths_per_second = 0};
    trace.cancel_share = 0;
    trace.deadline_share = 0;
    Box box(trace);
    box.run();
    ASSERT_FALSE(::testing::Test::HasFatalFailure()) << seed;
    EXPECT_EQ(box.started_, box.finished_);
    EXPECT_LT(box.longest_wait_, seconds(100)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace skep::scheduling
