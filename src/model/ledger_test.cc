#include "model/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace skep::model {
namespace {

using ::testing::HasSubstr;

Reservation host(Bytes weights, Bytes kv = {}, Bytes compute = {}, Bytes overhead = {}) {
  return {.device = "host", .weights = weights, .kv = kv, .compute = compute, .overhead = overhead};
}

TEST(Ledger, BooksEveryPurposeAndGivesItBack) {
  Ledger ledger({{"host", 1_GiB}});
  ASSERT_TRUE(ledger.reserve("a", {host(300_MiB, 100_MiB, 50_MiB, 30_MiB)}));
  EXPECT_EQ(ledger.reserved(), 480_MiB);
  EXPECT_EQ(ledger.free(), 1_GiB - 480_MiB);
  EXPECT_EQ(ledger.reserved_by("a"), 480_MiB);
  ledger.release("a");
  EXPECT_EQ(ledger.free(), 1_GiB);
  EXPECT_TRUE(ledger.entries().empty());
}

TEST(Ledger, RefusesWithTheNumbersAndBooksNothing) {
  Ledger ledger({{"host", 1_GiB}, {"gpu0", 1_GiB}});
  ASSERT_TRUE(ledger.reserve("a", {host(700_MiB)}));
  Status refused = ledger.reserve("b", {{.device = "gpu0", .weights = 10_MiB}, host(400_MiB)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(refused.error().message, HasSubstr("b needs 76.0 MiB more on host: 700 MiB of 1.00 GiB"));
  EXPECT_EQ(ledger.reserved("gpu0"), 0_B) << "half a reservation stayed";
}

TEST(Ledger, RefusesADeviceWithoutABook) {
  Ledger ledger({{"host", 1_GiB}});
  Status refused = ledger.reserve("a", {{.device = "gpu0", .weights = 1_MiB}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
}

TEST(Ledger, BooksHostAndGpuTogetherWhereTheyShareMemory) {
  Ledger ledger({{"host", 1_GiB}}, true);
  ASSERT_TRUE(ledger.reserve("a", {host(300_MiB), {.device = "gpu0", .weights = 600_MiB}}));
  EXPECT_EQ(ledger.reserved("gpu0"), 900_MiB);
  EXPECT_FALSE(ledger.reserve("b", {{.device = "gpu0", .kv = 200_MiB}}));
}

TEST(Ledger, CorrectionMayExceedTheCapacityAndSaysSo) {
  Ledger ledger({{"host", 1_GiB}});
  ASSERT_TRUE(ledger.reserve("a", {host(900_MiB)}));
  EXPECT_EQ(ledger.over(), 0_B);
  ledger.correct("a", {host(1100_MiB)});
  EXPECT_EQ(ledger.over(), 76_MiB);
  ledger.correct("a", {host(800_MiB)});
  EXPECT_EQ(ledger.over(), 0_B);
  EXPECT_EQ(ledger.free(), 224_MiB);
}

TEST(Ledger, MeasuringMoreThanReservedRaisesTheReservation) {
  Ledger ledger({{"host", 1_GiB}});
  ASSERT_TRUE(ledger.reserve("a", {host(300_MiB, {}, {}, 20_MiB)}));
  ledger.record_measured("a", "host", 200_MiB);
  EXPECT_EQ(ledger.reserved(), 320_MiB) << "mapped weights that are not touched yet stay booked";
  ledger.record_measured("a", "host", 350_MiB);
  EXPECT_EQ(ledger.reserved(), 350_MiB);
  EXPECT_EQ(ledger.measured(), 350_MiB);
}

TEST(Ledger, ShortfallCountsThoseThatLeave) {
  Ledger ledger({{"host", 1_GiB}});
  ASSERT_TRUE(ledger.reserve("a", {host(500_MiB)}));
  ASSERT_TRUE(ledger.reserve("b", {host(400_MiB)}));
  auto now = ledger.shortfall({host(300_MiB)});
  ASSERT_EQ(now->size(), 1U);
  EXPECT_EQ(now->front().missing, 176_MiB);
  EXPECT_TRUE(ledger.shortfall({host(300_MiB)}, {"b"})->empty());
  EXPECT_FALSE(ledger.shortfall({host(800_MiB)}, {"b"})->empty());
}

TEST(Ledger, ReservationsForALoadedModelPutOverheadOnTheHost) {
  engine::Loaded loaded;
  loaded.memory = {{.device = "host", .weights = 10_MiB, .kv = 2_MiB, .compute = 1_MiB},
                   {.device = "gpu0", .weights = 90_MiB, .kv = 20_MiB, .compute = 5_MiB}};
  auto needs = reservations_for(loaded, 40_MiB);
  ASSERT_EQ(needs.size(), 2U);
  EXPECT_EQ(needs[0].total(), 53_MiB);
  EXPECT_EQ(needs[1].total(), 115_MiB);
  EXPECT_TRUE(reservations_for(engine::Loaded{}, 0_B).empty()) << "a remote engine costs nothing here";
}

// Whatever is asked in whatever order: what is reserved is the sum of what was granted, and never over the capacity.
TEST(Ledger, NeverPromisesMoreThanItHas) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Ledger ledger({{"host", 1000_B}, {"gpu0", 500_B}}, round % 3 == 0);
    std::map<std::string, std::vector<Reservation>> granted;
    for (int step = 0; step < 60; ++step) {
      std::string owner = "e" + std::to_string(random() % 8);
      if (granted.contains(owner)) {
        ledger.release(owner);
        granted.erase(owner);
        continue;
      }
      std::vector<Reservation> needs = {host(Bytes(random() % 400), Bytes(random() % 50)),
                                        {.device = "gpu0", .weights = Bytes(random() % 300)}};
      bool fits = ledger.shortfall(needs)->empty();
      ASSERT_EQ(ledger.reserve(owner, needs).has_value(), fits);
      if (fits) granted[owner] = needs;
      Bytes sum;
      for (const auto& [name, reserved] : granted) {
        for (const Reservation& each : reserved) sum += each.total();
      }
      Bytes booked;
      for (const auto& book : ledger.books()) {
        // In a unified memory the second book's device is booked on the first.
        if (round % 3 != 0 || book.device == "host") booked += ledger.reserved(book.device);
      }
      ASSERT_EQ(booked, sum);
      ASSERT_EQ(ledger.over(), 0_B);
    }
  }
}

}  // namespace
}  // namespace skep::model
