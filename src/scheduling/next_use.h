#pragma once
// How soon will a model be used again? Four simple predictors, and a choice between them by how many loads each would
// have cost here so far:
//   recency    as long as it has not been used (what LRU believes)
//   frequency  as often as of late, decayed counts (LFU; best when uses are independent)
//   interval   the mean of this model's past intervals that are longer than its age (renewal, cycles)
//   replay     the last time the recent sequence of uses occurred, this came next (any repeating pattern)
// Each keeps a shadow of the resident set in which it alone evicts; the one whose shadow has paid least, with the past
// decayed, is believed. So the choice is at most a little worse than the best of them, LRU among them. A recurrence of
// kLongest visits is no accident, and replay is believed at once. For independent uses nothing online beats frequency,
// and all stay a constant factor above the offline optimum (with three equal models of which two fit, 0.33
// of the uses load, 0.22 with the optimum).
//
// Time is counted in visits: uses of the same model in a row are one. Pure; lives on the event loop.

#include <array>
#include <cstddef>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/units.h"

namespace skep::scheduling {

enum class Predictor { recency, frequency, interval, replay };
constexpr size_t kPredictors = 4;
const char* to_string(Predictor predictor);

class NextUse {
 public:
  // `capacity`: what the models together may take.
  explicit NextUse(Bytes capacity) : capacity_(capacity) {}
  void set_capacity(Bytes capacity) { capacity_ = capacity; }

  // A task was given to the model. Bytes and reload cost as they are known now.
  void used(std::string_view model, Bytes bytes, Duration reload_cost);

  // Visits until the next use, as believed now, >= 1. Infinity for a model that was never used.
  [[nodiscard]] double distance(std::string_view model) const;
  [[nodiscard]] double distance(std::string_view model, Predictor by) const;
  [[nodiscard]] Predictor believed() const { return recurs_ ? Predictor::replay : believed_; }

 private:
  static constexpr size_t kHistory = 256;   // visits that replay looks back
  static constexpr size_t kLongest = 24;    // longest match it looks for
  static constexpr size_t kIntervals = 16;  // kept per model
  static constexpr size_t kModels = 1024;   // known; the one used longest ago is forgotten

  struct Model {
    Bytes bytes;
    double reload_seconds = 0;
    int64_t last = 0;  // visit
    double count = 0;  // decayed, as of `last`
    std::deque<int64_t> intervals;
  };
  struct Shadow {
    std::map<std::string, Bytes, std::less<>> resident;
    Bytes used;
    double paid = 0;  // seconds of loading, decayed
  };

  void visit(Shadow& shadow, Predictor by, const std::string& name, const Model& model);
  [[nodiscard]] double by_interval(const Model& model) const;
  struct Match {
    size_t end = 0, length = 0;  // history_[end - length, end) is how the history ends
  };
  [[nodiscard]] Match match() const;  // the longest, of those the latest; length 0: none
  void forget_one();

  Bytes capacity_;
  std::map<std::string, Model, std::less<>> models_;
  std::deque<std::string> history_;  // the newest last
  std::array<Shadow, kPredictors> shadows_;
  Predictor believed_ = Predictor::recency;
  Match match_;          // of the history as it is
  bool recurs_ = false;  // match_ is as long as it can be
  int64_t now_ = 0;      // visits so far
};

}  // namespace skep::scheduling
