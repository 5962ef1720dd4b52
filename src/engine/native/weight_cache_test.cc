#include "engine/native/weight_cache.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>

#include "kernel/lm/test_matrix.h"

namespace skep::engine::native {
namespace {

using kernel::lm::Format;

// Two matrices in a buffer that stands for a GGUF file, and a folder of its own.
class WeightCache : public testing::Test {
 protected:
  WeightCache() {
    std::mt19937 random(1);
    const auto add = [&](const char* name, Format format, int rows, int columns) {
      const auto data = kernel::lm::random_rows(format, rows, columns, random);
      matrices_.push_back({name, format, rows, columns, static_cast<int64_t>(file_.size())});
      file_.insert(file_.end(), data.begin(), data.end());
    };
    file_.resize(100, 1);  // the header
    add("a", Format::q4_0, 40, 64);
    add("b", Format::q6_k, 17, 256);
    std::filesystem::create_directories(folder_);
  }
  ~WeightCache() override { std::filesystem::remove_all(folder_); }

  ErrorCode open_code() {
    const auto opened = open_cache(path_, identify(file_, 100), matrices_);
    return opened ? ErrorCode::internal : opened.error().code;
  }
  // What verifying all of it ends with; nothing: it is sound.
  static std::optional<ErrorCode> verify(PackedTensors& tensors) {
    for (;;) {
      const auto more = tensors.verify_some();
      if (!more) return more.error().code;
      if (!*more) return std::nullopt;
    }
  }
  void flip(int64_t at) {
    std::fstream f(path_, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(at);
    const char byte = static_cast<char>(f.get() ^ 1);
    f.seekp(at);
    f.put(byte);
  }

  std::vector<uint8_t> file_;
  std::vector<MatrixInfo> matrices_;
  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / fmt::format("skep-weights-{}", getpid());
  std::string path_ = (folder_ / "sub" / "model.gguf.weights").string();
};

TEST_F(WeightCache, MapsWhatPackingInMemoryGives) {
  ASSERT_TRUE(write_cache(path_, identify(file_, 100), file_, matrices_));
  const auto mapped = open_cache(path_, identify(file_, 100), matrices_);
  ASSERT_TRUE(mapped) << mapped.error().text();
  const auto held = pack_tensors(file_, matrices_, {.threads = 3, .progress = {}});
  ASSERT_TRUE(held);
  for (size_t i = 0; i < matrices_.size(); ++i) {
    const auto a = (*mapped)->matrix(i), b = (*held)->matrix(i);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data) % 64, 0U);
    EXPECT_EQ(std::memcmp(a.data, b.data, static_cast<size_t>(b.bytes())), 0);
  }
  EXPECT_EQ(verify(**mapped), std::nullopt);
}

TEST_F(WeightCache, IsNotFoundBeforeItIsWritten) { EXPECT_EQ(open_code(), ErrorCode::not_found); }

TEST_F(WeightCache, IsRefusedForAnotherModel) {
  ASSERT_TRUE(write_cache(path_, identify(file_, 100), file_, matrices_));
  file_[50] ^= 1;  // in the header
  EXPECT_EQ(open_code(), ErrorCode::conflict);
  file_[50] ^= 1;
  file_[200] ^= 1;  // in what is sampled
  EXPECT_EQ(open_code(), ErrorCode::conflict);
  file_[200] ^= 1;
  EXPECT_EQ(open_code(), ErrorCode::internal);
  SourceIdentity later = identify(file_, 100);
  later.modified = 1;
  const auto stale = open_cache(path_, later, matrices_);
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().code, ErrorCode::conflict);
  matrices_[1].rows = 16;
  EXPECT_EQ(open_code(), ErrorCode::conflict);
}

TEST_F(WeightCache, IsRefusedWhenDamaged) {
  ASSERT_TRUE(write_cache(path_, identify(file_, 100), file_, matrices_));
  for (const int64_t at : {0, 20, 40, 60, 100}) {  // magic, sizes, counts, entries
    flip(at);
    EXPECT_EQ(open_code(), ErrorCode::corrupt) << at;
    flip(at);
  }
  std::filesystem::resize_file(path_, 5000);
  EXPECT_EQ(open_code(), ErrorCode::corrupt);
  std::filesystem::resize_file(path_, 3);
  EXPECT_EQ(open_code(), ErrorCode::corrupt);
}

