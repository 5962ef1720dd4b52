#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/llama_library.h"
#include "engine/test_model.h"

namespace skep::engine {
namespace {

using ::testing::StartsWith;

std::string forward_of(const std::string& wanted, int gpu_layers) {
  LoadOptions options;
  options.path = write_test_model();
  options.forward = wanted;
  options.gpu_layers = gpu_layers;
  options.measure_only = true;
  const auto ready = load_model(options, {});
  EXPECT_TRUE(ready) << ready.error().text();
  return ready ? ready->loaded.forward : "";
}

TEST(LoadModel, OurOwnForwardPassRunsAllThatNoGpuIsThereFor) {
  ASSERT_TRUE(start_llama());
  const std::string all_layers = forward_of("auto", -1);
  if (has_gpu()) {
    EXPECT_EQ(all_layers, "libllama: layers on a GPU");
  } else {
    EXPECT_EQ(all_layers, "native");
  }
  EXPECT_EQ(forward_of("auto", 0), "native");
  EXPECT_THAT(forward_of("llama", 0), StartsWith("libllama"));
}

}  // namespace
}  // namespace skep::engine
