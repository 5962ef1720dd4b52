// Decisions: which tasks start, which models get a turn, which are loaded.

#include <algorithm>
#include <cmath>

#include "scheduling/scheduler_state.h"

namespace skep::scheduling {
namespace {

void wake_at(Decision& decision, TimePoint at) { decision.wake = std::min(decision.wake.value_or(at), at); }

}  // namespace

void Scheduler::State::observe(std::span<const EngineFacts> engines, TimePoint now, std::vector<Action>& actions) {
  const auto differs = [](double a, double b) { return std::abs(a - b) > 0.25 * std::max(a, b); };
  for (auto& [name, model] : models) {
    const auto found =
        std::find_if(engines.begin(), engines.end(), [&wanted = name](const auto& e) { return e.model == wanted; });
    const EngineFacts before = model.facts;
    if (found != engines.end()) {
      model.facts = *found;
    } else {
      model.facts = EngineFacts{.model = name};
    }
    const EngineState state = model.facts.state;
    if (model.swapping && (state == EngineState::ready || state == EngineState::failed)) {
      model.swapping = false;
      last_swap = now;
    }
    // The deadlines' events were set by the old estimates.
    if ((state == EngineState::ready) != (before.state == EngineState::ready) ||
        differs(model.facts.prefill_tokens_per_second, before.prefill_tokens_per_second) ||
        differs(model.facts.decode_tokens_per_second, before.decode_tokens_per_second) ||
        differs(seconds(model.facts.load_cost), seconds(before.load_cost))) {
      const std::vector<TaskId> affected(model.deadlines.begin(), model.deadlines.end());
      for (TaskId id : affected) refresh(tasks.at(id), now, actions);
    }
  }
}

void Scheduler::State::fire_events(TimePoint now, std::vector<Action>& actions) {
  // refresh() sets the next event after `now`, so this ends.
  while (!events.empty() && events.begin()->first <= now) refresh(tasks.at(events.begin()->second), now, actions);
}

// When the model may ask for a turn: see Config::group_wait.
TimePoint Scheduler::State::due(const Model& model) const {
  const bool loads = model.facts.state != EngineState::ready;
  const TimePoint swapped = loads && !model.facts.fits ? last_swap : TimePoint::min();
  if (model.queue.critical() > 0 || model.queue.has_risk()) return later(swapped, config.turn);
  const Duration by_cost =
      std::max(config.turn, loads ? scaled(model.facts.load_cost, config.swap_factor) : Duration::zero());
  TimePoint due = TimePoint::max();
  for (int rank = 1; rank < kPriorities; ++rank) {
    const auto oldest = model.queue.oldest(rank);
    if (!oldest) continue;
    const Duration patience = std::min(config.group_wait.at(static_cast<size_t>(rank)), by_cost);
    due = std::min(due, later(std::max({*oldest, model.last_start, swapped}), patience));
  }
  return due;
}

// Engines that start nothing new, so that a ready model whose turn is due may generate when they have drained.
std::set<const Model*> Scheduler::State::yielding(TimePoint now, Decision& decision) const {
  int permits = config.caps.generating_engines;
  std::vector<const Model*> holders, claimants;
  for (const auto& [name, model] : models) {
    if (model.generating()) {
      --permits;
      if (model.facts.state == EngineState::ready) {
        holders.push_back(&model);
      } else {
        ++permits;  // drains anyway
      }
    } else if (!model.facts.remote && model.facts.state == EngineState::ready && model.queue.size() > 0) {
      if (due(model) <= now) claimants.push_back(&model);
    }
  }
  const bool critical =
      std::any_of(claimants.begin(), claimants.end(), [](const Model* model) { return model->queue.critical() > 0; });
  std::sort(holders.begin(), holders.end(), [](const Model* a, const Model* b) {
    return std::tie(a->turn_start, a->name) < std::tie(b->turn_start, b->name);
  });
  auto needed = static_cast<int>(claimants.size()) - std::max(0, permits);
  std::set<const Model*> yielding;
  for (const Model* holder : holders) {
    if (needed <= 0) break;
    if (holder->queue.critical() > 0) continue;
    const TimePoint over = later(holder->turn_start, config.turn);
    if (over > now && !critical) {
      wake_at(decision, over);
      continue;
    }
    yielding.insert(holder);
    --needed;
  }
  return yielding;
}

std::set<const Model*> Scheduler::State::start_tasks(TimePoint now, Decision& decision) {
  std::set<const Model*> yields = yielding(now, decision);
  int generating = 0;
  for (const auto& [name, model] : models) generating += model.generating() ? 1 : 0;

  while (running < config.caps.running_tasks) {
    // The best head of all engines that may start one. A model whose turn is due comes before the others' classes, else
    // two busy engines could keep it from ever generating.
    using Urgency = std::tuple<int, TimePoint, Head>;
    std::optional<Urgency> best;
    Model* from = nullptr;
    for (auto& [name, model] : models) {
      if (model.queue.size() == 0 || model.facts.state != EngineState::ready || !model.has_slot()) continue;
      if (yields.contains(&model)) continue;
      const bool needs_permit = !model.facts.remote && model.running.empty();
      if (needs_permit && generating >= config.caps.generating_engines) continue;
      const Head first = *head(model);
      const TimePoint at = needs_permit ? due(model) : TimePoint::max();
      Urgency urgency(2, TimePoint::max(), first);
      if (first.band <= Head::Band::critical) {
        urgency = {0, TimePoint::max(), first};
      } else if (at <= now) {
        urgency = {1, at, first};
      }
      if (!best || urgency < *best) {
        best = urgency;
        from = &model;
      }
    }
    if (from == nullptr) break;
    if (!from->facts.remote && from->running.empty()) ++generating;
    const bool over_aged = std::get<Head>(*best).band == Head::Band::critical && from->queue.has_aged();
    from->critical_streak = over_aged ? from->critical_streak + 1 : 0;
    start(tasks.at(std::get<Head>(*best).id), now, decision.actions);
  }

  // A ready model that got no turn asks for one in time.
  for (const auto& [name, model] : models) {
    if (model.queue.size() == 0 || model.facts.state != EngineState::ready || !model.running.empty()) continue;
    if (const TimePoint at = due(model); at > now) wake_at(decision, at);
  }
  return yields;
}

void Scheduler::State::start(Task& task, TimePoint now, std::vector<Action>& actions) {
  Model& model = *task.model;
  task.cost = cost(task.facts.prompt_tokens, answer_tokens(task));
  model.queue.serve(task.waiting, task.cost);
  model.deadlines.erase(task.facts.id);
  --waiting;
  if (model.running.empty()) model.turn_start = now;
  model.last_start = now;
  task.running = true;
  task.started = now;
  model.running.emplace(static_cast<int>(task.facts.priority), now, task.facts.id);
  ++running;
  set_event(task, next_event(task, now));
  actions.emplace_back(Start{task.facts.id, model.name});
}

void Scheduler::State::load_models(TimePoint now, int loading, Decision& decision) {
  struct Candidate {
    bool critical;
    TimePoint due;  // the present for all that is not due
    Head head;
    Model* model;
  };
  std::vector<Candidate> candidates;
  for (auto& [name, model] : models) {
    if (model.queue.size() == 0) continue;
    if (model.facts.state == EngineState::failed && model.facts.retry_at > now) {
      wake_at(decision, model.facts.retry_at);
    }
    if (!model.may_load(now)) continue;
    const TimePoint at = due(model);
    if (at > now && !model.facts.fits) {
      wake_at(decision, at);
      continue;
    }
    candidates.push_back({model.queue.critical() > 0, std::min(at, now), *head(model), &model});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tuple(!a.critical, a.due, a.head) < std::tuple(!b.critical, b.due, b.head);
  });
  for (const Candidate& candidate : candidates) {
    if (loading >= config.caps.loads_at_once) break;
    ++loading;
    candidate.model->swapping = !candidate.model->facts.fits;
    decision.actions.emplace_back(Load{candidate.model->name});
  }
}

