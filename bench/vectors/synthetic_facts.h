#pragma once
// Facts that look like real ones to an index: vectors around the centres of topics, texts of words whose frequencies
// fall as Zipf's law has them, with one word of their own.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "memory/fact.h"

namespace skep::bench {

class SyntheticFacts {
 public:
  SyntheticFacts(size_t dimensions, uint64_t seed) : random_(seed) {
    for (size_t i = 0; i < kTopics; ++i) centres_.push_back(direction(dimensions));
    double sum = 0;
    for (size_t i = 0; i < kWords; ++i) zipf_.push_back(sum += 1.0 / static_cast<double>(i + 2));
  }

  // Unit length; two of one topic have a cosine of about 0.7.
  std::vector<float> vector() { return near(centres_[random_.below(kTopics)], 0.65); }
  // `v` with noise of this length: 0.25 leaves a cosine of about 0.97.
  std::vector<float> near(const std::vector<float>& v, double noise) {
    std::vector<float> w = v;
    const double each = noise / std::sqrt(static_cast<double>(v.size()));
    for (float& x : w) x += static_cast<float>(random_.normal() * each);
    return unit(std::move(w));
  }
  std::string text(size_t number) {
    std::string all;
    for (int i = 0; i < 12; ++i) {
      const double at = random_.uniform() * zipf_.back();
      const auto word = static_cast<size_t>(std::lower_bound(zipf_.begin(), zipf_.end(), at) - zipf_.begin());
      all += "w" + std::to_string(word) + " ";
    }
    return all + "fact" + std::to_string(number);
  }
  memory::NewFact fact(size_t number) {
    memory::NewFact f;
    f.agent = "agent-" + std::to_string(number % kAgents);
    f.text = text(number);
    f.source = "bench";
    f.time = WallTime(std::chrono::seconds(1'700'000'000 + static_cast<int64_t>(number)));
    f.vector = vector();
    return f;
  }

  static constexpr size_t kAgents = 100;

 private:
  static constexpr uint32_t kTopics = 2000;
  static constexpr size_t kWords = 20'000;

  static std::vector<float> unit(std::vector<float> v) {
    double square = 0;
    for (const float x : v) square += double{x} * double{x};
    const auto scale = static_cast<float>(1 / std::sqrt(square));
    for (float& x : v) x *= scale;
    return v;
  }
  std::vector<float> direction(size_t dimensions) {
    std::vector<float> v(dimensions);
    for (float& x : v) x = static_cast<float>(random_.normal());
    return unit(std::move(v));
  }

  Random random_;
  std::vector<std::vector<float>> centres_;
  std::vector<double> zipf_;
};

}  // namespace skep::bench
