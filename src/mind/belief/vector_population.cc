#include "mind/belief/vector_population.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>

#include "mind/belief/action_choice.h"
#include "mind/belief/categorical.h"

namespace skep::belief {
namespace {

// Transitions of a shared model that leave room in a first-level cache of 32 KiB for likelihoods and rows.
constexpr size_t kCachedTransitions = size_t{20} << 10;
// Agents whose own models are asked for ahead of use.
constexpr size_t kOwnAhead = 2;

}  // namespace

template <typename T>
OwnLayout OwnLayout::of(const JointTables<T>& t, const PopulationOptions& options, const FactoredCounts<T>* factored) {
  OwnLayout l;
  constexpr size_t line = 64 / sizeof(T);
  const auto lines = [](size_t n) { return (n + line - 1) / line * line; };
  const bool counts = options.learning, packed = options.own_storage != ModelStorage::full;
  const size_t likelihood = options.own_models ? t.outcomes * t.stride : 0;
  const size_t linear = options.own_models ? t.preference_steps * t.stride : 0;
  const size_t transitions = options.own_models ? t.actions * t.states * t.stride : 0;
  l.linear = packed ? lines(likelihood / 2) : likelihood;
  l.transitions = l.linear + (packed ? lines(linear) : linear);
  l.model = l.transitions + (packed ? lines(transitions / 2) : transitions);
  l.likelihood_counts = l.model;
  l.transition_counts = l.likelihood_counts + (counts && factored == nullptr ? likelihood : 0);
  l.habits = l.transition_counts + (factored != nullptr ? factored->entries() : counts ? transitions : 0);
  l.entries = l.habits + (options.own_habits ? t.ln_prior.size() : 0);
  l.entries = lines(l.entries);
  return l;
}

template OwnLayout OwnLayout::of<float>(const JointTables<float>&, const PopulationOptions&,
                                        const FactoredCounts<float>*);
template OwnLayout OwnLayout::of<double>(const JointTables<double>&, const PopulationOptions&,
                                         const FactoredCounts<double>*);

template <typename T>
VectorPopulation<T>::Scratch::Scratch(const VectorPopulation& p)
    : group_start(p.tables_.actions + 2),
      group(kChunk),
      sorted(kChunk),
      source(kChunk),
      likelihood(kChunk * static_cast<size_t>(p.joint_.model.modalities())),
      transition(kChunk),
      target(kChunk),
      evidence(kChunk),
      surprise(kChunk),
      rows(16 * std::max(p.tables_.stride, p.tables_.pitch)) {
  if (p.factored_) counts = p.factored_->scratch();
  if (p.packed_models()) {
    packed_likelihood.resize(likelihood.size());
    packed_transition.resize(kChunk);
    unpacked_likelihood = AlignedArray<T>(p.options_.learning ? p.tables_.likelihood.size() : 0);
    unpacked_transitions = AlignedArray<T>(p.options_.learning ? p.tables_.transitions.size() : 0);
  }
  if (!p.options_.plan) return;
  policy_values = AlignedArray<T>(p.tree_.policies * kChunk);
  first_action.resize(p.tables_.actions);
  for (int controls : p.model_.num_controls) marginals.emplace_back(static_cast<size_t>(controls));
  const auto depth = static_cast<size_t>(p.tree_.depth);
  for (size_t d = 0; d < depth; ++d) {
    level_values.emplace_back(p.options_.own_models || depth == 1 ? 0 : kChunk);
    level_rows.emplace_back(p.options_.own_models || d + 1 == depth ? 0 : kChunk * p.tables_.stride);
    level_pointers.emplace_back(kChunk);
  }
  if (p.options_.own_models) {
    own_predicted = AlignedArray<T>(depth * p.tables_.actions * p.tables_.stride);
    own_values = AlignedArray<T>(depth * p.tables_.actions);
    own_scratch = AlignedArray<T>(p.tables_.actions * p.tables_.pitch);
  }
}

template <typename T>
VectorPopulation<T>::VectorPopulation(GenerativeModel model, CompiledModel joint, JointTables<T> tables,
                                      std::optional<FactoredCounts<T>> factored, PopulationOptions options,
                                      kernel::ThreadPool& pool, StateFile state)
    : PopulationBase(std::move(model), std::move(options), pool, std::move(state), tables.states, tables.stride),
      joint_(std::move(joint)),
      tables_(std::move(tables)),
      tree_(policy_tree(joint_.model)),
      factored_(std::move(factored)),
      layout_(OwnLayout::of(tables_, options_, factored_ ? &*factored_ : nullptr)),
      kernels_(kernel::belief_kernels<T>()) {
  runs_ = sides_ == 1 && !packed() && model_.modalities() == 1 && row_bytes_ <= kernels_.longest_run_row &&
          tables_.transitions.bytes() <= kCachedTransitions;
  policies_ = tree_.policies;
  plain_policies_ = tree_.depth == 1 && model_.factors() == 1 && tree_.policies == tables_.actions;
  for (size_t p = 0; p < tree_.policies && plain_policies_; ++p)
    plain_policies_ = tree_.first_action[p] == static_cast<int>(p);
  if (options_.keep_policies && options_.plan) {
    q_pi_.resize(policies_ * options_.capacity);
    neg_efe_.resize(policies_ * options_.capacity);
  }
  if (options_.learning) copy_first_counts();
  if (packed_models()) {
    first_model_ = AlignedArray<T>(layout_.model);
    pack_model(tables_.likelihood.data(), tables_.linear.data(), tables_.transitions.data(), first_model_.data());
  }
  for (size_t o = 0; o < tables_.outcomes && packed(); ++o) {
    const T* row = tables_.likelihood.data() + o * tables_.stride;
    likeliest_.push_back(static_cast<double>(*std::max_element(row, row + tables_.states)));
  }
  for (int t = 0; t < pool.threads(); ++t) scratch_.emplace_back(*this);
}

template <typename T>
double VectorPopulation<T>::largest_likelihood(const uint16_t* observation) const {
  double product = 1;
  bool observed = false;
  for (size_t m = 0; m < model_.num_obs.size(); ++m) {
    if (observation[m] == kNotObserved) continue;
    observed = true;
    product *= likeliest_[tables_.first_outcome[m] + observation[m]];
  }
  return observed ? product : 0;
}

template <typename T>
void VectorPopulation<T>::believe(const uint16_t* observation, std::byte* row) const {
  T* q = reinterpret_cast<T*>(row);
  const auto likelihood = [&](size_t s) {
    T product = 1;
    for (size_t m = 0; m < model_.num_obs.size(); ++m) {
      if (observation[m] != kNotObserved)
        product *= tables_.likelihood.data()[(tables_.first_outcome[m] + observation[m]) * tables_.stride + s];
    }
    return product;
  };
  T sum = 0;
  for (size_t s = 0; s < tables_.states; ++s) sum += likelihood(s);
  for (size_t s = 0; s < tables_.states && sum > 0; ++s) q[s] = likelihood(s) / sum;
}

template <typename T>
std::string VectorPopulation<T>::backend() const {
  if (packed()) return fmt::format("vector {} f32, rows packed", kernels_.target);
  if (packed_models()) return fmt::format("vector {} f32, own models in bfloat16", kernels_.target);
  return fmt::format("vector {} {}", kernels_.target, sizeof(T) == 4 ? "f32" : "f64");
}

template <typename T>
void VectorPopulation<T>::marginal(uint32_t slot, int factor, std::span<double> out) const {
  assert(factor >= 0 && factor < model_.factors() &&
         out.size() == static_cast<size_t>(model_.num_states[static_cast<size_t>(factor)]));
  std::fill(out.begin(), out.end(), 0.0);
  const T* q = typed_row(readable_row(slot));
  size_t inner = 1;  // joint states that share a state of the factors up to this one
  for (auto f = static_cast<size_t>(factor) + 1; f < model_.num_states.size(); ++f)
    inner *= static_cast<size_t>(model_.num_states[f]);
  for (size_t s = 0; s < tables_.states; ++s) out[s / inner % out.size()] += static_cast<double>(q[s]);
}

template <typename T>
void VectorPopulation<T>::write_start(uint32_t slot, std::byte* row) {
  std::memcpy(row, tables_.start.data(), row_bytes_);
  if (options_.own_models || options_.own_habits) own_from_shared(writable_own(slot));
}

template <typename T>
std::vector<double> VectorPopulation<T>::belief_of(const std::vector<std::vector<double>>& factors) const {
  std::vector<double> joint{1};
  for (const std::vector<double>& factor : factors) {
    std::vector<double> product;
    product.reserve(joint.size() * factor.size());
    for (const double outer : joint)
      for (const double p : factor) product.push_back(outer * p);
    joint = std::move(product);
  }
  return joint;
}

template <typename T>
void VectorPopulation<T>::write_habits(uint32_t slot, std::span<const double> E) {
  T* habits = writable_own(slot) + layout_.habits;
  for (size_t p = 0; p < E.size(); ++p) habits[p] = static_cast<T>(std::log(E[p] + kLogEpsilon));
}

template <typename T>
void VectorPopulation<T>::filter_own(const Batch& batch, Scratch& s) const {
  s.order = batch.slots;
  for (uint32_t i = 0; i < batch.n; ++i) {
    const uint32_t slot = batch.slots[i];
    const T* block = own(slot);
    s.source[i] = typed_row(current_row(slot));
    s.target[i] = reinterpret_cast<T*>(row(slot, target_side(slot)));
    s.transition[i] =
        fresh(slot) ? nullptr : block + layout_.transitions + actions_[slot] * tables_.states * tables_.stride;
    const uint16_t* o = batch.observation(i);
    for (uint32_t m = 0; m < batch.modalities; ++m) {
      s.likelihood[i * batch.modalities + m] =
          o[m] == kNotObserved ? nullptr
                               : block + layout_.likelihood + (tables_.first_outcome[m] + o[m]) * tables_.stride;
    }
  }
  if (options_.plan) return;  // filter_and_plan_own() goes on, one agent at a time
  kernels_.filter_own({tables_.states, batch.n, s.transition.data(), s.source.data(), s.target.data(), batch.modalities,
                       s.likelihood.data(), s.evidence.data(), s.rows.data(), kOwnAhead});
}

// Filtering and planning of one agent back to back: its transitions are read from memory once.
template <typename T>
void VectorPopulation<T>::filter_and_plan_own(const Batch& batch, Scratch& s) {
  filter_own(batch, s);
  for (uint32_t i = 0; i < batch.n; ++i) {
    kernels_.filter_own({tables_.states, 1, s.transition.data() + i, s.source.data() + i, s.target.data() + i,
                         batch.modalities, s.likelihood.data() + i * batch.modalities, s.evidence.data() + i,
                         s.rows.data(), 0});
    const void* next = i + 1 < batch.n ? own(s.order[i + 1]) : nullptr;
    plan_own_node(s, own(s.order[i]), s.target[i], 0, 0, i, T(0), next);
  }
}

template <typename T>
void VectorPopulation<T>::plan_own_node(Scratch& s, const T* block, const T* belief, uint32_t node, int depth,
                                        uint32_t column, T value, const void* prefetch) const {
  const size_t actions = tables_.actions;
  const auto level = static_cast<size_t>(depth);
  T* const predicted = s.own_predicted.data() + level * actions * tables_.stride;
  T* const values = s.own_values.data() + level * actions;
  prefetch = depth == 0 ? prefetch : nullptr;
  if (packed_models()) {
    efe_packed_own(s, block, belief, level, prefetch);
  } else {
    kernel::OwnEfeArgs<T> args;
    args.states = tables_.states;
    args.outcomes = tables_.outcomes;
    args.actions = actions;
    args.transitions = block + layout_.transitions;
    args.likelihood = block + layout_.likelihood;
    args.linear = block + layout_.linear + std::min(level, tables_.preference_steps - 1) * tables_.stride;
    args.entropy = tables_.entropy;
    args.belief = belief;
    args.predicted = predicted;
    args.value = values;
    args.scratch = s.own_scratch.data();
    args.prefetch = prefetch;
    args.prefetch_bytes = layout_.model * sizeof(T);
    kernels_.efe_own(args);
  }
  for (uint32_t next : tree_.nodes[node].next) {
    const PolicyTree::Node& child = tree_.nodes[next];
    const auto action = static_cast<size_t>(child.action);
    const T path = value + values[action];
    for (uint32_t p : child.ends) s.policy_values[p * kChunk + column] = path;
    if (!child.next.empty())
      plan_own_node(s, block, predicted + action * tables_.stride, next, depth + 1, column, path, nullptr);
  }
}

// Adds each child's step to the values of the path so far, for all n agents of the chunk.
template <typename T>
void VectorPopulation<T>::plan_node(Scratch& s, uint32_t node, int depth, uint32_t n) const {
  const auto level = static_cast<size_t>(depth);
  const std::vector<const T*>& beliefs = s.level_pointers[level];
  for (uint32_t next : tree_.nodes[node].next) {
    const PolicyTree::Node& child = tree_.nodes[next];
    const auto action = static_cast<size_t>(child.action);
    T* value = tree_.depth == 1 ? s.policy_values.data() + child.ends.front() * kChunk : s.level_values[level].data();
    if (depth == 0) {
      std::fill_n(value, n, T(0));
    } else {
      std::copy_n(s.level_values[level - 1].data(), n, value);
    }
    kernels_.efe({tables_.states, tables_.outcomes, tables_.predictive_of(action), tables_.folded_at(level, action),
                  tables_.entropy, n, beliefs.data(), value});
    for (uint32_t p : child.ends) {
      T* out = s.policy_values.data() + p * kChunk;
      if (out != value) std::copy_n(value, n, out);
    }
    if (child.next.empty()) continue;
    std::vector<const T*>& below = s.level_pointers[level + 1];
    for (uint32_t i = 0; i < n; ++i) {
      s.target[i] = s.level_rows[level].data() + i * tables_.stride;
      below[i] = s.target[i];
    }
    kernel::FilterArgs<T> args;
    args.states = tables_.states;
    args.transition = tables_.transition(action);
    args.n = n;
    args.source = beliefs.data();
    args.target = s.target.data();
    kernels_.predict(args);
    plan_node(s, next, depth + 1, n);
  }
}

template <typename T>
void VectorPopulation<T>::scatter_surprise(uint32_t n, Scratch& s) {
  kernels_.surprise(s.evidence.data(), n, s.surprise.data());
  for (uint32_t i = 0; i < n; ++i) free_energy_[s.order[i]] = static_cast<float>(s.surprise[i]);
}

template <typename T>
void VectorPopulation<T>::update(const Batch& batch) {
  Scratch& s = scratch_[batch.thread];
  if (packed_models()) {
    filter_packed_own(batch, s);
  } else if (options_.own_models && options_.plan) {
    filter_and_plan_own(batch, s);
  } else if (options_.own_models) {
    filter_own(batch, s);
  } else {
    filter_shared(batch, s);
    if (options_.plan) {
      std::copy_n(s.target.begin(), batch.n, s.level_pointers[0].begin());
      plan_node(s, 0, 0, batch.n);
    }
  }
  if constexpr (sizeof(T) == sizeof(float)) {
    if (batch.contiguous && s.order == batch.slots) {
      kernels_.surprise(s.evidence.data(), batch.n, free_energy_.data() + batch.slots[0]);
    } else {
      scatter_surprise(batch.n, s);
    }
  } else {
    scatter_surprise(batch.n, s);
  }
  if (options_.plan) choose(s, batch.n);
}

// The softmax adds one row of ln E for all: what an agent's own is more or less than that goes into its values.
template <typename T>
void VectorPopulation<T>::add_habits(Scratch& s, uint32_t n) const {
  const T per_gamma = static_cast<T>(1 / options_.gamma);
  for (uint32_t i = 0; i < n; ++i) {
    const T* habits = own(s.order[i]) + layout_.habits;
    for (size_t p = 0; p < tree_.policies; ++p)
      s.policy_values[p * kChunk + i] += (habits[p] - tables_.ln_prior[p]) * per_gamma;
  }
}

template <typename T>
void VectorPopulation<T>::choose(Scratch& s, uint32_t n) {
  T* values = s.policy_values.data();
  const size_t policies = tree_.policies;
  if (!neg_efe_.empty()) {
    for (uint32_t i = 0; i < n; ++i) {
      for (size_t p = 0; p < policies; ++p)
        neg_efe_[s.order[i] * policies + p] = static_cast<float>(values[p * kChunk + i]);
    }
  }
  if (options_.own_habits) add_habits(s, n);
  kernels_.softmax(values, policies, kChunk, n, static_cast<T>(options_.gamma), tables_.ln_prior.data());
  if (!q_pi_.empty()) {
    for (uint32_t i = 0; i < n; ++i) {
      for (size_t p = 0; p < policies; ++p)
        q_pi_[s.order[i] * policies + p] = static_cast<float>(values[p * kChunk + i]);
    }
  }
  if (plain_policies_ && options_.action_selection == ActionSelection::deterministic) {
    for (uint32_t i = 0; i < n; ++i) {
      size_t best = 0;
      for (size_t p = 1; p < policies; ++p) {
        if (values[p * kChunk + i] > values[best * kChunk + i] + T(1e-8)) best = p;
      }
      actions_[s.order[i]] = static_cast<uint16_t>(best);
    }
    return;
  }
  for (uint32_t i = 0; i < n; ++i) actions_[s.order[i]] = choose_one(s, i, s.order[i]);
}

// From the posterior over policies to one action per factor of the caller's model.
template <typename T>
uint16_t VectorPopulation<T>::choose_one(Scratch& s, uint32_t i, uint32_t slot) const {
  std::vector<double>& posterior = s.first_action;
  std::fill(posterior.begin(), posterior.end(), 0.0);
  for (size_t p = 0; p < tree_.policies; ++p) {
    posterior[static_cast<size_t>(tree_.first_action[p])] += static_cast<double>(s.policy_values[p * kChunk + i]);
  }
  size_t inner = tables_.actions;
  for (std::vector<double>& marginal : s.marginals) {
    inner /= marginal.size();
    std::fill(marginal.begin(), marginal.end(), 0.0);
    for (size_t a = 0; a < posterior.size(); ++a) marginal[a / inner % marginal.size()] += posterior[a];
  }
  const bool sampled = options_.action_selection == ActionSelection::sampled;
  return choose_action(s.marginals, options_.action_selection, options_.alpha, sampled ? uniform(slot) : 0);
}

template class VectorPopulation<float>;
template class VectorPopulation<double>;

}  // namespace skep::belief
