#include "model_tools/delta.h"

#include <ggml.h>
#include <gmock/gmock.h>

#include <cstring>

#include "model_tools/delta_coding.h"
#include "model_tools/delta_format.h"
#include "model_tools/gguf_writer.h"
#include "model_tools/testing.h"

namespace skep::model_tools {
namespace {

using ::testing::Contains;
using ::testing::Not;

std::string noise(size_t size, uint64_t seed) {
  Random random(seed);
  std::string bytes(size, 0);
  for (auto& byte : bytes) byte = static_cast<char>(random.next());
  return bytes;
}

class DeltaTest : public ToolTest {
 protected:
  DiffReport make_delta(const std::string& before, const std::string& after) {
    write(at("old"), before);
    write(at("new"), after);
    const auto made =
        diff({.old_path = at("old"), .new_path = at("new"), .output = at("delta"), .overwrite = true}, {});
    EXPECT_TRUE(made) << made.error().text();
    return made ? *made : DiffReport{};
  }
  Result<PatchReport> apply(const ProgressFn& progress = {}) {
    return patch({.old_path = at("old"), .delta_path = at("delta"), .output = at("out"), .overwrite = true}, progress);
  }
};

TEST_F(DeltaTest, TheNewFileComesBackWhateverChanged) {
  const std::string before = noise(3 << 20, 1);
  std::string inserted = before;
  inserted.insert(1'500'000, "something new");
  std::string moved = before.substr(1 << 20) + before.substr(0, 1 << 20);
  std::string edited = before;
  for (size_t i = 0; i < edited.size(); i += 100'000) edited[i] ^= 1;
  for (const std::string& after :
       {before, inserted, moved, edited, noise(2 << 20, 2), std::string(), std::string("tiny"), before + before}) {
    make_delta(before, after);
    const auto done = apply();
    ASSERT_TRUE(done) << done.error().text();
    EXPECT_TRUE(read(at("out")) == after);
  }
  make_delta("", before);
  ASSERT_TRUE(apply());
  EXPECT_TRUE(read(at("out")) == before);
}

TEST_F(DeltaTest, AnExistingDeltaIsRefusedBeforeAnyWork) {
  make_delta(noise(1 << 20, 1), noise(1 << 20, 2));
  const std::string made = read(at("delta"));
  const auto again = diff({.old_path = at("old"), .new_path = at("new"), .output = at("delta")}, [](const Progress&) {
    ADD_FAILURE() << "it began";
    return true;
  });
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
  EXPECT_TRUE(read(at("delta")) == made);
}

TEST_F(DeltaTest, WhatStayedIsNotWritten) {
  const std::string before = noise(8 << 20, 1);
  std::string after = before;
  after.insert(4'000'000, noise(5000, 2));
  const DiffReport report = make_delta(before, after);
  EXPECT_LT(report.delta.count, 600'000);
  EXPECT_GT(report.copied.count, 7 << 20);
  EXPECT_EQ((report.copied + report.differing + report.plain).count, static_cast<int64_t>(after.size()));
}

// Two models whose weights differ a little everywhere: no chunk is the same, and still little is new.
TEST_F(DeltaTest, AFineTunedModelCostsLessThanItsWeights) {
  for (const auto type : {synth::WeightType::f32, synth::WeightType::f16}) {
    const std::string base = make_model("base.gguf", "tiny-wide", type);
    const auto input = GgufInput::open(base);
    ASSERT_TRUE(input);
    std::vector<OutputTensor> tensors;
    Random random(5);
    for (const auto& t : (*input)->file().tensors) {
      OutputTensor out = copy_of(**input, t);
      out.rows = [&, columns = t.extent[0], kind = t.type](int64_t first, int64_t count, char* bytes) -> Status {
        std::vector<float> values(static_cast<size_t>(count * columns));
        SKEP_CHECK((*input)->read_rows(t, first, count, values.data()));
        for (float& v : values) v *= 1 + 1e-3F * static_cast<float>(random.normal());
        if (kind == GGML_TYPE_F32)
          std::memcpy(bytes, values.data(), values.size() * sizeof(float));
        else
          ggml_fp32_to_fp16_row(values.data(), reinterpret_cast<ggml_fp16_t*>(bytes), count * columns);
        return {};
      };
      tensors.push_back(std::move(out));
    }
    auto metadata = metadata_of(**input);
    ASSERT_TRUE(write_gguf(at("tuned.gguf"), metadata->get(), tensors, true, "", {}));
    const auto made =
        diff({.old_path = base, .new_path = at("tuned.gguf"), .output = at("delta"), .overwrite = true}, {});
    ASSERT_TRUE(made) << made.error().text();
    EXPECT_LT(static_cast<double>(made->delta.count),
              (type == synth::WeightType::f32 ? 0.65 : 0.45) * static_cast<double>(made->new_size.count));
    const auto done = patch({.old_path = base, .delta_path = at("delta"), .output = at("out"), .overwrite = true}, {});
    ASSERT_TRUE(done) << done.error().text();
    EXPECT_TRUE(read(at("out")) == read(at("tuned.gguf")));
    std::filesystem::remove(base);
  }
}

TEST_F(DeltaTest, ABrokenTransferGoesOnWhereItWas) {
  const std::string after = noise(6 << 20, 2);
  make_delta(noise(6 << 20, 1), after);
  const std::string delta = read(at("delta"));
  write(at("delta"), delta.substr(0, delta.size() / 2));
  const auto early = apply();
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, ErrorCode::unavailable);
  EXPECT_THAT(files(), Not(Contains("out")));
  write(at("delta"), delta);
  const auto done = apply();
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_GT(done->resumed.count, 2 << 20);
  EXPECT_TRUE(read(at("out")) == after);
  EXPECT_THAT(files(), Not(Contains("out.part")));
}

TEST_F(DeltaTest, APatchThatWasStoppedGoesOnEvenIfItsLastBytesAreTorn) {
  const std::string after = noise(6 << 20, 2);
  make_delta(noise(6 << 20, 1), after);
  int calls = 0;
  const auto stopped = apply([&](const Progress&) { return ++calls < 4; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
  std::string part = read(at("out.part"));
  ASSERT_GT(part.size(), 2U << 20);
  part.resize(part.size() - 777);
  part[(2 << 20) + 5] ^= 1;  // torn in the middle of what was done
  write(at("out.part"), part);
  const auto done = apply();
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_GT(done->resumed.count, 1 << 20);
  EXPECT_LE(done->resumed.count, 2 << 20);
  EXPECT_TRUE(read(at("out")) == after);
}

TEST_F(DeltaTest, AModelIsReplacedWhileItIsServed) {
  const std::string before = noise(1 << 20, 1), after = noise(1 << 20, 2);
  make_delta(before, after);
  std::ifstream served(at("old"), std::ios::binary);
  const auto done = patch({.old_path = at("old"), .delta_path = at("delta"), .output = at("old")}, {});
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_TRUE(read(at("old")) == after);
  std::stringstream kept;
  kept << served.rdbuf();
  EXPECT_TRUE(kept.str() == before);
}

TEST_F(DeltaTest, TheWrongOldFileIsRefusedAndNothingIsWritten) {
  make_delta(noise(1 << 20, 1), noise(1 << 20, 1) + "more");
  write(at("old"), noise(1 << 20, 9));
  const auto same_size = apply();
  ASSERT_FALSE(same_size);
  EXPECT_EQ(same_size.error().code, ErrorCode::corrupt);
  write(at("old"), "short");
  const auto other_size = apply();
  ASSERT_FALSE(other_size);
  EXPECT_EQ(other_size.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(files(), Not(Contains("out")));
}

// Every byte of a delta matters or is checked: no damage is applied silently.
TEST_F(DeltaTest, DamageIsNoticedWhereverItIs) {
  const std::string before = noise(300'000, 1);
  std::string after = before;
  for (size_t i = 0; i < after.size(); i += 50'000) after[i] ^= 1;
  after += noise(10'000, 4);
  make_delta(before, after);
  const std::string delta = read(at("delta"));
  Random random(11);
  for (int round = 0; round < 40; ++round) {
    std::string damaged = delta;
    damaged[random.below(static_cast<uint32_t>(damaged.size()))] ^= static_cast<char>(1 << random.below(8));
    write(at("delta"), damaged);
    std::filesystem::remove(at("out"));
    std::filesystem::remove(at("out.part"));
    const auto done = apply();
    if (done) {
      EXPECT_TRUE(read(at("out")) == after);  // a bit that nobody reads
    } else {
      EXPECT_FALSE(std::filesystem::exists(at("out")));
    }
  }
}

TEST_F(DeltaTest, AnExistingFileIsAConflict) {
  make_delta("old", "new");
  write(at("out"), "mine");
  const auto refused = patch({.old_path = at("old"), .delta_path = at("delta"), .output = at("out")}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  const auto again = diff({.old_path = at("old"), .new_path = at("new"), .output = at("delta")}, {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
}

TEST(DeltaCoding, EveryStrideAndPhaseComesBack) {
  Random random(3);
  for (const int stride : {1, 2, 4}) {
    for (int phase = 0; phase < stride; ++phase) {
      for (const size_t size : {0U, 1U, 2U, 3U, 5U, 64U, 1001U}) {
        std::vector<uint8_t> now(size), before(size), difference(size), back(size);
        for (size_t i = 0; i < size; ++i) {
          now[i] = static_cast<uint8_t>(random.next()), before[i] = static_cast<uint8_t>(random.next());
        }
        subtract(now, before, stride, phase, difference);
        add(difference, before, stride, phase, back);
        EXPECT_EQ(back, now) << stride << " " << phase << " " << size;
      }
    }
  }
}

TEST(DeltaCoding, NumbersThatAreNearLeaveZerosInTheUpperBytes) {
  const std::vector<uint8_t> before = {0x00, 0x3c, 0xff, 0x3b}, now = {0x02, 0x3c, 0x00, 0x3c};
  std::vector<uint8_t> difference(4);
  subtract(now, before, 2, 0, difference);
  EXPECT_EQ(difference, (std::vector<uint8_t>{0, 0, 4, 2}));  // +2 and +1, folded, upper bytes first
}

}  // namespace
}  // namespace skep::model_tools
