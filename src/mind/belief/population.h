#pragma once
// Thousands of agents that share a generative model, stepped in batch over all cores: predict, correct, free energy,
// expected free energy, action. Beliefs are over the joint of all factors (exact Bayes), one row per agent; models
// whose joint is too large for that go to the mean-field backend with the same interface.
//
//   auto pool = kernel::ThreadPool::create();
//   auto population = Population::create(model, {.capacity = 10'000}, *pool).value();
//   AgentId a = population->add().value();
//   observations[a.slot * modalities + m] = …;
//   population->step(observations);
//   population->actions()[a.slot];           // joint action, GenerativeModel::unpack_action
//
// Arrays given and taken are indexed by slot, in [0, capacity). A step is deterministic for a seed, whatever the number
// of threads, and allocates nothing. With `file` set the state lives in a memory-mapped file (state_file.h): every
// completed step is there after a crash.
// Thread: one thread at a time; step() itself uses the pool.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/thread_pool.h"
#include "mind/belief/agent.h"
#include "mind/belief/model.h"

namespace skep::belief {

inline constexpr uint16_t kNotObserved = 0xffff;  // in an observation: this modality has no news for this agent

// A slot is reused after remove(); the generation tells the tenants apart.
struct AgentId {
  uint32_t slot = 0;
  uint32_t generation = 0;
  friend bool operator==(AgentId, AgentId) = default;
};

enum class Precision : uint8_t { f32, f64 };
// Who does the arithmetic. `automatic` takes the vector kernels where the joint of the factors is small enough.
enum class BackendKind : uint8_t { automatic, vector_joint, mean_field };

// How rows of beliefs lie between steps. All but full ones are unpacked into f32 rows for a step of the vector kernels,
// and what packing changed is carried as error_bound(). They need a shared model, f32 and the joint.
enum class RowStorage : uint8_t {
  full,     // as the kernels take them
  compact,  // bytes, bfloat16 or f32, the smallest that keeps each row within `tolerance` (compact_beliefs.h); in a
            // file bytes or bfloat16 for all rows (fixed_rows.h)
  edge,     // bytes, at most 16 joint states: 16 bytes a row (edge_population.h for 28 bytes an agent all in all)
  sparse,   // (state, probability) of the states believed in (sparse_beliefs.h); a file grows with them
};

// How own models lie. The packed kind needs f32, and what packing changes is in error_bound().
enum class ModelStorage : uint8_t {
  full,      // in the precision of the population
  bfloat16,  // half of f32; counts that learn stay f32, and the model follows them
};

struct PopulationOptions {
  uint32_t capacity = 1024;  // slots, fixed for the life of the population
  Precision precision = Precision::f32;
  BackendKind backend = BackendKind::automatic;
  // Largest joint that `automatic` filters exactly; its transitions take joint² × actions values.
  int64_t joint_limit = 1024;
  bool own_models = false;  // every agent has its own A and B (starting as the shared ones)
  ModelStorage own_storage = ModelStorage::full;
  bool learning = false;       // own models with Dirichlet counts, for learn()
  bool own_habits = false;     // every agent has its own E (starting as the shared one), for set_habits()
  bool plan = true;            // step() also chooses actions
  bool keep_policies = false;  // keep q_pi and the negative expected free energy of every agent
  double gamma = 16.0;
  double alpha = 16.0;
  ActionSelection action_selection = ActionSelection::deterministic;
  bool use_utility = true;
  bool use_states_info_gain = true;
  double lr_pA = 1.0, lr_pB = 1.0, forgetting = 0.0;
  uint32_t history = 0;          // entries of the ring buffer of each agent
  bool history_beliefs = false;  // the ring holds distributions too
  RowStorage rows = RowStorage::full;
  std::optional<double> tolerance;  // compact: L1, of one packing; whoever sets it has chosen compact rows
  double prune = 1e-6;              // sparse: entries of at most this are dropped, 0: none
  uint64_t seed = 0;
  std::filesystem::path file;  // empty: in memory
};

// One past update of an agent.
struct HistoryEntry {
  uint64_t step = 0;                      // of the agent: 0 is its first update
  std::span<const uint16_t> observation;  // per modality
  int action = 0;                         // chosen after the update, joint
  float free_energy = 0;                  // kept as f16: relative error at most 2^-11
  std::span<const float> belief;          // over the joint; empty unless history_beliefs. Of packed rows it was packed
                                          // alike, and is valid until the next call of history()
};

class Population {
 public:
  static Result<std::unique_ptr<Population>> create(GenerativeModel model, PopulationOptions options,
                                                    kernel::ThreadPool& pool);
  // Continues from a state file exactly where its last complete step left it. `options.file` names it; of the other
  // options only those that don't change the layout may differ (gamma, alpha, plan, learning rates, selection).
  static Result<std::unique_ptr<Population>> open(PopulationOptions options, kernel::ThreadPool& pool);

  virtual ~Population() = default;

