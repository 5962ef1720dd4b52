#include "model/gpu_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace skep::model {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST(GpuMemoryTest, ReadsWhatTheKernelSaysOfAmdCards) {
  const fs::path root = fs::temp_directory_path() / fmt::format("skep-gpu-{}", getpid());
  const auto put = [&](int card, const char* name, int64_t bytes) {
    const fs::path folder = root / "sys/class/drm" / fmt::format("card{}", card) / "device";
    fs::create_directories(folder);
    std::ofstream(folder / name) << bytes << "\n";
  };
  put(0, "vendor", 1);  // another maker's: no such files
  put(1, "mem_info_vram_total", 8'000'000'000);
  put(1, "mem_info_vram_used", 500'000'000);
  put(3, "mem_info_vram_total", 4'000'000'000);
  const auto gpus = read_amd_memory(root.string());
  fs::remove_all(root);
  ASSERT_EQ(gpus.size(), 2U);
  EXPECT_EQ(gpus[0].name, "AMD card1");
  EXPECT_EQ(gpus[0].free, Bytes(7'500'000'000));
  EXPECT_EQ(gpus[1].free, Bytes(4'000'000'000));
  EXPECT_EQ(default_gpu_budget(gpus[1]), Bytes(3'600'000'000));
}

TEST(GpuMemoryTest, AsksTheNvidiaDriverWhereThereIsOne) {
  const auto gpus = read_nvidia_memory(SKEP_FAKE_NVML);
  ASSERT_TRUE(gpus) << gpus.error().text();
  ASSERT_EQ(gpus->size(), 2U);
  EXPECT_EQ(gpus->at(0).name, "Fake One");
  EXPECT_EQ(gpus->at(0).total, 8_GiB);
  EXPECT_EQ(gpus->at(0).free, 6_GiB);
  EXPECT_EQ(gpus->at(1).name, "Fake Two");
  EXPECT_TRUE(read_nvidia_memory(SKEP_FAKE_NVML)) << "a second time: it was shut down in order";
}

TEST(GpuMemoryTest, WithoutTheLibraryThereIsNoGpuAndABrokenDriverIsAnError) {
  const auto none = read_nvidia_memory("libskep-no-such-library.so.1");
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
  setenv("SKEP_FAKE_NVML", "broken", 1);
  const auto broken = read_nvidia_memory(SKEP_FAKE_NVML);
  unsetenv("SKEP_FAKE_NVML");
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().text(), AllOf(HasSubstr("Driver Not Loaded"), HasSubstr("memory.gpu_budget")));
  EXPECT_FALSE(read_nvidia_memory("libm.so.6")) << "a library without these functions";
}

}  // namespace
}  // namespace skep::model
