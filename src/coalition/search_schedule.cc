// In which order a LocalSearch makes its moves: sweeps, formation from nothing, kicks. The moves are in
// local_search.cc.

#include <algorithm>
#include <cassert>
#include <limits>
#include <numeric>

#include "coalition/local_search.h"

namespace skep::coalition {
namespace {

constexpr size_t most_dissolved = 64;  // agents that one kick may set free
constexpr uint32_t most_recruited = 8;
constexpr int kicks_per_agent_with_sets = 4;  // set values have steps that single moves don't climb

}  // namespace

void LocalSearch::merge_around(std::span<const Rank> agents) {
  begin_visits();
  for (size_t i = 0; i < agents.size() && effort_ > 0; ++i) {
    const Coalition coalition = state_->partition.of(agents[i]);
    if (open(coalition) && first_visit(coalition)) merge(coalition);
  }
}

void LocalSearch::split_around(std::span<const Rank> agents) {
  begin_visits();
  for (size_t i = 0; i < agents.size() && effort_ > 0; ++i) {
    const Coalition coalition = state_->partition.of(agents[i]);
    if (state_->partition.size(coalition) > 2 && first_visit(coalition)) chain(coalition, empty_coalition(agents[i]));
  }
}

void LocalSearch::swap_around(std::span<const Rank> agents) {
  begin_visits();
  for (size_t i = 0; i < agents.size() && effort_ > 0; ++i) {
    const Coalition coalition = state_->partition.of(agents[i]);
    if (first_visit(coalition)) swap(coalition);
  }
}

// Whether nobody here gains by leaving and all together are worth as much as apart, where one walk tells.
bool LocalSearch::settled(Coalition coalition) const {
  const Partition& partition = state_->partition;
  const uint32_t size = partition.size(coalition);
  if (size < 2) return true;
  if (state_->set != nullptr) return false;
  double inside = 0, least = std::numeric_limits<double>::infinity();
  Rank member = partition.first(coalition);
  for (uint32_t i = 0; i < size; ++i, member = partition.next(member)) {
    const double own = partition.notes(member).inside;
    inside += own;
    least = std::min(least, own);
  }
  return marginal(size - 1) - marginal(0) - least <= least_gain &&
         inside / 2 - state_->cost[size] >= -size * state_->cost[1] - least_gain;
}

// Not bounded by effort, for stability is a promise. It ends: who leaves is alone from then on, and no one joins here.
void LocalSearch::settle(std::span<const Rank> agents) {
  std::vector<Rank> members;
  begin_visits();
  for (const Rank agent : agents) {
    const Coalition coalition = state_->partition.of(agent);
    if (!open(coalition)) {
      postponed_.push_back(agent);
      continue;
    }
    if (!first_visit(coalition) || settled(coalition)) continue;
    for (bool left = true; left && state_->partition.size(coalition) > 1;) {
      left = false;
      gather(coalition, members);
      for (const Rank member : members) {
        if (state_->partition.size(coalition) == 1) break;
        if (gain_of_leaving(member) <= least_gain || !part(member, Wakes::all)) continue;
        left = true;
      }
    }
    // Each may be worth its place while all together are worth less than apart (a star of weak links, say).
    const uint32_t size = state_->partition.size(coalition);
    if (size < 2) continue;
    gather(coalition, members);
    double apart = -size * state_->cost[1];
    if (state_->set != nullptr)
      for (const Rank member : members) apart += set_of({&member, 1});
    if (state_->value(coalition) >= apart - least_gain) continue;
    members.pop_back();  // the last one keeps the number
    for (const Rank member : members) part(member, Wakes::all);
  }
}

void LocalSearch::form() {
  std::vector<Rank> all(end_ - begin_);
  std::iota(all.begin(), all.end(), begin_);
  for (const Rank agent : all) wake(agent);
  descend();
  clear_touched();
  merge_around(all);
  descend();
  split_around(all);
  descend();
  const std::vector<Rank> news(touched_.begin(), touched_.end());
  swap_around(news);
  merge_around(news);
  descend();
  if (state_->set != nullptr) {
    Random random(begin_);
    for (int round = 0; round < kicks_per_agent_with_sets; ++round)
      for (const Rank agent : all) kick(agent, random);
  }
  settle(all);
  clear_touched();
}

std::vector<Rank> LocalSearch::take_queue() {
  std::vector<Rank> waiting;
  waiting.reserve(queue_length_);
  for (; queue_length_ > 0; --queue_length_) {
    waiting.push_back(queue_[queue_front_]);
    state_->partition.notes(queue_[queue_front_]).queued = false;
    if (++queue_front_ == queue_.size()) queue_front_ = 0;
  }
  return waiting;
}

void LocalSearch::kick(Rank agent, Random& random) {
  const Partition& partition = state_->partition;
  descend();
  recording_ = true;
  journal_.clear();
  const size_t touched_mark = touched_.size();
  const double before = gained_;

  const Coalition own = partition.of(agent);
  Coalition other = own;
  if (const auto row = state_->links->row(agent); !row.empty()) {
    const Rank neighbour = row[random.below(static_cast<uint32_t>(row.size()))].to;
    if (sees(neighbour)) other = partition.of(neighbour);
  }
  std::vector<Rank> around, theirs;
  gather(own, around);
  switch (random.below(5)) {
    case 0:  // dissolve the coalition
      break;
    case 1:  // dissolve two that touch
    case 2:  // or a random half of them
      if (other != own) {
        gather(other, theirs);
        around.insert(around.end(), theirs.begin(), theirs.end());
      }
      break;
    case 3: {  // recruit around, and let the search take out who does not fit: finds teams of which no part pays
      const auto row = state_->links->row(agent);
      for (uint32_t i = 2 + random.below(most_recruited - 1); i > 0 && !row.empty(); --i) {
        const Rank recruit = row[random.below(static_cast<uint32_t>(row.size()))].to;
        if (!sees(recruit) || partition.of(recruit) == own) continue;
        apply(recruit, own, Wakes::all);
        wake(recruit);
      }
      for (const Rank member : around) wake(member);
      around.clear();
      break;
    }
    default:  // put two together, likewise
      if (other != own) {
        for (const Rank member : around) apply(member, other, Wakes::all);
        around.clear();
      }
  }
  const bool half = random.below(2) == 0;
  if (around.size() > most_dissolved) around.resize(most_dissolved);
  for (const Rank member : around)
    if (partition.size(partition.of(member)) > 1 && (!half || random.below(2) == 0))
      apply(member, empty_coalition(member), Wakes::all);
  for (const Rank member : around) wake(member);
  descend();

  const std::vector<Rank> moved(touched_.begin() + static_cast<std::ptrdiff_t>(touched_mark), touched_.end());
  merge_around(moved);
  split_around(moved);
  swap_around(moved);
  descend();

  if (gained_ <= before + least_gain) {
    take_queue();
    undo_to(0);
    touched_.resize(touched_mark);
    gained_ = before;
  }
  recording_ = false;
  journal_.clear();
}

}  // namespace skep::coalition
