#pragma once
// What every backend of a population shares: slots, sides and stamps, history, the chunked step over the thread pool.
// A backend adds the arithmetic: update() for at most kChunk agents. Internal to mind/belief.

#include <optional>
#include <vector>

#include "mind/belief/packed_rows.h"
#include "mind/belief/population.h"
#include "mind/belief/slot_map.h"
#include "mind/belief/state_file.h"

namespace skep::belief {

class PopulationBase : public Population {
 public:
  Result<AgentId> add() final;
  Status remove(AgentId agent) final;
  bool alive(AgentId agent) const final;
  bool occupied(uint32_t slot) const final { return slot < slots_.capacity() && slots_.taken(slot); }
  AgentId at(uint32_t slot) const final { return {slot, generation_[slot]}; }
  size_t size() const final { return slots_.size(); }
  uint32_t capacity() const final { return slots_.capacity(); }

  // Reads slots, ages and sides back from a file. Called once by the factory, after construction.
  Status restore_all();

  Status step(std::span<const uint16_t> observations) final;
  Status step_some(std::span<const uint32_t> slots, std::span<const uint16_t> observations) final;

  std::span<const uint16_t> actions() const final { return actions_; }
  std::span<const float> free_energy() const final { return free_energy_; }
  std::span<const float> policy_posterior(uint32_t slot) const final;
  std::span<const float> neg_efe(uint32_t slot) const final;
  void set_action(uint32_t slot, uint16_t joint_action) final;
  void set_actions(std::span<const uint16_t> joint_actions) final;
  Status set_belief(uint32_t slot, std::span<const double> belief) final;
  Status set_start(uint32_t slot, const std::vector<std::vector<double>>& D) final;
  Status set_habits(uint32_t slot, std::span<const double> E) final;
  double error_bound(uint32_t slot) const final;
  std::span<const float> belief(uint32_t slot) const final;
  std::span<const double> belief_f64(uint32_t slot) const final;
  void copy_belief(uint32_t slot, std::span<double> out) const final;
  size_t belief_size() const final { return belief_size_; }
  uint64_t belief_version(uint32_t slot) const final {
    return uint64_t{generation_[slot]} << 32 | (age_[slot] + set_[slot]);
  }
  void surprised(float threshold, std::vector<uint32_t>& slots) const final;
  bool history(uint32_t slot, uint32_t i, HistoryEntry& entry) const final;

  const GenerativeModel& model() const final { return model_; }
  const PopulationOptions& options() const final { return options_; }
  uint64_t steps() const final { return state_.steps(); }
  Bytes bytes() const final;
  Status sync() final { return state_.sync(); }

 protected:
  // Agents of one chunk. observation(i) has one entry per modality.
  struct Batch {
    const uint32_t* slots;
    uint32_t n;
    const uint16_t* observations;
    bool by_slot;     // observations are indexed by slot, else by position
    bool contiguous;  // slots are slots[0], slots[0] + 1, …
    uint32_t modalities;
    uint32_t thread;
    [[nodiscard]] const uint16_t* observation(uint32_t i) const {
      return observations + size_t{by_slot ? slots[i] : i} * modalities;
    }
  };

  // `stride`: entries of a row as update() wants it; 0: as in the state, where rows are not packed.
  PopulationBase(GenerativeModel model, PopulationOptions options, kernel::ThreadPool& pool, StateFile state,
                 size_t belief_size, size_t stride);

  // Writes the agents' new beliefs to target_row, free_energy_, and with options.plan actions_ and policies.
  virtual void update(const Batch& batch) = 0;
  // P(observation | state) of the state that makes it likeliest, which errors of packed rows may grow by; 0 if nothing
  // was observed.
  [[nodiscard]] virtual double largest_likelihood(const uint16_t*) const { return 1; }
  // Makes the likelihood of what was observed the belief: of a packed row to which that seemed impossible, perhaps only
  // for what was rounded away.
  virtual void believe(const uint16_t*, std::byte*) const {}
  // A belief as rows hold it, of one distribution per factor.
  [[nodiscard]] virtual std::vector<double> belief_of(const std::vector<std::vector<double>>& factors) const = 0;
  // Own E into the agent's block, after it was found to be a distribution.
  virtual void write_habits(uint32_t slot, std::span<const double> E) = 0;
  // The row of a new agent; zero-filled beyond belief_size. Also resets what it has of its own.
  virtual void write_start(uint32_t slot, std::byte* row) = 0;

