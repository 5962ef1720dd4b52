#include "base/folder_lock.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

namespace skep {
namespace {

class FolderLockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "skep-lock-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    parent_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(parent_); }
  std::string parent_;
};

TEST_F(FolderLockTest, KeepsASecondOneOutUntilItGoes) {
  const std::string folder = parent_ + "/made/for/it";
  std::optional<FolderLock> first;
  {
    auto taken = FolderLock::take(folder);
    ASSERT_TRUE(taken) << taken.error().message;
    first.emplace(std::move(*taken));
  }
  auto second = FolderLock::take(folder);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
  EXPECT_NE(second.error().message.find(folder), std::string::npos);
  EXPECT_FALSE(second.error().hint.empty());

  first.reset();
  EXPECT_TRUE(FolderLock::take(folder));
}

TEST_F(FolderLockTest, NamesAFolderThatCannotBe) {
  const std::string file = parent_ + "/file";
  std::ofstream(file) << "no folder";
  auto lock = FolderLock::take(file + "/below");
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code, ErrorCode::io);
  EXPECT_NE(lock.error().message.find(file), std::string::npos);
}

}  // namespace
}  // namespace skep
