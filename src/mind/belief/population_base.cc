#include "mind/belief/population_base.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/random.h"
#include "mind/belief/compact_beliefs.h"
#include "mind/belief/half.h"
#include "mind/belief/sparse_beliefs.h"

namespace skep::belief {

namespace {

constexpr float kImpossibleSurprise = 36.8F;  // -ln kernel::kImpossible, less rounding
constexpr double kAnyError = 2;               // no two distributions are further apart

std::unique_ptr<RowStore> make_store(const PopulationOptions& o, uint32_t rows, size_t states) {
  if (o.rows == RowStorage::sparse) return std::make_unique<SparseBeliefs>(rows, states, o.prune);
  // Of a tolerance that nothing exceeds all rows are bytes.
  const double tolerance = o.rows == RowStorage::edge ? kAnyError : *o.tolerance;
  return std::make_unique<CompactBeliefs>(rows, states, tolerance);
}

}  // namespace

PopulationBase::PopulationBase(GenerativeModel model, PopulationOptions options, kernel::ThreadPool& pool,
                               StateFile state, size_t belief_size, size_t stride)
    : model_(std::move(model)),
      options_(std::move(options)),
      pool_(pool),
      state_(std::move(state)),
      belief_size_(belief_size),
      row_bytes_((stride > 0 ? stride : state_.layout().stride) *
                 (options_.precision == Precision::f32 ? sizeof(float) : sizeof(double))),
      sides_(state_.layout().sides),
      slots_(options_.capacity),
      actions_(options_.capacity),
      previous_actions_(options_.learning || state_.durable() ? options_.capacity : 0),
      free_energy_(options_.capacity),
      age_(options_.capacity),
      generation_(options_.capacity),
      set_(options_.capacity),
      ring_(options_.history > 0 ? options_.capacity : 0),
      started_(options_.capacity),
      side_(options_.capacity),
      before_(sides_ == 4 ? options_.capacity : 0),
      record_side_(state_.durable() ? options_.capacity : 0),
      pending_(sides_ > 1 ? options_.capacity : 0),
      all_slots_(options_.capacity),
      chunk_slots_(static_cast<size_t>(pool.threads()) * kChunk),
      own_side_(state_.layout().own_sides > 0 ? options_.capacity : 0) {
  std::iota(all_slots_.begin(), all_slots_.end(), 0U);
  pending_slots_.reserve(state_.durable() ? options_.capacity : 0);
  if (options_.rows == RowStorage::full) return;
  const size_t threads = static_cast<size_t>(pool_.threads());
  unpacked_ = AlignedArray<float>((threads * (kChunk + 1) + 1) * stride);
  place_.resize(options_.capacity, static_cast<uint32_t>(chunk_slots_.size()));
  error_.resize(options_.capacity);
  if (state_.durable()) {
    fixed_.emplace(belief_size_, state_.layout().element);
    return;
  }
  for (uint32_t first = 0; first < options_.capacity; first += kChunk)
    stores_.push_back(make_store(options_, std::min(kChunk, options_.capacity - first), belief_size_));
}

std::byte* PopulationBase::stored(uint32_t slot) const {
  const StateLayout& l = state_.layout();
  return state_.beliefs() + (size_t{slot} * sides_ + side_[slot]) * l.stride * l.element;
}

const std::byte* PopulationBase::readable_row(uint32_t slot) const {
  if (!packed()) return current_row(slot);
  float* row = spare_unpacked();
  if (!slots_.taken(slot)) {
    std::fill_n(row, belief_size_, 0.0F);
    return reinterpret_cast<const std::byte*>(row);
  }
  load_row(slot, row);
  return reinterpret_cast<const std::byte*>(row);
}

void PopulationBase::load_row(uint32_t slot, float* row) const {
  if (fixed_) {
    fixed_->load(stored(slot), {row, belief_size_});
  } else {
    stores_[slot / kChunk]->load(slot % kChunk, {row, belief_size_});
  }
}

void PopulationBase::store_row(uint32_t slot, const float* row, double error, uint32_t thread) {
  const std::span<const float> belief(row, belief_size_);
  const double packing = fixed_ ? fixed_->store(belief, stored(slot), {packing_scratch(thread), belief_size_})
                                : stores_[slot / kChunk]->store(slot % kChunk, belief);
  error_[slot] = static_cast<float>(std::min(kAnyError, error + packing));
  if (fixed_) FixedRows::set_error(stored(slot), error_[slot]);
}

void PopulationBase::unpack(const Batch& batch) {
  for (uint32_t i = 0; i < batch.n; ++i) {
    const uint32_t slot = batch.slots[i];
    place_[slot] = batch.thread * kChunk + i;
    load_row(slot, reinterpret_cast<float*>(current_row(slot)));
  }
}

// The error of what was unpacked, through the correction, and what packing adds.
void PopulationBase::pack(const Batch& batch) {
  for (uint32_t i = 0; i < batch.n; ++i) {
    const uint32_t slot = batch.slots[i];
    auto error = static_cast<double>(error_[slot]);
    if (const double likeliest = largest_likelihood(batch.observation(i)); likeliest > 0) {
      if (error > 0 && free_energy_[slot] >= kImpossibleSurprise) believe(batch.observation(i), current_row(slot));
      error = std::min(kAnyError, 2 * likeliest * error * std::exp(static_cast<double>(free_energy_[slot])));
    }
    store_row(slot, reinterpret_cast<const float*>(current_row(slot)), error, batch.thread);
  }
}

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
    if (fixed_) {
      error_[slot] = FixedRows::error(stored(slot));
      if (!(error_[slot] >= 0 && error_[slot] <= 2))
        return fail(ErrorCode::corrupt, fmt::format("{}: row {} is damaged", options_.file.string(), slot));
    }
  }
  for (uint32_t slot = 0; slot < own_side_.size(); ++slot)
    own_side_[slot] = *state_.own_stamp(slot, 1) > *state_.own_stamp(slot, 0) ? 1 : 0;
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
  return packed() ? reinterpret_cast<std::byte*>(spare_unpacked()) : current_row(slot);
}

