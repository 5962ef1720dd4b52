#include "mind/belief/slot_map.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"

namespace skep::belief {
namespace {

TEST(SlotMap, AlwaysHandsOutTheLowestFreeSlot) {
  for (uint32_t capacity : {1u, 63u, 64u, 65u, 4096u, 4097u, 300'000u}) {
    SlotMap map(capacity);
    std::set<uint32_t> free;
    for (uint32_t i = 0; i < capacity; ++i) free.insert(free.end(), i);
    Random random(capacity);
    for (int i = 0; i < 20'000; ++i) {
      if (random.below(3) != 0) {
        const auto slot = map.take();
        ASSERT_EQ(slot.has_value(), !free.empty());
        if (!slot) continue;
        ASSERT_EQ(*slot, *free.begin());
        free.erase(free.begin());
      } else {
        const uint32_t slot = random.below(capacity);
        if (free.count(slot) != 0) continue;
        map.release(slot);
        free.insert(slot);
      }
      ASSERT_EQ(map.size(), capacity - free.size());
    }
  }
}

}  // namespace
}  // namespace skep::belief
