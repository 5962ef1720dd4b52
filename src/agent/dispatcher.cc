#include "agent/dispatcher.h"

#include <algorithm>
#include <cassert>
#include <set>
#include <utility>
#include <variant>

#include "agent/dispatcher_task.h"

namespace skep::agent {
namespace {

constexpr auto kRoomPoll = std::chrono::milliseconds(50);

Error shutting_down() { return {ErrorCode::overloaded, "skep is shutting down", "try again in a moment"}; }

}  // namespace

using scheduling::End;
using scheduling::EngineState;

Dispatcher::Dispatcher(EventLoop& loop, model::Residency& residency, Planner& planner, DispatcherOptions options)
    : loop_(loop),
      residency_(residency),
      planner_(planner),
      options_(std::move(options)),
      scheduler_(options_.scheduling) {}

Dispatcher::~Dispatcher() {
  *alive_ = false;
  loop_.cancel(wake_timer_);
}

void Dispatcher::limit_caller(const std::string& name, scheduling::Limits limits) {
  scheduler_.limit_caller(name, limits);
}
void Dispatcher::limit_agent(const std::string& name, scheduling::Limits limits) {
  scheduler_.limit_agent(name, limits);
}
void Dispatcher::on_finished(std::function<void(const TaskResult&, Duration)> heard) {
  heard_finished_ = std::move(heard);
}
void Dispatcher::on_failed(std::function<void(const TaskFailure&, const RouteDecision&, const TaskRequest&)> heard) {
  heard_failed_ = std::move(heard);
}

TaskId Dispatcher::submit(TaskRequest request, std::shared_ptr<TaskListener> listener) {
  TaskId id = reserve();
  submit(id, std::move(request), std::move(listener));
  return id;
}

void Dispatcher::submit(TaskId id, TaskRequest request, std::shared_ptr<TaskListener> listener) {
  if (draining()) return refuse(listener, {id, shutting_down(), std::chrono::seconds(5)}, {}, request);
  auto plan = planner_.plan(request);
  if (!plan) {
    refuse(listener, {id, std::move(plan).error(), {}}, {}, request);
    return;
  }
  submit(id, std::move(request), std::move(*plan), std::move(listener));
}

void Dispatcher::submit(TaskId id, TaskRequest request, Plan plan, std::shared_ptr<TaskListener> listener) {
  if (draining()) return refuse(listener, {id, shutting_down(), std::chrono::seconds(5)}, {}, request);
  if (!plan.agent.empty()) request.agent = plan.agent;
  TimePoint now = loop_.now();
  scheduling::TaskFacts facts;
  facts.id = id;
  facts.agent = request.agent;
  facts.caller = request.caller;
  facts.model = plan.route.model;
  facts.priority = request.priority.value_or(plan.priority);
  facts.submitted = now;
  if (request.deadline) facts.deadline = now + *request.deadline;
  facts.prompt_tokens = plan.prompt_tokens;
  facts.max_tokens = plan.generate.max_tokens;
  facts.weight = plan.weight;
  plan.generate.priority = static_cast<int>(facts.priority);

  if (auto admitted = scheduler_.admit(facts, now); !admitted) {
    return refuse(listener, {id, admitted.error().error, admitted.error().retry_after}, plan.route, request);
  }
  if (request.keep_alive) residency_.set_keep_alive(plan.route.model, request.keep_alive);
  auto task = std::make_unique<Task>(*this, std::move(request), std::move(plan), std::move(listener));
  task->id = id;
  task->submitted = now;
  ++agent_tasks_waiting_[task->request.agent];
  tasks_.emplace(id, std::move(task));
  wake();
}

void Dispatcher::count(const TaskResult& result, Duration first_token) {
  statistics_.finished(result, first_token, loop_.now());
  if (heard_finished_) heard_finished_(result, first_token);
}

tl::expected<void, scheduling::Rejection> Dispatcher::admit_embedding(const std::string& caller, int tokens) {
  if (draining()) return tl::unexpected(scheduling::Rejection{shutting_down(), std::chrono::seconds(5)});
  return scheduler_.admit_aside(caller, tokens, loop_.now());
}

void Dispatcher::ended_embedding(const std::string& caller, int correction, Duration took) {
  scheduler_.ended_aside(caller, correction, took, loop_.now());
}

void Dispatcher::refuse(std::shared_ptr<TaskListener> listener, TaskFailure failure, const RouteDecision& route,
                        const TaskRequest& request) {
  if (heard_failed_) heard_failed_(failure, route, request);
  loop_.post([listener = std::move(listener), failure = std::move(failure)] { listener->failed(failure); });
}

void Dispatcher::cancel(TaskId id) {
  auto task = take(id);
  if (!task) return;
  scheduler_.ended(id, End::cancelled,
                   {task->plan.prompt_tokens * (task->attempts > 0 ? 1 : 0), task->completion_tokens}, loop_.now());
  statistics_.cancelled(task->plan.route.tier, task->plan.route.model);
  task.reset();  // cancels the generation, gives the lease back
  wake();
  check_drained();
}

std::unique_ptr<Dispatcher::Task> Dispatcher::take(TaskId id) {
  auto node = tasks_.extract(id);
  if (node.empty()) return nullptr;
  parked_.erase(id);
  auto& counts = node.mapped()->generation != 0 ? agent_tasks_running_ : agent_tasks_waiting_;
  auto count = counts.find(node.mapped()->request.agent);
  if (count != counts.end() && --count->second == 0) counts.erase(count);
  return std::move(node.mapped());
}

void Dispatcher::wake() {
  if (std::exchange(pump_posted_, true)) return;
  loop_.post([this, alive = alive_] {
    if (!*alive) return;
    pump_posted_ = false;
    pump();
  });
}

void Dispatcher::pump() {
  auto engines = engine_facts();
  scheduling::Decision decision = scheduler_.decide(loop_.now(), engines);
  const std::set<TaskId> parked = parked_;  // of earlier decisions
  for (const auto& action : decision.actions) carry_out(action);
  recall_parked(parked, engines);
  tell_demand();
  loop_.cancel(std::exchange(wake_timer_, TimerId::none));
  // Engines that make room for a load begin to drain without a word; a critical task must not wait for their ends.
  if (!loading_.empty()) {
    decision.wake = std::min(decision.wake.value_or(TimePoint::max()), loop_.now() + Duration(kRoomPoll));
  }
  if (decision.wake) {
    wake_timer_ = loop_.after(std::max(*decision.wake - loop_.now(), Duration(std::chrono::milliseconds(1))), [this] {
      wake_timer_ = TimerId::none;
      pump();
    });
  }
}

std::vector<scheduling::EngineFacts> Dispatcher::engine_facts() const {
  std::vector<scheduling::EngineFacts> facts;
  std::set<std::string, std::less<>> seen;
  for (const model::ResidentView& view : residency_.views()) {
    scheduling::EngineFacts one;
    one.model = view.model;
    switch (view.state) {
      case model::ResidentState::loading:
        one.state = EngineState::loading;
        break;
      case model::ResidentState::ready:
        one.state = EngineState::ready;
        break;
      case model::ResidentState::draining:
      case model::ResidentState::unloading:
        one.state = EngineState::draining;
        break;
    }
    one.slots = std::max(view.slots, 1);
    one.remote = view.process_id == 0 && view.reserved.empty();
    one.load_cost =
        std::chrono::duration_cast<Duration>(std::chrono::duration<double>(residency_.load_seconds(view.model)));
    if (auto rates = rates_.find(view.model); rates != rates_.end()) {
      one.prefill_tokens_per_second = rates->second.prefill;
      one.decode_tokens_per_second = rates->second.decode;
    }
    seen.insert(view.model);
    facts.push_back(std::move(one));
  }
  for (std::string& name : scheduler_.models_waiting()) {
    if (seen.contains(name)) continue;
    scheduling::EngineFacts one;
    one.load_cost = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(residency_.load_seconds(name)));
    one.fits = residency_.fits(name);
    if (loading_.contains(name)) one.state = EngineState::loading;  // others make room for it
    if (auto until = residency_.blocked_until(name)) {
      one.state = EngineState::failed;
      one.retry_at = *until;
    }
    one.model = std::move(name);
    facts.push_back(std::move(one));
  }
  return facts;
}

