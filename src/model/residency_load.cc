// From asked for to ready: the line of waiting models, measuring, making room, starting.

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "model/residency_impl.h"
#include "scheduling/eviction.h"

namespace skep::model {

void Residency::Impl::schedule_pump() {
  if (pump_posted || closed) return;
  pump_posted = true;
  loop.post([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->pump();
  });
}

// Looks at every model in line. The first local one that can't be served yet holds the line: nobody behind it loads,
// however well it would fit, but what is remote or can be answered at once is.
void Residency::Impl::pump() {
  pump_posted = false;
  if (closed) return;
  keep_those_not_needed();
  bool may_load = std::ranges::none_of(models, [](const auto& entry) {
    const auto& resident = entry.second.resident;
    return resident && resident->state == ResidentState::loading && !resident->spec.factory->remote();
  });
  std::deque<std::string> still;
  for (const std::string& name : std::exchange(line, {})) {
    Model* model = find(name);
    if (model == nullptr || model->waiting.empty()) continue;
    bool remote = model->spec.factory->remote();
    if (advance(name, *model, may_load || remote)) continue;
    if (!remote) may_load = false;
    still.push_back(name);
  }
  assert(line.empty() && "advance() asks for nothing new: callbacks are posted");
  line = std::move(still);
}

bool Residency::Impl::advance(const std::string& name, Model& model, bool may_load) {
  if (model.resident) {
    if (model.resident->state != ResidentState::ready) return false;
    became_ready(name, model);
    return true;
  }
  if (!model.defined) {
    fail_waiters(model, Error{ErrorCode::not_found, fmt::format("model '{}' is gone", name), {}});
    return true;
  }
  if (blocked(model)) {
    fail_waiters(model, blocked_error(name, model));
    return true;
  }
  if (!may_load) return false;
  if (!model.needs) {
    measure(name, model);
    return false;
  }
  LoadPlan next_step = plan(name, model);
  if (next_step.never) {
    fail_waiters(model, *next_step.never);
    return true;
  }
  if (next_step.start)
    start(name, model);
  else
    make_room(next_step, fmt::format("to make room for {}", name), name);
  return false;
}

void Residency::Impl::measure(const std::string& name, Model& model) {
  if (model.measuring) return;
  model.measuring = true;
  auto heard_back = [weak = weak_from_this(), name, spec = model.spec](Result<engine::Loaded> loaded) {
    auto self = weak.lock();
    if (!self || self->closed) return;
    Model* measured = self->find(name);
    // Defined anew meanwhile: this answer is about other options, and another measurement is asked for by the pump.
    if (measured == nullptr || !measured->measuring || measured->spec.factory != spec.factory ||
        !(measured->spec.options == spec.options))
      return;
    measured->measuring = false;
    if (loaded) {
      measured->needs = reservations_for(*loaded, spec.factory->overhead(spec.options));
    } else {
      ++self->counters.load_failures;
      self->crashed(*measured, loaded.error());
      self->emit({ResidencyEvent::Kind::load_failed, name, loaded.error().text()});
      self->fail_waiters(*measured, loaded.error());
    }
    self->schedule_pump();
  };
  model.spec.factory->measure(model.spec.options, std::move(heard_back));
}

LoadPlan Residency::Impl::plan(const std::string& name, const Model& model) const {
  assert(model.needs);
  if (model.spec.factory->remote()) return {.start = true};
  return plan_load(ledger, name, *model.needs, alive(), options.max_loaded);
}

std::vector<AliveEngine> Residency::Impl::alive() const {
  std::vector<AliveEngine> engines;
  for (const auto& [name, model] : models) {
    if (!model.resident || model.resident->spec.factory->remote()) continue;
    const Resident& resident = *model.resident;
    engines.push_back(
        {.model = name,
         .owner = ledger_owner(name),
         .busy = resident.leases > 0,
         .loading = resident.state == ResidentState::loading,
         .pinned = model.pinned,
         .leaving = resident.state == ResidentState::draining || resident.state == ResidentState::unloading,
         .reload_cost = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(reload_cost(model))),
         .chance_of_use = chance_of_use(name)});
  }
  return engines;
}

