#include "store/trainer.h"

#include "store/dictionaries.h"

namespace skep::store {

std::vector<Trainer::Trained> Trainer::learn(const Changes& changes, const Dictionaries& dictionaries) {
  for (const auto& [key, value] : changes) {
    if (!value || value->size() < kShortestSample || value->size() > kLongestSample) continue;
    if (key.starts_with('!')) continue;  // the store's own are read before dictionaries are
    std::string_view kind = std::string_view(key).substr(0, key.find('\0'));
    auto found = kinds_.find(kind);
    if (found == kinds_.end()) {
      found = kinds_.emplace(std::string(kind), Samples()).first;
      for (size_t i = dictionaries.count(kind); i > 0; --i) found->second.wanted *= 8;  // from earlier runs
    }
    Samples& samples = found->second;
    ++samples.seen;
    bool soon = samples.seen + kMostSamples > samples.wanted && dictionaries.count(kind) < Dictionaries::kMostOfAKind;
    if (soon && samples.kept.size() < kMostSamples) samples.kept.push_back(*value);
  }
  std::vector<Trained> trained;
  for (auto& [kind, samples] : kinds_) {
    if (samples.seen < samples.wanted || dictionaries.count(kind) >= Dictionaries::kMostOfAKind) continue;
    uint16_t id = static_cast<uint16_t>(dictionaries.next_id() + trained.size());
    if (auto bytes = Dictionaries::train(samples.kept); bytes && id != 0) {
      trained.push_back({id, kind, std::move(*bytes)});
      samples.wanted *= 8;
    } else {
      samples.wanted *= 2;
    }
    samples.kept.clear();
    samples.kept.shrink_to_fit();
  }
  return trained;
}

}  // namespace skep::store
