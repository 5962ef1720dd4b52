#include "engine/weight_pager.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace skep::engine {
namespace {

class WeightPagerTest : public testing::Test {
 protected:
  static constexpr size_t kSize = 32 << 20;

  void SetUp() override {
    path_ = (std::filesystem::temp_directory_path() / fmt::format("skep-pager-{}", ::getpid())).string();
    std::ofstream(path_, std::ios::binary) << std::string(kSize, 'w');
    const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    data_ = static_cast<volatile char*>(::mmap(nullptr, kSize, PROT_READ, MAP_SHARED, fd, 0));
    ::close(fd);
  }
  void TearDown() override {
    ::munmap(const_cast<char*>(data_), kSize);
    std::filesystem::remove(path_);
  }
  // As a token does: everything once, in order.
  int touch(size_t begin, size_t end) const {
    int sum = 0;
    for (size_t i = begin; i < end; i += 4096) sum += data_[i];
    return sum;
  }

  std::string path_;
  volatile char* data_ = nullptr;
};

TEST_F(WeightPagerTest, NothingIsReadBeforeItIsTouched) {
  touch(0, kSize);
  const auto pager = WeightPager::create({path_}, 8_MiB);
  ASSERT_TRUE(pager) << pager.error().text();
  EXPECT_EQ((*pager)->mapped(), Bytes(kSize));
  EXPECT_LT((*pager)->resident(), 1_MiB);
  EXPECT_FALSE((*pager)->trim());
}

TEST_F(WeightPagerTest, WhatPassesThroughIsGivenBackAndWhatIsKeptStays) {
  const auto pager = WeightPager::create({path_}, 8_MiB);
  ASSERT_TRUE(pager);
  EXPECT_GT((*pager)->kept(), 4_MiB);
  EXPECT_LT((*pager)->kept(), 8_MiB);
  for (int token = 0; token < 3; ++token) {
    for (size_t at = 0; at < kSize; at += 1 << 20) {
      touch(at, at + (1 << 20));
      (*pager)->trim();
      EXPECT_LE((*pager)->resident(), 8_MiB + 1_MiB);  // statm counts in batches of pages
    }
  }
  EXPECT_GE((*pager)->resident(), (*pager)->kept() - 1_MiB);
  EXPECT_EQ(touch(0, kSize), 'w' * static_cast<int>(kSize / 4096));  // the same bytes, read again
}

TEST_F(WeightPagerTest, AModelThatFitsIsLeftAlone) {
  const auto pager = WeightPager::create({path_}, 64_MiB);
  ASSERT_TRUE(pager);
  touch(0, kSize);
  EXPECT_FALSE((*pager)->trim());
  EXPECT_GE((*pager)->resident(), Bytes(kSize) - 1_MiB);
}

TEST_F(WeightPagerTest, WithoutAMappingThereIsNothingToDo) {
  const auto pager = WeightPager::create({"/no/such/file"}, 8_MiB);
  ASSERT_FALSE(pager);
  EXPECT_EQ(pager.error().code, ErrorCode::unavailable);
}

TEST_F(WeightPagerTest, ItsThreadEndsWithIt) {
  const auto pager = WeightPager::create({path_}, 8_MiB);
  ASSERT_TRUE(pager);
  (*pager)->run();
  touch(0, kSize);
}

}  // namespace
}  // namespace skep::engine
