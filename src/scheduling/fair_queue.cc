#include "scheduling/fair_queue.h"

#include <algorithm>
#include <cassert>

namespace skep::scheduling {

bool FairQueue::Order::operator()(const Tag& a, const Tag& b) const {
  if (a.first != b.first) return a.first < b.first;
  return *a.second->keys.begin() < *b.second->keys.begin();
}

// Invariant: a flow is in by_tag_ exactly while it has keys, under (start, first key). So it leaves before either
// changes.
void FairQueue::enter(Flow& flow) {
  assert(!flow.keys.empty());
  const bool inserted = by_tag_.emplace(flow.start, &flow).second;
  assert(inserted);
  (void)inserted;
}

void FairQueue::leave(Flow& flow) {
  const size_t erased = by_tag_.erase({flow.start, &flow});
  assert(erased == 1);
  (void)erased;
}

void FairQueue::push(const std::string& name, double weight, Key key) {
  assert(weight > 0);
  Flow& flow = flows_[name];
  flow.weight = weight;
  if (flow.keys.empty()) {
    flow.start = std::max(virtual_time_, flow.finish);
  } else {
    leave(flow);
  }
  const bool inserted = flow.keys.insert(key).second;
  assert(inserted);
  (void)inserted;
  enter(flow);
}

void FairQueue::remove(const std::string& name, Key key) {
  const auto found = flows_.find(name);
  assert(found != flows_.end());
  Flow& flow = found->second;
  leave(flow);
  const size_t erased = flow.keys.erase(key);
  assert(erased == 1);
  (void)erased;
  if (!flow.keys.empty()) {
    enter(flow);  // with the same tag: what was not served costs nothing
  } else {
    forget_idle();
  }
}

std::optional<FairQueue::Key> FairQueue::front() const {
  if (by_tag_.empty()) return std::nullopt;
  return *by_tag_.begin()->second->keys.begin();
}

void FairQueue::serve(const std::string& name, Key key, double cost) {
  assert(cost >= 0);
  const auto found = flows_.find(name);
  assert(found != flows_.end());
  Flow& flow = found->second;
  if (front() == key) virtual_time_ = std::max(virtual_time_, flow.start);
  leave(flow);
  flow.keys.erase(key);
  flow.finish = flow.start + cost / flow.weight;
  if (!flow.keys.empty()) {
    flow.start = flow.finish;  // >= V, since flow.start was
    enter(flow);
  } else {
    forget_idle();
  }
}

void FairQueue::charge(const std::string& name, double cost) {
  const auto found = flows_.find(name);
  if (found == flows_.end()) return;
  Flow& flow = found->second;
  const bool busy = !flow.keys.empty();
  if (busy) leave(flow);
  flow.finish = std::max(0.0, flow.finish + cost / flow.weight);
  if (busy) {
    flow.start = std::max(virtual_time_, flow.finish);
    enter(flow);
  }
}

// Nothing waits: the busy period ends, all are equal again. Otherwise an idle flow whose tag V has passed would get V
// like a new one, so it is the same to forget it. A sweep comes after
// as many new flows as it looks at: O(1) amortised.
void FairQueue::forget_idle() {
  if (by_tag_.empty()) {
    flows_.clear();
    virtual_time_ = 0;
    return;
  }
  if (flows_.size() < sweep_at_) return;
  std::erase_if(
      flows_, [this](const auto& entry) { return entry.second.keys.empty() && entry.second.finish <= virtual_time_; });
  sweep_at_ = 2 * flows_.size() + 64;
}

}  // namespace skep::scheduling