void Dispatcher::carry_out(const scheduling::Action& action) {
  if (const auto* s = std::get_if<scheduling::Start>(&action)) {
    auto found = tasks_.find(s->task);
    assert(found != tasks_.end());
    start(*found->second);
  } else if (const auto* l = std::get_if<scheduling::Load>(&action)) {
    load(l->model);
  } else if (const auto* e = std::get_if<scheduling::Expire>(&action)) {
    expire(*e);
  } else if (const auto* p = std::get_if<scheduling::Preempt>(&action)) {
    preempt(*p);
  }
}

void Dispatcher::start(Task& task) {
  if (parked_.erase(task.id) > 0) return;  // its generation is in the worker, and goes on there
  task.lease = residency_.try_acquire(task.plan.route.model);
  model::Engine* engine = task.lease.engine();
  if (engine == nullptr) {  // it went between the decision and now
    scheduler_.requeue(task.id, task.plan.route.model, {}, loop_.now());
    wake();
    return;
  }
  engine::Generate generate = task.begin(loop_.now());
  const std::string& agent = task.request.agent;
  if (auto count = agent_tasks_waiting_.find(agent); count != agent_tasks_waiting_.end() && --count->second == 0) {
    agent_tasks_waiting_.erase(count);
  }
  ++agent_tasks_running_[agent];
  task.generation = engine->generate(std::move(generate), task);
  task.listener->started({task.id, task.plan.route});
}

