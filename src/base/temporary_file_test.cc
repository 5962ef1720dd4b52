#include "base/temporary_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace skep {
namespace {

namespace fs = std::filesystem;

class TemporaryFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("skep-temporary-{}", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator{}));
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  fs::path folder_;
};

TEST_F(TemporaryFileTest, AppearsUnderItsNameWhenItIsPublished) {
  auto file = TemporaryFile::create(at("model"));
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write("whole", 5, 0));
  EXPECT_FALSE(fs::exists(at("model")));
  ASSERT_TRUE((*file)->publish(false));
  EXPECT_EQ(read(at("model")), "whole");
  file->reset();
  EXPECT_EQ(files(), 1U);
}

TEST_F(TemporaryFileTest, LeavesNothingWhenItIsGivenUp) {
  {
    auto file = TemporaryFile::create(at("model"));
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write("half", 4, 0));
  }
  EXPECT_EQ(files(), 0U);
}

TEST_F(TemporaryFileTest, LeavesNothingUnderTheNameWhenTheProcessIsKilled) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto file = TemporaryFile::create(at("model"));
    if (!file || !(*file)->write("half", 4, 0)) ::_exit(1);
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(fs::exists(at("model")));
}

TEST_F(TemporaryFileTest, CanBeWrittenByNameMeanwhile) {
  auto file = TemporaryFile::create(at("model"));
  ASSERT_TRUE(file);
  std::ofstream((*file)->path()) << "by a library";
  ASSERT_TRUE((*file)->publish(false));
  EXPECT_EQ(read(at("model")), "by a library");
}

TEST_F(TemporaryFileTest, AnExistingFileIsAConflictUnlessItMayBeReplaced) {
  std::ofstream(at("model")) << "old";
  std::ifstream reader(at("model"));  // somebody serves it
  auto file = TemporaryFile::create(at("model"));
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write("new", 3, 0));
  const Status refused = (*file)->publish(false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_EQ(read(at("model")), "old");
  ASSERT_TRUE((*file)->publish(true));
  file->reset();
  EXPECT_EQ(read(at("model")), "new");
  std::string kept;
  reader >> kept;
  EXPECT_EQ(kept, "old");
  EXPECT_EQ(files(), 1U);
}

TEST_F(TemporaryFileTest, AFolderThatIsNotThereIsAnError) {
  const auto file = TemporaryFile::create(at("no/such/model"));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::io);
}

}  // namespace
}  // namespace skep
