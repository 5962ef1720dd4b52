// What a population keeps of its agents in a state, and where it may write: the sides of their rows and own blocks, and
// their records. state_file.h has the protocol.

#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "mind/belief/population_base.h"

namespace skep::belief {

Status PopulationBase::restore_all() {
  if (!state_.durable()) return {};
  for (uint32_t slot = 0; slot < capacity(); ++slot) {
    const SlotRecord* records[2] = {state_.record(slot, 0), state_.record(slot, 1)};
    const uint32_t side = records[1]->stamp > records[0]->stamp ? 1 : 0;
    const SlotRecord& r = *records[side];
    if (r.stamp == 0) continue;
    if (r.action >= model_.joint_actions() || r.previous_action >= model_.joint_actions() ||
        (r.flags & ~kRecordFlags) != 0 || row_of(r.flags) >= sides_ || row_before_of(r.flags) >= sides_) {
      return fail(ErrorCode::corrupt, fmt::format("{}: slot {} is damaged", options_.file.string(), slot));
    }
    record_side_[slot] = static_cast<uint8_t>(side);
    side_[slot] = static_cast<uint8_t>(row_of(r.flags));
    if (!before_.empty()) before_[slot] = static_cast<uint8_t>(row_before_of(r.flags));
    generation_[slot] = r.generation;
    age_[slot] = r.age;
    free_energy_[slot] = r.free_energy;
    actions_[slot] = r.action;
    previous_actions_[slot] = r.previous_action;
    started_[slot] = (r.flags & kStarted) != 0 ? 1 : 0;
    if (!ring_.empty()) ring_[slot] = r.ring;
    if ((r.flags & kAlive) != 0) slots_.take(slot);
  }
  for (uint32_t slot = 0; slot < own_side_.size(); ++slot)
    own_side_[slot] = *state_.own_stamp(slot, 1) > *state_.own_stamp(slot, 0) ? 1 : 0;
  if (!packed()) return {};
  const Status rows = packed_->restore([this](uint32_t slot) -> std::optional<uint32_t> {
    if (!slots_.taken(slot)) return std::nullopt;
    return side_[slot];
  });
  if (!rows) return fail(rows.error().code, fmt::format("{}: {}", options_.file.string(), rows.error().message));
  return {};
}

std::byte* PopulationBase::writable_block(uint32_t slot) {
  uint8_t& side = own_side_[slot];
  if (state_.durable()) {
    if (*state_.own_stamp(slot, side) <= state_.sequence()) {
      std::memcpy(state_.own(slot, side ^ 1U), state_.own(slot, side), state_.layout().own_block);
      side ^= 1U;
    }
    *state_.own_stamp(slot, side) = state_.sequence() + 1;
  }
  return state_.own(slot, side);
}

void PopulationBase::mark_pending(uint32_t slot, uint8_t what) {
  if (!state_.durable()) return;
  if (pending_[slot] == 0) pending_slots_.push_back(slot);
  pending_[slot] |= what;
}

void PopulationBase::turn_to(uint32_t slot, uint32_t side) {
  if (!before_.empty()) before_[slot] = side_[slot];
  side_[slot] = static_cast<uint8_t>(side);
}

// Of four rows the committed state needs two, and the change under way a third: what it reads.
uint32_t PopulationBase::spare_row(uint32_t slot) const {
  const uint32_t committed = record_side_[slot] ^ ((pending_[slot] & kRecordPending) != 0 ? 1U : 0U);
  const uint32_t flags = state_.record(slot, committed)->flags;
  const uint32_t needed = 1U << side_[slot] | 1U << row_of(flags) | 1U << row_before_of(flags);
  return static_cast<uint32_t>(std::countr_one(needed));
}

void PopulationBase::write_record(uint32_t slot) {
  if (!state_.durable()) return;
  if ((pending_[slot] & kRecordPending) == 0) record_side_[slot] ^= 1U;
  SlotRecord* r = state_.record(slot, record_side_[slot]);
  r->generation = generation_[slot];
  r->age = age_[slot];
  r->free_energy = free_energy_[slot];
  r->action = actions_[slot];
  r->previous_action = previous_actions_[slot];
  r->flags = (slots_.taken(slot) ? kAlive : 0) | (started_[slot] != 0 ? kStarted : 0) |
             row_flags(side_[slot], before_.empty() ? 0 : before_[slot]);
  r->ring = ring_.empty() ? 0 : ring_[slot];
  r->stamp = state_.sequence() + 1;
}

void PopulationBase::record_change(uint32_t slot) {
  write_record(slot);
  mark_pending(slot, kRecordPending);
}

std::byte* PopulationBase::writable_row(uint32_t slot) {
  const uint32_t side = target_side(slot);
  if (side != side_[slot]) {
    if (!packed()) std::memcpy(row(slot, side), current_row(slot), row_bytes_);
    turn_to(slot, side);
  }
  mark_pending(slot, kRowPending);
  return packed() ? reinterpret_cast<std::byte*>(packed_->spare()) : current_row(slot);
}

void PopulationBase::commit(bool counts_as_step) {
  state_.commit(state_.steps() + (counts_as_step ? 1 : 0));
  for (uint32_t slot : pending_slots_) pending_[slot] = 0;
  pending_slots_.clear();
}

}  // namespace skep::belief
