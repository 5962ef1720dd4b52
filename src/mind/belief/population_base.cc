#include "mind/belief/population_base.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/random.h"
#include "kernel/packed_own_kernels.h"
#include "mind/belief/half.h"

namespace skep::belief {

namespace {

constexpr float kImpossibleSurprise = 36.8F;  // -ln kernel::kImpossible, less rounding

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
  if (options_.rows != RowStorage::full) packed_.emplace(options_, state_, belief_size_, stride, pool_.threads());
}

const std::byte* PopulationBase::readable_row(uint32_t slot) const {
  if (!packed()) return current_row(slot);
  float* row = packed_->spare();
  if (slots_.taken(slot)) {
    packed_->load(slot, side_[slot], row);
  } else {
    std::fill_n(row, belief_size_, 0.0F);
  }
  return reinterpret_cast<const std::byte*>(row);
}

void PopulationBase::unpack(const Batch& batch) {
  for (uint32_t i = 0; i < batch.n; ++i) packed_->unpack(batch.slots[i], side_[batch.slots[i]], batch.thread, i);
}

// The error of what was unpacked, through the correction, and what packing adds.
void PopulationBase::pack(const Batch& batch) {
  for (uint32_t i = 0; i < batch.n; ++i) {
    const uint32_t slot = batch.slots[i];
    double error = packed_->error(slot);
    if (const double likeliest = largest_likelihood(batch.observation(i)); likeliest > 0) {
      if (error > 0 && free_energy_[slot] >= kImpossibleSurprise) believe(batch.observation(i), current_row(slot));
      error = std::min(kAnyError, 2 * likeliest * error * std::exp(static_cast<double>(free_energy_[slot])));
    }
    packed_->store(slot, side_[slot], packed_->row(slot), error, batch.thread);
    if (options_.history_beliefs)
      packed_->remember(slot, side_[slot], state_.history_belief(slot, ring_[slot] - 1), batch.thread);
  }
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
  if (packed()) packed_->store(*slot, side_[*slot], reinterpret_cast<const float*>(start), 0);
  record_change(*slot);
  SKEP_CHECK(rows_status());
  return at(*slot);
}

Status PopulationBase::remove(AgentId agent) {
  if (!alive(agent))
    return fail(ErrorCode::not_found, fmt::format("no agent {} of generation {}", agent.slot, agent.generation));
  slots_.release(agent.slot);
  if (packed()) packed_->erase(agent.slot);
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
  return run_and_commit({{}, observations, true});
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
  return run_and_commit({slots, observations, false});
}

// What can't be kept isn't committed: the file stays at the step before.
Status PopulationBase::run_and_commit(const Step& step) {
  SKEP_CHECK(rows_status());
  run(step);
  SKEP_CHECK(rows_status());
  commit(true);
  return {};
}

void PopulationBase::run(const Step& step) {
  const auto agents = step.all ? capacity() : static_cast<uint32_t>(step.some.size());
  const uint32_t chunks = (agents + kChunk - 1) / kChunk;
  if (packed() && !packed_->any_thread() && !step.all) {  // named slots may share a store
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
      if (options_.history_beliefs && !packed()) {
        auto* out = reinterpret_cast<float*>(state_.history_belief(slot, ring_[slot]));
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
  return rows_status();
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
  if (packed()) packed_->store(slot, side_[slot], reinterpret_cast<const float*>(out), 0);
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
  return rows_status();
}

Status PopulationBase::set_habits(uint32_t slot, std::span<const double> E) {
  if (!options_.own_habits) return fail(ErrorCode::unsupported, "the agents of this population share their habits");
  if (!occupied(slot)) return fail(ErrorCode::not_found, fmt::format("slot {} is empty", slot));
  SKEP_CHECK(check_distribution(E, policies_, "E"));
  write_habits(slot, E);
  return {};
}

double PopulationBase::error_bound(uint32_t slot) const {
  if (packed()) return packed_->error(slot);
  if (options_.own_storage == ModelStorage::full) return 0;
  return options_.learning ? kAnyError : kernel::packed_model_error(age_[slot], model_.modalities());
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
  entry.belief = {};
  if (!options_.history_beliefs) return true;
  const std::byte* belief = state_.history_belief(slot, number);
  entry.belief =
      packed() ? packed_->recall(belief) : std::span<const float>(reinterpret_cast<const float*>(belief), belief_size_);
  return true;
}

Bytes PopulationBase::bytes() const {
  const auto of = [](const auto& v) { return v.capacity() * sizeof(v[0]); };
  const size_t n = state_.bytes() + slots_.bytes() + of(actions_) + of(previous_actions_) + of(free_energy_) +
                   of(age_) + of(generation_) + of(set_) + of(ring_) + of(started_) + of(side_) + of(before_) +
                   of(record_side_) + of(pending_) + of(pending_slots_) + of(all_slots_) + of(own_side_) + of(q_pi_) +
                   of(neg_efe_) + (packed() ? packed_->bytes() : 0);
  return Bytes(static_cast<int64_t>(n));
}

}  // namespace skep::belief
