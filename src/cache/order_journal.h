#pragma once
// Invalidations that a level's table has not carried out yet, kept in the state store through restarts: a server that
// was down hears of them from the next process, too, and until it has, that one looks nothing up there.
//
//   namespace "cache-orders"      name of the level, ':', number (16 hex digits) → 'i' or 'f' (forget), tag
//
// An order that was carried out and is not removed yet is carried out once more: that costs answers, never their truth.
//
// One thread. Calls wait for the store's disk. Failures: those of KeyValue.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/key_value.h"

namespace skep::cache {

class OrderJournal {
 public:
  struct Order {
    uint64_t number = 0;  // ascending
    std::string tag;
    bool forget = false;
  };

  // `name`: of the place that the orders are for; another server's are another name's. `values` outlives this.
  OrderJournal(store::KeyValue& values, std::string name) : values_(values), name_(std::move(name)) {}

  // What an earlier process left, in its order. One whose tag can't be read is for every tag. corrupt: one whose
  // number can't be.
  Result<std::vector<Order>> load();
  Status add(const Order& order);
  Status remove(uint64_t number);

 private:
  [[nodiscard]] std::string key(uint64_t number) const;

  store::KeyValue& values_;
  std::string name_;
};

}  // namespace skep::cache