Result<AgentId> PopulationBase::add() {
  const auto slot = slots_.take();
  if (!slot) {
    return fail(ErrorCode::overloaded, fmt::format("population full: {} agents", capacity()),
                "create it with a larger capacity");
  }
  std::byte* start = writable_row(*slot);
  ++generation_[*slot];
  age_[*slot] = 0;
  started_[*slot] = 0;
  actions_[*slot] = 0;
  free_energy_[*slot] = 0;
  write_start(*slot, start);
  if (packed()) store_row(*slot, reinterpret_cast<const float*>(start), 0);
  record_change(*slot);
  return at(*slot);
}

Status PopulationBase::remove(AgentId agent) {
  if (!alive(agent))
    return fail(ErrorCode::not_found, fmt::format("no agent {} of generation {}", agent.slot, agent.generation));
  slots_.release(agent.slot);
  if (!stores_.empty()) stores_[agent.slot / kChunk]->erase(agent.slot % kChunk);
  record_change(agent.slot);
  return {};
}

bool PopulationBase::alive(AgentId agent) const {
  return occupied(agent.slot) && generation_[agent.slot] == agent.generation;
}

Status PopulationBase::check_observation(const uint16_t* observation, uint32_t slot) const {
  for (size_t m = 0; m < model_.num_obs.size(); ++m) {
    if (observation[m] != kNotObserved && observation[m] >= model_.num_obs[m]) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("observation of slot {}, modality {}: no outcome {}", slot, m, observation[m]));
    }
  }
  return {};
}

Status PopulationBase::step(std::span<const uint16_t> observations) {
  const size_t modalities = model_.num_obs.size();
  if (observations.size() != capacity() * modalities) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} observations, expected {} × {}", observations.size(), capacity(), modalities));
  }
  // One pass that vectorises finds out whether anything is out of range at all; empty slots may hold anything.
  const auto smallest = static_cast<uint16_t>(*std::min_element(model_.num_obs.begin(), model_.num_obs.end()));
  unsigned doubtful = 0;
  for (uint16_t o : observations)
    doubtful |= static_cast<unsigned>(o >= smallest) & static_cast<unsigned>(o != kNotObserved);
  for (uint32_t slot = 0; doubtful != 0 && slot < capacity(); ++slot) {
    if (slots_.taken(slot)) SKEP_CHECK(check_observation(observations.data() + slot * modalities, slot));
  }
  run({{}, observations, true});
  commit(true);
  return {};
}