double Residency::Impl::load_seconds(const Model& model) const {
  if (model.load_seconds.empty()) return guessed_load_seconds(model);
  std::vector<double> sorted(model.load_seconds.begin(), model.load_seconds.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

// What eviction weighs. Times of single loads scatter: the first reads the file from the disk, and a machine with other
// work takes ten times as long for the next. A scatter between models that cost the same would decide who goes in place
// of their use, and for good: what stays because it seems dear is never loaded again and keeps its name. So it is what
// models of this size take here. A model's own time counts when it was loaded again and again, each time for more than
// twice the usual or each time for less than half, and by more than anybody would notice.
double Residency::Impl::reload_cost(const Model& model) const {
  const double usual = guessed_load_seconds(model) * load_scale;
  constexpr size_t kEnough = 3;
  if (model.load_seconds.size() < kEnough) return usual;
  const auto [least, most] = std::ranges::minmax(model.load_seconds);
  const double own = load_seconds(model);
  constexpr double kNoticed = 0.25;
  return (least > 2 * usual || most < usual / 2) && std::abs(own - usual) > kNoticed ? own : usual;
}

double Residency::Impl::guessed_load_seconds(const Model& model) {
  constexpr double kProcessStart = 0.1, kBytesPerSecond = 1e9;
  Bytes weights;
  for (const Reservation& need : model.needs.value_or(std::vector<Reservation>())) weights += need.weights;
  return kProcessStart + static_cast<double>(weights.count) / kBytesPerSecond;
}

// By the queue, which is certain, else by the past.
double Residency::Impl::chance_of_use(const std::string& name) const {
  std::optional<int> queued;
  if (auto asked = demand.find(name); asked != demand.end()) queued = static_cast<int>(asked->second.first);
  return scheduling::chance_of_use(next_use.distance(name), queued, static_cast<int>(demand.size()));
}

void Residency::Impl::start(const std::string& name, Model& model) {
  if (!model.spec.factory->remote()) {
    [[maybe_unused]] Status booked = ledger.reserve(ledger_owner(name), *model.needs);
    assert(booked && "the plan said that it fits");
  }
  model.resident = std::make_unique<Resident>();
  model.resident->id = next++;
  model.resident->spec = model.spec;
  model.resident->load_began = loop.now();
  emit({ResidencyEvent::Kind::loading, name, {}});
  auto heard_back = [weak = weak_from_this(), name, id = model.resident->id](Result<std::unique_ptr<Engine>> result) {
    if (auto self = weak.lock()) self->started(name, id, std::move(result));
  };
  model.spec.factory->start(model.spec.options, std::move(heard_back));
}

namespace {

// "214 MiB of 383 MiB of weights at once, disk 1.2 GB/s: about 3 tokens/s"; of a model that is in memory: nothing.
std::string said_of(const engine::StreamedWeights& streamed) {
  if (streamed.all == Bytes(0)) return {};
  std::string said = fmt::format("{} of {} of weights at once", to_string(streamed.resident), to_string(streamed.all));
  if (streamed.tokens_per_second > 0) {
    said += fmt::format(", disk {:.2g} GB/s: about {:.2g} tokens/s", streamed.disk_bytes_per_second / 1e9,
                        streamed.tokens_per_second);
  }
  return said;
}

}  // namespace

void Residency::Impl::started(const std::string& name, uint64_t id, Result<std::unique_ptr<Engine>> result) {
  Resident* resident = find_resident(name, id);
  assert(resident != nullptr && "only gone() and died() forget it, and both need an engine");
  Model& model = *find(name);
  if (!result) {
    ++counters.load_failures;
    crashed(model, result.error());
    emit({ResidencyEvent::Kind::load_failed, name, result.error().text(), loop.now() - resident->load_began});
    if (!closed) fail_waiters(model, result.error());
    forget_resident(name, model);
    return;
  }
  resident->engine = std::move(*result);
  resident->engine->on_death([weak = weak_from_this(), name, id](const Error& error) {
    if (auto self = weak.lock()) self->died(name, id, error);
  });
  resident->state = ResidentState::ready;
  resident->ready_since = resident->last_used = loop.now();
  model.last_load = loop.now() - resident->load_began;
  // The first load may have packed the weights (doc/weight-cache.md), which no other does: the second takes its place.
  if (model.loads == 1 || model.load_seconds.size() == kLoadsKept) model.load_seconds.pop_front();
  model.load_seconds.push_back(seconds(model.last_load));
  load_scale += 0.1 * (seconds(model.last_load) / guessed_load_seconds(model) - load_scale);
  ++model.loads;
  ++counters.loads;
  counters.load_seconds += seconds(model.last_load);
  if (!resident->spec.factory->remote()) {
    std::vector<Reservation> truth =
        reservations_for(resident->engine->loaded(), resident->spec.factory->overhead(resident->spec.options));
    ledger.correct(ledger_owner(name), truth);
    // Remembered for the next load, unless it has been defined with other options meanwhile.
    if (model.spec.options == resident->spec.options) model.needs = std::move(truth);
  }
  emit({ResidencyEvent::Kind::loaded, name, said_of(resident->engine->loaded().streamed), model.last_load});
  if (closed) return stop(name, model);
  became_ready(name, model);
  relieve();
  arm_poll();
  schedule_pump();
}

void Residency::Impl::became_ready(const std::string& name, Model& model) {
  for (Waiter waiter : std::exchange(model.waiting, {})) {
    auto entry = waiting.find(waiter);
    if (entry == waiting.end()) continue;
    if (entry->second.lease_done) entry->second.lease = grant(name, model);
    settle(waiter);
  }
  if (model.resident->leaves)
    leave(name, model, model.resident->leave_kind, model.resident->leave_reason);
  else
    arm_expiry(name, model);
}

// --- Crashes

void Residency::Impl::crashed(Model& model, const Error& error) {
  ++model.crashes;
  model.last_crash = error.text();
  if (model.crashes < 2) return;  // the first is retried at once
  int doublings = std::min(model.crashes - 2, 30);
  double wait = seconds(options.first_backoff) * static_cast<double>(int64_t{1} << doublings);
  model.blocked_until =
      loop.now() +
      std::min(options.max_backoff, std::chrono::duration_cast<Duration>(std::chrono::duration<double>(wait)));
}

bool Residency::Impl::blocked(const Model& model) const {
  return model.blocked_until && *model.blocked_until > loop.now();
}

Error Residency::Impl::blocked_error(const std::string& name, const Model& model) const {
  return {ErrorCode::unavailable,
          fmt::format("model '{}' failed {} times in a row, the next try is in {:.1f} s; last: {}", name, model.crashes,
                      seconds(*model.blocked_until - loop.now()), model.last_crash),
          {}};
}

}  // namespace skep::model
