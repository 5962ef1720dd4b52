#include "coalition/local_search.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>
#include <limits>
#include <utility>

namespace skep::coalition {
namespace {

constexpr double unknown = std::numeric_limits<double>::infinity();

// In place of choices, which compilers like to make branches of; these would be mispredicted half of the time.
double where(bool yes, double value) {
  return std::bit_cast<double>(std::bit_cast<uint64_t>(value) & (uint64_t{0} - uint64_t{yes}));
}
double larger(double a, double b) { return a > b ? a : b; }
double smaller(double a, double b) { return a < b ? a : b; }

}  // namespace

void State::reset(const Links& rows, const ValueFunction& function, std::span<const Agent> names) {
  const size_t agents = rows.agents();
  assert(names.size() == agents);
  links = &rows;
  set = function.set.get();
  ids = names;
  if (cost.size() < agents + 2) {
    cost.resize(agents + 2);
    for (size_t n = 0; n < cost.size(); ++n) cost[n] = function.cost.of(n);
    marginal.resize(agents + 1);
    for (size_t n = 0; n < marginal.size(); ++n) marginal[n] = cost[n + 1] - cost[n];
  }
  partition.reset(agents);
  set_value.clear();
  if (set != nullptr)
    for (const Agent& name : ids) set_value.push_back(set->value({&name, 1}));
}

double State::value(Coalition coalition) const {
  double links_inside = 0;
  Rank member = partition.first(coalition);
  for (uint32_t i = 0; i < partition.size(coalition); ++i, member = partition.next(member))
    links_inside += partition.notes(member).inside;
  return links_inside / 2 - cost[partition.size(coalition)] + (set == nullptr ? 0 : set_value[coalition]);
}

double State::total(Coalition begin, Coalition end) const {
  double sum = 0;
  for (Coalition c = begin; c < end; ++c)
    if (partition.size(c) > 0) sum += value(c);
  return sum;
}

void State::mark_crossing(Rank begin, Rank end) {
  for (Rank rank = begin; rank < end; ++rank) {
    const Coalition coalition = partition.of(rank);
    // Another block may say the same of this coalition now.
    if (coalition < begin || coalition >= end) std::atomic_ref(crosses[coalition]).store(1, std::memory_order_relaxed);
  }
}

void LocalSearch::begin(State& state, Rank begin, Rank end, uint64_t effort) {
  assert(begin <= end && end <= state.partition.agents());
  state_ = &state;
  begin_ = begin;
  end_ = end;
  effort_ = effort;
  gained_ = 0;
  confined_ = false;
  if (queue_.size() < end - begin + size_t{1}) queue_.resize(end - begin + size_t{1});
  queue_front_ = queue_length_ = 0;
  recording_ = false;
  journal_.clear();
  touched_.clear();
  postponed_.clear();
}

void LocalSearch::wake(Rank agent) {
  if (state_->partition.notes(agent).queued) return;
  state_->partition.notes(agent).queued = true;
  state_->links->prefetch(agent);
  size_t back = queue_front_ + queue_length_++;
  if (back >= queue_.size()) back -= queue_.size();
  queue_[back] = agent;
}

double LocalSearch::set_of(std::span<const Rank> members) {
  names_.clear();
  for (const Rank member : members) names_.push_back(state_->ids[member]);
  return names_.empty() ? 0 : state_->set->value(names_);
}

// What `agent`'s going out of its coalition costs the coalition, links and set; negative when it is better off without.
double LocalSearch::loss_of_leaving(Rank agent) {
  const Coalition from = state_->partition.of(agent);
  double loss = state_->partition.notes(agent).inside - marginal(state_->partition.size(from) - 1);
  if (state_->set != nullptr) {
    gather(from, members_);
    std::erase(members_, agent);
    loss += state_->set_value[from] - set_of(members_);
  }
  return loss;
}

double LocalSearch::gain_of_leaving(Rank agent) {
  double gain = -loss_of_leaving(agent) - marginal(0);
  if (state_->set != nullptr) gain += set_of({&agent, 1});
  return gain;
}

// The set value of the coalition with the agent, who is not in it.
double LocalSearch::set_with(Coalition coalition, Rank agent) {
  gather(coalition, members_);
  members_.push_back(agent);
  return set_of(members_);
}

// An empty coalition's number, the agent's own or the next one that is free; none where all are taken, which only the
// numbers of a confined search's block can be.
Coalition LocalSearch::empty_coalition(Rank near) const {
  Coalition coalition = near;
  do {
    if (state_->partition.size(coalition) == 0) return coalition;
    if (++coalition == end_) coalition = begin_;
  } while (coalition != near);
  assert(confined_);
  return Partition::none;
}

// Makes the agent a coalition of its own, if a number is free.
bool LocalSearch::part(Rank agent, Wakes wakes) {
  const Coalition to = empty_coalition(agent);
  if (to == Partition::none) {
    postponed_.push_back(agent);
    return false;
  }
  apply(agent, to, wakes);
  return true;
}

// Moves the agent, keeps `inside` true, and returns the exact gain. `wakes`: those whose best move may have changed are
// queued. How much a neighbour's best move may have gained: with w its link to the agent and dF, dT what joining `from`
// and `to` has become cheaper and dearer by,
//   members of `from` are held less by w - dF, and drawn to `to` by w - dT more,
//   others are drawn to `to` by w - dT, or to `from` by dF - w,
// and members of `to` are held more, which wakes nobody.
double LocalSearch::apply(Rank agent, Coalition to, Wakes wakes) {
  Partition& partition = state_->partition;
  const Coalition from = partition.of(agent);
  const uint32_t left = partition.size(from) - 1, joined = partition.size(to) + 1;
  const double cheaper = marginal(left + 1) - marginal(left), dearer = marginal(joined) - marginal(joined - 1);
  const double held = left > 0 ? marginal(left) - marginal(left - 1) : 0;
  double there = 0;
  const std::span<const Link> row = state_->links->row(agent);
  if (woken_.size() < row.size() + 1) woken_.resize(row.size() + 1);
  Rank* const woken = woken_.data();
  size_t count = 0;
  const bool everybody = wakes == Wakes::all, sets = state_->set != nullptr;
  for (const Link& link : row) {  // without branches on what varies from link to link
    if (!sees(link.to)) continue;
    const Coalition theirs = partition.of(link.to);
    if (wakes == Wakes::left && theirs != from) continue;  // of no concern to them; `to` is empty
    const bool stays = theirs == from, joins = theirs == to;
    const double weight = link.weight;
    const double come = where(joins, weight);
    Partition::Notes& notes = partition.notes(link.to);
    notes.inside += come - where(stays, weight);
    there += come;
    if (wakes == Wakes::none) continue;
    const double drawn = larger(0, weight - dearer);
    const double rise = where(stays, larger(0, weight - held) + drawn) + where(!stays, larger(drawn, cheaper - weight));
    const bool near = !joins && (everybody || stays);
    notes.margin += static_cast<float>(where(near, rise));
    woken[count] = link.to;
    const bool better = (notes.margin > least_gain) | (sets & near);
    count += static_cast<size_t>((everybody | stays) & better & (notes.queued ? 0 : 1));
  }
  for (size_t i = 0; i < count; ++i) wake(woken[i]);
  double gain = (there - marginal(partition.size(to))) -
                (state_->partition.notes(agent).inside - marginal(partition.size(from) - 1));
  partition.move(agent, to);
  state_->partition.notes(agent).inside = there;
  if (state_->set != nullptr) {
    for (const Coalition changed : {from, to}) {
      gather(changed, members_);
      const double before = std::exchange(state_->set_value[changed], set_of(members_));
      gain += state_->set_value[changed] - before;
    }
  }
  if (recording_) journal_.push_back({agent, from});
  touched_.push_back(agent);
  if (partition.size(from) > 0) touched_.push_back(partition.first(from));
  gained_ += gain;
  return gain;
}

void LocalSearch::undo_to(size_t length) {
  const bool was = recording_;
  recording_ = false;
  while (journal_.size() > length) {
    const Step step = journal_.back();
    journal_.pop_back();
    apply(step.agent, step.from, Wakes::none);
  }
  recording_ = was;
}

// The best single move of the agent, if it gains.
bool LocalSearch::improve(Rank agent) {
  const Partition& partition = state_->partition;
  const Coalition from = partition.of(agent);
  if (!open(from)) {
    postponed_.push_back(agent);
    return false;
  }
  bool beyond = false;      // something here is not for a confined search,
  double drawn_beyond = 0;  // and links to it add up to this at most
  by_coalition_.clear();
  {
    const std::span<const Link> row = state_->links->row(agent);
    SparseSums::Adding sums(by_coalition_, row.size());
    const Rank first = begin_, seen = end_ - begin_;
    const uint8_t* const crosses = confined_ ? state_->crosses.data() : nullptr;
    for (const Link& link : row) {
      const Coalition theirs = link.to - first < seen ? partition.of(link.to) : Partition::none;
      if (theirs != Partition::none && (crosses == nullptr || crosses[theirs] == 0)) {
        sums.add(theirs, link.weight);
        partition.prefetch_size(theirs);
      } else {
        beyond = true;
        drawn_beyond += larger(0, link.weight);
      }
    }
  }
  const double loss = loss_of_leaving(agent);

  // The best and the second best of what it can do; staying gains 0. Records are as good as random: no branches on
  // them.
  double best = 0, second = -unknown;
  const auto offer = [&](double gain) {
    second = larger(second, smaller(best, gain));
    best = larger(best, gain);
  };
  double alone = -unknown;
  if (partition.size(from) > 1) {
    alone = -loss - marginal(0);
    if (state_->set != nullptr) alone += set_of({&agent, 1});
    offer(alone);
  }
  const size_t near = by_coalition_.size();
  if (gains_.size() < near) gains_.resize(near);
  for (size_t i = 0; i < near; ++i) {
    const Coalition to = by_coalition_[i].key();
    double gain = by_coalition_[i].sum - marginal(partition.size(to)) - loss;
    if (state_->set != nullptr && to != from) gain += set_with(to, agent) - state_->set_value[to];
    gains_[i] = to == from ? -unknown : gain;
    offer(gains_[i]);
  }
  if (confined_ && beyond) {
    // A place there is worth no more than all links to there, less what joining the smallest coalition costs.
    const double most = drawn_beyond - marginal(1) - loss;
    if (state_->set != nullptr || most > larger(best, least_gain)) postponed_.push_back(agent);
    second = larger(second, most);
  }
  state_->partition.notes(agent).margin = static_cast<float>(second - best);
  if (best <= least_gain) return false;
  if (alone == best) return part(agent, Wakes::all);
  const auto found = std::find(gains_.begin(), gains_.begin() + static_cast<std::ptrdiff_t>(near), best);
  apply(agent, by_coalition_[static_cast<size_t>(found - gains_.begin())].key(), Wakes::all);
  return true;
}

void LocalSearch::leave(Rank agent) {
  const Coalition from = state_->partition.of(agent);
  if (!open(from)) {
    postponed_.push_back(agent);
  } else if (state_->partition.size(from) > 1) {
    part(agent, Wakes::left);
  }
}

void LocalSearch::descend() {
  while (queue_length_ > 0 && effort_ > 0) {
    const Rank agent = queue_[queue_front_];
    if (++queue_front_ == queue_.size()) queue_front_ = 0;
    --queue_length_;
    state_->partition.notes(agent).queued = false;
    --effort_;
    improve(agent);
  }
}

// Joins the coalition with the neighbour that gains most, if any does.
bool LocalSearch::merge(Coalition coalition) {
  const Partition& partition = state_->partition;
  by_coalition_.clear();
  gather(coalition, others_);
  effort_ -= std::min<uint64_t>(effort_, others_.size());
  for (const Rank member : others_) {
    const std::span<const Link> row = state_->links->row(member);
    SparseSums::Adding sums(by_coalition_, row.size());
    for (const Link& link : row)
      if (sees(link.to) && open(partition.of(link.to))) sums.add(partition.of(link.to), link.weight);
  }
  double best = least_gain;
  Coalition target = coalition;
  const uint32_t size = partition.size(coalition);
  for (size_t i = 0; i < by_coalition_.size(); ++i) {
    const Coalition other = by_coalition_[i].key();
    if (other == coalition) continue;
    const uint32_t theirs = partition.size(other);
    double gain = by_coalition_[i].sum - (state_->cost[size + theirs] - state_->cost[size] - state_->cost[theirs]);
    if (state_->set != nullptr) {
      gather(other, members_);
      members_.insert(members_.end(), others_.begin(), others_.end());
      gain += set_of(members_) - state_->set_value[coalition] - state_->set_value[other];
    }
    if (gain > best) {
      best = gain;
      target = other;
    }
  }
  if (target == coalition) return false;
  Coalition smaller = coalition, larger = target;
  if (partition.size(smaller) > partition.size(larger)) std::swap(smaller, larger);
  gather(smaller, others_);
  for (const Rank member : others_) apply(member, larger, Wakes::all);
  for (const Rank member : others_) wake(member);
  return true;
}

// Kernighan and Lin's chain: members go from one coalition to another (or to an empty one) one by one, each time the
// one whose links pull most, through losses too; the best prefix is what is made of it. With an empty `to` it finds
// splits, of which the smaller part need only be tried; otherwise it includes the merger of the two. Returns the gain.
double LocalSearch::chain(Coalition from, Coalition to) {
  const Partition& partition = state_->partition;
  gather(from, others_);
  const auto members = static_cast<uint32_t>(others_.size()), theirs = partition.size(to);
  const size_t steps = theirs == 0 ? members / 2 : members;
  effort_ -= std::min<uint64_t>(effort_, members);

  // by_agent_: links to those already gone, less links to those still here.
  by_agent_.clear();
  for (const Rank member : others_) {
    by_agent_.add(member, -state_->partition.notes(member).inside);
    if (theirs > 0)
      for (const Link& link : state_->links->row(member))
        if (sees(link.to) && partition.of(link.to) == to) by_agent_.add(member, link.weight);
  }
  double gain = 0, best = least_gain;
  size_t best_length = 0;
  for (size_t step = 0; step < steps; ++step) {
    size_t strongest = step;
    for (size_t i = step + 1; i < members; ++i)
      if (by_agent_.of(others_[i]) > by_agent_.of(others_[strongest])) strongest = i;
    std::swap(others_[step], others_[strongest]);  // [0, step]: the gone
    const Rank agent = others_[step];
    const auto gone = static_cast<uint32_t>(step);
    gain += by_agent_.of(agent) - marginal(theirs + gone) + marginal(members - gone - 1);
    for (const Link& link : state_->links->row(agent))
      if (sees(link.to) && by_agent_.has(link.to)) by_agent_.add(link.to, 2.0 * link.weight);
    const double with_sets = state_->set == nullptr ? gain : gain + set_gain_of_prefix(from, to, step + 1);
    if (with_sets > best) {
      best = with_sets;
      best_length = step + 1;
    }
  }
  if (best_length == 0) return 0;
  others_.resize(best_length);
  const double before = gained_;
  for (const Rank agent : others_) apply(agent, to, Wakes::all);
  for (const Rank agent : others_) wake(agent);
  return gained_ - before;
}

// What the set values gain when the first of others_, which are all the members of `from`, go to `to`.
double LocalSearch::set_gain_of_prefix(Coalition from, Coalition to, size_t length) {
  const auto middle = others_.begin() + static_cast<std::ptrdiff_t>(length);
  members_.assign(middle, others_.end());
  double gain = set_of(members_) - state_->set_value[from];
  gather(to, members_);
  if (!members_.empty()) gain -= state_->set_value[to];
  members_.insert(members_.end(), others_.begin(), middle);
  return gain + set_of(members_);
}

// The best exchange of a member for an outsider, if any gains. Sizes stay, so where a convex cost forbids a join an
// exchange may still gain.
bool LocalSearch::swap(Coalition coalition) {
  const Partition& partition = state_->partition;
  gather(coalition, others_);
  effort_ -= std::min<uint64_t>(effort_, others_.size());
  double best = least_gain;
  Rank out = 0, in = 0;
  bool outsiders_known = false;
  for (const Rank member : others_) {
    by_coalition_.clear();
    for (const Link& link : state_->links->row(member))
      if (sees(link.to)) by_coalition_.add(partition.of(link.to), link.weight);
    double strongest = -unknown;
    for (size_t i = 0; i < by_coalition_.size(); ++i)
      if (by_coalition_[i].key() != coalition) strongest = std::max(strongest, by_coalition_[i].sum);
    const double own = state_->partition.notes(member).inside;
    if (strongest <= own && state_->set == nullptr) continue;  // then the other of the two gains, and finds it
    if (!std::exchange(outsiders_known, true)) {               // by_agent_: outsiders' links into the coalition
      by_agent_.clear();
      for (const Rank each : others_)
        for (const Link& link : state_->links->row(each))
          if (sees(link.to) && partition.of(link.to) != coalition) by_agent_.add(link.to, link.weight);
    }
    link_of_.clear();
    for (const Link& link : state_->links->row(member))
      if (sees(link.to)) link_of_.add(link.to, link.weight);
    for (size_t i = 0; i < by_agent_.size(); ++i) {
      const Rank outsider = by_agent_[i].key();
      const Coalition theirs = partition.of(outsider);
      double gain = by_coalition_.of(theirs) - own + by_agent_[i].sum - state_->partition.notes(outsider).inside -
                    2 * link_of_.of(outsider);
      if (state_->set != nullptr) gain += set_gain_of_exchange(member, outsider);
      if (gain > best) {
        best = gain;
        out = member;
        in = outsider;
      }
    }
  }
  if (best <= least_gain) return false;
  const Coalition theirs = partition.of(in);
  apply(out, theirs, Wakes::all);
  apply(in, coalition, Wakes::all);
  wake(out);
  wake(in);
  return true;
}

double LocalSearch::set_gain_of_exchange(Rank a, Rank b) {
  double gain = 0;
  for (const auto& [out, in] : {std::pair(a, b), std::pair(b, a)}) {
    const Coalition coalition = state_->partition.of(out);
    gather(coalition, members_);
    std::replace(members_.begin(), members_.end(), out, in);
    gain += set_of(members_) - state_->set_value[coalition];
  }
  return gain;
}

}  // namespace skep::coalition
