#include "engine/parking_lot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "engine/parked_file.h"

namespace skep::engine {
namespace {

namespace fs = std::filesystem;

class ParkingLotTest : public ::testing::Test {
 protected:
  ParkingLotTest() { fs::remove_all(directory_); }
  ~ParkingLotTest() override { fs::remove_all(directory_); }
  ParkingOptions on_disk(Bytes memory = 1_MiB, Bytes disk = 1_MiB, std::string identity = "model a") const {
    return {memory, directory_, disk, std::move(identity)};
  }
  int files() const {
    int n = 0;
    for (const auto& item : fs::directory_iterator(directory_)) n += item.path().extension() == ".kv" ? 1 : 0;
    return n;
  }
  // Of the file of cells that are all `what`.
  void set_age_of(char what, std::chrono::hours age) const {
    for (const auto& item : fs::directory_iterator(directory_)) {
      std::ifstream file(item.path(), std::ios::binary);
      const std::string all{std::istreambuf_iterator<char>(file), {}};
      if (all.ends_with(std::string(40, what))) fs::last_write_time(item, fs::file_time_type::clock::now() - age);
    }
  }
  // The letters of what earlier workers left and is there still.
  std::string contents(ParkingLot& lot) {
    if (left_.empty()) left_ = lot.survivors();
    std::string letters;
    for (const auto& one : left_) {
      if (lot.holds(one.ticket)) letters += static_cast<char>('a' + one.prefix[0] - 100);
    }
    std::sort(letters.begin(), letters.end());
    return letters;
  }
  std::vector<ParkingLot::Survivor> left_;
  const std::vector<Token> prefix_ = {1, 2, 3, 4, 5};
  SystemClock clock_;
  fs::path directory_ = fs::temp_directory_path() / fmt::format("skep-parking-{}", getpid());
};

TEST_F(ParkingLotTest, WhatIsPutComesBack) {
  ParkingLot lot({1_MiB, {}, {}, "m"}, clock_);
  const auto ticket = lot.put("scope", prefix_, 2, "the cells");
  ASSERT_NE(ticket, 0U);
  EXPECT_EQ(*lot.get(ticket).value(), "the cells");
  EXPECT_EQ(lot.memory_used(), Bytes(9));
  lot.erase(ticket);
  EXPECT_FALSE(lot.holds(ticket));
  EXPECT_FALSE(lot.get(ticket));
  EXPECT_EQ(lot.memory_used(), Bytes(0));
}

TEST_F(ParkingLotTest, MemoryIsBoundedAndTheLongestUnusedGoes) {
  ParkingLot lot({Bytes(100), {}, {}, "m"}, clock_);
  const auto a = lot.put("", prefix_, 0, std::string(40, 'a'));
  const auto b = lot.put("", prefix_, 1, std::string(40, 'b'));
  EXPECT_TRUE(lot.get(a));
  const auto c = lot.put("", prefix_, 2, std::string(40, 'c'));
  EXPECT_TRUE(lot.holds(a));
  EXPECT_FALSE(lot.holds(b));
  EXPECT_TRUE(lot.holds(c));
  EXPECT_EQ(lot.put("", prefix_, 3, std::string(101, 'd')), 0U);
}

TEST_F(ParkingLotTest, WhatLeavesMemoryIsReadFromDisk) {
  ParkingLot lot(on_disk(Bytes(100)), clock_);
  const auto a = lot.put("", prefix_, 0, std::string(60, 'a'));
  lot.sync();
  const auto b = lot.put("", prefix_, 1, std::string(60, 'b'));
  lot.sync();
  EXPECT_EQ(lot.memory_used(), Bytes(60));
  EXPECT_EQ(*lot.get(a).value(), std::string(60, 'a'));
  EXPECT_EQ(*lot.get(b).value(), std::string(60, 'b'));
}

TEST_F(ParkingLotTest, DiskIsBoundedToo) {
  ParkingLot lot(on_disk(1_MiB, Bytes(100)), clock_);
  for (int i = 0; i < 4; ++i) {
    lot.put("", prefix_, i, std::string(40, 'x'));
    lot.sync();
  }
  EXPECT_LE(lot.disk_used(), Bytes(100));
  EXPECT_EQ(files(), 2);
  EXPECT_EQ(lot.entries(), 4) << "the others are in memory still";
}

TEST_F(ParkingLotTest, TheNextWorkerFindsWhatTheLastOneLeft) {
  {
    ParkingLot lot(on_disk(), clock_);
    lot.put("scope", prefix_, 3, "second part");
    lot.put("scope", std::span(prefix_).first(3), 0, "first part");
  }
  ParkingLot lot(on_disk(), clock_);
  const auto left = lot.survivors();
  ASSERT_EQ(left.size(), 2U);
  EXPECT_EQ(left[0].begin, 0);
  EXPECT_EQ(left[0].scope.own, "scope");
  EXPECT_EQ(left[0].prefix, (std::vector<Token>{1, 2, 3}));
  EXPECT_EQ(*lot.get(left[0].ticket).value(), "first part");
  EXPECT_EQ(*lot.get(left[1].ticket).value(), "second part");
  ParkingLot other(on_disk(1_MiB, 1_MiB, "model b"), clock_);
  EXPECT_TRUE(other.survivors().empty()) << "another model's cells are nothing to us";
}

TEST_F(ParkingLotTest, AFileSaysWhoseItIsAlsoToTheNextWorker) {
  {
    ParkingLot lot(on_disk(), clock_);
    Scope scope("scope");
    scope.owner = "ann";
    lot.put(scope, prefix_, 3, "cells");
  }
  int seen = 0;
  for (const auto& item : fs::directory_iterator(directory_)) {
    std::ifstream file(item.path(), std::ios::binary);
    const auto header = read_parked_header(file);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->owner, "ann");
    EXPECT_EQ(header->scope, "scope");
    EXPECT_EQ(header->begin, 3);
    EXPECT_EQ(header->bytes, 5U);
    EXPECT_EQ(item.path().filename(), parked_file_name(*header));
    ++seen;
  }
  EXPECT_EQ(seen, 1);
  ParkingLot lot(on_disk(), clock_);
  const auto left = lot.survivors();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].scope.owner, "ann");
}