void Dispatcher::load(const std::string& model) {
  if (!loading_.insert(model).second) return;
  TimePoint began = loop_.now();
  residency_.ensure(model, [this, model, began, alive = alive_](Status loaded) {
    if (!*alive) return;
    loading_.erase(model);
    if (!loaded) {
      load_failed(model, loaded.error());
    } else {
      Duration took = loop_.now() - began;
      for (auto& [id, task] : tasks_) {
        if (task->plan.route.model != model || task->generation != 0) continue;
        task->load = std::min(took, loop_.now() - task->submitted);
      }
    }
    wake();
  });
}

// What can't get better by waiting ends every task that waits for the model; a crash counts as an attempt of each.
void Dispatcher::load_failed(const std::string& model, const Error& error) {
  bool transient = error.code == ErrorCode::unavailable || error.code == ErrorCode::overloaded;
  std::vector<Task*> over;
  for (auto& [id, task] : tasks_) {
    if (task->plan.route.model != model || task->generation != 0) continue;
    if (!transient || ++task->load_failures >= options_.attempts) over.push_back(task.get());
  }
  Error named = error;
  if (named.message.find(model) == named.message.npos) named.message = fmt::format("{}: {}", model, named.message);
  for (Task* task : over) end_with(*task, named);
}

void Dispatcher::expire(const scheduling::Expire& expire) {
  auto task = take(expire.task);
  assert(task);
  std::string message =
      expire.needed > Duration::zero()
          ? fmt::format("the deadline can't be met: about {:.1f} s more are needed", seconds(expire.needed))
          : fmt::format("the deadline passed after {:.1f} s", seconds(loop_.now() - task->submitted));
  TaskFailure failure{
      task->id,
      {ErrorCode::deadline_exceeded, std::move(message), "give it a later deadline or a higher priority"},
      {}};
  statistics_.failed(task->plan.route.tier, task->plan.route.model, task->request.agent);
  if (heard_failed_) heard_failed_(failure, task->plan.route, task->request);
  auto listener = std::move(task->listener);
  task.reset();
  listener->failed(failure);
  check_drained();
}

void Dispatcher::engine_finished(Task& running, const engine::Finished& finished) {
  TimePoint now = loop_.now();
  running.tell(running.reader->finish());
  auto task = take(running.id);
  task->generation = 0;
  task->lease.release();

  const TaskResult result = task->result(finished, now);
  const int evaluated = finished.usage.prompt_tokens - finished.usage.cached_tokens;
  scheduler_.ended(task->id, End::finished, {evaluated, result.usage.completion_tokens}, now);
  Rates& rates = rates_[task->plan.route.model];
  auto learn = [](double& rate, int tokens, Duration took) {
    if (tokens < 4 || took <= Duration::zero()) return;  // too little to say anything
    double measured = tokens / seconds(took);
    rate = rate == 0 ? measured : 0.8 * rate + 0.2 * measured;
  };
  learn(rates.prefill, evaluated, finished.prefill);
  learn(rates.decode, finished.usage.completion_tokens, finished.decode);
  TimePoint first = task->first_token == TimePoint{} ? now : task->first_token;
  statistics_.finished(result, first - task->submitted, now);
  if (heard_finished_) heard_finished_(result, first - task->submitted);
  task->listener->finished(result);
  wake();
  check_drained();
}

void Dispatcher::engine_failed(Task& task, const Error& error) {
  bool retry = error.code == ErrorCode::unavailable && task.attempts < options_.attempts;
  if (!retry || !(task.can_resume() || task.can_be_prefixed())) {
    Error told = error;
    if (error.code == ErrorCode::unavailable && task.attempts > 1)
      told.message += fmt::format(" ({} attempts)", task.attempts);
    end_with(task, std::move(told));
    return;
  }
  waits_again(task);
}

