#include "scheduling/model_queue.h"

#include <cassert>

namespace skep::scheduling {
namespace {

FairQueue::Key age_key(const Waiting& task) { return {task.submitted, task.id}; }
FairQueue::Key deadline_key(const Waiting& task) { return {task.deadline, task.id}; }

bool shares(const Place& place) { return !place.aged && !place.at_risk; }

void put(std::set<FairQueue::Key>& keys, FairQueue::Key key, bool in) {
  const bool changed = in ? keys.insert(key).second : keys.erase(key) == 1;
  assert(changed);
  (void)changed;
}

}  // namespace

// Every task is in by_age_[rank] and in exactly one of aged_, at_risk_ and fair_. The fair queue is left to the caller,
// for it is left in two ways.
void ModelQueue::place(const Waiting& task, bool in) {
  const int step = in ? 1 : -1;
  const auto rank = static_cast<size_t>(task.place.rank);
  size_ += step;
  if (task.place.at_risk) risks_ += step;
  put(by_age_.at(rank), age_key(task), in);
  if (task.place.aged) {
    put(aged_.at(rank == 0 ? 0 : 1), age_key(task), in);
  } else if (task.place.at_risk) {
    put(at_risk_.at(rank), deadline_key(task), in);
  }
}

void ModelQueue::insert(const Waiting& task) {
  place(task, true);
  if (shares(task.place)) fair_.at(static_cast<size_t>(task.place.rank)).push(task.flow, task.weight, age_key(task));
}

void ModelQueue::remove(const Waiting& task) {
  place(task, false);
  if (shares(task.place)) fair_.at(static_cast<size_t>(task.place.rank)).remove(task.flow, age_key(task));
}

void ModelQueue::serve(const Waiting& task, double cost) {
  place(task, false);
  FairQueue& fair = fair_.at(static_cast<size_t>(task.place.rank));
  if (shares(task.place)) {
    fair.serve(task.flow, age_key(task), cost);
  } else {
    fair.charge(task.flow, cost);
  }
}

void ModelQueue::charge(const Waiting& task, double cost) {
  fair_.at(static_cast<size_t>(task.place.rank)).charge(task.flow, cost);
}

std::optional<TimePoint> ModelQueue::oldest(int rank) const {
  const auto& keys = by_age_.at(static_cast<size_t>(rank));
  if (keys.empty()) return std::nullopt;
  return keys.begin()->first;
}

std::optional<Head> ModelQueue::head(bool aged_due) const {
  const auto head_of = [this](Head::Band band, size_t rank) -> std::optional<Head> {
    const auto& risky = at_risk_.at(rank);
    if (!risky.empty()) {
      // The deadline orders inside the queue; between queues it is the age of the class's oldest that counts.
      return Head{band, by_age_.at(rank).begin()->first, risky.begin()->second};
    }
    if (const auto key = fair_.at(rank).front()) return Head{band, key->first, key->second};
    return std::nullopt;
  };
  if (aged_due && has_aged()) return Head{Head::Band::aged_due, aged_[1].begin()->first, aged_[1].begin()->second};
  if (!aged_[0].empty()) return Head{Head::Band::critical, aged_[0].begin()->first, aged_[0].begin()->second};
  if (const auto critical = head_of(Head::Band::critical, 0)) return critical;
  if (has_aged()) return Head{Head::Band::aged, aged_[1].begin()->first, aged_[1].begin()->second};
  for (size_t rank = 1; rank < kPriorities; ++rank) {
    const int band = static_cast<int>(Head::Band::high) + static_cast<int>(rank) - 1;
    if (const auto head = head_of(static_cast<Head::Band>(band), rank)) return head;
  }
  return std::nullopt;
}

}  // namespace skep::scheduling