TEST_F(ParkingLotTest, TheNextWorkerDropsTheLongestUnusedFirst) {
  constexpr int kEntries = 8;
  {
    ParkingLot lot(on_disk(), clock_);
    std::vector<Parking::Ticket> tickets;
    for (int i = 0; i < kEntries; ++i) {
      const Token first = 100 + i;
      tickets.push_back(lot.put("", std::span(&first, 1), 0, std::string(40, static_cast<char>('a' + i))));
    }
    lot.sync();
    auto age = std::chrono::hours(kEntries);
    for (int i = 0; i < kEntries; ++i) set_age_of(static_cast<char>('a' + i), age--);
    EXPECT_TRUE(lot.get(tickets[1]));  // b is the one that was used last
  }
  ParkingLot lot(on_disk(1_MiB, Bytes(3 * 40)), clock_);
  EXPECT_EQ(contents(lot), "bgh") << "no more fit";
  lot.put("", prefix_, 0, std::string(40, 'x'));
  lot.sync();
  EXPECT_EQ(files(), 3);
  EXPECT_EQ(contents(lot), "bh");
}

TEST_F(ParkingLotTest, DamageIsNoticedAndTheEntryForgotten) {
  {
    ParkingLot lot(on_disk(), clock_);
    lot.put("", prefix_, 0, std::string(1000, 'x'));
  }
  const fs::path file = fs::directory_iterator(directory_)->path();
  const auto size = static_cast<int>(fs::file_size(file));
  std::string whole(static_cast<size_t>(size), '\0');
  std::ifstream(file, std::ios::binary).read(whole.data(), size);
  for (const int at : {0, 9, 30, 60, size - 500, size - 1}) {
    std::string damaged = whole;
    damaged[static_cast<size_t>(at)] ^= 0x20;
    std::ofstream(file, std::ios::binary) << damaged;
    ParkingLot lot(on_disk(), clock_);
    for (const auto& left : lot.survivors()) {
      EXPECT_FALSE(lot.get(left.ticket)) << "byte " << at;
      EXPECT_FALSE(lot.holds(left.ticket));
    }
    std::ofstream(file, std::ios::binary) << whole;
  }
  std::ofstream(file, std::ios::binary) << whole.substr(0, whole.size() / 2);  // a torn write
  ParkingLot lot(on_disk(), clock_);
  for (const auto& left : lot.survivors()) EXPECT_FALSE(lot.get(left.ticket));
}

TEST_F(ParkingLotTest, TheSameCellsParkedAgainReplaceTheFile) {
  ParkingLot lot(on_disk(), clock_);
  const auto old = lot.put("", prefix_, 0, "one");
  lot.sync();
  const auto fresh = lot.put("", prefix_, 0, "two");
  lot.sync();
  EXPECT_FALSE(lot.holds(old));
  EXPECT_EQ(*lot.get(fresh).value(), "two");
  EXPECT_EQ(files(), 1);
  EXPECT_EQ(lot.disk_used(), Bytes(3));
}

TEST_F(ParkingLotTest, AFolderThatCannotBeMadeLeavesMemoryAlone) {
  ParkingOptions options = on_disk();
  options.directory = "/proc/no/such/place";
  ParkingLot lot(options, clock_);
  EXPECT_TRUE(lot.get(lot.put("", prefix_, 0, "x")));
  EXPECT_TRUE(lot.survivors().empty());
}

TEST_F(ParkingLotTest, RestoringPaysOnlyWhereItIsFasterThanEvaluating) {
  ParkingLot lot({64_MiB, {}, {}, "m"}, clock_);
  const auto ticket = lot.put("", prefix_, 0, std::string(1U << 20U, 'x'));  // 5 tokens
  EXPECT_TRUE(lot.pays(ticket)) << "nothing measured yet";
  lot.set_recompute_cost(1e-3);
  EXPECT_TRUE(lot.pays(ticket));
  lot.set_recompute_cost(1e-9);
  EXPECT_FALSE(lot.pays(ticket));
  EXPECT_FALSE(lot.pays(777));
}

TEST_F(ParkingLotTest, WhatRestoringCostsIsMeasured) {
  ParkingLot lot({64_MiB, {}, {}, "m"}, clock_);
  const auto ticket = lot.put("", prefix_, 0, std::string(1U << 20U, 'x'));
  lot.set_recompute_cost(1e-3);  // 5 ms for all 5 tokens
  for (int i = 0; i < 20; ++i) lot.restored(1 << 20, std::chrono::milliseconds(10));
  EXPECT_FALSE(lot.pays(ticket));
  for (int i = 0; i < 20; ++i) lot.restored(1 << 20, std::chrono::milliseconds(1));
  EXPECT_TRUE(lot.pays(ticket));
}

}  // namespace
}  // namespace skep::engine
