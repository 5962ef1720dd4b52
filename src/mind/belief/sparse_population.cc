#include "mind/belief/sparse_population.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "mind/belief/population.h"
#include "mind/belief/slot_map.h"

namespace skep::belief {
namespace {

constexpr uint32_t kAgentsPerChunk = 32;
// Small entries that hold more than this together are the belief, not its edge: then none is dropped.
constexpr float kMostDropped = 0.05F;

struct Entry {
  uint32_t state;
  float p;
};

struct SparseAgent {
  uint32_t support = 0;
  uint32_t age = 0;
  float error = 0;
  float free_energy = 0;
  std::unique_ptr<float[]> dense_row;  // kept once needed
  bool dense = false;
};

}  // namespace

struct SparsePopulation::Impl {
  Impl(const GenerativeModel& model, SparseOptions o, kernel::ThreadPool& p)
      : options(o),
        pool(p),
        states(static_cast<size_t>(model.num_states[0])),
        outcomes(static_cast<size_t>(model.num_obs[0])),
        actions(static_cast<size_t>(model.num_controls[0])),
        slots(o.capacity),
        agents(o.capacity) {
    most = std::max<size_t>(1, static_cast<size_t>(o.dense_share * static_cast<double>(states)));
    entries.resize(o.capacity * most);
    const std::vector<double>& B = model.B[0].data;
    for (size_t a = 0; a < actions; ++a) {
      for (size_t s = 0; s < states; ++s) {
        column_start.push_back(column.size());
        for (size_t next = 0; next < states; ++next) {
          const double x = B[(next * states + s) * actions + a];
          if (x > 0) column.push_back({static_cast<uint32_t>(next), static_cast<float>(x)});
        }
      }
    }
    column_start.push_back(column.size());
    likelihood.assign(model.A[0].data.begin(), model.A[0].data.end());
    for (size_t o_at = 0; o_at < outcomes; ++o_at) {
      most_likely.push_back(*std::max_element(likelihood.begin() + static_cast<std::ptrdiff_t>(o_at * states),
                                              likelihood.begin() + static_cast<std::ptrdiff_t>((o_at + 1) * states)));
    }
    start.assign(model.D[0].data.begin(), model.D[0].data.end());
    for (int t = 0; t < pool.threads(); ++t) scratch.emplace_back(states);
  }

  // A dense accumulator that knows which entries it holds, so that clearing costs what was touched.
  struct Scratch {
    explicit Scratch(size_t states) : p(states), here(states) { touched.reserve(states); }
    void add(uint32_t state, float x) {
      if (here[state] == 0) {
        here[state] = 1;
        touched.push_back(state);
      }
      p[state] += x;
    }
    void clear() {
      for (uint32_t state : touched) {
        p[state] = 0;
        here[state] = 0;
      }
      touched.clear();
    }
    std::vector<float> p;
    std::vector<uint8_t> here;
    std::vector<uint32_t> touched;
  };

  template <typename Visit>
  void for_each(uint32_t slot, Visit&& visit) const {
    const SparseAgent& agent = agents[slot];
    if (agent.dense) {
      for (size_t s = 0; s < states; ++s) {
        if (agent.dense_row[s] > 0) visit(static_cast<uint32_t>(s), agent.dense_row[s]);
      }
    } else {
      const Entry* e = entries.data() + slot * most;
      for (uint32_t i = 0; i < agent.support; ++i) visit(e[i].state, e[i].p);
    }
  }

  // Keeps what the scratch holds, scaled; sparse where it fits.
  void keep(uint32_t slot, Scratch& s, float scale, float prune) {
    SparseAgent& agent = agents[slot];
    size_t support = 0;
    float dropped = 0;
    for (uint32_t state : s.touched) {
      s.p[state] *= scale;
      if (s.p[state] > prune) {
        ++support;
      } else {
        dropped += s.p[state];
      }
    }
    if (dropped > kMostDropped) {
      prune = 0;
      dropped = 0;
      support = static_cast<size_t>(
          std::count_if(s.touched.begin(), s.touched.end(), [&s](uint32_t state) { return s.p[state] > 0; }));
    }
    agent.support = static_cast<uint32_t>(support);
    agent.dense = support > most;
    if (agent.dense && !agent.dense_row) agent.dense_row = std::make_unique<float[]>(states);
    if (agent.dense) std::fill_n(agent.dense_row.get(), states, 0.0F);
    const float renormalise = 1 / (1 - dropped);
    // In order of state: the sums of the next step don't depend on how this one was reached.
    std::sort(s.touched.begin(), s.touched.end());
    Entry* e = entries.data() + slot * most;
    for (uint32_t state : s.touched) {
      if (!(s.p[state] > prune)) continue;
      if (agent.dense) {
        agent.dense_row[state] = s.p[state] * renormalise;
      } else {
        *e++ = {state, s.p[state] * renormalise};
      }
    }
    agent.error = std::min(2.0F, agent.error + 2 * dropped);
  }

  void step_one(uint32_t slot, uint16_t action, uint16_t observation, Scratch& s) {
    SparseAgent& agent = agents[slot];
    s.clear();
    for_each(slot, [&](uint32_t state, float p) {
      if (agent.age == 0) {
        s.add(state, p);
        return;
      }
      const size_t at = action * states + state;
      for (size_t i = column_start[at]; i < column_start[at + 1]; ++i) s.add(column[i].state, p * column[i].p);
    });
    float z = 1;
    if (observation != kNotObserved) {
      const float* row = likelihood.data() + observation * states;
      z = 0;
      for (uint32_t state : s.touched) z += s.p[state] * row[state];
      if (z >= 1e-16F) {
        for (uint32_t state : s.touched) s.p[state] *= row[state];
        agent.error = agent.error > 0 ? std::min(2.0F, 2 * most_likely[observation] * agent.error / z) : 0;
      } else {  // impossible: the prediction stands; with pruned states it may only seem impossible
        if (agent.error > 0) agent.error = 2;
        agent.free_energy = 36.8414F;
        z = 0;
      }
    }
    if (z > 0) agent.free_energy = -std::log(z);
    float sum = 0;
    for (uint32_t state : s.touched) sum += s.p[state];
    keep(slot, s, 1 / sum, static_cast<float>(options.prune));
    ++agent.age;
  }

