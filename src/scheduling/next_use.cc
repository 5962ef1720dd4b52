#include "scheduling/next_use.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace skep::scheduling {
namespace {

constexpr double kCountDecay = 0.98;  // per visit: a half-life of 34 visits
constexpr double kPaidDecay = 0.98;
constexpr double kBetter = 0.9;  // another predictor is believed only when it has paid less than this share

}  // namespace

const char* to_string(Predictor predictor) {
  switch (predictor) {
    case Predictor::recency:
      return "recency";
    case Predictor::frequency:
      return "frequency";
    case Predictor::interval:
      return "interval";
    case Predictor::replay:
      return "replay";
  }
  return "recency";
}

void NextUse::used(std::string_view name, Bytes bytes, Duration reload_cost) {
  const bool again = !history_.empty() && history_.back() == name;
  const auto found = models_.find(name);
  if (found == models_.end()) {
    if (models_.size() >= kModels) forget_one();
    models_.emplace(std::string(name), Model{});
  }
  const auto at = models_.find(name);
  Model& model = at->second;
  model.bytes = bytes;
  model.reload_seconds = seconds(reload_cost);
  if (again) return;

  // The shadows decide as of before this use is known.
  ++now_;
  for (size_t i = 0; i < kPredictors; ++i) visit(shadows_.at(i), static_cast<Predictor>(i), at->first, model);
  if (model.last > 0) {
    model.intervals.push_back(now_ - model.last);
    if (model.intervals.size() > kIntervals) model.intervals.pop_front();
  }
  model.count = model.count * std::pow(kCountDecay, static_cast<double>(now_ - model.last)) + 1;
  model.last = now_;
  history_.push_back(at->first);
  if (history_.size() > kHistory) history_.pop_front();
  match_ = match();
  recurs_ = match_.length == kLongest;

  for (size_t i = 0; i < kPredictors; ++i) {
    const double least = shadows_.at(static_cast<size_t>(believed_)).paid;
    if (shadows_.at(i).paid < kBetter * least) believed_ = static_cast<Predictor>(i);
  }
}

// The predictor's own resident set: loads on a miss, evicting the farthest per byte and second of loading.
void NextUse::visit(Shadow& shadow, Predictor by, const std::string& name, const Model& model) {
  shadow.paid *= kPaidDecay;
  if (shadow.resident.contains(name)) return;
  shadow.paid += model.reload_seconds;
  while (!shadow.resident.empty() && shadow.used + model.bytes > capacity_) {
    auto victim = shadow.resident.end();
    double least = std::numeric_limits<double>::infinity();
    for (auto it = shadow.resident.begin(); it != shadow.resident.end(); ++it) {
      const auto known = models_.find(it->first);
      if (known == models_.end()) {
        victim = it;
        break;
      }
      const double size = std::max<double>(1, static_cast<double>(it->second.count));
      const double value = known->second.reload_seconds / (distance(it->first, by) * size);
      if (value < least || victim == shadow.resident.end()) {
        least = value;
        victim = it;
      }
    }
    shadow.used -= victim->second;
    shadow.resident.erase(victim);
  }
  shadow.resident.emplace(name, model.bytes);
  shadow.used += model.bytes;
}

double NextUse::distance(std::string_view name) const { return distance(name, believed()); }

double NextUse::distance(std::string_view name, Predictor by) const {
  const auto found = models_.find(name);
  if (found == models_.end() || found->second.last == 0) return std::numeric_limits<double>::infinity();
  const Model& model = found->second;
  const auto age = static_cast<double>(now_ - model.last);
  switch (by) {
    case Predictor::recency:
      return age + 1;
    case Predictor::frequency: {
      const double count = model.count * std::pow(kCountDecay, age);
      return std::max(1.0, 1 / (count * (1 - kCountDecay)));
    }
    case Predictor::interval:
      return by_interval(model);
    case Predictor::replay: {
      // What followed the match is expected again.
      if (match_.length == 0) return by_interval(model);
      const auto begin = history_.begin() + static_cast<std::ptrdiff_t>(match_.end);
      const auto next = std::find(begin, history_.end(), name);
      const auto steps = static_cast<double>(next - begin);
      return next != history_.end() ? steps + 1 : steps + by_interval(model);
    }
  }
  return age + 1;
}

// The mean residual life: of the past intervals that are longer than the age. Older than all of them: as much again.
double NextUse::by_interval(const Model& model) const {
  const int64_t age = now_ - model.last;
  int64_t sum = 0, longer = 0;
  for (const int64_t interval : model.intervals) {
    if (interval <= age) continue;
    sum += interval - age;
    ++longer;
  }
  if (longer > 0) return std::max(1.0, static_cast<double>(sum) / static_cast<double>(longer));
  return static_cast<double>(age) + 1;
}

NextUse::Match NextUse::match() const {
  const size_t size = history_.size();
  Match best;
  for (size_t end = size; end-- > 1;) {
    size_t length = 0;
    while (length < std::min(end, kLongest) && history_[end - 1 - length] == history_[size - 1 - length]) ++length;
    if (length > best.length) best = {end, length};
    if (length == kLongest) break;
  }
  return best;
}

void NextUse::forget_one() {
  const auto oldest = std::min_element(models_.begin(), models_.end(),
                                       [](const auto& a, const auto& b) { return a.second.last < b.second.last; });
  models_.erase(oldest);
}

}  // namespace skep::scheduling
