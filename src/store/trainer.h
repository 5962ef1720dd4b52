#pragma once
// Collects values of each kind as they pass on their way to LMDB, and trains a dictionary when there are enough of
// them: after 200 values that are worth it, and again with 8 times as many. Bounded memory. One thread.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "store/overlay.h"

namespace skep::store {

class Dictionaries;

class Trainer {
 public:
  static constexpr size_t kFirst = 200;           // samples for a kind's first dictionary
  static constexpr size_t kMostSamples = 400;     // kept at a time: the last ones before the training
  static constexpr size_t kLongestSample = 8192;  // bytes: larger values are as well off without
  static constexpr size_t kShortestSample = 64;

  struct Trained {
    uint16_t id;
    std::string kind, bytes;
  };
  std::vector<Trained> learn(const Changes& changes, const Dictionaries& dictionaries);

 private:
  struct Samples {
    std::vector<std::string> kept;
    size_t seen = 0;
    size_t wanted = kFirst;
  };
  std::map<std::string, Samples, std::less<>> kinds_;
};

}  // namespace skep::store