// A critical task that waits for a slot takes one victim, the least important that started last. One that waits for the
// right to generate, or for the memory of an engine that drains, takes all that run there.
void Scheduler::State::preempt(const std::set<const Model*>& yields, std::vector<Action>& actions) {
  for (auto& [name, model] : models) {
    if (model.queue.critical() == 0 || model.facts.remote) continue;
    const TaskId critical = model.queue.head(false)->id;
    if (model.facts.state == EngineState::ready && model.running.empty()) {
      for (auto& [other, holder] : models) {
        if (yields.contains(&holder)) preempt_all(holder, critical, actions);
      }
    } else if (model.facts.state == EngineState::loading) {
      for (auto& [other, leaving] : models) {
        if (leaving.facts.state == EngineState::draining) preempt_all(leaving, critical, actions);
      }
    } else if (model.facts.state == EngineState::ready && model.queue.critical() > model.preempting) {
      for (auto it = model.running.rbegin(); it != model.running.rend(); ++it) {
        if (std::get<0>(*it) == static_cast<int>(Priority::critical)) break;
        Task& victim = tasks.at(std::get<2>(*it));
        if (victim.preempting) continue;
        victim.preempting = true;
        actions.emplace_back(Preempt{victim.facts.id, critical});
        if (++model.preempting >= model.queue.critical()) break;
      }
    }
  }
}

void Scheduler::State::preempt_all(Model& model, TaskId critical, std::vector<Action>& actions) {
  for (const auto& [rank, started, id] : model.running) {
    Task& victim = tasks.at(id);
    if (rank == static_cast<int>(Priority::critical) || victim.preempting) continue;
    victim.preempting = true;
    ++model.preempting;
    actions.emplace_back(Preempt{id, critical});
  }
}

}  // namespace skep::scheduling
