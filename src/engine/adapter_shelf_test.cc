#include "engine/adapter_shelf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/toy_forward.h"

namespace skep::engine {
namespace {

using ::testing::HasSubstr;

class AdapterShelfTest : public ::testing::Test {
 protected:
  AdapterShelfTest() : folder_(std::filesystem::temp_directory_path() / fmt::format("skep-adapters-{}", getpid())) {
    std::filesystem::create_directories(folder_);
    for (const char* name : {"a", "b", "c"}) {
      const std::string path = (folder_ / name).string();
      std::ofstream(path) << std::string(100, 'x');
      toy_.adapters.insert(path);
    }
    forward_ = std::make_unique<ToyForward>(toy_);
  }
  ~AdapterShelfTest() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string path(const char* name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_;
  ToyOptions toy_;
  std::unique_ptr<ToyForward> forward_;
};

TEST_F(AdapterShelfTest, IsLoadedOnceAndDroppedOnlyWhenAnotherNeedsItsPlace) {
  AdapterShelf shelf(*forward_, Bytes(250));
  {
    const auto first = shelf.take(path("a")).value();
    const auto second = shelf.take(path("a")).value();
    EXPECT_EQ(first.id(), second.id());
    EXPECT_FALSE(first.key().empty());
    EXPECT_EQ(shelf.bytes(), Bytes(100));
  }
  (void)shelf.take(path("b")).value();
  EXPECT_EQ(shelf.count(), 2);
  (void)shelf.take(path("a")).value();
  const auto third = shelf.take(path("c")).value();
  EXPECT_EQ(shelf.count(), 2);
  EXPECT_EQ(forward_->adapters().count(third.id()), 1U);
  EXPECT_EQ(forward_->adapters().begin()->second, path("a")) << "b was the longest unused";
}

TEST_F(AdapterShelfTest, WhatIsHeldStays) {
  AdapterShelf shelf(*forward_, Bytes(150));
  const auto held = shelf.take(path("a")).value();
  const auto refused = shelf.take(path("b"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::overloaded);
  EXPECT_THAT(refused.error().message, HasSubstr("50 B of 150 B"));
}

TEST_F(AdapterShelfTest, RefusesWhatCanNeverBe) {
  AdapterShelf shelf(*forward_, Bytes(50));
  EXPECT_EQ(shelf.take(path("a")).error().code, ErrorCode::out_of_memory);
  EXPECT_EQ(shelf.take(path("none")).error().code, ErrorCode::not_found);
  EXPECT_EQ(shelf.take("").value().id(), 0);
  EXPECT_EQ(shelf.take("").value().key(), "");
  AdapterShelf wide(*forward_, 1_MiB);
  std::ofstream(path("d")) << "no adapter";
  EXPECT_EQ(wide.take(path("d")).error().code, ErrorCode::corrupt);
  EXPECT_EQ(wide.bytes(), Bytes(0));
}

}  // namespace
}  // namespace skep::engine
