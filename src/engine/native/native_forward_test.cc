#include "engine/native/native_forward.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "engine/native/oracle.h"
#include "engine/synth/synth.h"

namespace skep::engine::native {
namespace {

// "wide-qwen3": tiny-wide as a qwen3, since K types need rows of 256.
synth::Shape shape_of(const std::string& name) {
  const bool wide = name.starts_with("wide-");
  synth::Shape shape = *synth::find_shape(wide ? "tiny-wide" : name);
  if (name == "wide-qwen2") shape.architecture = synth::Architecture::qwen2;
  if (name == "wide-qwen3") shape.architecture = synth::Architecture::qwen3;
  return shape;
}

// A GGUF file with random weights, made once per process.
std::string model(const std::string& shape, synth::WeightType type) {
  const auto path = std::filesystem::temp_directory_path() /
                    fmt::format("skep-native-{}-{}-{}.gguf", getpid(), shape, synth::to_string(type));
  if (!std::filesystem::exists(path)) {
    synth::SynthOptions options;
    options.shape = shape_of(shape);
    options.type = type;
    options.path = path.string();
    options.threads = 1;
    const Status made = synth::synthesize(options);
    if (!made) ADD_FAILURE() << made.error().text();
  }
  return path.string();
}

std::vector<Token> random_tokens(int count, uint32_t seed, int vocabulary = 1000) {
  std::mt19937 random(seed);
  std::vector<Token> tokens;
  for (int i = 0; i < count; ++i)
    tokens.push_back(static_cast<Token>(300 + random() % static_cast<unsigned>(vocabulary - 300)));
  return tokens;
}

std::unique_ptr<NativeForward> forward(const std::string& path, NativeOptions options = {}) {
  options.path = path;
  if (options.threads == 0) options.threads = 1;
  options.cells = 4096;
  options.sequences = 70;
  options.context_tokens = 512;
  options.batch_tokens = 1024;
  auto made = NativeForward::create(options);
  if (!made) ADD_FAILURE() << made.error().text();
  return made ? std::move(*made) : nullptr;
}

std::vector<float> row(const Forward& f, int i) { return {f.logits(i).begin(), f.logits(i).end()}; }

// The logits after the last token, the prompt cut into steps of at most `chunk`.
std::vector<float> last_logits(Forward& f, SequenceId id, std::span<const Token> tokens, int chunk = 512,
                               int from = 0) {
  for (int at = from; at < static_cast<int>(tokens.size()); at += chunk) {
    const auto part = tokens.subspan(
        static_cast<size_t>(at), std::min<size_t>(static_cast<size_t>(chunk), tokens.size() - static_cast<size_t>(at)));
    const bool last = at + chunk >= static_cast<int>(tokens.size());
    const Slice slice{id, at, part, last ? 1 : 0};
    const Status done = f.step({&slice, 1});
    EXPECT_TRUE(done) << done.error().text();
    if (!done) return {};
  }
  return row(f, 0);
}

struct Case {
  const char* shape;
  synth::WeightType type;
};

// How far two correct programs may be apart, as a share of the logits' size. With float weights both round keys and
// values, and with 16-bit ones libllama rounds activations as well. With quantized weights an activation is rounded to
// 1/127 of the largest in its block, which is some 2.3 deviations: an error of 2.3 / 127 / sqrt(12) = 0.5 % of a
// product's operand and so of its result, independent in the two programs (theirs has scales in f16, and blocks of 256
// for the K types). A logit has four products per layer and one at the end behind it: sqrt(2 · 9) · 0.5 % = 2.2 % with
// two layers. Twice that, since what is added to the residual stream is not all of the same size.
double tolerance(synth::WeightType type) {
  switch (type) {
    case synth::WeightType::f32:
      return 0.004;
    case synth::WeightType::f16:
    case synth::WeightType::bf16:
      return 0.02;
    default:
      return 0.045;
  }
}

TEST(NativeForward, AgreesWithLibllama) {
  using enum synth::WeightType;
  const Case cases[] = {
      {"tiny", f32},          {"tiny", f16},          {"tiny", bf16},         {"tiny", q8_0},
      {"tiny", q4_0},         {"tiny", q4_k_m},       {"tiny", q5_k_m},       {"tiny-qwen2", f32},
      {"tiny-qwen2", q8_0},   {"tiny-qwen3", f32},    {"tiny-qwen3", q4_0},   {"tiny-wide", f32},
      {"tiny-wide", q4_0},    {"tiny-wide", q4_k_m},  {"tiny-wide", q5_k_m},  {"tiny-wide", q6_k},
      {"wide-qwen2", f16},    {"wide-qwen2", bf16},   {"wide-qwen2", q4_0},   {"wide-qwen2", q4_k_m},
      {"wide-qwen2", q5_k_m}, {"wide-qwen2", q6_k},   {"wide-qwen3", f16},    {"wide-qwen3", bf16},
      {"wide-qwen3", q8_0},   {"wide-qwen3", q4_k_m}, {"wide-qwen3", q5_k_m}, {"wide-qwen3", q6_k},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(fmt::format("{} {}", c.shape, synth::to_string(c.type)));
    const std::string path = model(c.shape, c.type);
    Oracle oracle(path);
    ASSERT_TRUE(oracle.loaded());
    const auto f = forward(path);
    ASSERT_NE(f, nullptr);
    const std::vector<Token> tokens = random_tokens(50, 7);
    const auto theirs = oracle.logits(tokens);
    ASSERT_EQ(theirs.size(), tokens.size());
    const Slice slice{0, 0, tokens, 50};
    const Status done = f->step({&slice, 1});
    ASSERT_TRUE(done) << done.error().text();
    for (int i = 0; i < 50; ++i) {
      EXPECT_LT(relative_error(f->logits(i), theirs[static_cast<size_t>(i)]), tolerance(c.type)) << "token " << i;
    }
  }
}

// One model for the tests of equality: mixed types, biases or not does not matter to them.
std::string wide() { return model("tiny-wide", synth::WeightType::q4_k_m); }

TEST(NativeForward, WhatMustBeMappedIsNeverPackedIntoMemory) {
  NativeOptions options;
  options.path = model("tiny-wide", synth::WeightType::q8_0);
  options.cache_path = "/dev/null/no/folder.weights";
  EXPECT_TRUE(NativeForward::create(options));
  options.must_map = true;
  const auto made = NativeForward::create(options);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::unavailable);
  EXPECT_NE(made.error().hint.find("writable"), std::string::npos);
}

TEST(NativeForward, GivesTheSameBitsHoweverAPromptIsCutIntoSteps) {
  const std::vector<Token> tokens = random_tokens(77, 1);
  std::vector<float> whole;
  for (const int chunk : {512, 1, 2, 3, 5, 16, 17, 33, 64}) {
    const auto f = forward(wide());
    const std::vector<float> logits = last_logits(*f, 0, tokens, chunk);
    if (whole.empty()) whole = logits;
    EXPECT_EQ(logits, whole) << "in steps of " << chunk;
  }
}

TEST(NativeForward, GivesTheSameBitsOnAnyNumberOfThreadsAndAnyInstructionSet) {
  const std::vector<Token> tokens = random_tokens(40, 2);
  const std::vector<float> alone = last_logits(*forward(wide()), 0, tokens);
  for (const int threads : {2, 3, 7}) {
    EXPECT_EQ(last_logits(*forward(wide(), {.threads = threads}), 0, tokens), alone) << threads << " threads";
  }
  for (const kernel::lm::Kernels* kernels : kernel::lm::available_kernels()) {
    EXPECT_EQ(last_logits(*forward(wide(), {.kernels = kernels}), 0, tokens), alone) << kernels->name;
  }
}

TEST(NativeForward, GivesTheSameBitsInABatchOfAnySize) {
  constexpr int kMost = 33;
  std::vector<std::vector<Token>> prompts;
  std::vector<std::vector<float>> alone;
  for (int i = 0; i < kMost; ++i) prompts.push_back(random_tokens(3 + 5 * (i % 7), static_cast<uint32_t>(100 + i)));
  const auto single = forward(wide());
  for (int i = 0; i < kMost; ++i) {
    alone.push_back(last_logits(*single, 0, prompts[static_cast<size_t>(i)]));
    single->drop(0, 0, Forward::kEnd);
  }
  for (const int size : {2, 3, 5, 8, 16, kMost}) {
    const auto f = forward(wide(), {.threads = 2});
    std::vector<Slice> prefill, decode;  // all but the last token of each, then the last ones together
    for (int i = 0; i < size; ++i) {
      const std::span<const Token> tokens = prompts[static_cast<size_t>(i)];
      const int length = static_cast<int>(tokens.size());
      prefill.push_back({i, 0, tokens.first(tokens.size() - 1), 0});
      decode.push_back({i, length - 1, tokens.last(1), 1});
    }
    ASSERT_TRUE(f->step(prefill));
    ASSERT_TRUE(f->step(decode));
    for (int i = 0; i < size; ++i) EXPECT_EQ(row(*f, i), alone[static_cast<size_t>(i)]) << i << " of " << size;
  }
}

// A random mixture of all of it: up to 64 sequences that are at different places, in chunks of random lengths, on
// random numbers of threads; each ends with the bits that it has alone.
TEST(NativeForward, GivesTheSameBitsInAnyMixtureOfSequencesChunksAndThreads) {
  constexpr int kSequences = 64;
  std::vector<std::vector<Token>> prompts;
  std::vector<std::vector<float>> alone;
  const auto single = forward(wide());
  for (int i = 0; i < kSequences; ++i) {
    prompts.push_back(random_tokens(1 + 7 * i % 41, static_cast<uint32_t>(200 + i)));
    alone.push_back(last_logits(*single, 0, prompts.back()));
    single->drop(0, 0, Forward::kEnd);
  }
  std::mt19937 random(77);
  const auto below = [&](unsigned n) { return static_cast<int>(random() % n); };
  for (int trial = 0; trial < 12; ++trial) {
    const int size = trial == 0 ? kSequences : 1 + below(kSequences), threads = 1 + below(4), most = 1 + below(16);
    SCOPED_TRACE(fmt::format("trial {}: {} sequences, {} threads, chunks of up to {}", trial, size, threads, most));
    const auto f = forward(wide(), {.threads = threads});
    std::vector<size_t> at(static_cast<size_t>(size));
    for (int finished = 0; finished < size;) {
      std::vector<Slice> step;
      std::vector<int> ended;
      for (int i = 0; i < size; ++i) {
        const std::span<const Token> tokens = prompts[static_cast<size_t>(i)];
        size_t& position = at[static_cast<size_t>(i)];
        if (position == tokens.size() || below(3) == 0) continue;
        const size_t count =
            std::min(tokens.size() - position, static_cast<size_t>(1 + below(static_cast<unsigned>(most))));
        const bool last = position + count == tokens.size();
        step.push_back({i, static_cast<int>(position), tokens.subspan(position, count), last ? 1 : 0});
        if (last) ended.push_back(i);
        position += count;
      }
      f->set_threads(1 + below(static_cast<unsigned>(threads)));
      const Status done = f->step(step);
      ASSERT_TRUE(done) << done.error().text();
      for (size_t i = 0; i < ended.size(); ++i) {
        ASSERT_EQ(row(*f, static_cast<int>(i)), alone[static_cast<size_t>(ended[i])]) << "sequence " << ended[i];
      }
      finished += static_cast<int>(ended.size());
    }
  }
}

TEST(NativeForward, MixesPromptsAndSingleTokensInOneStep) {
  const std::vector<Token> a = random_tokens(30, 3), b = random_tokens(21, 4);
  const std::vector<float> a_alone = last_logits(*forward(wide()), 0, a), b_alone = last_logits(*forward(wide()), 0, b);
  const auto f = forward(wide());
  const Slice begin{5, 0, std::span(a).first(29), 0};
  ASSERT_TRUE(f->step({&begin, 1}));
  const Slice both[] = {{9, 0, b, 2}, {5, 29, std::span(a).last(1), 1}};
  ASSERT_TRUE(f->step(both));
  EXPECT_EQ(row(*f, 1), b_alone);
  EXPECT_EQ(row(*f, 2), a_alone);
}

TEST(NativeForward, GivesTheSameBitsOnASharedPrefix) {
  const std::vector<Token> tokens = random_tokens(61, 5);
  const std::vector<float> alone = last_logits(*forward(wide()), 0, tokens);
  for (const int cut : {16, 37, 48, 60}) {
    const auto f = forward(wide());
    last_logits(*f, 3, std::span(tokens).first(static_cast<size_t>(cut)));
    f->share(3, 7, 0, cut);
    EXPECT_EQ(last_logits(*f, 7, tokens, 512, cut), alone) << cut;
    // The one that was shared from goes its own way and is not disturbed by the other's tail.
    const std::vector<Token> other = random_tokens(9, 6);
    std::vector<Token> branch(tokens.begin(), tokens.begin() + cut);
    branch.insert(branch.end(), other.begin(), other.end());
    EXPECT_EQ(last_logits(*f, 3, branch, 512, cut), last_logits(*forward(wide()), 0, branch)) << cut;
  }
}

TEST(NativeForward, TakesAPrefixFromSeveralSources) {
  const std::vector<Token> tokens = random_tokens(61, 8);
  const auto f = forward(wide());
  const std::vector<float> alone = last_logits(*f, 0, tokens);
  f->share(0, 1, 0, 21);  // as the nodes of a prefix tree: each holds a part
  f->share(0, 2, 21, 43);
  f->drop(0, 0, Forward::kEnd);
  f->share(1, 4, 0, 21);
  f->share(2, 4, 21, 43);
  f->drop(1, 0, Forward::kEnd);
  f->drop(2, 0, Forward::kEnd);
  EXPECT_EQ(last_logits(*f, 4, tokens, 512, 43), alone);
}

TEST(NativeForward, GivesTheSameBitsAfterSavingAndLoading) {
  for (const auto type : {kernel::lm::KvType::f16, kernel::lm::KvType::bf16, kernel::lm::KvType::q8}) {
    const std::vector<Token> tokens = random_tokens(50, 9);
    const auto f = forward(wide(), {.kv_type = type});
    const std::vector<float> alone = last_logits(*f, 0, tokens);
    const auto saved = f->save(0, 0, 45);
    ASSERT_TRUE(saved);
    const auto again = forward(wide(), {.threads = 2, .kv_type = type});
    ASSERT_TRUE(again->load(11, 0, 45, *saved));
    EXPECT_EQ(last_logits(*again, 11, tokens, 512, 45), alone) << kernel::lm::to_string(type);
  }
}

TEST(NativeForward, RefusesSavedCellsOfAnotherModelOrLayoutAndDamagedOnes) {
  const std::vector<Token> tokens = random_tokens(20, 10);
  const auto f = forward(wide());
  last_logits(*f, 0, tokens);
  std::string saved = *f->save(0, 0, 20);
  const auto code = [](const Status& s) { return s ? ErrorCode::internal : s.error().code; };
  EXPECT_EQ(code(f->load(1, 0, 19, saved)), ErrorCode::corrupt);
  EXPECT_EQ(code(f->load(1, 1, 20, saved)), ErrorCode::corrupt);
  EXPECT_EQ(code(f->load(1, 0, 20, std::string_view(saved).substr(1))), ErrorCode::corrupt);
  EXPECT_EQ(code(forward(model("tiny-wide", synth::WeightType::q4_0))->load(1, 0, 20, saved)), ErrorCode::corrupt);
  EXPECT_EQ(code(forward(wide(), {.kv_type = kernel::lm::KvType::bf16})->load(1, 0, 20, saved)), ErrorCode::corrupt);
  saved[saved.size() / 2] ^= 1;
  EXPECT_EQ(code(f->load(1, 0, 20, saved)), ErrorCode::corrupt);
  saved[saved.size() / 2] ^= 1;
  EXPECT_TRUE(f->load(1, 0, 20, saved));
}

TEST(NativeForward, EndsACancelledStepWithTheCacheAsItWas) {
  const std::vector<Token> tokens = random_tokens(40, 11);
  const std::vector<float> alone = last_logits(*forward(wide()), 0, tokens);
  const auto f = forward(wide());
  last_logits(*f, 0, std::span(tokens).first(25));
  f->cancel();
  const Slice slice{0, 25, std::span(tokens).subspan(25), 1};
  const Status cancelled = f->step({&slice, 1});
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);
  EXPECT_EQ(last_logits(*f, 0, tokens, 512, 25), alone);
}

