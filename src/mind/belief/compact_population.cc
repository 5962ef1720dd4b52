#include "mind/belief/compact_population.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "kernel/belief_kernels.h"
#include "mind/belief/joint_tables.h"
#include "mind/belief/population.h"
#include "mind/belief/slot_map.h"

namespace skep::belief {
namespace {

constexpr uint32_t kAgentsPerChunk = 128;  // whose unpacked rows stay in the first-level cache

struct CompactAgent {
  float error = 0;
  float free_energy = 0;
  bool started = false;
};

}  // namespace

struct CompactPopulation::Impl {
  // What one thread works in.
  struct Scratch {
    explicit Scratch(size_t stride)
        : rows(kAgentsPerChunk * stride),
          kernel(16 * stride),
          evidence(kAgentsPerChunk),
          surprise(kAgentsPerChunk),
          row(kAgentsPerChunk),
          source(kAgentsPerChunk),
          transition(kAgentsPerChunk),
          likelihood(kAgentsPerChunk) {
      slots.reserve(kAgentsPerChunk);
    }
    AlignedArray<float> rows, kernel, evidence, surprise;
    std::vector<float*> row;
    std::vector<const float*> source, transition, likelihood;
    std::vector<uint32_t> slots;
  };

  Impl(const GenerativeModel& model, CompactOptions o, kernel::ThreadPool& p)
      : options(o),
        pool(p),
        tables(joint_tables<float>(compile(model), false, false, false)),
        kernels(kernel::belief_kernels<float>()),
        slots(o.capacity),
        agents(o.capacity) {
    for (size_t outcome = 0; outcome < tables.outcomes; ++outcome) {
      const float* row = tables.observation(0, outcome);
      most_likely.push_back(*std::max_element(row, row + tables.states));
    }
    // Rows of a chunk have their own store: chunks are stepped on different threads.
    for (uint32_t first = 0; first < o.capacity; first += kAgentsPerChunk)
      stores.emplace_back(std::min(kAgentsPerChunk, o.capacity - first), tables.states, o.tolerance);
    for (int t = 0; t < pool.threads(); ++t) scratch.emplace_back(tables.stride);
  }

  // Returns how much packing changed.
  float pack(uint32_t slot, const float* row) {
    return static_cast<float>(stores[slot / kAgentsPerChunk].store(slot % kAgentsPerChunk, {row, tables.states}));
  }

  // Impossible, but perhaps for what was rounded away only: what is seen now is the best guess then.
  void believe_likelihood(uint16_t observed, float* row) const {
    const float* likelihood = tables.observation(0, observed);
    float sum = 0;
    for (size_t s = 0; s < tables.states; ++s) sum += likelihood[s];
    for (size_t s = 0; s < tables.states && sum > 0; ++s) row[s] = likelihood[s] / sum;
  }

  void step_chunk(uint32_t chunk, std::span<const uint16_t> actions, std::span<const uint16_t> observations,
                  Scratch& s) {
    const uint32_t first = chunk * kAgentsPerChunk, last = std::min(options.capacity, first + kAgentsPerChunk);
    s.slots.clear();
    for (uint32_t slot = first; slot < last; ++slot) {
      if (!slots.taken(slot)) continue;
      const size_t i = s.slots.size();
      s.slots.push_back(slot);
      s.source[i] = s.row[i] = s.rows.data() + i * tables.stride;
      stores[chunk].load(slot - first, {s.row[i], tables.states});
      s.transition[i] = agents[slot].started ? tables.transition(actions[slot]) : nullptr;
      s.likelihood[i] = observations[slot] == kNotObserved ? nullptr : tables.observation(0, observations[slot]);
    }
    const size_t n = s.slots.size();
    kernels.filter_own({tables.states, n, s.transition.data(), s.source.data(), s.row.data(), 1, s.likelihood.data(),
                        s.evidence.data(), s.kernel.data(), 0});
    kernels.surprise(s.evidence.data(), n, s.surprise.data());
    for (size_t i = 0; i < n; ++i) {
      CompactAgent& agent = agents[s.slots[i]];
      const uint16_t observed = observations[s.slots[i]];
      const float z = s.evidence[i];
      if (observed != kNotObserved && agent.error > 0) {
        if (z > static_cast<float>(kernel::kImpossible)) {
          agent.error = std::min(2.0F, 2 * most_likely[observed] * agent.error / z);
        } else {
          believe_likelihood(observed, s.row[i]);
          agent.error = 2;
        }
      }
      agent.error = std::min(2.0F, agent.error + pack(s.slots[i], s.row[i]));
      agent.free_energy = s.surprise[i];
      agent.started = true;
    }
  }