TEST_F(WeightCache, AMatrixThatIsNotWhatWasWrittenIsFoundAndTheFileRemoved) {
  for (const int64_t at : {4096, 4096 + 1000}) {
    ASSERT_TRUE(write_cache(path_, identify(file_, 100), file_, matrices_));
    flip(at);
    const auto opened = open_cache(path_, identify(file_, 100), matrices_);
    ASSERT_TRUE(opened);
    EXPECT_EQ(verify(**opened), ErrorCode::corrupt);
    EXPECT_EQ(open_code(), ErrorCode::not_found);
  }
}

TEST_F(WeightCache, ADamagedFileThatWasReplacedMeanwhileStays) {
  ASSERT_TRUE(write_cache(path_, identify(file_, 100), file_, matrices_));
  flip(4096);
  const auto opened = open_cache(path_, identify(file_, 100), matrices_);
  ASSERT_TRUE(opened);
  ASSERT_TRUE(write_cache(path_, identify(file_, 100), file_, matrices_));
  EXPECT_EQ(verify(**opened), ErrorCode::corrupt);
  EXPECT_EQ(open_code(), ErrorCode::internal);
}

TEST_F(WeightCache, RemovesWhatLiesBesideItForNothing) {
  const auto ours = folder_ / ".skep";
  std::filesystem::create_directories(ours);
  const auto make = [](const std::filesystem::path& path) { std::ofstream(path) << "x"; };
  make(folder_ / "here.gguf");
  const auto gone = ours / "gone.gguf.weights", here = ours / "here.gguf.weights", note = ours / "note.txt";
  const auto crashed = ours / "a.gguf.weights.999999999.tmp";
  const auto writing = ours / fmt::format("b.gguf.weights.{}.tmp", getpid());
  for (const auto& path : {gone, here, note, crashed, writing}) make(path);
  ASSERT_TRUE(write_cache(cache_path_for((folder_ / "here.gguf").string()), identify(file_, 100), file_, matrices_));
  EXPECT_FALSE(std::filesystem::exists(gone));
  EXPECT_FALSE(std::filesystem::exists(crashed));
  for (const auto& path : {here, note, writing}) EXPECT_TRUE(std::filesystem::exists(path)) << path;
}

TEST_F(WeightCache, MakesRoomOnAFullDiskByTheLongestUnused) {
  const auto cache = [&](const char* name) { return (folder_ / name).string() + ".weights"; };
  const auto write = [&](const char* name, Bytes free) {
    Packing packing;
    packing.keep_free = 1_GiB;
    packing.disk_free = [free](const std::string&) { return free; };
    return write_cache(cache(name), identify(file_, 100), file_, matrices_, packing);
  };
  const auto there = [&](const char* name) { return std::filesystem::exists(cache(name)); };
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(write(name, 2_GiB));
  const auto now = std::filesystem::file_time_type::clock::now();
  for (const char* name : {"a", "b", "c"}) std::filesystem::last_write_time(cache(name), now - std::chrono::hours(1));
  ASSERT_TRUE(open_cache(cache("a"), identify(file_, 100), matrices_)) << "and so it was used last";
  EXPECT_FALSE(write("d", 1_MiB)) << "no use in removing them all";
  EXPECT_TRUE(there("a") && there("b") && there("c"));
  ASSERT_TRUE(write("d", 1_GiB));
  EXPECT_TRUE(there("a") && there("d"));
  EXPECT_NE(there("b"), there("c")) << "one of them was enough";
}

TEST_F(WeightCache, LeavesNothingBehindWhenItCannotBeWritten) {
  std::filesystem::create_directories(path_);  // a folder stands where the file should
  EXPECT_FALSE(write_cache(path_, identify(file_, 100), file_, matrices_));
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_))
    files += entry.is_regular_file() ? 1 : 0;
  EXPECT_EQ(files, 0);
}

TEST_F(WeightCache, IsReplacedWhole) {
  ASSERT_TRUE(write_cache(path_, identify(file_, 100), file_, matrices_));
  const auto old = open_cache(path_, identify(file_, 100), matrices_);
  ASSERT_TRUE(old);
  file_[150] ^= 1;
  ASSERT_TRUE(write_cache(path_, identify(file_, 100), file_, matrices_));
  EXPECT_EQ(open_code(), ErrorCode::internal);
  EXPECT_EQ((*old)->matrix(0).rows, 40);  // who has it mapped keeps the old one
}

}  // namespace
}  // namespace skep::engine::native