// Off its engine and back into the queue, with what it has said.
void Dispatcher::waits_again(Task& task) {
  task.generation = 0;
  task.lease.release();
  task.earlier_tokens += task.completion_tokens;
  const std::string& agent = task.request.agent;
  if (auto count = agent_tasks_running_.find(agent); count != agent_tasks_running_.end() && --count->second == 0) {
    agent_tasks_running_.erase(count);
  }
  ++agent_tasks_waiting_[agent];
  // A parked one waits there already.
  if (parked_.erase(task.id) == 0) {
    scheduler_.requeue(task.id, task.plan.route.model, {task.plan.prompt_tokens, task.completion_tokens}, loop_.now());
  }
  wake();
}

void Dispatcher::preempt(const scheduling::Preempt& preempt) {
  Task& victim = *tasks_.at(preempt.victim);
  const std::string& model = victim.plan.route.model;
  if (model == tasks_.at(preempt.critical)->plan.route.model) {
    parked_.insert(victim.id);
    ++preemptions_.parked;
    scheduler_.requeue(victim.id, model, {}, loop_.now());  // what it spends is known at its end
    wake();
    return;
  }
  stop_generation(victim);
}

// It goes on later, where it can.
void Dispatcher::stop_generation(Task& task) {
  if (!task.can_resume()) return;  // it ends where it is
  if (model::Engine* engine = task.lease.engine()) engine->cancel(task.generation);
  --task.attempts;  // that was no failure
  ++preemptions_.stopped;
  waits_again(task);
}

void Dispatcher::recall_parked(const std::set<TaskId>& parked, const std::vector<scheduling::EngineFacts>& engines) {
  for (const TaskId id : parked) {
    if (!parked_.contains(id)) continue;  // it has just been started again
    Task& task = *tasks_.at(id);
    const std::string& model = task.plan.route.model;
    const bool drains = std::any_of(engines.begin(), engines.end(), [&](const scheduling::EngineFacts& engine) {
      return engine.model == model && engine.state == EngineState::draining;
    });
    if (drains || scheduler_.running(model) == 0) stop_generation(task);
  }
}

void Dispatcher::end_with(Task& failed, Error error, std::optional<Duration> retry_after) {
  auto task = take(failed.id);
  assert(task);
  bool was_running = task->generation != 0;
  task->generation = 0;
  task->lease.release();
  scheduler_.ended(task->id, End::failed, {was_running ? task->plan.prompt_tokens : 0, task->completion_tokens},
                   loop_.now());
  TaskFailure failure{task->id, std::move(error), retry_after};
  statistics_.failed(task->plan.route.tier, task->plan.route.model, task->request.agent);
  if (heard_failed_) heard_failed_(failure, task->plan.route, task->request);
  task->listener->failed(failure);
  wake();
  check_drained();
}

void Dispatcher::tell_demand() {
  std::vector<model::Residency::Demand> demand;
  for (const std::string& name : scheduler_.models_waiting()) demand.push_back({name, scheduler_.waiting(name)});
  residency_.set_demand(std::move(demand));
}

std::vector<TaskView> Dispatcher::tasks(size_t limit) const {
  std::vector<TaskView> views;
  TimePoint now = loop_.now();
  for (const scheduling::TaskRow& row : scheduler_.tasks(limit)) {
    TaskView view{row.facts.id, row.facts.agent, row.facts.model, row.facts.caller, row.facts.priority};
    view.state = row.running ? TaskView::State::running : TaskView::State::waiting;
    view.age = now - row.facts.submitted;
    if (auto task = tasks_.find(row.facts.id); task != tasks_.end()) {
      view.completion_tokens = task->second->earlier_tokens + task->second->completion_tokens;
    }
    views.push_back(std::move(view));
  }
  return views;
}

bool Dispatcher::works(const std::string& agent) const { return agent_tasks_running_.contains(agent); }
bool Dispatcher::waits(const std::string& agent) const { return agent_tasks_waiting_.contains(agent); }

void Dispatcher::drain(std::function<void()> done) {
  assert(!drained_);
  drained_ = std::move(done);
  check_drained();
}

void Dispatcher::check_drained() {
  if (!drained_ || !tasks_.empty() || std::exchange(drain_told_, true)) return;
  loop_.post([done = drained_] { done(); });
}

}  // namespace skep::agent
