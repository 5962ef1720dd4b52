#pragma once
// What the tests of this folder share: a scratch folder, small models, texts.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/synth/synth.h"

namespace skep::model_tools {

class ToolTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "skep_tools_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }

  // A model of random weights; its path. `shape` as in `skep model synth --shapes`.
  std::string make_model(const std::string& name, const std::string& shape = "tiny",
                         synth::WeightType type = synth::WeightType::f16, int layers = 0, uint64_t seed = 1) {
    synth::SynthOptions options;
    options.shape = *synth::find_shape(shape);
    if (layers > 0) options.shape.layers = layers;
    options.type = type;
    options.path = at(name);
    options.seed = seed;
    const Status made = synth::synthesize(options);
    EXPECT_TRUE(made) << made.error().text();
    return options.path;
  }

  static void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // Sentences of few words, always the same.
  static std::string sample_text(size_t words, uint64_t seed = 3) {
    static const std::vector<std::string> known = {"the",  "pump",  "sensor", "reads", "a",    "value",
                                                   "over", "limit", "and",    "valve", "is",   "open",
                                                   "log",  "line",  "error",  "at",    "night"};
    Random random(seed);
    std::string text;
    for (size_t i = 0; i < words; ++i) {
      text += known[random.below(static_cast<uint32_t>(known.size()))];
      text += i % 9 == 8 ? ".\n" : " ";
    }
    return text;
  }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  std::filesystem::path folder_;
};

}  // namespace skep::model_tools
