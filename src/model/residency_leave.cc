// How engines leave: expiry, eviction, being asked to, death, shut-down. Bytes are given back only when the process is
// gone.

#include <algorithm>
#include <cassert>
#include <utility>

#include "model/residency_impl.h"

namespace skep::model {

namespace {
// A freshly loaded engine that nobody leased yet is not unloaded before, whatever its keep-alive: the one that asked
// for it is on its way.
constexpr Duration kFirstUse = std::chrono::seconds(5);
}  // namespace

// --- Expiry

void Residency::Impl::arm_expiry(const std::string& name, Model& model) {
  if (!model.resident) return;
  Resident& resident = *model.resident;
  loop.cancel(std::exchange(resident.expiry, TimerId::none));
  resident.expires.reset();
  if (resident.state != ResidentState::ready || resident.leases > 0 || model.pinned || closed) return;
  Duration keep_alive = model.keep_alive.value_or(model.spec.keep_alive.value_or(options.keep_alive));
  if (keep_alive == kForever) return;
  bool unused = resident.last_used == resident.ready_since;
  TimePoint due = resident.last_used + (unused ? std::max(keep_alive, kFirstUse) : keep_alive);
  resident.expires = due;
  resident.expiry =
      loop.after(std::max(due - loop.now(), Duration::zero()), [weak = weak_from_this(), name, id = resident.id] {
        if (auto self = weak.lock()) self->expire(name, id);
      });
}

void Residency::Impl::expire(const std::string& name, uint64_t id) {
  Resident* resident = find_resident(name, id);
  if (resident == nullptr || closed) return;
  resident->expiry = TimerId::none;
  Model& model = *find(name);
  if (resident->state != ResidentState::ready || resident->leases > 0 || model.pinned) return;
  if (auto asked = demand.find(name); asked != demand.end() && asked->second.second > 0) {
    // Tasks wait for it: it would be loaded again at once.
    resident->expiry = loop.after(options.poll, [weak = weak_from_this(), name, id] {
      if (auto self = weak.lock()) self->expire(name, id);
    });
    return;
  }
  ++counters.expiries;
  leave(name, model, ResidencyEvent::Kind::unloaded,
        fmt::format("idle for {:.0f} s", seconds(loop.now() - resident->last_used)));
}

// --- Leaving

void Residency::Impl::leave(const std::string& name, Model& model, ResidencyEvent::Kind kind, std::string reason,
                            std::string room_for) {
  Resident& resident = *model.resident;
  if (resident.state == ResidentState::unloading) return;
  resident.leaves = true;
  resident.leave_kind = kind;
  resident.leave_reason = std::move(reason);
  resident.room_for = std::move(room_for);
  if (resident.state == ResidentState::loading) return;  // when it is ready
  loop.cancel(std::exchange(resident.expiry, TimerId::none));
  resident.expires.reset();
  if (resident.leases > 0)
    resident.state = ResidentState::draining;
  else
    stop(name, model);
}

void Residency::Impl::stop(const std::string& name, Model& model) {
  Resident& resident = *model.resident;
  assert(resident.engine && resident.state != ResidentState::unloading);
  resident.state = ResidentState::unloading;
  loop.cancel(std::exchange(resident.expiry, TimerId::none));
  resident.engine->stop([weak = weak_from_this(), name, id = resident.id] {
    if (auto self = weak.lock()) self->gone(name, id);
  });
}

void Residency::Impl::gone(const std::string& name, uint64_t id) {
  Resident* resident = find_resident(name, id);
  if (resident == nullptr) return;
  Model& model = *find(name);
  if (resident->leave_kind == ResidencyEvent::Kind::evicted) ++counters.evictions;
  emit({resident->leave_kind, name, resident->leave_reason});
  forget_resident(name, model);
}

void Residency::Impl::died(const std::string& name, uint64_t id, const Error& error) {
  Resident* resident = find_resident(name, id);
  if (resident == nullptr) return;
  Model& model = *find(name);
  ++counters.deaths;
  if (loop.now() - resident->ready_since >= options.stable_after) model.crashes = 0;
  crashed(model, error);
  emit({ResidencyEvent::Kind::died, name, error.text()});
  forget_resident(name, model);
}

void Residency::Impl::forget_resident(const std::string& name, Model& model) {
  std::unique_ptr<Resident> resident = std::move(model.resident);
  ledger.release(ledger_owner(name));
  loop.cancel(resident->expiry);
  for (auto& done : resident->when_gone) {
    loop.post([done = std::move(done)] { done({}); });
  }
  // We are called by the engine itself: it is destroyed when it has returned.
  if (resident->engine) {
    ended.push_back(std::move(resident->engine));
    loop.post([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->ended.clear();
    });
  }
  if (!model.defined) {
    fail_waiters(model, Error{ErrorCode::not_found, fmt::format("model '{}' is gone", name), {}});
    models.erase(name);
  }
  schedule_pump();
  check_shut_down();
}

// Those that drain for a model whose waiters have all been cancelled, or which got its room otherwise, stay after all.
void Residency::Impl::keep_those_not_needed() {
  for (auto& [name, model] : models) {
    if (!model.resident || model.resident->state != ResidentState::draining || model.resident->room_for.empty())
      continue;
    const Model* wants = find(model.resident->room_for);
    if (wants != nullptr && !wants->resident && !wants->waiting.empty()) continue;
    model.resident->state = ResidentState::ready;
    model.resident->leaves = false;
    model.resident->room_for.clear();
    arm_expiry(name, model);
  }
}

void Residency::Impl::make_room(const LoadPlan& plan, const std::string& reason, const std::string& for_model) {
  for (const std::string& name : plan.unload)
    leave(name, *find(name), ResidencyEvent::Kind::evicted, reason, for_model);
  for (const std::string& name : plan.drain) leave(name, *find(name), ResidencyEvent::Kind::evicted, reason, for_model);
}

// --- Watching what is really used

void Residency::Impl::arm_poll() {
  if (closed || poll_timer != TimerId::none) return;
  poll_timer = loop.after(options.poll, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->poll();
  });
}