// The best kernels, but for an attention that cancels the step when it is first called, and counts.
struct Interrupted {
  static inline NativeForward* forward = nullptr;
  static inline int calls = 0;
  static inline kernel::lm::Kernels kernels = kernel::lm::best_kernels();
  static const kernel::lm::Kernels& table() {
    kernels.attention = [](const kernel::lm::AttentionArguments& a) {
      if (++calls == 1) forward->cancel();
      kernel::lm::best_kernels().attention(a);
    };
    return kernels;
  }
};

TEST(NativeForward, EndsAStepBetweenTwoLayersWhenItIsCancelledMeanwhile) {
  const std::vector<Token> tokens = random_tokens(40, 15);
  const auto f = forward(wide(), {.kernels = &Interrupted::table()});
  Interrupted::forward = f.get();
  Interrupted::calls = 1;  // not yet
  const std::vector<float> alone = last_logits(*f, 0, tokens);
  const int of_all_layers = std::exchange(Interrupted::calls, 0) - 1;
  f->drop(0, 0, Forward::kEnd);
  const Slice slice{0, 0, tokens, 1};
  const Status cancelled = f->step({&slice, 1});
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);
  EXPECT_LT(Interrupted::calls, of_all_layers) << "the layers behind were not evaluated";
  EXPECT_EQ(f->pages().pages_in_use(), 0);
  EXPECT_EQ(last_logits(*f, 0, tokens), alone);
}

