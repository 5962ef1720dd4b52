#include "engine/native/header.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "engine/native/architecture.h"
#include "engine/native/native_forward.h"
#include "engine/synth/synth.h"

namespace skep::engine::native {
namespace {

// A small valid file as bytes, and a place to put variants of it.
class HostileFile : public testing::Test {
 protected:
  HostileFile() {
    synth::SynthOptions options;
    options.shape = *synth::find_shape("tiny");
    options.type = synth::WeightType::q4_0;
    options.path = path_;
    options.threads = 1;
    options.overwrite = true;
    if (!synth::synthesize(options)) ADD_FAILURE();
    std::ifstream file(path_, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }
  ~HostileFile() override { std::filesystem::remove(path_); }

  // What becomes of `bytes` as a model: loaded, or refused with a code.
  std::optional<ErrorCode> load(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    NativeOptions options;
    options.path = path_;
    options.threads = 1;
    options.cells = options.context_tokens = 64;
    options.batch_tokens = 16;
    const auto made = NativeForward::create(options);
    if (!made) return made.error().code;
    return std::nullopt;
  }
  template <typename T>
  std::string with(size_t at, T value) const {
    std::string changed = bytes_;
    std::memcpy(changed.data() + at, &value, sizeof value);
    return changed;
  }
  // Where a tensor's entry stands behind its name: dimensions (u32), extents (u64 each), type (u32), offset (u64).
  size_t entry_of(const std::string& tensor) const { return bytes_.find(tensor) + tensor.size(); }

  std::string path_ = (std::filesystem::temp_directory_path() / fmt::format("skep-hostile-{}.gguf", getpid())).string();
  std::string bytes_;
};

TEST_F(HostileFile, IsLoadedAsLongAsItIsHonest) { EXPECT_EQ(load(bytes_), std::nullopt); }

TEST_F(HostileFile, IsRefusedWhenItEndsAnywhereTooSoon) {
  for (const double share : {0.0, 0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99}) {
    const auto size = static_cast<size_t>(share * static_cast<double>(bytes_.size()));
    EXPECT_EQ(load(bytes_.substr(0, size)), ErrorCode::corrupt) << size;
  }
  EXPECT_EQ(load(bytes_.substr(0, bytes_.size() - 64)), ErrorCode::corrupt);
}

TEST_F(HostileFile, IsRefusedWithAbsurdCounts) {
  for (const uint64_t count : {uint64_t{1} << 32, uint64_t{1} << 62, ~uint64_t{0}}) {
    EXPECT_EQ(load(with(8, count)), ErrorCode::corrupt) << "tensors";
    EXPECT_EQ(load(with(16, count)), ErrorCode::corrupt) << "keys";
    EXPECT_EQ(load(with(24, count)), ErrorCode::corrupt) << "the first key's length";
  }
}

TEST_F(HostileFile, IsRefusedWithTensorsThatReachOutOfTheFile) {
  const size_t entry = entry_of("blk.0.ffn_down.weight");
  for (const uint64_t extent : {uint64_t{1} << 31, uint64_t{1} << 40, uint64_t{1} << 62, ~uint64_t{0}, uint64_t{0}}) {
    EXPECT_EQ(load(with(entry + 4, extent)), ErrorCode::corrupt) << extent;
    EXPECT_EQ(load(with(entry + 12, extent)), ErrorCode::corrupt) << extent;
  }
  for (const uint64_t offset : {uint64_t{1} << 40, uint64_t{1} << 63, ~uint64_t{31}}) {
    EXPECT_EQ(load(with(entry + 24, offset)), ErrorCode::corrupt) << offset;
  }
  EXPECT_NE(load(with(entry, uint32_t{9})), std::nullopt) << "dimensions";
  EXPECT_NE(load(with(entry + 20, uint32_t{9999})), std::nullopt) << "type";
}

// Any four bytes of the header may be anything: an answer comes, and no crash (sanitizers look on).
TEST_F(HostileFile, IsAnsweredWhateverItsHeaderSays) {
  std::mt19937 random(3);
  const size_t header = bytes_.find("token_embd.weight") + 2000;
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    const size_t at = random() % std::min(header, bytes_.size() - 4);
    refused += load(with(at, static_cast<uint32_t>(random()))).has_value() ? 1 : 0;
  }
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace skep::engine::native