  // Of packed rows: where the slot's stands during its step.
  [[nodiscard]] std::byte* row(uint32_t slot, uint32_t side) const {
    if (packed()) return reinterpret_cast<std::byte*>(packed_->row(slot));
    return state_.beliefs() + (size_t{slot} * sides_ + side) * row_bytes_;
  }
  [[nodiscard]] std::byte* current_row(uint32_t slot) const { return row(slot, side_[slot]); }
  // To be read between steps: the row itself, or packed ones unpacked into the row that is kept for it.
  [[nodiscard]] const std::byte* readable_row(uint32_t slot) const;
  [[nodiscard]] bool packed() const { return packed_.has_value(); }
  // Learning only: the belief before the current one.
  [[nodiscard]] std::byte* row_before(uint32_t slot) const {
    return row(slot, sides_ == 4 ? before_[slot] : side_[slot] ^ 1U);
  }
  // The row that the running change writes: one that neither it nor the committed state needs.
  [[nodiscard]] uint32_t target_side(uint32_t slot) const {
    if (sides_ == 4) return spare_row(slot);
    return sides_ <= 1 || (pending_[slot] & kRowPending) != 0 ? side_[slot] : side_[slot] ^ 1U;
  }
  // What an agent has of its own beside its belief: a block of the state, and one that may be written, a copy on the
  // other side where the committed one is still needed.
  [[nodiscard]] const std::byte* own_block(uint32_t slot) const { return state_.own(slot, own_side_[slot]); }
  [[nodiscard]] std::byte* writable_block(uint32_t slot);
  [[nodiscard]] bool fresh(uint32_t slot) const { return started_[slot] == 0; }
  // For sampled actions: uniform in [0, 1), a function of seed, agent and age alone.
  [[nodiscard]] double uniform(uint32_t slot) const;
  void commit(bool counts_as_step);

  GenerativeModel model_;  // the caller's
  PopulationOptions options_;
  kernel::ThreadPool& pool_;
  StateFile state_;
  size_t belief_size_;
  size_t row_bytes_;
  uint32_t sides_;       // rows per agent in the state; 0: none
  size_t policies_ = 0;  // set by the backend, for keep_policies and habits
  SlotMap slots_;
  std::vector<uint16_t> actions_, previous_actions_;
  std::vector<float> free_energy_;
  std::vector<uint32_t> age_, generation_;
  std::vector<uint32_t> set_;         // how often set_belief() was called
  std::vector<uint32_t> ring_;        // history only: entries ever written per slot
  std::vector<uint8_t> started_;      // 0: the next prior is D
  std::vector<uint8_t> side_;         // the row that holds the belief
  std::vector<uint8_t> before_;       // learning in a file: the row that holds the one before
  std::vector<uint8_t> record_side_;  // durable: the record that counts
  // Durable: what was written since the last commit, kRowPending and kRecordPending. The committed state does not need
  // it, so a further change overwrites it.
  std::vector<uint8_t> pending_;
  std::vector<uint32_t> pending_slots_;
  std::vector<float> q_pi_, neg_efe_;  // [capacity][policies]

 private:
  struct Step {
    std::span<const uint32_t> some;
    std::span<const uint16_t> observations;
    bool all;
  };
  void run(const Step& step);
  void run_chunk(const Step& step, uint32_t chunk, uint32_t thread);
  void finish(const Batch& batch);
  static constexpr uint8_t kRowPending = 1, kRecordPending = 2;
  void write_record(uint32_t slot);
  // A change outside a step: recorded now, committed with the next step.
  void record_change(uint32_t slot);
  void mark_pending(uint32_t slot, uint8_t what);
  void unpack(const Batch& batch);
  void pack(const Batch& batch);
  // Whether packed rows are what they should be: a full disk may be in the way of sparse ones in a file.
  [[nodiscard]] Status rows_status() const { return packed() ? packed_->status() : Status(); }
  Status run_and_commit(const Step& step);
  void put_belief(uint32_t slot, std::span<const double> belief);
  void turn_to(uint32_t slot, uint32_t side);
  [[nodiscard]] uint32_t spare_row(uint32_t slot) const;
  // The side that may be written becomes current; full rows are copied there.
  std::byte* writable_row(uint32_t slot);
  Status check_observation(const uint16_t* observation, uint32_t slot) const;

  std::vector<uint32_t> all_slots_;    // 0, 1, …
  std::vector<uint32_t> chunk_slots_;  // [threads][kChunk]
  std::vector<uint8_t> named_;         // step_some: finds slots named twice
  std::vector<uint8_t> own_side_;      // by slot: the block that holds what is its own
  std::optional<PackedRows> packed_;
};

}  // namespace skep::belief
