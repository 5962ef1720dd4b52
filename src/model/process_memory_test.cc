#include "model/process_memory.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace skep::model {
namespace {

class FakeProc : public ::testing::Test {
 protected:
  FakeProc() { root_ = std::filesystem::path(::testing::TempDir()) / fmt::format("skep_proc_{}", ::getpid()); }
  ~FakeProc() override { std::filesystem::remove_all(root_); }
  void add(int process, int parent, int kibibytes, const std::string& name = "x") {
    auto folder = root_ / std::to_string(process);
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "stat") << process << " (" << name << ") S " << parent << " 1 1";
    std::ofstream(folder / "smaps_rollup")
        << "00-ff ---p 0 00:00 0 [rollup]\nRss:  9999 kB\nPss:      " << kibibytes << " kB\nPss_Dirty: 1 kB\n";
  }
  std::filesystem::path root_;
};

TEST_F(FakeProc, SumsATreeAndNothingElse) {
  add(10, 1, 100);
  add(11, 10, 20, "evil) S 99 (name");
  add(12, 11, 3);
  add(13, 1, 5000);
  EXPECT_EQ(process_memory(10, root_.string()).value(), 100_KiB);
  EXPECT_EQ(process_tree_memory(10, root_.string()).value(), 123_KiB);
}

TEST_F(FakeProc, LeavesOutWhatEndsWhileWeLook) {
  add(10, 1, 100);
  add(11, 10, 20);
  std::filesystem::remove(root_ / "11" / "smaps_rollup");
  EXPECT_EQ(process_tree_memory(10, root_.string()).value(), 100_KiB);
}

TEST_F(FakeProc, SaysThatAProcessIsGone) {
  std::filesystem::create_directories(root_);
  auto gone = process_tree_memory(77, root_.string());
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::not_found);
}

TEST(ProcessMemory, CountsPagesThatAChildTouches) {
  auto before = process_tree_memory(::getpid());
  ASSERT_TRUE(before) << before.error().text();
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  constexpr size_t kSize = 64U << 20;
  pid_t child = ::fork();
  if (child == 0) {
    void* pages = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < kSize; i += 4096) static_cast<volatile char*>(pages)[i] = 1;
    (void)!::write(pipe_ends[1], "x", 1);
    for (;;) ::pause();
  }
  char ready = 0;
  ASSERT_EQ(::read(pipe_ends[0], &ready, 1), 1);
  auto with_child = process_tree_memory(::getpid());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
  ASSERT_TRUE(with_child);
  EXPECT_GE(*with_child - *before, 64_MiB - 1_MiB);
}

}  // namespace
}  // namespace skep::model
