#include "mind/belief/mean_field_population.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "mind/belief/action_choice.h"
#include "mind/belief/categorical.h"

namespace skep::belief {
namespace {

constexpr int kSweeps = 10;
constexpr double kTolerance = 1e-3;

}  // namespace

MeanFieldPopulation::Scratch::Scratch(const MeanFieldPopulation& p)
    : inference(p.compiled_),
      efe(p.compiled_),
      q(p.compiled_.states()),
      prior(p.compiled_.states()),
      q_pi(p.tree_.policies),
      value(p.tree_.policies),
      levels(static_cast<size_t>(p.tree_.depth), std::vector<double>(p.compiled_.states())),
      observation(p.model_.num_obs.size()) {
  for (int controls : p.model_.num_controls) marginals.emplace_back(static_cast<size_t>(controls));
}

MeanFieldPopulation::MeanFieldPopulation(GenerativeModel model, CompiledModel compiled, PopulationOptions options,
                                         kernel::ThreadPool& pool, StateFile state)
    : PopulationBase(std::move(model), std::move(options), pool, std::move(state), compiled.states(), 0),
      compiled_(std::move(compiled)),
      tree_(policy_tree(model_)) {
  policies_ = tree_.policies;
  for (const Tensor& D : model_.D) start_.insert(start_.end(), D.data.begin(), D.data.end());
  for (int a = 0; a < model_.joint_actions(); ++a) unpacked_.push_back(model_.unpack_action(a));
  if (options_.keep_policies && options_.plan) {
    q_pi_.resize(policies_ * options_.capacity);
    neg_efe_.resize(policies_ * options_.capacity);
  }
  for (int t = 0; t < pool.threads(); ++t) scratch_.emplace_back(*this);
}

std::string MeanFieldPopulation::backend() const {
  return options_.precision == Precision::f32 ? "mean-field f64, rows f32" : "mean-field f64";
}

void MeanFieldPopulation::load(const std::byte* row, double* q) const {
  if (options_.precision == Precision::f32) {
    std::copy_n(reinterpret_cast<const float*>(row), belief_size_, q);
  } else {
    std::copy_n(reinterpret_cast<const double*>(row), belief_size_, q);
  }
}

void MeanFieldPopulation::store(const double* q, std::byte* row) const {
  if (options_.precision == Precision::f32) {
    std::transform(q, q + belief_size_, reinterpret_cast<float*>(row), [](double p) { return static_cast<float>(p); });
  } else {
    std::copy_n(q, belief_size_, reinterpret_cast<double*>(row));
  }
}

void MeanFieldPopulation::write_start(uint32_t slot, std::byte* row) {
  std::memset(row, 0, row_bytes_);
  store(start_.data(), row);
  if (options_.own_habits)
    std::copy(compiled_.lnE.begin(), compiled_.lnE.end(), reinterpret_cast<double*>(writable_block(slot)));
}

std::vector<double> MeanFieldPopulation::belief_of(const std::vector<std::vector<double>>& factors) const {
  std::vector<double> all;
  for (const std::vector<double>& factor : factors) all.insert(all.end(), factor.begin(), factor.end());
  return all;
}

void MeanFieldPopulation::write_habits(uint32_t slot, std::span<const double> E) {
  std::transform(E.begin(), E.end(), reinterpret_cast<double*>(writable_block(slot)),
                 [](double p) { return std::log(p + kLogEpsilon); });
}

const double* MeanFieldPopulation::habits(uint32_t slot) const {
  return options_.own_habits ? reinterpret_cast<const double*>(own_block(slot)) : compiled_.lnE.data();
}

void MeanFieldPopulation::marginal(uint32_t slot, int factor, std::span<double> out) const {
  const size_t first = compiled_.offset[static_cast<size_t>(factor)];
  assert(out.size() == compiled_.num_states(factor));
  const std::byte* r = current_row(slot);
  for (size_t s = 0; s < out.size(); ++s) {
    out[s] = options_.precision == Precision::f32 ? static_cast<double>(reinterpret_cast<const float*>(r)[first + s])
                                                  : reinterpret_cast<const double*>(r)[first + s];
  }
}

void MeanFieldPopulation::infer(const Batch& batch, uint32_t i, Scratch& s) {
  const uint32_t slot = batch.slots[i];
  load(current_row(slot), s.q.data());
  if (fresh(slot)) {
    s.prior = s.q;  // a new row holds D
  } else {
    predict(compiled_, s.q.data(), unpacked_[actions_[slot]].data(), s.prior.data());
  }
  const uint16_t* o = batch.observation(i);
  for (size_t m = 0; m < s.observation.size(); ++m) s.observation[m] = o[m] == kNotObserved ? -1 : o[m];
  infer_mean_field(compiled_, s.observation.data(), s.prior.data(), kSweeps, kTolerance, s.inference, s.q.data());
  free_energy_[slot] =
      static_cast<float>(belief::free_energy(compiled_, s.observation.data(), s.prior.data(), s.q.data()).F);
  std::byte* target = row(slot, target_side(slot));
  store(s.q.data(), target);
}

void MeanFieldPopulation::plan_node(Scratch& s, uint32_t node, int depth, double value) const {
  const double* before = depth == 0 ? s.q.data() : s.levels[static_cast<size_t>(depth) - 1].data();
  double* next = s.levels[static_cast<size_t>(depth)].data();
  for (uint32_t child : tree_.nodes[node].next) {
    const PolicyTree::Node& n = tree_.nodes[child];
    predict(compiled_, before, unpacked_[static_cast<size_t>(n.action)].data(), next);
    const StepTerms t = step_terms(compiled_, next, depth, s.efe);
    const double path = value + (options_.use_utility ? t.exact_utility : 0) +
                        (options_.use_states_info_gain ? t.exact_states_info_gain : 0);
    for (uint32_t p : n.ends) s.value[p] = path;
    if (!n.next.empty()) plan_node(s, child, depth + 1, path);
  }
}

uint16_t MeanFieldPopulation::choose(Scratch& s, uint32_t slot) const {
  for (auto& m : s.marginals) std::fill(m.begin(), m.end(), 0.0);
  for (size_t p = 0; p < s.q_pi.size(); ++p) {
    const JointAction& first = unpacked_[static_cast<size_t>(tree_.first_action[p])];
    for (size_t f = 0; f < first.size(); ++f) s.marginals[f][static_cast<size_t>(first[f])] += s.q_pi[p];
  }
  const bool sampled = options_.action_selection == ActionSelection::sampled;
  return choose_action(s.marginals, options_.action_selection, options_.alpha, sampled ? uniform(slot) : 0);
}

void MeanFieldPopulation::update(const Batch& batch) {
  Scratch& s = scratch_[batch.thread];
  for (uint32_t i = 0; i < batch.n; ++i) {
    infer(batch, i, s);
    if (!options_.plan) continue;
    plan_node(s, 0, 0, 0);
    const uint32_t slot = batch.slots[i];
    const double* ln_E = habits(slot);
    for (size_t p = 0; p < s.q_pi.size(); ++p) s.q_pi[p] = options_.gamma * s.value[p] + ln_E[p];
    softmax(s.q_pi.data(), s.q_pi.size());
    for (size_t p = 0; p < s.q_pi.size() && !q_pi_.empty(); ++p) {
      q_pi_[slot * policies_ + p] = static_cast<float>(s.q_pi[p]);
      neg_efe_[slot * policies_ + p] = static_cast<float>(s.value[p]);
    }
    actions_[slot] = choose(s, slot);
  }
}

Status MeanFieldPopulation::learn(std::span<const uint16_t>) {
  return fail(ErrorCode::unsupported, "mean-field populations don't learn",
              "use Agent, or a model whose joint is small");
}

Status MeanFieldPopulation::set_own_model(uint32_t, const std::vector<Tensor>&, const std::vector<Tensor>&) {
  return fail(ErrorCode::unsupported, "the agents of this population share one model");
}

}  // namespace skep::belief
