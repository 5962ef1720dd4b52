// LoRA adapters through the real libllama, made by our own writer.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "engine/generator.h"
#include "engine/llama_forward.h"
#include "engine/llama_vocabulary.h"
#include "engine/synth/adapter.h"
#include "engine/synth/synth.h"

namespace skep::engine {
namespace {

namespace fs = std::filesystem;

class LlamaAdapter : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("skep-lora-llama-{}", getpid());
    fs::create_directories(folder_);
    synth::SynthOptions base;
    base.shape = *synth::find_shape("tiny");
    base.type = synth::WeightType::f16;
    base.path = path("base.gguf");
    base.overwrite = true;
    ASSERT_TRUE(synth::synthesize(base));
    make("one.gguf", 0.5F, 1);
    make("two.gguf", 0.5F, 2);
    make("zero.gguf", 0, 3);
    LoadOptions options;
    options.path = base.path;
    options.context_tokens = 128;
    options.sequences = 4;
    options.threads = 1;
    auto model = LlamaModel::load(options, {});
    ASSERT_TRUE(model) << model.error().text();
    model_ = std::move(*model);
    forward_ = std::make_unique<LlamaForward>(*model_);
    vocabulary_ = LlamaVocabulary::make(*model_).value();
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string path(const char* name) const { return (folder_ / name).string(); }
  void make(const char* name, float strength, uint64_t seed) const {
    const Status made = synth::synthesize_adapter({.shape = *synth::find_shape("tiny"),
                                                   .path = path(name),
                                                   .rank = 4,
                                                   .strength = strength,
                                                   .seed = seed,
                                                   .overwrite = true});
    ASSERT_TRUE(made) << made.error().text();
  }
  std::vector<float> logits(AdapterId adapter, float scale) {
    const std::vector<Token> text = {10, 20, 30, 40, 50, 60};
    forward_->use_adapter(adapter, scale);
    const Slice slice{0, 0, text, 1};
    EXPECT_TRUE(forward_->step({&slice, 1}));
    const auto row = forward_->logits(0);
    std::vector<float> copy(row.begin(), row.end());
    forward_->drop(0, 0, Forward::kEnd);
    return copy;
  }
  static double distance(const std::vector<float>& a, const std::vector<float>& b) {
    double most = 0;
    for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(static_cast<double>(a[i]) - b[i]));
    return most;
  }

  fs::path folder_;
  std::unique_ptr<LlamaModel> model_;
  std::unique_ptr<LlamaForward> forward_;
  std::unique_ptr<LlamaVocabulary> vocabulary_;
};

TEST_F(LlamaAdapter, ChangesWhatIsComputedByItsScaleAndNothingOnceItIsPutAway) {
  const auto plain = logits(0, 1);
  const AdapterId one = forward_->load_adapter(path("one.gguf")).value();
  const AdapterId zero = forward_->load_adapter(path("zero.gguf")).value();
  const auto changed = logits(one, 1);
  EXPECT_GT(distance(plain, changed), 0.1);
  EXPECT_LT(distance(plain, logits(zero, 1)), 1e-3) << "B is zero";
  EXPECT_LT(distance(plain, logits(one, 0)), 1e-3);
  EXPECT_LT(distance(plain, logits(one, 0.01F)), distance(plain, changed) / 5);
  EXPECT_EQ(distance(plain, logits(0, 1)), 0);
  EXPECT_EQ(distance(changed, logits(one, 1)), 0);
  forward_->use_adapter(one, 1);
  forward_->drop_adapter(one);
  EXPECT_EQ(distance(plain, logits(0, 1)), 0);
}

TEST_F(LlamaAdapter, AFileThatIsNoAdapterOfThisModelIsRefused) {
  EXPECT_EQ(forward_->load_adapter(path("base.gguf")).error().code, ErrorCode::invalid_argument);
  EXPECT_FALSE(forward_->load_adapter(path("none.gguf")));
  const Status other = synth::synthesize_adapter(
      {.shape = *synth::find_shape("smollm-135m"), .path = path("other.gguf"), .rank = 2, .targets = {"attn_q"}});
  ASSERT_TRUE(other) << other.error().text();
  EXPECT_FALSE(forward_->load_adapter(path("other.gguf")));
}

TEST_F(LlamaAdapter, AgentsWithDifferentAdaptersAreAnsweredAsIfEachWereAlone) {
  SystemClock clock;
  std::map<RequestId, std::string> said;
  std::map<RequestId, std::optional<Error>> failed;
  Generator generator(*forward_, *vocabulary_, clock, {.slots = 4, .drafts = false, .adapter_memory = 64_MiB},
                      [&](RequestId id, Message m) {
                        if (auto* piece = std::get_if<Piece>(&m)) said[id] += piece->text;
                        if (auto* f = std::get_if<Failed>(&m)) failed[id] = f->error;
                      });
  const auto request_for = [&](RequestId id) {
    Generate request;
    request.messages = {{"system", "you are a test and nothing else"}, {"user", "what do you say?"}};
    request.max_tokens = 8;
    request.ignore_eos = true;
    if (id % 3 > 0) request.adapter = path(id % 3 == 1 ? "one.gguf" : "two.gguf");
    return request;
  };
  const auto run = [&] {
    while (generator.step()) {
    }
  };
  for (RequestId id = 0; id < 3; ++id) {
    generator.start(id, request_for(id));
    run();
    ASSERT_FALSE(failed[id]) << failed[id]->text();
  }
  EXPECT_NE(said[0], said[1]);
  EXPECT_NE(said[1], said[2]);
  for (RequestId id = 3; id < 9; ++id) generator.start(id, request_for(id));
  run();
  // Batches of another shape round differently, so only the beginnings are certain to agree.
  for (RequestId id = 3; id < 9; ++id) EXPECT_EQ(said[id].substr(0, 4), said[id % 3].substr(0, 4)) << id;
}

}  // namespace
}  // namespace skep::engine
