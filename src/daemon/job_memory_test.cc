#include "daemon/job_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "engine/synth/synth.h"

namespace skep::daemon {
namespace {

namespace fs = std::filesystem;

class JobMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "skep_job_memory_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string model(synth::WeightType type) {
    const std::string path = (folder_ / fmt::format("{}.gguf", synth::to_string(type))).string();
    const synth::Shape shape = *synth::find_shape("tiny-wide");
    parameters_ = synth::size_of(shape, type).parameters;
    EXPECT_TRUE(synth::synthesize({.shape = shape, .type = type, .path = path, .overwrite = true}));
    return path;
  }
  static Bytes of(std::string_view tool, const JobParameters& parameters) {
    const auto bytes = job_memory(tool, parameters);
    EXPECT_TRUE(bytes) << bytes.error().text();
    return bytes.value_or(Bytes(0));
  }

  fs::path folder_;
  int64_t parameters_ = 0;
};

TEST_F(JobMemory, TrainingIsBookedByItsWeightsHoweverTheyAreStored) {
  const Bytes f32 = of("train", {{"model", model(synth::WeightType::f32)}});
  EXPECT_GE(f32, Bytes(16 * parameters_));
  EXPECT_EQ(of("train", {{"model", model(synth::WeightType::q4_0)}}), f32);
  EXPECT_EQ(of("train", {{"shape", "tiny-wide"}}), f32);
}

TEST_F(JobMemory, AShapeIsBookedAsTheModelThatItWillBe) {
  EXPECT_GT(of("train", {{"shape", "smollm-360m"}}), 5800_MiB);
  EXPECT_FALSE(job_memory("train", {{"shape", "none"}}));
}

TEST_F(JobMemory, ContextsAreBookedAsFarAsTheModelHasThem) {
  const std::string path = model(synth::WeightType::q4_0);
  const synth::Shape shape = *synth::find_shape("tiny-wide");
  const auto eval = [&](const char* slots, const char* context) {
    return of("eval", {{"model", path}, {"slots", slots}, {"task-context", context}});
  };
  const int64_t cell = 4LL * shape.layers * shape.kv_heads * shape.head_width();
  EXPECT_EQ(eval("8", "64") - eval("4", "64"), Bytes(4 * 64 * cell));
  EXPECT_EQ(eval("8", "1000000"), eval("8", std::to_string(shape.context).c_str()));
}

TEST_F(JobMemory, AFileThatIsNoModelIsBookedByItsSize) {
  const std::string path = (folder_ / "x").string();
  std::FILE* file = std::fopen(path.c_str(), "we");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(::ftruncate(::fileno(file), 100 << 20), 0);
  std::fclose(file);
  EXPECT_GE(of("train", {{"model", path}}), 1600_MiB);
  EXPECT_LT(of("patch", {{"old", path}}), 512_MiB);
}

}  // namespace
}  // namespace skep::daemon
