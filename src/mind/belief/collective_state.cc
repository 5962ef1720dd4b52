#include "mind/belief/collective_state.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "mind/belief/categorical.h"

namespace skep::belief {
namespace {

double entropy_of(std::span<const double> p) {
  double h = 0;
  for (double x : p) h -= x_log_x(x);
  return h;
}

}  // namespace

CollectiveState::CollectiveState(const Population& population, uint32_t groups, CollectiveOptions options)
    : population_(population),
      options_(options),
      states_(population.belief_size()),
      groups_(std::max(groups, 1U)),
      wanted_group_(population.capacity()),
      counted_(population.capacity()),
      counted_belief_(population.capacity() * states_),
      scratch_(states_) {
  for (Sums& g : groups_) g.belief.resize(states_);
  changed_.reserve(population.capacity());
}

void CollectiveState::assign(uint32_t slot, uint32_t group) {
  assert(slot < wanted_group_.size() && group < groups_.size());
  wanted_group_[slot] = group;
}

// The counted contribution of a slot, added or (sign -1) taken out.
void CollectiveState::add(Sums& sums, uint32_t slot, double sign) const {
  const Counted& c = counted_[slot];
  sums.free_energy += sign * c.free_energy;
  sums.entropy += sign * c.entropy;
  sums.agents += sign > 0 ? 1 : static_cast<size_t>(-1);
  const double* q = counted_belief_.data() + slot * states_;
  for (size_t s = 0; s < states_; ++s) sums.belief[s] += sign * q[s];
}

bool CollectiveState::moved(uint32_t slot) {
  Counted& c = counted_[slot];
  const bool present = population_.occupied(slot);
  if (present != c.present) return true;
  if (!present) return false;
  if (c.group != wanted_group_[slot]) return true;
  const uint64_t version = population_.belief_version(slot);
  if (c.version == version) return false;
  c.version = version;
  if (c.generation != population_.at(slot).generation) return true;
  if (std::abs(static_cast<double>(population_.free_energy()[slot]) - c.free_energy) > options_.threshold) return true;
  population_.copy_belief(slot, scratch_);
  double distance = 0;
  const double* before = counted_belief_.data() + slot * states_;
  for (size_t s = 0; s < states_; ++s) distance += std::abs(scratch_[s] - before[s]);
  return distance / 2 > options_.threshold;
}

// Takes the slot as it now is.
void CollectiveState::count(uint32_t slot) {
  Counted& c = counted_[slot];
  c.present = population_.occupied(slot);
  if (!c.present) return;
  c.group = wanted_group_[slot];
  c.generation = population_.at(slot).generation;
  c.version = population_.belief_version(slot);
  c.free_energy = static_cast<double>(population_.free_energy()[slot]);
  const std::span<double> belief(counted_belief_.data() + slot * states_, states_);
  population_.copy_belief(slot, belief);
  c.entropy = entropy_of(belief);
}

void CollectiveState::summarise(Sums& sums) const {
  CollectiveSummary& out = sums.summary;
  out = {};
  out.agents = sums.agents;
  if (sums.agents == 0) return;
  const auto n = static_cast<double>(sums.agents);
  out.free_energy = sums.free_energy / n;
  out.entropy = sums.entropy / n;
  out.activity = static_cast<double>(sums.moved) / n;
  double of_mean = 0;
  for (double p : sums.belief) of_mean -= x_log_x(std::max(p / n, 0.0));
  const double divergence = std::max(0.0, of_mean - out.entropy);
  out.agreement = states_ > 1 ? std::clamp(1 - divergence / std::log(static_cast<double>(states_)), 0.0, 1.0) : 1;
}

size_t CollectiveState::update() {
  changed_.clear();
  for (uint32_t slot = 0; slot < population_.capacity(); ++slot) {
    if (moved(slot)) changed_.push_back(slot);
  }
  const double agents = static_cast<double>(std::max<size_t>(population_.size(), 1));
  last_was_full_ = static_cast<double>(changed_.size()) > options_.full_share * agents;
  for (Sums& g : groups_) g.moved = 0;
  if (last_was_full_) {
    for (Sums& g : groups_) {
      g.free_energy = g.entropy = 0;
      g.agents = 0;
      std::fill(g.belief.begin(), g.belief.end(), 0.0);
    }
    for (uint32_t slot = 0; slot < population_.capacity(); ++slot) {
      count(slot);
      if (counted_[slot].present) add(groups_[counted_[slot].group], slot, 1);
    }
    for (uint32_t slot : changed_) {
      if (counted_[slot].present) ++groups_[counted_[slot].group].moved;
    }
  } else {
    for (uint32_t slot : changed_) {
      if (counted_[slot].present) add(groups_[counted_[slot].group], slot, -1);
      count(slot);
      if (!counted_[slot].present) continue;
      add(groups_[counted_[slot].group], slot, 1);
      ++groups_[counted_[slot].group].moved;
    }
  }
  Sums all;
  all.belief.resize(states_);
  for (Sums& g : groups_) {
    summarise(g);
    all.free_energy += g.free_energy;
    all.entropy += g.entropy;
    all.agents += g.agents;
    all.moved += g.moved;
    for (size_t s = 0; s < states_; ++s) all.belief[s] += g.belief[s];
  }
  summarise(all);
  whole_ = all.summary;
  return last_was_full_ ? population_.size() : changed_.size();
}

size_t CollectiveState::update_full() {
  const double share = options_.full_share;
  options_.full_share = -1;
  const size_t counted = update();
  options_.full_share = share;
  return counted;
}

double CollectiveState::error_bound() const {
  if (states_ < 2) return 0;
  const double t = std::min(options_.threshold, 1 - 1 / static_cast<double>(states_));
  const double entropy = t * std::log(static_cast<double>(states_) - 1) - x_log_x(t) - x_log_x(1 - t);
  // Agreement holds two entropies, of the mean and the mean of them, over ln(states).
  return std::max(entropy, 2 * entropy / std::log(static_cast<double>(states_)));
}

}  // namespace skep::belief
