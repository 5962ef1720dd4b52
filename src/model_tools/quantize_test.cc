#include "model_tools/quantize.h"

#include <ggml.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <map>

#include "model/gguf.h"
#include "model_tools/llama_session.h"
#include "model_tools/quantize_error.h"
#include "model_tools/testing.h"

namespace skep::model_tools {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;

class QuantizeTest : public ToolTest {
 protected:
  QuantizeOptions options(const std::string& type) {
    QuantizeOptions o;
    o.input = input_;
    o.output = at("out.gguf");
    o.type = type;
    o.threads = 1;
    return o;
  }
  void SetUp() override {
    ToolTest::SetUp();
    input_ = make_model("in.gguf", "tiny-wide");
  }
  std::string input_;
};

TEST_F(QuantizeTest, TheDryRunKnowsTheSizeToTheByte) {
  for (const char* type : {"Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_S", "Q2_K"}) {
    QuantizeOptions o = options(type);
    o.overwrite = true;
    const auto plan = plan_quantize(o, {});
    ASSERT_TRUE(plan) << plan.error().text();
    const auto done = quantize(o, {});
    ASSERT_TRUE(done) << done.error().text();
    EXPECT_EQ(plan->after, done->after) << type;
    EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(o.output)), plan->after.count) << type;
    const auto file = model::read_gguf(o.output);
    ASSERT_TRUE(file);
    ASSERT_EQ(file->tensors.size(), plan->tensors.size());
    std::map<std::string, uint32_t> types;  // libllama writes tensors in an order of its own
    for (const auto& tensor : file->tensors) types[tensor.name] = tensor.type;
    for (const TensorPlan& tensor : plan->tensors) EXPECT_EQ(types[tensor.name], tensor.to) << tensor.name;
  }
}

TEST_F(QuantizeTest, WritesTheSameWeightsAsLlamaQuantize) {
  const std::string tool = std::string(SKEP_LLAMA_TOOLS) + "/llama-quantize";
  if (!std::filesystem::exists(tool)) GTEST_SKIP() << "no llama-quantize";
  ASSERT_TRUE(quantize(options("Q4_K_M"), {}));
  const std::string peer = at("peer.gguf");
  ASSERT_EQ(std::system(fmt::format("{} {} {} Q4_K_M 1 >/dev/null 2>&1", tool, input_, peer).c_str()), 0);
  const auto ours = GgufInput::open(at("out.gguf")), theirs = GgufInput::open(peer);
  ASSERT_TRUE(ours && theirs);
  ASSERT_EQ((*ours)->file().tensors.size(), (*theirs)->file().tensors.size());
  for (const auto& tensor : (*theirs)->file().tensors) {
    const auto* mine = (*ours)->find(tensor.name);
    ASSERT_NE(mine, nullptr);
    ASSERT_EQ(mine->bytes, tensor.bytes);
    std::string a(static_cast<size_t>(tensor.bytes), 0), b = a;
    ASSERT_TRUE((*ours)->read(*mine, 0, a.data(), a.size()));
    ASSERT_TRUE((*theirs)->read(tensor, 0, b.data(), b.size()));
    EXPECT_EQ(a, b) << tensor.name;
  }
}

TEST_F(QuantizeTest, ATargetSizeIsReachedFromBelowAndNotWasted) {
  const Bytes whole = plan_quantize(options("Q8_0"), {})->after;
  for (const double share : {0.45, 0.6, 0.8}) {
    QuantizeOptions o = options("Q4_K_M");
    o.overwrite = true;
    o.target_size = Bytes(static_cast<int64_t>(static_cast<double>(whole.count) * share));
    const auto done = quantize(o, {});
    ASSERT_TRUE(done) << done.error().text();
    EXPECT_LE(done->after, *o.target_size);
    EXPECT_GT(static_cast<double>(done->after.count), 0.9 * static_cast<double>(o.target_size->count)) << share;
    EXPECT_GT(done->error, 0);
    EXPECT_TRUE(LlamaSession::open(o.output, {.context_tokens = 32}));
  }
}