void Residency::Impl::poll() {
  poll_timer = TimerId::none;
  bool any = false;
  for (auto& [name, model] : models) {
    if (!model.resident || !model.resident->engine) continue;
    any = true;
    Resident& resident = *model.resident;
    if (resident.state == ResidentState::unloading || resident.spec.factory->remote()) continue;
    ledger.record_measured(ledger_owner(name), "host", resident.engine->resident_memory());
    if (loop.now() - resident.ready_since >= options.stable_after) model.crashes = 0;
  }
  if (!any) return;  // armed again by the next load
  relieve();
  arm_poll();
}

// After a correction of the ledger: what turned out to be larger than thought pushes others out.
void Residency::Impl::relieve() {
  if (ledger.over() == Bytes(0)) return;
  make_room(plan_relief(ledger, alive()), "engines need more memory than was measured before loading", {});
}

// --- The end

void Residency::Impl::shut_down(std::function<void()> done) {
  closed = true;
  shut_down_done.push_back(std::move(done));
  loop.cancel(std::exchange(poll_timer, TimerId::none));
  for (auto& [name, model] : models) {
    fail_waiters(model, Error{ErrorCode::unavailable, "shutting down", {}});
    if (!model.resident || model.resident->state == ResidentState::unloading) continue;
    model.resident->leave_kind = ResidencyEvent::Kind::unloaded;
    model.resident->leave_reason = "shutting down";
    if (model.resident->engine) stop(name, model);  // one that is loading stops when it is ready
  }
  line.clear();
  check_shut_down();
}

void Residency::Impl::check_shut_down() {
  if (shut_down_done.empty()) return;
  if (std::ranges::any_of(models, [](const auto& entry) { return entry.second.resident != nullptr; })) return;
  for (auto& done : std::exchange(shut_down_done, {})) {
    loop.post([done = std::move(done)] {
      if (done) done();
    });
  }
}

}  // namespace skep::model