  CompactOptions options;
  kernel::ThreadPool& pool;
  JointTables<float> tables;
  const kernel::BeliefKernels<float>& kernels;
  SlotMap slots;
  std::vector<CompactAgent> agents;
  std::vector<CompactBeliefs> stores;  // by chunk
  std::vector<float> most_likely;      // by outcome
  std::vector<Scratch> scratch;
};

CompactPopulation::CompactPopulation(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CompactPopulation::~CompactPopulation() = default;

Result<std::unique_ptr<CompactPopulation>> CompactPopulation::create(const GenerativeModel& model,
                                                                     CompactOptions options, kernel::ThreadPool& pool) {
  std::vector<ModelWarning> warnings;
  SKEP_CHECK(validate(model, {}, &warnings));
  if (model.factors() != 1 || model.modalities() != 1)
    return fail(ErrorCode::unsupported, "compact beliefs need one factor and one modality");
  if (!(options.tolerance >= 0 && options.tolerance <= 0.5))
    return fail(ErrorCode::invalid_argument, "tolerance: expected 0 to 0.5");
  if (options.capacity == 0 || options.capacity > (1u << 24))
    return fail(ErrorCode::invalid_argument, "capacity: expected 1 to 16777216");
  return std::unique_ptr<CompactPopulation>(new CompactPopulation(std::make_unique<Impl>(model, options, pool)));
}

Result<uint32_t> CompactPopulation::add() {
  Impl& im = *impl_;
  const auto slot = im.slots.take();
  if (!slot) return fail(ErrorCode::overloaded, fmt::format("population full: {} agents", im.options.capacity));
  im.agents[*slot] = {im.pack(*slot, im.tables.start.data()), 0, false};
  return *slot;
}

void CompactPopulation::remove(uint32_t slot) {
  impl_->slots.release(slot);
  impl_->stores[slot / kAgentsPerChunk].erase(slot % kAgentsPerChunk);
}

Status CompactPopulation::step(std::span<const uint16_t> actions, std::span<const uint16_t> observations) {
  Impl& im = *impl_;
  const uint32_t capacity = im.options.capacity;
  if (actions.size() != capacity || observations.size() != capacity)
    return fail(ErrorCode::invalid_argument, fmt::format("expected {} actions and observations", capacity));
  for (uint32_t slot = 0; slot < capacity; ++slot) {
    if (!im.slots.taken(slot)) continue;
    if (actions[slot] >= im.tables.actions && im.agents[slot].started)
      return fail(ErrorCode::invalid_argument, fmt::format("slot {}: no action {}", slot, actions[slot]));
    if (observations[slot] != kNotObserved && observations[slot] >= im.tables.outcomes)
      return fail(ErrorCode::invalid_argument, fmt::format("slot {}: no outcome {}", slot, observations[slot]));
  }
  im.pool.run(static_cast<uint32_t>(im.stores.size()), [&](uint32_t chunk, uint32_t thread) {
    im.step_chunk(chunk, actions, observations, im.scratch[thread]);
  });
  return {};
}

size_t CompactPopulation::size() const { return impl_->slots.size(); }
double CompactPopulation::error_bound(uint32_t slot) const { return static_cast<double>(impl_->agents[slot].error); }
float CompactPopulation::free_energy(uint32_t slot) const { return impl_->agents[slot].free_energy; }

BeliefFormat CompactPopulation::format(uint32_t slot) const {
  return impl_->stores[slot / kAgentsPerChunk].format(slot % kAgentsPerChunk);
}

void CompactPopulation::belief(uint32_t slot, std::span<float> out) const {
  assert(out.size() == impl_->tables.states);
  impl_->stores[slot / kAgentsPerChunk].load(slot % kAgentsPerChunk, out);
}

Bytes CompactPopulation::bytes() const {
  size_t n = impl_->slots.bytes() + impl_->agents.capacity() * sizeof(CompactAgent);
  for (const CompactBeliefs& store : impl_->stores) n += static_cast<size_t>(store.bytes().count);
  return Bytes(static_cast<int64_t>(n));
}

}  // namespace skep::belief
