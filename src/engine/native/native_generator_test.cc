// The generator with its cache and its parking on our own forward pass, whose results are the same bits whatever else
// is in a step: so answers and log probabilities have to be equal, and not merely close.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/random.h"
#include "engine/generator.h"
#include "engine/native/native_forward.h"
#include "engine/parking_lot.h"
#include "engine/synth/synth.h"
#include "engine/toy_vocabulary.h"

namespace skep::engine::native {
namespace {

namespace fs = std::filesystem;

// The toy's, with tokens for what a model has beyond it.
class Words final : public Vocabulary {
 public:
  static constexpr int kSize = 512;
  [[nodiscard]] int size() const override { return kSize; }
  [[nodiscard]] Result<std::vector<Token>> tokenize(std::string_view text, bool special, bool parse) const override {
    return toy_.tokenize(text, special, parse);
  }
  [[nodiscard]] std::string piece(Token token) const override {
    return token < ToyVocabulary::kSize ? toy_.piece(token) : fmt::format("<{}>", token);
  }
  [[nodiscard]] bool ends_generation(Token token) const override { return toy_.ends_generation(token); }
  [[nodiscard]] bool is_control(Token token) const override {
    return token < ToyVocabulary::kSize && toy_.is_control(token);
  }
  [[nodiscard]] std::span<const Token> end_tokens() const override { return toy_.end_tokens(); }
  [[nodiscard]] Result<std::string> render(std::span<const ChatMessage> messages) const override {
    return toy_.render(messages);
  }
  [[nodiscard]] Result<std::unique_ptr<Grammar>> grammar(std::string_view gbnf) const override {
    return toy_.grammar(gbnf);
  }

 private:
  ToyVocabulary toy_;
};

struct Answer {
  std::vector<Token> ids;
  std::vector<float> logprobs;
  int cached = 0;
  bool over = false;
  friend bool operator==(const Answer& a, const Answer& b) { return a.ids == b.ids && a.logprobs == b.logprobs; }
  friend void PrintTo(const Answer& a, std::ostream* out) {
    *out << fmt::format("{} tokens: {}", a.ids.size(), fmt::join(a.ids, " "));
  }
};

struct Engine {
  Engine(const NativeOptions& options, GeneratorOptions settings)
      : forward(NativeForward::create(options).value()),
        generator(*forward, vocabulary, clock, settings, [this](RequestId id, const Message& m) { hear(id, m); }) {}

  void hear(RequestId id, const Message& message) {
    Answer& answer = answers[id];
    EXPECT_FALSE(answer.over) << "something after the end of request " << id;
    if (const auto* piece = std::get_if<Piece>(&message)) {
      answer.ids.insert(answer.ids.end(), piece->ids.begin(), piece->ids.end());
      for (const TokenLogprob& token : piece->logprobs) answer.logprobs.push_back(token.logprob);
    } else if (const auto* finished = std::get_if<Finished>(&message)) {
      answer.cached = finished->usage.cached_tokens;
      answer.over = true;
    } else if (const auto* failed = std::get_if<Failed>(&message)) {
      ADD_FAILURE() << failed->error.text();
      answer.over = true;
    }
  }
  bool step() {
    clock.advance(std::chrono::milliseconds(1));
    return generator.step();
  }

  ManualClock clock;
  Words vocabulary;
  std::unique_ptr<NativeForward> forward;
  std::map<RequestId, Answer> answers;
  Generator generator;
};

class NativeGenerator : public testing::Test {
 protected:
  NativeGenerator() {
    fs::create_directories(folder_);
    synth::SynthOptions synth;
    synth.shape = *synth::find_shape("tiny-wide");
    synth.shape.vocabulary = Words::kSize;
    synth.type = synth::WeightType::q4_k_m;
    synth.path = (folder_ / "m.gguf").string();
    synth.threads = 1;
    const Status made = synth::synthesize(synth);
    EXPECT_TRUE(made) << made.error().text();
    options_.path = synth.path;
    options_.cache_path = (folder_ / "m.weights").string();
    options_.context_tokens = 128;
    options_.threads = 1;
  }
  ~NativeGenerator() override { fs::remove_all(folder_); }

  [[nodiscard]] NativeOptions options(int cells, int slots, int batch, int threads) const {
    NativeOptions options = options_;
    options.cells = cells;
    options.slots = slots;
    options.sequences = slots + 40;
    options.batch_tokens = batch;
    options.output_rows = std::min(batch, 16 * slots);
    options.threads = threads;
    return options;
  }
  // Of the request alone, on an engine of its own.
  Answer reference(const Generate& request) {
    Engine plain(options(512, 1, 128, 1), {.slots = 1, .drafts = false});
    plain.generator.start(1, request);
    while (plain.step()) {
    }
    return plain.answers[1];
  }
  static Generate random_request(Random& random) {
    const char* preambles[] = {"", "a preamble that many of them have in common, ", "a preamble of some: "};
    Generate request;
    request.prompt = preambles[random.below(3)];
    for (uint32_t n = 1 + random.below(25); n > 0; --n) request.prompt += static_cast<char>('a' + random.below(2));
    request.max_tokens = 1 + static_cast<int>(random.below(20));
    request.ignore_eos = true;
    request.logprobs = true;
    request.share_scope = random.below(4) == 0 ? "other" : "";
    request.priority = static_cast<int>(random.below(4));
    request.sampling.temperature = random.below(2) == 0 ? 0.0F : 0.9F;
    request.sampling.seed = 1 + random.below(1000);
    return request;
  }

