#include "engine/synth/adapter.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "engine/synth/synth.h"
#include "gguf.h"

namespace skep::synth {
namespace {

namespace fs = std::filesystem;

class Adapter : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "skep_adapter_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] std::string path(const char* name) const { return (folder_ / name).string(); }
  static std::string contents(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fs::path folder_;
};

struct Close {
  void operator()(gguf_context* c) const { gguf_free(c); }
};

TEST_F(Adapter, HoldsAPairForEveryMatrixOfEveryLayer) {
  const Shape& shape = *find_shape("tiny");
  const Status written = synthesize_adapter({.shape = shape, .path = path("a.gguf"), .rank = 4});
  ASSERT_TRUE(written) << written.error().text();
  const std::unique_ptr<gguf_context, Close> gguf(
      gguf_init_from_file(path("a.gguf").c_str(), {.no_alloc = true, .ctx = nullptr}));
  ASSERT_TRUE(gguf);
  EXPECT_STREQ(gguf_get_val_str(gguf.get(), gguf_find_key(gguf.get(), "general.type")), "adapter");
  EXPECT_STREQ(gguf_get_val_str(gguf.get(), gguf_find_key(gguf.get(), "adapter.type")), "lora");
  EXPECT_EQ(gguf_get_val_f32(gguf.get(), gguf_find_key(gguf.get(), "adapter.lora.alpha")), 16);
  EXPECT_EQ(gguf_get_n_tensors(gguf.get()), int64_t{shape.layers} * 7 * 2);
  EXPECT_GE(gguf_find_tensor(gguf.get(), "blk.0.attn_q.weight.lora_a"), 0);
  EXPECT_GE(gguf_find_tensor(gguf.get(), "blk.0.ffn_down.weight.lora_b"), 0);
}

TEST_F(Adapter, TheSameOptionsGiveTheSameBytes) {
  AdapterOptions options{.shape = *find_shape("tiny"), .path = path("a.gguf")};
  ASSERT_TRUE(synthesize_adapter(options));
  options.path = path("b.gguf");
  ASSERT_TRUE(synthesize_adapter(options));
  EXPECT_EQ(contents(path("a.gguf")), contents(path("b.gguf")));
  options.seed = 2;
  options.overwrite = true;
  ASSERT_TRUE(synthesize_adapter(options));
  EXPECT_NE(contents(path("a.gguf")), contents(path("b.gguf")));
}

TEST_F(Adapter, OnlyTheTargetsAreChanged) {
  ASSERT_TRUE(synthesize_adapter({.shape = *find_shape("tiny"), .path = path("q.gguf"), .targets = {"attn_q"}}));
  EXPECT_LT(fs::file_size(path("q.gguf")), 200'000U);
  const Status none = synthesize_adapter({.shape = *find_shape("tiny"), .path = path("n.gguf"), .targets = {"other"}});
  EXPECT_EQ(none.error().code, ErrorCode::invalid_argument);
}

TEST_F(Adapter, WhatIsWrongIsRefused) {
  AdapterFile file{.path = path("w.gguf"), .name = "w", .architecture = "llama", .rank = 1};
  EXPECT_EQ(write_adapter(file).error().code, ErrorCode::invalid_argument);
  file.tensors = {{"blk.0.attn_q.weight", 2, 3, {1, 2, 3}, {1}}};
  EXPECT_EQ(write_adapter(file).error().code, ErrorCode::invalid_argument) << "B has one value of two";
  file.tensors[0].b = {1, 2};
  EXPECT_TRUE(write_adapter(file));
  EXPECT_EQ(write_adapter(file).error().code, ErrorCode::conflict);
}

}  // namespace
}  // namespace skep::synth
