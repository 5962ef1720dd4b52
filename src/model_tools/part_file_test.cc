#include "model_tools/part_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace skep::model_tools {
namespace {

namespace fs = std::filesystem;

class PartFileTest : public testing::Test {
 protected:
  PartFileTest() { fs::create_directories(folder_); }
  ~PartFileTest() override { fs::remove_all(folder_); }

  static std::span<const uint8_t> bytes(const std::string& text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }
  static std::string contents(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  fs::path folder_ = fs::temp_directory_path() / fmt::format("skep-part-{}", ::getpid());
  std::string part_ = (folder_ / "model.gguf.part").string(), model_ = (folder_ / "model.gguf").string();
};

TEST_F(PartFileTest, WhatWasWrittenIsThereForTheNext) {
  ASSERT_TRUE((*PartFile::open(part_))->write(2, bytes("abc")));
  const auto next = PartFile::open(part_);
  ASSERT_TRUE(next) << next.error().text();
  std::array<uint8_t, 8> read{};
  EXPECT_EQ((*next)->read(2, read), 3U);  // the file ends there
  EXPECT_EQ(read[0], 'a');
}

TEST_F(PartFileTest, ItBecomesTheModelWithoutWhatStoodBehindIt) {
  std::ofstream(model_) << "old";
  const auto part = PartFile::open(part_);
  ASSERT_TRUE((*part)->write(0, bytes("new model, and more")));
  ASSERT_TRUE((*part)->become(model_, 9));
  EXPECT_EQ(contents(model_), "new model");
  EXPECT_FALSE(fs::exists(part_));
}

TEST_F(PartFileTest, TwoAreNeverAtWorkOnOne) {
  const auto first = PartFile::open(part_);
  ASSERT_TRUE(first);
  const auto second = PartFile::open(part_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
}

TEST_F(PartFileTest, WhoComesAtTheLastMomentDoesNotGetTheFinishedModel) {
  auto first = PartFile::open(part_);
  ASSERT_TRUE((*first)->write(0, bytes("new model")));
  const int late = ::open(part_.c_str(), O_RDWR | O_CLOEXEC);  // opened before the first was done, locked afterwards
  ASSERT_TRUE((*first)->become(model_, 9));
  first->reset();
  const auto second = PartFile::lock(late, part_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
  EXPECT_EQ(contents(model_), "new model");
}

TEST_F(PartFileTest, NorTheOldOneWhereAThirdHasBegunAnew) {
  auto first = PartFile::open(part_);
  const int late = ::open(part_.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_TRUE((*first)->become(model_, 0));
  first->reset();
  const auto third = PartFile::open(part_);
  ASSERT_TRUE(third);
  EXPECT_FALSE(PartFile::lock(late, part_));
}

TEST_F(PartFileTest, AFolderThatIsNotThereIsAnError) {
  EXPECT_EQ(PartFile::open((folder_ / "no" / "x.part").string()).error().code, ErrorCode::io);
}

}  // namespace
}  // namespace skep::model_tools