  fs::path folder_ = fs::temp_directory_path() / fmt::format("skep-native-generator-{}", getpid());
  NativeOptions options_;
  SystemClock clock_;
};

TEST_F(NativeGenerator, RandomInterleavingsGiveTheBitsOfARequestAlone) {
  int compared = 0, cached = 0;
  int64_t preempted = 0;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Random random(seed);
    ParkingLot lot({1_MiB, {}, {}, "native"}, clock_);
    const int slots = 1 + static_cast<int>(random.below(4));
    Engine engine(options(200 + static_cast<int>(random.below(200)), slots, 16 + static_cast<int>(random.below(60)),
                          1 + static_cast<int>(seed % 2)),
                  {.slots = slots, .drafts = random.below(2) == 0, .parking = &lot});
    std::map<RequestId, Generate> requests;
    std::map<RequestId, bool> cancelled;
    for (RequestId id = 1; id <= 20; ++id) {
      requests[id] = random_request(random);
      engine.generator.start(id, requests[id]);
      for (uint32_t n = random.below(8); n > 0; --n) engine.step();
      if (random.below(6) != 0) continue;
      const RequestId victim = 1 + random.below(static_cast<uint32_t>(id));
      cancelled[victim] = !engine.answers[victim].over;
      engine.generator.cancel(victim);
    }
    while (engine.step()) {
    }
    for (const auto& [id, request] : requests) {
      const Answer& seen = engine.answers[id];
      ASSERT_TRUE(seen.over) << "seed " << seed << " request " << id;
      cached += seen.cached;
      if (cancelled[id]) continue;
      EXPECT_EQ(seen, reference(request)) << "seed " << seed << " request " << id;
      ++compared;
    }
    preempted += engine.generator.heartbeat().preemptions;
  }
  EXPECT_GT(compared, 50);
  EXPECT_GT(cached, 300);
  EXPECT_GT(preempted, 5);
}

// Workers die in the middle of answers; the next one finds what was parked on disk and goes on behind what was said.
TEST_F(NativeGenerator, CrashesAndParkingShowInNoBitOfTheAnswers) {
  int crashes = 0, taken_over = 0;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const fs::path parked = folder_ / fmt::format("parked-{}", seed);
    Random random(seed);
    struct Task {
      Generate request;  // as it is sent next
      Answer heard;
    };
    std::map<RequestId, Task> tasks;
    for (RequestId id = 1; id <= 12; ++id) tasks[id] = {random_request(random), {}};
    const auto given = tasks;
    for (bool all_over = false; !all_over;) {
      ParkingLot lot({256_KiB, parked, 16_MiB, "native"}, clock_);
      Engine engine(options(300, 3, 24, 1), {.slots = 3, .parking = &lot});
      for (const auto& left : lot.survivors()) {
        if (!engine.generator.adopt(left.scope, left.prefix, left.begin, left.ticket)) lot.erase(left.ticket);
      }
      for (auto& [id, task] : tasks) {
        if (!task.heard.over) engine.generator.start(id, task.request);
      }
      bool busy = true;
      for (uint32_t life = 8 + random.below(25); life > 0 && busy; --life) {
        busy = engine.step();
        if (random.below(4) == 0) engine.generator.park_some();
      }
      if (busy) lot.sync();
      all_over = true;
      for (auto& [id, task] : tasks) {
        if (task.heard.over) continue;
        const Answer& part = engine.answers[id];
        task.heard.ids.insert(task.heard.ids.end(), part.ids.begin(), part.ids.end());
        task.heard.logprobs.insert(task.heard.logprobs.end(), part.logprobs.begin(), part.logprobs.end());
        task.heard.over = part.over;
        task.request.answered = task.heard.ids;
        task.request.max_tokens -= static_cast<int>(part.ids.size());
        taken_over += part.cached;
        all_over = all_over && part.over;
      }
      crashes += all_over ? 0 : 1;
    }
    for (const auto& [id, task] : given) {
      EXPECT_EQ(tasks[id].heard, reference(task.request)) << "seed " << seed << " request " << id;
    }
  }
  EXPECT_GT(crashes, 5);
  EXPECT_GT(taken_over, 200);
}

}  // namespace
}  // namespace skep::engine::native