TEST_F(QuantizeTest, AMixLosesNoMoreThanOneTypeForAllInAsManyBytes) {
  const auto input = GgufInput::open(input_);
  ASSERT_TRUE(input);
  const auto mean_error = [&](const QuantizePlan& plan) {
    double sum = 0;
    int matrices = 0;
    for (const TensorPlan& t : plan.tensors) {
      if (t.from == t.to) continue;
      const auto choices = measure_choices(**input, *(*input)->find(t.name), nullptr);
      for (const TypeChoice& choice : *choices) {
        if (choice.type == t.to) sum += choice.error, ++matrices;
      }
    }
    return sum / matrices;
  };
  QuantizeOptions mixed = options("Q4_K_M");
  const auto uniform = plan_quantize(mixed, {});
  mixed.target_size = uniform->after;
  const auto mix = plan_quantize(mixed, {});
  ASSERT_TRUE(mix) << mix.error().text();
  EXPECT_LE(mix->after, uniform->after);
  EXPECT_LE(mean_error(*mix), mean_error(*uniform));
}

TEST_F(QuantizeTest, ATargetOutOfReachNamesTheSmallestThatCanBeHad) {
  QuantizeOptions o = options("Q4_K_M");
  o.target_size = 100_KiB;
  const auto plan = plan_quantize(o, {});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(plan.error().message, HasSubstr("smallest"));
}

TEST_F(QuantizeTest, ImportanceMakesTheWeightsThatMatterMoreExact) {
  const auto importance = measure_importance(input_, sample_text(2000), {.context_tokens = 128, .threads = 1}, {});
  ASSERT_TRUE(importance) << importance.error().text();
  ASSERT_TRUE(importance->contains("blk.0.attn_q.weight"));
  ASSERT_TRUE(importance->contains("output.weight") || importance->contains("token_embd.weight"));
  EXPECT_EQ(importance->at("blk.0.ffn_down.weight").size(),
            static_cast<size_t>((*GgufInput::open(input_))->find("blk.0.ffn_down.weight")->extent[0]));
  EXPECT_THAT(importance->at("blk.1.ffn_up.weight"), Each(Gt(0.0F)));

  // The error that counts, Σ E[x²](w − ŵ)², of the file with and without.
  const auto input = GgufInput::open(input_);
  const auto loss = [&](const std::string& path) {
    const auto file = GgufInput::open(path);
    double sum = 0;
    for (const auto& [name, columns] : *importance) {
      const auto *a = (*input)->find(name), *b = (*file)->find(name);
      std::vector<float> x(static_cast<size_t>(a->elements())), y(x.size());
      EXPECT_TRUE((*input)->read_rows(*a, 0, a->elements() / a->extent[0], x.data()));
      EXPECT_TRUE((*file)->read_rows(*b, 0, a->elements() / a->extent[0], y.data()));
      for (size_t i = 0; i < x.size(); ++i) sum += columns[i % columns.size()] * (x[i] - y[i]) * (x[i] - y[i]);
    }
    return sum;
  };
  QuantizeOptions o = options("Q3_K_S");
  ASSERT_TRUE(quantize(o, {}));
  const double without = loss(o.output);
  o.importance = &*importance;
  o.output = at("with.gguf");
  const auto plan = quantize(o, {});
  ASSERT_TRUE(plan) << plan.error().text();
  EXPECT_TRUE(plan->importance);
  EXPECT_LT(loss(o.output), without);
}

TEST_F(QuantizeTest, AnExistingFileStaysUnlessForced) {
  write(at("out.gguf"), "mine");
  const auto refused = quantize(options("Q8_0"), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_EQ(read(at("out.gguf")), "mine");
}

TEST_F(QuantizeTest, StoppingHalfwayLeavesNoFile) {
  int calls = 0;
  const auto stopped = quantize(options("Q4_K_M"), [&](const Progress&) { return ++calls < 5; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
  EXPECT_THAT(files(), ElementsAre("in.gguf"));
}

TEST_F(QuantizeTest, WhatIsQuantizedAlreadyIsRefusedUnlessTheLossIsAccepted) {
  QuantizeOptions first = options("Q8_0");
  ASSERT_TRUE(quantize(first, {}));
  QuantizeOptions second = options("Q4_0");
  second.input = first.output;
  second.output = at("twice.gguf");
  const auto refused = quantize(second, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument) << refused.error().text();
  EXPECT_THAT(refused.error().hint, HasSubstr("--requantize"));
  second.requantize = true;
  EXPECT_TRUE(quantize(second, {}));
}

TEST_F(QuantizeTest, UnknownTypesAndBrokenFilesAreRefused) {
  EXPECT_EQ(quantize(options("Q9_9"), {}).error().code, ErrorCode::invalid_argument);
  QuantizeOptions o = options("Q8_0");
  o.input = at("broken.gguf");
  write(o.input, "GGUF, but not really");
  EXPECT_EQ(quantize(o, {}).error().code, ErrorCode::corrupt);
  o.input = at("missing.gguf");
  EXPECT_EQ(quantize(o, {}).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace skep::model_tools