Status PopulationBase::step_some(std::span<const uint32_t> slots, std::span<const uint16_t> observations) {
  const size_t modalities = model_.num_obs.size();
  if (observations.size() != slots.size() * modalities) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} observations, expected {} × {}", observations.size(), slots.size(), modalities));
  }
  named_.resize(capacity());  // allocates on the first call only
  Status status;
  size_t checked = 0;
  for (; checked < slots.size() && status; ++checked) {
    const uint32_t slot = slots[checked];
    if (!occupied(slot)) {
      status = fail(ErrorCode::not_found, fmt::format("slot {} is empty", slot));
    } else if (named_[slot] != 0) {
      status = fail(ErrorCode::invalid_argument, fmt::format("slot {} stands twice", slot));
    } else {
      named_[slot] = 1;
      status = check_observation(observations.data() + checked * modalities, slot);
    }
  }
  for (size_t i = 0; i < checked; ++i) {
    if (slots[i] < capacity()) named_[slots[i]] = 0;
  }
  SKEP_CHECK(status);
  run({slots, observations, false});
  commit(true);
  return {};
}

void PopulationBase::run(const Step& step) {
  const auto agents = step.all ? capacity() : static_cast<uint32_t>(step.some.size());
  const uint32_t chunks = (agents + kChunk - 1) / kChunk;
  if (!stores_.empty() && !step.all) {  // named slots may share a store, which one thread at a time may change
    for (uint32_t chunk = 0; chunk < chunks; ++chunk) run_chunk(step, chunk, 0);
    return;
  }
  pool_.run(chunks, [this, &step](uint32_t chunk, uint32_t thread) { run_chunk(step, chunk, thread); });
}

void PopulationBase::run_chunk(const Step& step, uint32_t chunk, uint32_t thread) {
  const auto modalities = static_cast<uint32_t>(model_.num_obs.size());
  Batch batch{};
  batch.modalities = modalities;
  batch.thread = thread;
  batch.by_slot = step.all;
  if (step.all && slots_.size() == capacity()) {
    const uint32_t first = chunk * kChunk;
    batch.slots = all_slots_.data() + first;
    batch.n = std::min(kChunk, capacity() - first);
    batch.contiguous = true;
    batch.observations = step.observations.data();
  } else if (step.all) {
    uint32_t* slots = chunk_slots_.data() + size_t{thread} * kChunk;
    const uint32_t first = chunk * kChunk / 64;
    const uint32_t last = std::min((chunk + 1) * kChunk / 64, (capacity() + 63) / 64);
    uint32_t n = 0;
    for (uint32_t word = first; word < last; ++word) {
      for (uint64_t bits = slots_.taken_word(word); bits != 0; bits &= bits - 1)
        slots[n++] = word * 64 + static_cast<uint32_t>(std::countr_zero(bits));
    }
    batch.slots = slots;
    batch.n = n;
    batch.contiguous = n > 0 && slots[n - 1] - slots[0] == n - 1;
    batch.observations = step.observations.data();
  } else {
    const size_t first = size_t{chunk} * kChunk;
    batch.slots = step.some.data() + first;
    batch.n = static_cast<uint32_t>(std::min<size_t>(kChunk, step.some.size() - first));
    batch.observations = step.observations.data() + first * modalities;
  }
  if (batch.n == 0) return;
  if (!previous_actions_.empty()) {
    for (uint32_t i = 0; i < batch.n; ++i) previous_actions_[batch.slots[i]] = actions_[batch.slots[i]];
  }
  if (packed()) unpack(batch);
  update(batch);
  finish(batch);
  if (packed()) pack(batch);
}

// Ages, sides, records and history of the agents that update() has just computed.
void PopulationBase::finish(const Batch& batch) {
  const bool records = state_.durable();
  const bool history = options_.history > 0;
  if (sides_ <= 1 && !history) {
    uint32_t* const age = age_.data();
    uint8_t* const started = started_.data();
    if (batch.contiguous) {
      const uint32_t first = batch.slots[0];
      for (uint32_t i = 0; i < batch.n; ++i) ++age[first + i];
      std::fill_n(started + first, batch.n, uint8_t{1});
      return;
    }
    for (uint32_t i = 0; i < batch.n; ++i) {
      ++age[batch.slots[i]];
      started[batch.slots[i]] = 1;
    }
    return;
  }
  for (uint32_t i = 0; i < batch.n; ++i) {
    const uint32_t slot = batch.slots[i];
    if (sides_ > 1) turn_to(slot, target_side(slot));
    if (history) {
      HistoryHeader* entry = state_.history(slot, ring_[slot]);
      entry->action = actions_[slot];
      entry->free_energy = to_half(free_energy_[slot]);
      std::memcpy(entry + 1, batch.observation(i), batch.modalities * sizeof(uint16_t));
      if (options_.history_beliefs) {
        float* out = state_.history_belief(slot, ring_[slot]);
        if (options_.precision == Precision::f32) {
          std::memcpy(out, current_row(slot), row_bytes_);
        } else {
          const auto* q = reinterpret_cast<const double*>(current_row(slot));
          std::transform(q, q + belief_size_, out, [](double p) { return static_cast<float>(p); });
        }
      }
      ++ring_[slot];
    }
    ++age_[slot];
    started_[slot] = 1;
    if (records) write_record(slot);
  }
}

