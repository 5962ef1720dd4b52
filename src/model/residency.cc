#include "model/residency.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "model/residency_impl.h"

namespace skep::model {

namespace {
constexpr const char* kDaemonOwner = "daemon";
}  // namespace

const char* to_string(ResidentState state) {
  switch (state) {
    case ResidentState::loading:
      return "loading";
    case ResidentState::ready:
      return "ready";
    case ResidentState::draining:
      return "draining";
    case ResidentState::unloading:
      return "unloading";
  }
  return "unknown";
}

const char* to_string(ResidencyEvent::Kind kind) {
  switch (kind) {
    case ResidencyEvent::Kind::loading:
      return "loading";
    case ResidencyEvent::Kind::loaded:
      return "loaded";
    case ResidencyEvent::Kind::load_failed:
      return "load_failed";
    case ResidencyEvent::Kind::evicted:
      return "evicted";
    case ResidencyEvent::Kind::unloaded:
      return "unloaded";
    case ResidencyEvent::Kind::died:
      return "died";
  }
  return "unknown";
}

// --- Lease

Lease::Lease(std::shared_ptr<Hold> hold) : hold_(std::move(hold)) {}
Lease::Lease(Lease&& other) noexcept : hold_(std::move(other.hold_)) {}
Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    hold_ = std::move(other.hold_);
  }
  return *this;
}
Lease::~Lease() { release(); }

Engine* Lease::engine() const {
  if (!hold_) return nullptr;
  auto residency = hold_->residency.lock();
  if (!residency) return nullptr;
  auto* resident = residency->find_resident(hold_->model, hold_->resident);
  return resident == nullptr ? nullptr : resident->engine.get();
}

const std::string& Lease::model() const {
  assert(hold_ && "an empty lease has no model");
  return hold_->model;
}

void Lease::release() {
  auto hold = std::exchange(hold_, nullptr);
  if (!hold) return;
  if (auto residency = hold->residency.lock()) residency->release(hold->model, hold->resident);
}

// --- Models

Residency::Impl::Impl(EventLoop& event_loop, ResidencyOptions residency_options)
    : loop(event_loop),
      options(std::move(residency_options)),
      ledger(options.budgets, options.unified_memory),
      next_use(Bytes(0)) {
  // A budget smaller than the daemon itself is not refused here: then no model fits, and each says so with the numbers.
  Bytes for_models;
  for (const Ledger::Book& book : options.budgets) for_models += book.capacity;
  next_use.set_capacity(std::max(Bytes(1), for_models - options.daemon_reserve));
  ledger.correct(kDaemonOwner, {{.device = options.budgets.front().device, .overhead = options.daemon_reserve}});
}

Residency::Impl::Model* Residency::Impl::find(std::string_view name) {
  auto known = models.find(name);
  return known == models.end() ? nullptr : &known->second;
}

const Residency::Impl::Model* Residency::Impl::find(std::string_view name) const {
  auto known = models.find(name);
  return known == models.end() ? nullptr : &known->second;
}

Residency::Impl::Resident* Residency::Impl::find_resident(const std::string& name, uint64_t id) {
  Model* model = find(name);
  if (model == nullptr || !model->resident || model->resident->id != id) return nullptr;
  return model->resident.get();
}

void Residency::define(const std::string& name, EngineSpec spec) {
  assert(spec.factory != nullptr);
  auto [entry, is_new] = impl_->models.try_emplace(name);
  Impl::Model& model = entry->second;
  bool changed =
      is_new || !model.defined || model.spec.factory != spec.factory || !(model.spec.options == spec.options);
  model.pinned = spec.pinned;
  model.defined = true;
  model.spec = std::move(spec);
  if (!changed) {
    impl_->arm_expiry(name, model);
    return;
  }
  model.needs.reset();
  model.measuring = false;
  model.crashes = 0;
  model.blocked_until.reset();
  if (model.resident) impl_->leave(name, model, ResidencyEvent::Kind::unloaded, "its options changed");
  impl_->schedule_pump();
}

void Residency::undefine(const std::string& name) {
  Impl::Model* model = impl_->find(name);
  if (model == nullptr) return;
  model->defined = false;
  model->pinned = false;
  if (model->resident) {
    impl_->leave(name, *model, ResidencyEvent::Kind::unloaded, "it is gone from the catalog");
    impl_->schedule_pump();
  } else {
    impl_->fail_waiters(*model, Error{ErrorCode::not_found, fmt::format("model '{}' is gone", name), {}});
    std::erase(impl_->line, name);
    impl_->models.erase(name);
  }
}

bool Residency::defined(std::string_view name) const {
  const Impl::Model* model = impl_->find(name);
  return model != nullptr && model->defined;
}

// --- Asking for an engine