TEST(NativeForward, RefusesStepsThatMakeNoSense) {
  const auto f = forward(wide());
  const std::vector<Token> tokens = random_tokens(4, 12);
  const std::vector<Token> unknown{1 << 20};
  const Slice gap{0, 1, tokens, 1}, twice[] = {{0, 0, tokens, 1}, {0, 4, tokens, 1}}, foreign{0, 0, unknown, 1};
  EXPECT_FALSE(f->step({&gap, 1}));
  EXPECT_FALSE(f->step(twice));
  EXPECT_FALSE(f->step({&foreign, 1}));
}

TEST(NativeForward, HoldsNoPagesForWhatWasDropped) {
  const auto f = forward(wide());
  const std::vector<Token> tokens = random_tokens(50, 13);
  last_logits(*f, 0, tokens);
  f->share(0, 1, 0, 50);
  EXPECT_EQ(f->pages().pages_in_use(), 4);
  f->drop(0, 0, Forward::kEnd);
  EXPECT_EQ(f->pages().pages_in_use(), 4);
  f->drop(1, 33, 50);
  EXPECT_EQ(f->pages().pages_in_use(), 3);
  f->drop(1, 0, 33);
  EXPECT_EQ(f->pages().pages_in_use(), 0);
}

TEST(NativeForward, CountsWholePagesAsTaken) {
  NativeOptions options;
  options.path = wide();
  options.threads = 1;
  options.cells = 160;
  options.sequences = 40;
  options.slots = 2;
  options.context_tokens = 160;
  auto made = NativeForward::create(options);
  ASSERT_TRUE(made);
  NativeForward& f = **made;
  EXPECT_EQ(f.free_cells(), 160);
  const std::vector<Token> tokens = random_tokens(160, 14);
  last_logits(f, 0, tokens);
  EXPECT_GT(f.free_cells(), 0) << "one sequence may take all cells, and its next step is not refused";
  f.drop(0, 0, Forward::kEnd);
  int sequences = 0;  // of one token each: far fewer fit than there are cells
  for (; f.free_cells() > 0; ++sequences) last_logits(f, sequences, std::span(tokens).first(1));
  EXPECT_LT(sequences, 20);
  const int64_t held = f.pages().bytes_touched().count;
  EXPECT_LE(held, f.memory().kv.count) << "what is in the ledger covers what is held";
}

TEST(NativeForward, NeedsTheMemoryThatWasMeasuredBefore) {
  for (const auto type : {synth::WeightType::q4_k_m, synth::WeightType::f16}) {
    NativeOptions options;
    options.path = model("tiny-wide", type);
    options.threads = 2;
    const auto before = measure(options);
    ASSERT_TRUE(before);
    EXPECT_EQ((*NativeForward::create(options))->memory(), *before);
  }
}

}  // namespace
}  // namespace skep::engine::native
