#pragma once
// Who stays when there is no room for all: W-TinyLFU (Einziger, Friedman, Manes 2017), by bytes. Pure policy: it holds
// names and sizes, whoever asks holds the things.
//
//   new ──▶ window (LRU, 1 %) ──▶ probation (LRU) ──touched──▶ protected (LRU, 80 %) ──▶ back to probation
//
// What leaves the window competes with the oldest on probation: the one that was asked for less often goes. How often
// is estimated by a count-min sketch of 4-bit counters that are halved now and then, so that old fame fades; it also
// counts names that are not held, which is how something that comes back again and again gets in, and something that
// comes once does not push out what is used.

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/units.h"

namespace skep::cache {

// How often each of many names was seen lately, in a few bytes per name; never too low but for the halving.
class FrequencySketch {
 public:
  explicit FrequencySketch(size_t names);  // that are expected
  void add(uint64_t hash);
  [[nodiscard]] int estimate(uint64_t hash) const;  // 0..15

 private:
  [[nodiscard]] size_t slot(uint64_t hash, int row) const;
  std::vector<uint8_t> counters_;  // four rows; one counter a byte, 0..15
  size_t mask_;
  size_t added_ = 0, halve_at_;
};

class WTinyLfu {
 public:
  // `capacity` divides the regions; it is no limit by itself: whoever holds the things asks for victims.
  explicit WTinyLfu(Bytes capacity, size_t expected_names = 4096);

  void miss(std::string_view name);  // asked for and not held
  void insert(std::string_view name, Bytes size);
  void touch(std::string_view name);  // asked for and held
  void resize(std::string_view name, Bytes size);
  void erase(std::string_view name);
  [[nodiscard]] bool holds(std::string_view name) const { return nodes_.find(name) != nodes_.end(); }

  // Who should go next, of those that may; nullopt: nobody. Stays held until erase().
  [[nodiscard]] std::optional<std::string> victim(const std::function<bool(const std::string&)>& may_go);
  std::optional<std::string> victim();

  [[nodiscard]] Bytes size() const { return window_.size + probation_.size + protected_.size; }
  [[nodiscard]] size_t count() const { return nodes_.size(); }

 private:
  struct Region {
    std::list<std::string> names;  // newest first
    Bytes size;
  };
  struct Node {
    Region* region;
    std::list<std::string>::iterator place;
    Bytes size;
    uint64_t hash;
  };
  void move(Node& node, Region& to);
  void balance();

  Bytes window_most_, protected_most_;
  FrequencySketch sketch_;
  Region window_, probation_, protected_;
  struct NameHash {  // looks up without making a string
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
  };
  std::unordered_map<std::string, Node, NameHash, std::equal_to<>> nodes_;
};

}  // namespace skep::cache
