#include "engine/native/weights.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "engine/synth/synth.h"

namespace skep::engine::native {
namespace {

namespace fs = std::filesystem;

// How much of a mapped file is in this process's memory.
Bytes resident(const std::string& path) {
  std::ifstream maps("/proc/self/smaps");
  int64_t kib = 0;
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') < line.find(' ')) ours = line.ends_with(path);
    if (ours && line.starts_with("Rss:")) kib += std::atoll(line.c_str() + std::strlen("Rss:"));
  }
  return Bytes(kib * 1024);
}

// A model of some 40 MiB, of which no matrix is larger than 5.
class LoadedWeights : public testing::Test {
 protected:
  LoadedWeights() {
    fs::create_directories(folder_);
    synth::SynthOptions options;
    options.shape = *synth::find_shape("tiny-wide");
    options.shape.embedding = 1024;
    options.shape.feed_forward = 4096;
    options.shape.layers = 2;
    options.type = synth::WeightType::q8_0;
    options.path = path_;
    options.threads = 1;
    const Status made = synth::synthesize(options);
    EXPECT_TRUE(made) << made.error().text();
  }
  ~LoadedWeights() override { fs::remove_all(folder_); }

  WeightOptions options(const std::string& cache_path) const {
    WeightOptions options;
    options.path = path_;
    options.cache_path = cache_path;
    options.context_tokens = 128;
    return options;
  }
  Weights load(const std::string& cache_path) const {
    auto loaded = Weights::load(options(cache_path));
    EXPECT_TRUE(loaded) << loaded.error().text();
    return std::move(*loaded);
  }

  fs::path folder_ = fs::temp_directory_path() / fmt::format("skep-loaded-weights-{}", getpid());
  std::string path_ = (folder_ / "m.gguf").string();
  std::string cache_ = (folder_ / ".skep" / "m.gguf.weights").string();
};

TEST_F(LoadedWeights, TheModelFileIsNotHeldBesideItsPackedCopyWhileThatIsMade) {
  const Bytes file(static_cast<int64_t>(fs::file_size(path_)));
  for (const std::string& cache : {std::string(), cache_}) {
    Bytes most;
    int heard = 0;
    WeightOptions asked = options(cache);
    asked.packing.progress = [&](float) {
      ++heard;
      most = std::max(most, resident(path_));
      return true;
    };
    const auto loaded = Weights::load(asked);
    ASSERT_TRUE(loaded) << loaded.error().text();
    EXPECT_GT(heard, 10);
    EXPECT_LT(most.count, file.count / 8) << (cache.empty() ? "into memory" : "into a cache");
  }
}

bool equal(const kernel::lm::Matrix& a, const kernel::lm::Matrix& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.data, b.data, static_cast<size_t>(a.bytes())) == 0;
}

TEST_F(LoadedWeights, AFewWeightsThatWereChangedInPlaceAreNotTakenFromTheOldCache) {
  const uint64_t before = load(cache_).fingerprint();
  {
    const auto header = read_header(path_);
    ASSERT_TRUE(header);
    for (const TensorInfo& tensor : header->tensors) {
      if (tensor.name != "blk.1.ffn_down.weight") continue;
      std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
      // One block of codes; the samples that tell models apart are some 600 KiB from each other.
      file.seekp(tensor.offset + 1'000'000 / 34 * 34 + 2);
      file.write(std::string(32, 'x').data(), 32);
    }
  }
  const Weights fresh = load({}), cached = load(cache_);
  EXPECT_TRUE(equal(cached.layer(1).down, fresh.layer(1).down));
  EXPECT_NE(cached.fingerprint(), before) << "what was computed with the old weights is of no use";
}

TEST_F(LoadedWeights, WhatWasLoadedIsVerifiedToItsEnd) {
  const Weights made = load(cache_);
  Weights mapped = load(cache_);
  int calls = 1;
  for (auto more = mapped.verify_some(); more && *more; more = mapped.verify_some()) ++calls;
  EXPECT_GT(calls, 5);
  EXPECT_LT(calls, 20);
  Weights held = load({});
  EXPECT_FALSE(held.verify_some().value());
}

}  // namespace
}  // namespace skep::engine::native