  SparseOptions options;
  kernel::ThreadPool& pool;
  size_t states, outcomes, actions, most = 0;
  SlotMap slots;
  std::vector<SparseAgent> agents;
  std::vector<Entry> entries;        // [capacity][most]
  std::vector<size_t> column_start;  // [action][state], and the end
  std::vector<Entry> column;         // non-zero entries of B[·, state, action]
  std::vector<float> likelihood, most_likely, start;
  std::vector<Scratch> scratch;
};

SparsePopulation::SparsePopulation(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SparsePopulation::~SparsePopulation() = default;

Result<std::unique_ptr<SparsePopulation>> SparsePopulation::create(const GenerativeModel& model, SparseOptions options,
                                                                   kernel::ThreadPool& pool) {
  std::vector<ModelWarning> warnings;
  SKEP_CHECK(validate(model, {}, &warnings));
  if (model.factors() != 1 || model.modalities() != 1)
    return fail(ErrorCode::unsupported, "sparse beliefs need one factor and one modality");
  if (!(options.prune >= 0 && options.prune < 0.01))
    return fail(ErrorCode::invalid_argument, "prune: expected 0 to 0.01");
  if (!(options.dense_share > 0 && options.dense_share <= 1))
    return fail(ErrorCode::invalid_argument, "dense_share: expected 0 to 1");
  if (options.capacity == 0 || options.capacity > (1u << 24))
    return fail(ErrorCode::invalid_argument, "capacity: expected 1 to 16777216");
  return std::unique_ptr<SparsePopulation>(new SparsePopulation(std::make_unique<Impl>(model, options, pool)));
}

Result<uint32_t> SparsePopulation::add() {
  const auto slot = impl_->slots.take();
  if (!slot) return fail(ErrorCode::overloaded, fmt::format("population full: {} agents", impl_->options.capacity));
  SparseAgent& agent = impl_->agents[*slot];
  agent.age = 0;
  agent.error = 0;
  agent.free_energy = 0;
  Impl::Scratch& s = impl_->scratch[0];
  s.clear();
  for (uint32_t state = 0; state < impl_->states; ++state) {
    if (impl_->start[state] > 0) s.add(state, impl_->start[state]);
  }
  impl_->keep(*slot, s, 1, 0);
  return *slot;
}

void SparsePopulation::remove(uint32_t slot) { impl_->slots.release(slot); }

Status SparsePopulation::step(std::span<const uint16_t> actions, std::span<const uint16_t> observations) {
  Impl& im = *impl_;
  if (actions.size() != im.options.capacity || observations.size() != im.options.capacity) {
    return fail(ErrorCode::invalid_argument, fmt::format("expected {} actions and observations", im.options.capacity));
  }
  for (uint32_t slot = 0; slot < im.options.capacity; ++slot) {
    if (!im.slots.taken(slot)) continue;
    if (actions[slot] >= im.actions && im.agents[slot].age > 0) {
      return fail(ErrorCode::invalid_argument, fmt::format("slot {}: no action {}", slot, actions[slot]));
    }
    if (observations[slot] != kNotObserved && observations[slot] >= im.outcomes) {
      return fail(ErrorCode::invalid_argument, fmt::format("slot {}: no outcome {}", slot, observations[slot]));
    }
  }
  const uint32_t chunks = (im.options.capacity + kAgentsPerChunk - 1) / kAgentsPerChunk;
  im.pool.run(chunks, [&](uint32_t chunk, uint32_t thread) {
    const uint32_t last = std::min(im.options.capacity, (chunk + 1) * kAgentsPerChunk);
    for (uint32_t slot = chunk * kAgentsPerChunk; slot < last; ++slot) {
      if (im.slots.taken(slot)) im.step_one(slot, actions[slot], observations[slot], im.scratch[thread]);
    }
  });
  return {};
}

size_t SparsePopulation::size() const { return impl_->slots.size(); }
size_t SparsePopulation::support(uint32_t slot) const { return impl_->agents[slot].support; }
bool SparsePopulation::dense(uint32_t slot) const { return impl_->agents[slot].dense; }
double SparsePopulation::error_bound(uint32_t slot) const { return static_cast<double>(impl_->agents[slot].error); }
float SparsePopulation::free_energy(uint32_t slot) const { return impl_->agents[slot].free_energy; }

void SparsePopulation::belief(uint32_t slot, std::span<double> out) const {
  assert(out.size() == impl_->states);
  std::fill(out.begin(), out.end(), 0.0);
  impl_->for_each(slot, [&](uint32_t state, float p) { out[state] = static_cast<double>(p); });
}

Bytes SparsePopulation::bytes() const {
  const Impl& im = *impl_;
  size_t n = im.entries.capacity() * sizeof(Entry) + im.agents.capacity() * sizeof(SparseAgent) +
             im.column.capacity() * sizeof(Entry) + im.column_start.capacity() * sizeof(size_t) +
             im.likelihood.capacity() * sizeof(float) + im.slots.bytes();
  for (const SparseAgent& a : im.agents) n += a.dense_row ? im.states * sizeof(float) : 0;
  return Bytes(static_cast<int64_t>(n));
}

}  // namespace skep::belief