  // Pooled slots, O(1). add() takes the lowest free slot; the agent starts from D. Durable with the next step.
  virtual Result<AgentId> add() = 0;
  virtual Status remove(AgentId agent) = 0;
  [[nodiscard]] virtual bool alive(AgentId agent) const = 0;
  [[nodiscard]] virtual bool occupied(uint32_t slot) const = 0;
  [[nodiscard]] virtual AgentId at(uint32_t slot) const = 0;  // the tenant of an occupied slot
  [[nodiscard]] virtual size_t size() const = 0;              // living agents
  [[nodiscard]] virtual uint32_t capacity() const = 0;

  // Every living agent: predict with its last action, correct with its observation, choose the next action.
  // `observations`: capacity × modalities, by slot. An agent with kNotObserved in every modality only predicts.
  virtual Status step(std::span<const uint16_t> observations) = 0;
  // Only these agents; time stands still for the others, and they cost nothing. observations[i * modalities + m]
  // belongs to slots[i]. A slot may be named once.
  virtual Status step_some(std::span<const uint32_t> slots, std::span<const uint16_t> observations) = 0;

  // By slot; valid until the next call that changes the population. Values of empty slots mean nothing.
  [[nodiscard]] virtual std::span<const uint16_t> actions() const = 0;   // joint
  [[nodiscard]] virtual std::span<const float> free_energy() const = 0;  // nats; exact inference: -ln P(o | past)
  [[nodiscard]] virtual std::span<const float> policy_posterior(uint32_t slot) const = 0;  // keep_policies
  [[nodiscard]] virtual std::span<const float> neg_efe(uint32_t slot) const = 0;           // keep_policies
  // The world did something else than the agent chose. Durable with the next step, as add() is.
  virtual void set_action(uint32_t slot, uint16_t joint_action) = 0;
  // The same for all: capacity entries, by slot. Entries of empty slots are ignored.
  virtual void set_actions(std::span<const uint16_t> joint_actions) = 0;
  // Sets the belief over the joint (or the concatenated marginals of the mean-field backend); must sum to 1.
  virtual Status set_belief(uint32_t slot, std::span<const double> belief) = 0;
  // The agent's own D, one distribution per factor: the prior of its first step, so only before that.
  virtual Status set_start(uint32_t slot, const std::vector<std::vector<double>>& D) = 0;
  // The agent's own E: a distribution over policies_of(model()). Needs options.own_habits. Durable with the next step.
  virtual Status set_habits(uint32_t slot, std::span<const double> E) = 0;

  // f32 populations: the row of beliefs itself, belief_size() long. Empty where rows are packed.
  [[nodiscard]] virtual std::span<const float> belief(uint32_t slot) const = 0;
  // The same of f64 populations.
  [[nodiscard]] virtual std::span<const double> belief_f64(uint32_t slot) const = 0;
  // Any precision; writes belief_size() values.
  virtual void copy_belief(uint32_t slot, std::span<double> out) const = 0;
  [[nodiscard]] virtual size_t belief_size() const = 0;  // joint states, or the sum of num_states under mean-field
  // Largest L1 distance to what full rows and full own models would lead to: of packed rows carried as in
  // compact_population.h, of packed models kernel::packed_model_error() of the agent's age, which is any distance once
  // they learn; else 0.
  [[nodiscard]] virtual double error_bound(uint32_t slot) const = 0;
  // Another number whenever the slot's belief may be another: after a step of it, set_belief(), add(). For those who
  // keep what they made of a belief.
  [[nodiscard]] virtual uint64_t belief_version(uint32_t slot) const = 0;
  // q(s_f): num_states[f] values.
  virtual void marginal(uint32_t slot, int factor, std::span<double> out) const = 0;

  // Agents whose free energy exceeds `threshold` after the last step, in slot order: the world is not as modelled.
  virtual void surprised(float threshold, std::vector<uint32_t>& slots) const = 0;

  // Dirichlet learning of every agent's own A and B from its last two beliefs; needs options.learning.
  virtual Status learn(std::span<const uint16_t> observations) = 0;
  // Own models only: replaces A[m] and B[f] of one agent, flattened in the model's shapes.
  virtual Status set_own_model(uint32_t slot, const std::vector<Tensor>& A, const std::vector<Tensor>& B) = 0;

  // i = 0 is the newest. Nothing if the agent has lived fewer updates or the ring is shorter.
  [[nodiscard]] virtual bool history(uint32_t slot, uint32_t i, HistoryEntry& entry) const = 0;

  [[nodiscard]] virtual const GenerativeModel& model() const = 0;
  [[nodiscard]] virtual const PopulationOptions& options() const = 0;
  [[nodiscard]] virtual uint64_t steps() const = 0;       // completed
  [[nodiscard]] virtual Bytes bytes() const = 0;          // of all state, own models included
  [[nodiscard]] virtual std::string backend() const = 0;  // "vector AVX2 f32", "mean-field f64"
  // Writes the mapped file through to the disk with checksums: survives a power cut too, not only a killed process.
  virtual Status sync() = 0;
};

}  // namespace skep::belief
