#include "model/memory_budget.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace skep::model {
namespace {

class MemoryBudget : public ::testing::Test {
 protected:
  MemoryBudget() {
    root_ = std::filesystem::path(::testing::TempDir()) / fmt::format("skep_budget_{}", ::getpid());
    write("proc/meminfo", "MemTotal:       8388608 kB\nMemFree:   100 kB\nMemAvailable:    4194304 kB\n");
  }
  ~MemoryBudget() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  MachineMemory read() { return read_machine_memory(root_.string()).value(); }
  std::filesystem::path root_;
};

TEST_F(MemoryBudget, IsWhatIsAvailableLessATenth) {
  write("proc/self/cgroup", "0::/\n");
  MachineMemory memory = read();
  EXPECT_EQ(memory.total, 8_GiB);
  EXPECT_EQ(memory.available, 4_GiB);
  EXPECT_FALSE(memory.group_limit);
  EXPECT_EQ(default_budget(memory), 4_GiB - Bytes((4_GiB).count / 10));
}

TEST_F(MemoryBudget, TakesTheTightestLimitOfTheCgroupsAboveUs) {
  write("proc/self/cgroup", "0::/user/skep\n");
  write("sys/fs/cgroup/user/skep/memory.max", "max\n");
  write("sys/fs/cgroup/user/memory.max", "2147483648\n");
  write("sys/fs/cgroup/user/memory.current", "1073741824\n");
  write("sys/fs/cgroup/user/memory.stat", "anon 5\ninactive_file 536870912\n");
  MachineMemory memory = read();
  ASSERT_TRUE(memory.group_limit);
  EXPECT_EQ(*memory.group_limit, 2_GiB);
  EXPECT_EQ(memory.group_used, 512_MiB) << "page cache that gives way is not used";
  EXPECT_EQ(default_budget(memory), 1536_MiB - Bytes((1536_MiB).count / 10));
}

TEST_F(MemoryBudget, ReadsTheOlderCgroups) {
  write("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/box\n0::/\n");
  write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1073741824\n");
  write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "0\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(read().group_limit, 1_GiB);
}

TEST_F(MemoryBudget, FindsTheContainersOwnLimitAtTheMount) {
  write("proc/self/cgroup", "0::/docker/not-visible-in-here\n");
  write("sys/fs/cgroup/memory.max", "1073741824\n");
  write("sys/fs/cgroup/memory.current", "2147483648\n");
  MachineMemory memory = read();
  EXPECT_EQ(memory.group_limit, 1_GiB);
  EXPECT_EQ(default_budget(memory), 0_B) << "over the limit already: nothing is left, not less than nothing";
}

TEST_F(MemoryBudget, SaysWhatToDoWhereNothingCanBeRead) {
  write("proc/meminfo", "garbage");
  auto memory = read_machine_memory(root_.string());
  ASSERT_FALSE(memory);
  EXPECT_FALSE(memory.error().hint.empty());
}

TEST_F(MemoryBudget, AJetsonIsKnownByItsChip) {
  EXPECT_FALSE(memory_is_unified(root_.string()));
  write("proc/device-tree/compatible", std::string("raspberrypi,5\0brcm,bcm2712\0", 28));
  EXPECT_FALSE(memory_is_unified(root_.string()));
  write("proc/device-tree/compatible", std::string("nvidia,p3767-0000\0nvidia,tegra234\0", 34));
  EXPECT_TRUE(memory_is_unified(root_.string()));
}

TEST(MachineMemoryTest, ThisMachineHasSome) {
  auto memory = read_machine_memory();
  ASSERT_TRUE(memory) << memory.error().text();
  EXPECT_GT(default_budget(*memory), 1_MiB);
}

}  // namespace
}  // namespace skep::model