void PopulationBase::commit(bool counts_as_step) {
  state_.commit(state_.steps() + (counts_as_step ? 1 : 0));
  for (uint32_t slot : pending_slots_) pending_[slot] = 0;
  pending_slots_.clear();
}

double PopulationBase::uniform(uint32_t slot) const {
  const uint64_t agent = uint64_t{generation_[slot]} << 32 | slot;
  const uint64_t bits = mix_bits(mix_bits(options_.seed ^ mix_bits(agent)) + age_[slot]);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

std::span<const float> PopulationBase::policy_posterior(uint32_t slot) const {
  if (q_pi_.empty()) return {};
  return {q_pi_.data() + slot * policies_, policies_};
}

std::span<const float> PopulationBase::neg_efe(uint32_t slot) const {
  if (neg_efe_.empty()) return {};
  return {neg_efe_.data() + slot * policies_, policies_};
}

void PopulationBase::set_action(uint32_t slot, uint16_t joint_action) {
  assert(occupied(slot) && joint_action < model_.joint_actions());
  actions_[slot] = joint_action;
  record_change(slot);
}

void PopulationBase::set_actions(std::span<const uint16_t> joint_actions) {
  assert(joint_actions.size() == actions_.size());
  const auto most = static_cast<uint16_t>(model_.joint_actions() - 1);
  if (state_.durable()) {
    for (uint32_t slot = 0; slot < capacity(); ++slot) {
      if (slots_.taken(slot) && joint_actions[slot] != actions_[slot])
        set_action(slot, std::min(joint_actions[slot], most));
    }
    return;
  }
  for (size_t slot = 0; slot < actions_.size(); ++slot) {  // without a branch: it is called before every step
    assert(joint_actions[slot] <= most || !occupied(static_cast<uint32_t>(slot)));
    actions_[slot] = std::min(joint_actions[slot], most);
  }
}

namespace {

// The sum of what may be probabilities, if it is so many.
Result<double> sum_of(std::span<const double> p, size_t expected, const std::string& what) {
  if (p.size() != expected)
    return fail(ErrorCode::invalid_argument, fmt::format("{}: {} entries, expected {}", what, p.size(), expected));
  double sum = 0;
  for (double x : p) {
    if (!(x >= 0)) return fail(ErrorCode::invalid_argument, fmt::format("{}: negative or not a number", what));
    sum += x;
  }
  return sum;
}

Status check_distribution(std::span<const double> p, size_t expected, const std::string& what) {
  SKEP_TRY(const double sum, sum_of(p, expected, what));
  if (!(std::abs(sum - 1) < 1e-6)) return fail(ErrorCode::invalid_argument, fmt::format("{}: sums to {}", what, sum));
  return {};
}

}  // namespace

Status PopulationBase::set_belief(uint32_t slot, std::span<const double> belief) {
  if (!occupied(slot)) return fail(ErrorCode::not_found, fmt::format("slot {} is empty", slot));
  SKEP_TRY(const double sum, sum_of(belief, belief_size_, "belief"));
  // The concatenated marginals of a mean-field belief sum to the number of factors.
  const double expected = std::round(sum);
  if (!(std::abs(sum - expected) < 1e-5) || expected < 1)
    return fail(ErrorCode::invalid_argument, fmt::format("belief: sums to {}", sum));
  put_belief(slot, belief);
  // From now on the belief is what counts, not D.
  started_[slot] = 1;
  record_change(slot);
  return {};
}

void PopulationBase::put_belief(uint32_t slot, std::span<const double> belief) {
  std::byte* out = writable_row(slot);
  for (size_t i = 0; i < belief_size_; ++i) {
    if (options_.precision == Precision::f32) {
      reinterpret_cast<float*>(out)[i] = static_cast<float>(belief[i]);
    } else {
      reinterpret_cast<double*>(out)[i] = belief[i];
    }
  }
  if (packed()) store_row(slot, reinterpret_cast<const float*>(out), 0);
  ++set_[slot];
}

Status PopulationBase::set_start(uint32_t slot, const std::vector<std::vector<double>>& D) {
  if (!occupied(slot)) return fail(ErrorCode::not_found, fmt::format("slot {} is empty", slot));
  if (started_[slot] != 0) {
    return fail(ErrorCode::invalid_argument, fmt::format("slot {}: D is where an agent starts, and it has", slot),
                "set_belief() changes what it believes now");
  }
  if (D.size() != model_.num_states.size()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("D: {} distributions, expected one for each of {} factors", D.size(), model_.factors()));
  }
  for (size_t f = 0; f < D.size(); ++f)
    SKEP_CHECK(check_distribution(D[f], static_cast<size_t>(model_.num_states[f]), fmt::format("D[{}]", f)));
  put_belief(slot, belief_of(D));
  record_change(slot);
  return {};
}

