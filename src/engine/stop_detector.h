#pragma once
// Finds the first stop string in text that arrives in pieces, and lets through at once whatever can't be part of one.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skep::engine {

class StopDetector {
 public:
  explicit StopDetector(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // What may be shown now. Nothing of it and after it is part of a stop string that is complete or may become so.
  std::string feed(std::string_view text);
  // The end without a stop string: what was held back.
  std::string finish();

  [[nodiscard]] bool stopped() const { return stopped_; }  // feed() and finish() then give nothing more

 private:
  std::vector<std::string> stops_;  // none is empty
  std::string held_;                // shorter than the longest stop string
  bool stopped_ = false;
};

}  // namespace skep::engine
