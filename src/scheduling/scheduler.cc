#include "scheduling/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <tuple>

#include "scheduling/scheduler_state.h"

namespace skep::scheduling {
namespace {

constexpr Duration kShortestRetry = std::chrono::seconds(1);
constexpr Duration kLongestRetry = std::chrono::minutes(10);
constexpr double kSmoothing = 0.2;  // of the newest sample, in running means

// A running mean that starts with the first sample; 0: no sample yet.
void smooth(double& mean, double sample) { mean = mean == 0 ? sample : (1 - kSmoothing) * mean + kSmoothing * sample; }

Duration retry_after(Duration wait) { return std::clamp(wait, kShortestRetry, kLongestRetry); }

// `else_wait`: where the account doesn't know itself when there is room again.
Rejection over_quota(const char* kind, std::string_view name, const Accounts::Refusal& refusal, Duration else_wait) {
  std::string message =
      refusal.tokens ? fmt::format("{} {} has used its {:.0f} tokens per minute", kind, name, refusal.limit)
                     : fmt::format("{} {} has {:.0f} tasks waiting or running, its limit", kind, name, refusal.limit);
  return {Error{ErrorCode::quota_exhausted, std::move(message), ""},
          retry_after(refusal.retry_after > Duration::zero() ? refusal.retry_after : else_wait)};
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------- estimates

double Scheduler::State::answer_tokens(const Task& task) const {
  const double most = task.facts.max_tokens;
  return task.model->mean_answer > 0 ? std::min(most, task.model->mean_answer) : most;
}

// From the measured rates; without them from how long this model's tasks took; else 0, so that nothing is given up
// on a guess.
Duration Scheduler::State::service(const Task& task) const {
  const EngineFacts& facts = task.model->facts;
  double needed = task.model->mean_service;
  if (facts.prefill_tokens_per_second > 0 && facts.decode_tokens_per_second > 0) {
    needed = task.facts.prompt_tokens / facts.prefill_tokens_per_second +
             answer_tokens(task) / facts.decode_tokens_per_second;
  }
  const bool not_there = facts.state != EngineState::ready;
  return from_seconds(needed) + (not_there ? facts.load_cost : Duration::zero());
}

Duration Scheduler::State::expected_wait(const Model& model) const {
  const double ahead = model.queue.size() + 0.5 * static_cast<double>(model.running.size());
  const Duration load = model.facts.state == EngineState::ready ? Duration::zero() : model.facts.load_cost;
  return load + from_seconds(ahead * model.mean_service / std::max(1, model.facts.slots));
}

// ------------------------------------------------------------------------------------------------------------- places

Model& Scheduler::State::model_of(std::string_view name) {
  const auto found = models.find(name);
  if (found != models.end()) return found->second;
  Model& model = models[std::string(name)];
  model.name = std::string(name);
  model.facts.model = model.name;
  return model;
}

Place Scheduler::State::place(const Task& task, TimePoint now) const {
  const int own = static_cast<int>(task.facts.priority);
  const Duration age = std::max(Duration::zero(), now - task.facts.submitted);
  Place place;
  place.rank = own;
  if (own > static_cast<int>(Priority::high)) {
    const auto risen = static_cast<int>(std::min<int64_t>(age / config.aging_step, kPriorities));
    place.rank = std::max(static_cast<int>(Priority::high), own - risen);
  }
  place.aged = age >= config.starvation_limit;
  if (task.facts.deadline) {
    place.at_risk = *task.facts.deadline - now < scaled(service(task), config.risk_factor);
  }
  return place;
}

bool Scheduler::State::hopeless(const Task& task, TimePoint now) const {
  if (!task.facts.deadline) return false;
  if (*task.facts.deadline <= now) return true;
  return !task.running && *task.facts.deadline - now < scaled(service(task), config.hopeless_factor);
}

// The earliest time after `now` at which place() or hopeless() may say something else, if the rates stay.
TimePoint Scheduler::State::next_event(const Task& task, TimePoint now) const {
  TimePoint next = TimePoint::max();
  const auto consider = [&](TimePoint at) {
    if (at > now) next = std::min(next, at);
  };
  if (task.facts.deadline) {
    consider(*task.facts.deadline);
    if (!task.running) {
      // One nanosecond on, for the comparisons are strict.
      const Duration needed = service(task);
      consider(*task.facts.deadline - scaled(needed, config.risk_factor) + Duration(1));
      consider(*task.facts.deadline - scaled(needed, config.hopeless_factor) + Duration(1));
    }
  }
  if (!task.running) {
    consider(task.facts.submitted + config.starvation_limit);
    const int steps = static_cast<int>(task.facts.priority) - static_cast<int>(Priority::high);
    for (int step = 1; step <= steps; ++step) consider(task.facts.submitted + step * config.aging_step);
  }
  return next;
}

void Scheduler::State::set_event(Task& task, TimePoint at) {
  if (task.event == at) return;
  if (task.event != TimePoint::max()) events.erase({task.event, task.facts.id});
  task.event = at;
  if (at != TimePoint::max()) events.emplace(at, task.facts.id);
}

void Scheduler::State::enqueue(Task& task, TimePoint now) {
  task.waiting.place = place(task, now);
  task.model->queue.insert(task.waiting);
  if (task.facts.deadline) task.model->deadlines.insert(task.facts.id);
  ++waiting;
  // What is hopeless from the start is answered by the next decision, before anything starts.
  set_event(task, hopeless(task, now) ? now : next_event(task, now));
}

void Scheduler::State::dequeue(Task& task) {
  task.model->queue.remove(task.waiting);
  task.model->deadlines.erase(task.facts.id);
  --waiting;
}

// Puts the task where it belongs now, or ends it.
void Scheduler::State::refresh(Task& task, TimePoint now, std::vector<Action>& actions) {
  if (hopeless(task, now)) {
    const bool passed = *task.facts.deadline <= now;
    actions.emplace_back(Expire{task.facts.id, task.running, passed ? Duration::zero() : service(task)});
    // What a running one has used so far is not known here: its estimate stays charged.
    const double used = task.running ? task.charged : 0;
    if (task.running) {
      leave_engine(task);
    } else {
      dequeue(task);
    }
    forget(task, used, now);
    return;
  }
  if (!task.running) {
    const Place now_at = place(task, now);
    if (now_at != task.waiting.place) {
      task.model->queue.remove(task.waiting);
      task.waiting.place = now_at;
      task.model->queue.insert(task.waiting);
    }
  }
  set_event(task, next_event(task, now));
}

// The task is in no queue and on no engine any more.
void Scheduler::State::forget(Task& task, double used, TimePoint now) {
  set_event(task, TimePoint::max());
  const Duration took = std::max(Duration::zero(), now - task.facts.submitted);
  callers.end(task.facts.caller, used - task.charged, took, now);
  agents.end(task.facts.agent, used - task.charged, took, now);
  tasks.erase(task.facts.id);
}

void Scheduler::State::leave_engine(Task& task) {
  Model& model = *task.model;
  model.running.erase({static_cast<int>(task.facts.priority), task.started, task.facts.id});
  if (task.preempting) --model.preempting;
  task.preempting = false;
  task.running = false;
  --running;
}

// -------------------------------------------------------------------------------------------------------------- public

Scheduler::Scheduler(Config config) : state_(std::make_unique<State>(config)) {}
Scheduler::~Scheduler() = default;
Scheduler::Scheduler(Scheduler&&) noexcept = default;
Scheduler& Scheduler::operator=(Scheduler&&) noexcept = default;

void Scheduler::limit_caller(std::string_view name, Limits limits) { state_->callers.limit(name, limits); }
void Scheduler::limit_agent(std::string_view name, Limits limits) { state_->agents.limit(name, limits); }

tl::expected<void, Rejection> Scheduler::admit(const TaskFacts& facts, TimePoint now) {
  assert(facts.weight > 0 && facts.prompt_tokens >= 0 && facts.max_tokens >= 0);
  assert(!state_->tasks.contains(facts.id));
  State& s = *state_;
  Task task{.facts = facts};
  task.model = &s.model_of(facts.model);
  const int places = s.config.caps.queue_length;
  const int reserved = facts.priority == Priority::critical ? 0 : static_cast<int>(places * s.config.critical_reserve);
  if (s.waiting >= places - reserved) {
    // A sixteenth of the queue has moved on by then; if nothing has ended yet, by what this model's tasks should take.
    const int sixteenth = places / 16 + 1;
    const double pace = s.mean_interval > 0 ? s.mean_interval : seconds(s.service(task));
    return tl::unexpected(
        Rejection{Error{ErrorCode::overloaded,
                        fmt::format("the queue is full: {} tasks wait, the limit is {}", s.waiting, places),
                        "try again later, or raise the queue's length in the config"},
                  retry_after(from_seconds(pace * sixteenth))});
  }

  task.charged = facts.prompt_tokens + s.answer_tokens(task);
  for (auto [kind, accounts, name] :
       {std::tuple("caller", &s.callers, &facts.caller), std::tuple("agent", &s.agents, &facts.agent)}) {
    const auto refusal = accounts->refuses(*name, task.charged, now);
    if (!refusal) continue;
    return tl::unexpected(over_quota(kind, *name, *refusal, s.expected_wait(*task.model) + s.service(task)));
  }

  s.callers.begin(facts.caller, task.charged, now);
  s.agents.begin(facts.agent, task.charged, now);
  task.waiting = Waiting{.id = facts.id,
                         .flow = facts.agent.empty() ? "caller " + facts.caller : "agent " + facts.agent,
                         .weight = facts.weight,
                         .submitted = facts.submitted,
                         .deadline = facts.deadline.value_or(TimePoint::max())};
  s.enqueue(s.tasks.emplace(facts.id, std::move(task)).first->second, now);
  return {};
}

tl::expected<void, Rejection> Scheduler::admit_aside(std::string_view caller, double tokens, TimePoint now) {
  if (const auto refusal = state_->callers.refuses(caller, tokens, now)) {
    return tl::unexpected(over_quota("caller", caller, *refusal, kShortestRetry));
  }
  state_->callers.begin(caller, tokens, now);
  return {};
}

void Scheduler::ended_aside(std::string_view caller, double correction, Duration took, TimePoint now) {
  state_->callers.end(caller, correction, took, now);
}

Decision Scheduler::decide(TimePoint now, std::span<const EngineFacts> engines) {
  State& s = *state_;
  Decision decision;
  s.observe(engines, now, decision.actions);
  s.fire_events(now, decision.actions);
  const std::set<const Model*> yields = s.start_tasks(now, decision);
  const auto loading = std::count_if(engines.begin(), engines.end(),
                                     [](const EngineFacts& e) { return e.state == EngineState::loading && !e.remote; });
  s.load_models(now, static_cast<int>(loading), decision);
  if (s.config.preemption) s.preempt(yields, decision.actions);
  if (!s.events.empty()) decision.wake = std::min(decision.wake.value_or(TimePoint::max()), s.events.begin()->first);
  return decision;
}

bool Scheduler::ended(TaskId id, End how, Spent spent, TimePoint now) {
  State& s = *state_;
  const auto found = s.tasks.find(id);
  if (found == s.tasks.end()) return false;
  Task& task = found->second;
  Model& model = *task.model;
  const double used = spent.prompt_tokens + spent.completion_tokens;
  if (!task.running) {
    s.dequeue(task);
    s.forget(task, used, now);
    return true;
  }
  model.queue.charge(task.waiting, s.cost(spent.prompt_tokens, spent.completion_tokens) - task.cost);
  s.leave_engine(task);
  if (how == End::finished) {
    smooth(model.mean_service, seconds(now - task.started));
    smooth(model.mean_answer, std::max(1, spent.completion_tokens));
  }
  if (s.waiting > 0 && s.last_end) smooth(s.mean_interval, std::max(1e-6, seconds(now - *s.last_end)));
  s.last_end = now;
  s.forget(task, used, now);
  return true;
}

bool Scheduler::requeue(TaskId id, std::string_view model, Spent spent, TimePoint now) {
  State& s = *state_;
  const auto found = s.tasks.find(id);
  if (found == s.tasks.end() || !found->second.running) return false;
  Task& task = found->second;
  task.model->queue.charge(task.waiting, s.cost(spent.prompt_tokens, spent.completion_tokens) - task.cost);
  s.leave_engine(task);
  // The accounts keep the estimate for the whole and are charged at once for what this attempt took.
  s.callers.charge(task.facts.caller, spent.prompt_tokens + spent.completion_tokens, now);
  s.agents.charge(task.facts.agent, spent.prompt_tokens + spent.completion_tokens, now);
  task.model = &s.model_of(model);
  task.facts.model = std::string(model);
  s.enqueue(task, now);
  return true;
}

int Scheduler::waiting() const { return state_->waiting; }
int Scheduler::running() const { return state_->running; }

int Scheduler::waiting(std::string_view model) const {
  const auto found = state_->models.find(model);
  return found == state_->models.end() ? 0 : found->second.queue.size();
}

int Scheduler::running(std::string_view model) const {
  const auto found = state_->models.find(model);
  return found == state_->models.end() ? 0 : static_cast<int>(found->second.running.size());
}

int Scheduler::generating_engines() const {
  return static_cast<int>(std::count_if(state_->models.begin(), state_->models.end(),
                                        [](const auto& entry) { return entry.second.generating(); }));
}

std::vector<std::string> Scheduler::models_waiting() const {
  std::vector<std::string> names;
  for (const auto& [name, model] : state_->models) {
    if (model.queue.size() > 0) names.push_back(name);
  }
  return names;
}

std::optional<TaskRow> Scheduler::find(TaskId id) const {
  const auto found = state_->tasks.find(id);
  if (found == state_->tasks.end()) return std::nullopt;
  return TaskRow{found->second.facts, found->second.running, found->second.started};
}

std::vector<TaskRow> Scheduler::tasks(size_t limit) const {
  std::vector<const Task*> order;
  order.reserve(state_->tasks.size());
  for (const auto& [id, task] : state_->tasks) order.push_back(&task);
  const size_t shown = std::min(limit, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(shown), order.end(),
                    [](const Task* a, const Task* b) {
                      return std::tuple(!a->running, a->facts.submitted, a->facts.id) <
                             std::tuple(!b->running, b->facts.submitted, b->facts.id);
                    });
  std::vector<TaskRow> rows;
  rows.reserve(shown);
  for (size_t i = 0; i < shown; ++i) rows.push_back({order[i]->facts, order[i]->running, order[i]->started});
  return rows;
}

Duration Scheduler::expected_wait(std::string_view model) const {
  const auto found = state_->models.find(model);
  return found == state_->models.end() ? Duration::zero() : state_->expected_wait(found->second);
}

const Config& Scheduler::config() const { return state_->config; }

}  // namespace skep::scheduling