Status PopulationBase::set_habits(uint32_t slot, std::span<const double> E) {
  if (!options_.own_habits) return fail(ErrorCode::unsupported, "the agents of this population share their habits");
  if (!occupied(slot)) return fail(ErrorCode::not_found, fmt::format("slot {} is empty", slot));
  SKEP_CHECK(check_distribution(E, policies_, "E"));
  write_habits(slot, E);
  return {};
}

std::span<const float> PopulationBase::belief(uint32_t slot) const {
  assert(slot < capacity());
  if (options_.precision != Precision::f32 || packed()) return {};
  return {reinterpret_cast<const float*>(current_row(slot)), belief_size_};
}

std::span<const double> PopulationBase::belief_f64(uint32_t slot) const {
  assert(slot < capacity());
  if (options_.precision != Precision::f64) return {};
  return {reinterpret_cast<const double*>(current_row(slot)), belief_size_};
}

void PopulationBase::copy_belief(uint32_t slot, std::span<double> out) const {
  assert(slot < capacity() && out.size() == belief_size_);
  if (options_.precision == Precision::f32) {
    std::copy_n(reinterpret_cast<const float*>(readable_row(slot)), belief_size_, out.begin());
  } else {
    std::copy_n(reinterpret_cast<const double*>(current_row(slot)), belief_size_, out.begin());
  }
}

void PopulationBase::surprised(float threshold, std::vector<uint32_t>& slots) const {
  slots.clear();
  for (uint32_t slot = 0; slot < capacity(); ++slot) {
    if (free_energy_[slot] > threshold && slots_.taken(slot)) slots.push_back(slot);
  }
}

bool PopulationBase::history(uint32_t slot, uint32_t i, HistoryEntry& entry) const {
  if (!occupied(slot) || i >= age_[slot] || i >= options_.history) return false;
  const uint32_t number = ring_[slot] - 1 - i;
  const HistoryHeader* header = state_.history(slot, number);
  entry.step = age_[slot] - 1 - i;
  entry.observation = {reinterpret_cast<const uint16_t*>(header + 1), model_.num_obs.size()};
  entry.action = header->action;
  entry.free_energy = from_half(header->free_energy);
  entry.belief = options_.history_beliefs ? std::span<const float>(state_.history_belief(slot, number), belief_size_)
                                          : std::span<const float>();
  return true;
}

Bytes PopulationBase::bytes() const {
  const auto of = [](const auto& v) { return v.capacity() * sizeof(v[0]); };
  const size_t n = state_.bytes() + slots_.bytes() + of(actions_) + of(previous_actions_) + of(free_energy_) +
                   of(age_) + of(generation_) + of(set_) + of(ring_) + of(started_) + of(side_) + of(before_) +
                   of(record_side_) + of(pending_) + of(place_) + of(error_) + of(pending_slots_) + of(all_slots_) +
                   of(own_side_) + of(q_pi_) + of(neg_efe_) + unpacked_.bytes();
  Bytes total(static_cast<int64_t>(n));
  for (const auto& rows : stores_) total = Bytes(total.count + rows->bytes().count);
  return total;
}

}  // namespace skep::belief
