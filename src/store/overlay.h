#pragma once
// What was acknowledged and is not in LMDB yet, in two generations: `active` takes writes, `flushing` is on its way.
// Not thread-safe; the store locks.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace skep::store {

// Full key → value, nullopt for an erased one.
using Changes = std::map<std::string, std::optional<std::string>, std::less<>>;

struct Overlay {
  Changes active;
  std::shared_ptr<const Changes> flushing;  // shared with the flusher, which reads it without the lock

  // nullptr: this overlay says nothing about the key.
  [[nodiscard]] const std::optional<std::string>* find(std::string_view key) const {
    if (auto found = active.find(key); found != active.end()) return &found->second;
    if (flushing) {
      if (auto found = flushing->find(key); found != flushing->end()) return &found->second;
    }
    return nullptr;
  }
  // All that it says about keys from `from` that begin with `prefix`, the newer generation's word first.
  [[nodiscard]] Changes range(std::string_view from, std::string_view prefix) const {
    Changes result;
    auto take = [&](const Changes& changes) {
      for (auto it = changes.lower_bound(from); it != changes.end() && it->first.starts_with(prefix); ++it) {
        result.insert(*it);  // keeps what is there
      }
    };
    take(active);
    if (flushing) take(*flushing);
    return result;
  }
};

}  // namespace skep::store