Residency::Waiter Residency::Impl::enqueue(const std::string& name, Waiting entry) {
  Waiter id = next++;
  entry.model = name;
  Waiting& added = waiting.emplace(id, std::move(entry)).first->second;
  Model* model = find(name);
  if (closed) {
    added.error = Error{ErrorCode::unavailable, "shutting down", {}};
  } else if (model == nullptr || !model->defined) {
    added.error = Error{ErrorCode::not_found, fmt::format("no model '{}' is known", name), {}};
  } else if (waiting.size() > options.max_waiting) {
    added.error = Error{ErrorCode::overloaded,
                        fmt::format("{} requests wait for a model to load, that is the limit", options.max_waiting),
                        {}};
  } else if (model->resident && model->resident->state == ResidentState::ready) {
    if (added.lease_done) added.lease = grant(name, *model);
  } else {
    model->waiting.push_back(id);
    if (std::ranges::find(line, name) == line.end()) line.push_back(name);
    schedule_pump();
    return id;
  }
  settle(id);
  return id;
}

void Residency::Impl::settle(Waiter id) {
  loop.post([weak = weak_from_this(), id] {
    auto self = weak.lock();
    if (!self) return;
    auto node = self->waiting.extract(id);
    if (node.empty()) return;  // cancelled meanwhile
    Waiting& entry = node.mapped();
    if (entry.load_done) return entry.load_done(entry.error ? Status(fail(*entry.error)) : Status());
    if (entry.error) return entry.lease_done(fail(*entry.error));
    entry.lease_done(std::move(entry.lease));
  });
}

void Residency::Impl::fail_waiters(Model& model, const Error& error) {
  for (Waiter id : std::exchange(model.waiting, {})) {
    auto entry = waiting.find(id);
    if (entry == waiting.end()) continue;
    entry->second.error = error;
    settle(id);
  }
}

Lease Residency::Impl::grant(const std::string& name, Model& model) {
  Resident& resident = *model.resident;
  assert(resident.state == ResidentState::ready && resident.engine);
  ++resident.leases;
  if (!resident.spec.factory->remote()) {
    next_use.used(name, ledger.reserved_by(ledger_owner(name)),
                  std::chrono::duration_cast<Duration>(std::chrono::duration<double>(reload_cost(model))));
  }
  resident.last_used = loop.now();
  resident.expires.reset();
  loop.cancel(std::exchange(resident.expiry, TimerId::none));
  return Lease(std::make_shared<Lease::Hold>(Lease::Hold{weak_from_this(), name, resident.id}));
}

void Residency::Impl::release(const std::string& name, uint64_t id) {
  Resident* resident = find_resident(name, id);
  if (resident == nullptr) return;
  assert(resident->leases > 0);
  --resident->leases;
  resident->last_used = loop.now();
  if (resident->leases > 0 || closed) return;
  Model& model = *find(name);
  if (resident->state == ResidentState::draining)
    stop(name, model);
  else
    arm_expiry(name, model);
  schedule_pump();
}

void Residency::Impl::emit(ResidencyEvent event) {
  loop.post([weak = weak_from_this(), event = std::move(event)] {
    auto self = weak.lock();
    if (self && self->heard) self->heard(event);
  });
}

Residency::Waiter Residency::acquire(const std::string& model, std::function<void(Result<Lease>)> done) {
  assert(done);
  return impl_->enqueue(model, {.lease_done = std::move(done)});
}

void Residency::cancel(Waiter waiter) {
  auto node = impl_->waiting.extract(waiter);  // a lease in it is released
  if (node.empty()) return;
  if (Impl::Model* model = impl_->find(node.mapped().model)) std::erase(model->waiting, waiter);
  impl_->schedule_pump();
}

Lease Residency::try_acquire(const std::string& name) {
  return ready(name) ? impl_->grant(name, *impl_->find(name)) : Lease();
}

void Residency::ensure(const std::string& model, std::function<void(Status)> done) {
  assert(done);
  impl_->enqueue(model, {.load_done = std::move(done)});
}

// --- Wishes

void Residency::unload(const std::string& name, std::function<void(Status)> done) {
  Impl::Model* model = impl_->find(name);
  if (model == nullptr || !model->resident) {
    impl_->loop.post([done = std::move(done)] {
      if (done) done({});
    });
    return;
  }
  if (done) model->resident->when_gone.push_back(std::move(done));
  impl_->leave(name, *model, ResidencyEvent::Kind::unloaded, "asked to");
}

void Residency::set_keep_alive(const std::string& name, std::optional<Duration> keep_alive) {
  Impl::Model* model = impl_->find(name);
  if (model == nullptr) return;
  model->keep_alive = keep_alive;
  impl_->arm_expiry(name, *model);
}

void Residency::set_pinned(const std::string& name, bool pinned) {
  Impl::Model* model = impl_->find(name);
  if (model == nullptr) return;
  model->pinned = pinned;
  impl_->arm_expiry(name, *model);
  impl_->schedule_pump();
}

void Residency::set_demand(std::vector<Demand> demand) {
  impl_->demand.clear();
  for (size_t rank = 0; rank < demand.size(); ++rank)
    impl_->demand.try_emplace(std::move(demand[rank].model), rank, demand[rank].tasks);
}

