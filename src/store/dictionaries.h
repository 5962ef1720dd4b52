#pragma once
// zstd dictionaries, one line of them per kind of value: small values of one kind look alike, and a dictionary trained
// on a few hundred of them holds what they share. A dictionary is never changed or dropped once a record names it; a
// kind may get a newer one.
//
// Threads: any; compressing and decompressing use a context of the calling thread.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skep::store {

class Dictionaries {
 public:
  static constexpr size_t kSize = 16 << 10;  // bytes of a dictionary
  static constexpr size_t kMostOfAKind = 4;  // trained one after another, as there is more to learn from
  static constexpr int kLevel = 3;           // of zstd

  Dictionaries();
  ~Dictionaries();
  Dictionaries(const Dictionaries&) = delete;
  Dictionaries& operator=(const Dictionaries&) = delete;

  // Trains one. nullopt: the samples are too few or too unlike for a dictionary to help.
  static std::optional<std::string> train(const std::vector<std::string>& samples);

  void swap(Dictionaries& other);
  void add(uint16_t id, std::string_view kind, std::string_view bytes);  // becomes its kind's newest
  [[nodiscard]] size_t count(std::string_view kind) const;
  [[nodiscard]] uint16_t next_id() const;  // 0: none left

  struct Compressed {
    std::string bytes;
    uint16_t dictionary = 0;  // 0: none
  };
  [[nodiscard]] Compressed compress(std::string_view kind, std::string_view raw) const;
  // corrupt: no such dictionary, or not what it should be. Gives exactly `raw_size` bytes.
  [[nodiscard]] Result<std::string> decompress(std::string_view bytes, uint16_t dictionary, size_t raw_size) const;

 private:
  struct One;
  mutable std::shared_mutex mutex_;
  std::map<uint16_t, std::shared_ptr<const One>> by_id_;
  std::map<std::string, std::vector<std::shared_ptr<const One>>, std::less<>> by_kind_;
};

}  // namespace skep::store
