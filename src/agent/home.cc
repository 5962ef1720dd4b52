#include "agent/home.h"

#include <algorithm>
#include <cassert>
#include <thread>
#include <utility>

#include "base/duration.h"

namespace skep::agent {

struct Visit::Resident {
  std::string name;
  AgentState state;
  int visits = 0;
  TimePoint idle_since{};
  int64_t bucket = -1;  // where it is due; -1: nowhere, it is visited
  bool gone = false;    // its memory is no longer the truth: the next visit reads the disk
};

const char* to_string(Phase phase) {
  switch (phase) {
    case Phase::asleep:
      return "asleep";
    case Phase::waking:
      return "waking";
    case Phase::active:
      return "active";
    case Phase::idle:
      return "idle";
    case Phase::quarantined:
      return "quarantined";
  }
  return "";
}

Visit::Visit(Home& home, std::shared_ptr<Resident> resident)
    : home_(&home), home_lives_(home.alive_), resident_(std::move(resident)) {
  ++resident_->visits;
}
Visit::Visit(Visit&& other) noexcept
    : home_(std::exchange(other.home_, nullptr)),
      home_lives_(std::move(other.home_lives_)),
      resident_(std::move(other.resident_)) {}
Visit& Visit::operator=(Visit&& other) noexcept {
  if (this == &other) return *this;
  leave();
  home_ = std::exchange(other.home_, nullptr);
  home_lives_ = std::move(other.home_lives_);
  resident_ = std::move(other.resident_);
  return *this;
}
const std::string& Visit::agent() const { return resident_->name; }
const AgentState& Visit::state() const { return resident_->state; }
Status Visit::change(const std::function<Status(AgentState&)>& change, const std::function<void(Status)>& safe) {
  return home_->save(*resident_, change, safe);
}
void Visit::leave() {
  if (home_ == nullptr) return;
  Home* home = std::exchange(home_, nullptr);
  auto resident = std::move(resident_);
  --resident->visits;
  if (*home_lives_) home->left(*resident);
}

Home::Home(EventLoop& loop, AgentStore& store, HomeOptions options)
    : loop_(loop), store_(store), options_(options), policy_(options.memory, 16'384) {}

Home::~Home() {
  *alive_ = false;
  gate_->close();
  loop_.cancel(timer_);
  for (auto& [name, wake] : waking_) loop_.cancel(wake.timer);
}

void Home::visit(const std::string& agent, std::function<void(Result<Visit>)> arrived) {
  auto answer = [&](Result<Visit> visit) {
    auto held = std::make_shared<Result<Visit>>(std::move(visit));
    loop_.post([alive = alive_, held, arrived = std::move(arrived)] {
      if (*alive) arrived(std::move(*held));
    });
  };
  if (const Error* error = quarantine(agent)) return answer(fail(*error));
  if (auto found = residents_.find(agent); found != residents_.end()) {
    policy_.touch(agent);
    Resident& resident = *found->second;
    if (resident.bucket >= 0) {
      due_[resident.bucket].erase(agent);
      resident.bucket = -1;
    }
    return answer(Visit(*this, found->second));
  }
  auto waiting = waking_.find(agent);
  if (waiting == waking_.end() && waking_.size() >= options_.wakes_waiting) {
    ++counters_.refused;
    return answer(fail(ErrorCode::overloaded, fmt::format("{} agents are waiting to wake", waking_.size()),
                       "try again in a moment"));
  }
  if (waiting == waking_.end()) {
    waiting = waking_.try_emplace(agent).first;
    waiting->second.asked = loop_.now();
    waiting->second.number = next_wake_++;
    waiting->second.timer = loop_.after(options_.wake_timeout, [this, agent] { give_up(agent); });
    queue_.push_back(agent);
  }
  waiting->second.waiting.push_back(std::move(arrived));
  begin_reading();
}

void Home::begin_reading() {
  while (reading_ < options_.wakes_at_once && !queue_.empty()) {
    std::string agent = std::move(queue_.front());
    queue_.pop_front();
    auto wake = waking_.find(agent);
    if (wake == waking_.end() || wake->second.reading) continue;  // given up meanwhile
    wake->second.reading = true;
    read(agent);
  }
}

void Home::read(const std::string& agent) {
  ++reading_;
  const uint64_t wake = waking_.at(agent).number;
  auto state = std::make_shared<Result<AgentState>>(AgentState());
  loop_.blocking([store = &store_, gate = gate_, agent, state] { gate->pass([&] { *state = store->load(agent); }); },
                 [this, alive = alive_, agent, wake, state] {
                   if (!*alive) return;
                   --reading_;
                   arrived(agent, wake, std::move(*state));
                   begin_reading();
                 });
}

void Home::arrived(const std::string& agent, uint64_t number, Result<AgentState> state) {
  const auto found = waking_.find(agent);
  // Everybody had given up; whoever came since reads what is there now.
  if (found == waking_.end() || found->second.number != number) return;
  auto node = waking_.extract(found);
  Wake& wake = node.mapped();
  loop_.cancel(wake.timer);
  if (!state) {
    if (state.error().code == ErrorCode::corrupt || state.error().code == ErrorCode::unsupported) {
      quarantined_.emplace(agent, state.error());
      ++counters_.quarantined;
      tell(Event::Kind::quarantined, agent, {}, state.error().text());
    }
    for (auto& waiting : wake.waiting) waiting(fail(state.error()));
    return;
  }
  auto resident = std::make_shared<Resident>();
  resident->name = agent;
  resident->state = std::move(*state);
  residents_[agent] = resident;
  policy_.insert(agent, resident->state.size());
  ++counters_.wakes;
  tell(Event::Kind::woke, agent, loop_.now() - wake.asked, "", &resident->state);
  Visit first(*this, resident);  // it stays while the others are told
  for (auto& waiting : wake.waiting) waiting(Visit(*this, resident));
  relieve_pressure();
}

void Home::give_up(const std::string& agent) {
  auto node = waking_.extract(agent);
  assert(!node.empty());
  ++counters_.timeouts;
  Error error{ErrorCode::deadline_exceeded,
              fmt::format("'{}' did not wake within {}", agent, skep::to_string(options_.wake_timeout)),
              "the disk is slow, or too many wake at once"};
  for (auto& waiting : node.mapped().waiting) waiting(fail(error));
}

void Home::left(Resident& resident) {
  if (resident.visits > 0 || resident.gone) return;
  set_due(resident);
  relieve_pressure();
}

AgentStore::Safe Home::on_loop(const std::shared_ptr<Told>& told, const std::function<void(Status)>& safe) {
  if (!safe) return {};
  return [&loop = loop_, alive = alive_, here = std::this_thread::get_id(), told, safe](const Status& status) {
    if (std::this_thread::get_id() == here) {
      told->inside = status;
      return;
    }
    loop.post([alive, safe, status] {
      if (*alive) safe(status);
    });
  };
}

Status Home::save(Resident& resident, const std::function<Status(AgentState&)>& change,
                  const std::function<void(Status)>& safe) {
  if (resident.gone) {
    return fail(ErrorCode::unavailable, fmt::format("an earlier change of '{}' could not be written", resident.name),
                "visit it again");
  }
  auto told = std::make_shared<Told>();
  Status done = change(resident.state);
  if (done) done = store_.save(resident.name, resident.state, on_loop(told, safe));
  if (!done) {
    if (!resident.state.dirty().empty()) {  // memory is ahead of the disk: the disk is right
      auto truth = store_.load(resident.name);
      if (truth) {
        resident.state = std::move(*truth);
      } else {
        resident.gone = true;
        put_to_sleep(resident.name, "its state could not be read back");
        return done;
      }
    }
  }
  policy_.resize(resident.name, resident.state.size());
  relieve_pressure();
  if (told->inside) safe(*told->inside);  // the resident may be gone after this
  return done;
}

void Home::set_due(Resident& resident) {
  resident.idle_since = loop_.now();
  auto due = (resident.idle_since + options_.sleep_after).time_since_epoch();
  resident.bucket = due / options_.bucket + 1;
  due_[resident.bucket].insert(resident.name);
  arm_timer();
}

void Home::arm_timer() {
  if (timer_ != TimerId::none || due_.empty()) return;
  TimePoint due = TimePoint(due_.begin()->first * options_.bucket);
  timer_ = loop_.after(std::max(due - loop_.now(), Duration(1)), [this] {
    timer_ = TimerId::none;
    sweep();
    arm_timer();
  });
}

// Everybody in the buckets that are due; whoever was visited since stands in a later one.
void Home::sweep() {
  int64_t now = loop_.now().time_since_epoch() / options_.bucket;
  while (!due_.empty() && due_.begin()->first <= now) {
    std::set<std::string> names = std::move(due_.begin()->second);
    due_.erase(due_.begin());
    for (const std::string& name : names) {
      residents_.at(name)->bucket = -1;
      put_to_sleep(name, "idle");
    }
  }
}

void Home::put_to_sleep(const std::string& agent, const char* reason) {
  auto found = residents_.find(agent);
  assert(found != residents_.end() && (found->second->visits == 0 || found->second->gone));
  if (found->second->bucket >= 0) due_[found->second->bucket].erase(agent);
  policy_.erase(agent);
  residents_.erase(found);
  ++counters_.sleeps;
  tell(Event::Kind::slept, agent, {}, reason);
}

void Home::relieve_pressure() {
  auto bytes = [](Bytes limit, double part) {
    return Bytes(static_cast<int64_t>(part * static_cast<double>(limit.count)));
  };
  if (memory() <= bytes(options_.memory, options_.trigger)) return;
  auto may_go = [&](const std::string& name) { return residents_.at(name)->visits == 0; };
  while (memory() > bytes(options_.memory, options_.target)) {
    auto victim = policy_.victim(may_go);
    if (!victim) return;  // all that are awake are at work
    ++counters_.pressed;
    put_to_sleep(*victim, "memory");
  }
}

void Home::set_apart(const std::string& agent, Error why) {
  assert(!residents_.contains(agent) && !waking_.contains(agent));
  const auto [entry, fresh] = quarantined_.emplace(agent, std::move(why));
  if (!fresh) return;
  ++counters_.quarantined;
  tell(Event::Kind::quarantined, agent, {}, entry->second.text());
}

Status Home::at_rest(const std::string& agent) const {
  const auto found = residents_.find(agent);
  if (waking_.contains(agent) || (found != residents_.end() && found->second->visits > 0)) {
    return fail(ErrorCode::conflict, fmt::format("'{}' is at work", agent), "try again when it is idle");
  }
  return {};
}

Status Home::import_agent(const std::string& agent, std::string_view text, const std::function<void(Status)>& safe) {
  return replace(agent, "imported", safe,
                 [&](AgentStore::Safe told) { return store_.import_agent(agent, text, std::move(told)); });
}

Status Home::forget(const std::string& agent, const std::function<void(Status)>& safe) {
  return replace(agent, "forgotten", safe,
                 [&](AgentStore::Safe told) { return store_.forget(agent, std::move(told)); });
}

Status Home::replace(const std::string& agent, const char* reason, const std::function<void(Status)>& safe,
                     const std::function<Status(AgentStore::Safe)>& write) {
  SKEP_CHECK(at_rest(agent));
  auto told = std::make_shared<Told>();
  SKEP_CHECK(write(on_loop(told, safe)));
  if (residents_.contains(agent)) put_to_sleep(agent, reason);
  quarantined_.erase(agent);
  if (told->inside) safe(*told->inside);
  return {};
}

Phase Home::phase(const std::string& agent) const {
  if (quarantined_.contains(agent)) return Phase::quarantined;
  if (waking_.contains(agent)) return Phase::waking;
  auto found = residents_.find(agent);
  if (found == residents_.end()) return Phase::asleep;
  return found->second->visits > 0 ? Phase::active : Phase::idle;
}

const Error* Home::quarantine(const std::string& agent) const {
  auto found = quarantined_.find(agent);
  return found == quarantined_.end() ? nullptr : &found->second;
}

void Home::tell(Event::Kind kind, const std::string& agent, Duration took, std::string reason,
                const AgentState* state) {
  if (heard_) heard_({kind, agent, took, std::move(reason), state});
}

}  // namespace skep::agent