void Residency::record_daemon_memory(Bytes pss) {
  impl_->ledger.record_measured(kDaemonOwner, impl_->options.budgets.front().device, pss);
}

Result<bool> Residency::book(const std::string& owner, Bytes bytes) {
  const std::vector<Reservation> needs = {{.device = impl_->options.budgets.front().device, .overhead = bytes}};
  LoadPlan plan = plan_load(impl_->ledger, owner, needs, impl_->alive(), 0);
  if (plan.never) return fail(*plan.never);
  if (plan.start) {
    SKEP_CHECK(impl_->ledger.reserve(owner, needs));
    return true;
  }
  // Where the idle ones alone don't suffice they stay, too: they would leave for nothing, again and again.
  if (plan.drain.empty()) impl_->make_room(plan, "to make room for " + owner, {});
  return false;
}

void Residency::unbook(const std::string& owner) {
  impl_->ledger.release(owner);
  impl_->schedule_pump();
}

void Residency::on_event(std::function<void(const ResidencyEvent&)> heard) { impl_->heard = std::move(heard); }

void Residency::shut_down(std::function<void()> done) { impl_->shut_down(std::move(done)); }

// --- Views

Bytes Residency::pinned_bytes(const std::string& except) const {
  Bytes sum;
  for (const auto& [name, model] : impl_->models) {
    if (!model.pinned || !model.needs || model.spec.options.path == except) continue;
    for (const Reservation& need : *model.needs) {
      if (need.device == impl_->options.budgets.front().device) sum += need.total();
    }
  }
  return sum;
}

std::optional<ResidentState> Residency::state(std::string_view name) const {
  const Impl::Model* model = impl_->find(name);
  if (model == nullptr) return std::nullopt;
  if (model->resident) return model->resident->state;
  if (!model->waiting.empty()) return ResidentState::loading;
  return std::nullopt;
}

bool Residency::ready(std::string_view name) const { return !impl_->closed && state(name) == ResidentState::ready; }

bool Residency::fits(std::string_view name) const {
  const Impl::Model* model = impl_->find(name);
  if (model == nullptr || !model->needs || model->resident) return true;
  LoadPlan plan = impl_->plan(std::string(name), *model);
  if (plan.never) return false;
  auto draining = [](const auto& entry) {
    return entry.second.resident && entry.second.resident->state == ResidentState::draining;
  };
  return plan.start || (plan.drain.empty() && std::ranges::none_of(impl_->models, draining));
}

std::optional<Bytes> Residency::known_size(std::string_view name) const {
  const Impl::Model* model = impl_->find(name);
  if (model == nullptr || !model->needs) return std::nullopt;
  Bytes sum;
  for (const Reservation& need : *model->needs) sum += need.total();
  return sum;
}

double Residency::load_seconds(std::string_view name) const {
  const Impl::Model* model = impl_->find(name);
  return model == nullptr ? 0 : impl_->load_seconds(*model);
}

int64_t Residency::loads(std::string_view name) const {
  const Impl::Model* model = impl_->find(name);
  return model == nullptr ? 0 : model->loads;
}

std::optional<TimePoint> Residency::blocked_until(std::string_view name) const {
  const Impl::Model* model = impl_->find(name);
  if (model == nullptr || !impl_->blocked(*model)) return std::nullopt;
  return model->blocked_until;
}

std::vector<ResidentView> Residency::views() const {
  std::vector<ResidentView> views;
  for (const auto& [name, model] : impl_->models) {
    if (!model.resident) continue;
    const Impl::Resident& resident = *model.resident;
    ResidentView view{.model = name,
                      .state = resident.state,
                      .leases = resident.leases,
                      .pinned = model.pinned,
                      .expires = resident.expires,
                      .loads = model.loads,
                      .load_time = model.last_load};
    for (const Ledger::Entry& entry : impl_->ledger.entries()) {
      if (entry.owner == ledger_owner(name)) view.reserved.push_back(entry.reserved);
    }
    if (resident.engine && resident.state != ResidentState::unloading) {
      view.measured = resident.engine->resident_memory();
      view.context_tokens = resident.engine->loaded().context_tokens;
      view.forward = resident.engine->loaded().forward;
      view.streamed = resident.engine->loaded().streamed;
      view.slots = resident.engine->slots();
      view.process_id = resident.engine->process_id();
      view.heartbeat = resident.engine->heartbeat();
    }
    views.push_back(std::move(view));
  }
  return views;
}

const Ledger& Residency::ledger() const { return impl_->ledger; }
const Residency::Counters& Residency::counters() const { return impl_->counters; }

Residency::Residency(EventLoop& loop, ResidencyOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {}

Residency::~Residency() {
  impl_->closed = true;
  impl_->loop.cancel(impl_->poll_timer);
  for (auto& [name, model] : impl_->models) {
    if (model.resident) impl_->loop.cancel(model.resident->expiry);
  }
}

}  // namespace skep::model
