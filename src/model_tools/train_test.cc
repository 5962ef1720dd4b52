#include "model_tools/train.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "model_tools/gguf_writer.h"
#include "model_tools/perplexity.h"
#include "model_tools/teacher.h"
#include "model_tools/testing.h"
#include "model_tools/training_data.h"

namespace skep::model_tools {
namespace {

using ::testing::Contains;
using ::testing::Not;

class TrainTest : public ToolTest {
 protected:
  TrainOptions options(const std::string& model) {
    TrainOptions o;
    o.model = model;
    o.data = at("text");
    o.output = at("out.gguf");
    o.threads = 1;
    o.learning_rate = 1e-3;
    o.warm_up = 5;
    o.most_steps = 24;
    o.epochs = 10;
    return o;
  }
  void SetUp() override {
    ToolTest::SetUp();
    write(at("text"), sample_text(3000));
  }
};

TEST_F(TrainTest, AModelLearnsATextAndOthersCanReadIt) {
  const std::string model = make_model("m.gguf", "tiny", synth::WeightType::f32);
  const auto done = train(options(model), {});
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->tokens, 24 * 256);
  EXPECT_LT(done->validation_after, done->validation_before - 0.5);
  EXPECT_LT(done->curve.back().loss, done->curve.front().loss);
  const auto session = LlamaSession::open(at("out.gguf"), {.context_tokens = 128, .threads = 1});
  ASSERT_TRUE(session) << session.error().text();
  const auto after = perplexity(**session, sample_text(600, 9), 0, {});
  ASSERT_TRUE(after);
  EXPECT_LT(std::log(after->value), done->validation_before - 0.3);
  EXPECT_THAT(files(), Not(Contains("out.gguf.checkpoint")));
}

TEST_F(TrainTest, WhatIsKnownIsLearntFromMoreSlowly) {
  TrainOptions onward = options(make_model("m.gguf", "tiny", synth::WeightType::f32));
  onward.learning_rate = 0;
  onward.most_steps = 8;
  TrainOptions anew = onward;
  anew.model.clear();
  anew.shape = "tiny";
  anew.output = at("anew.gguf");
  TrainOptions told = onward;
  told.learning_rate = 1e-5;
  told.output = at("told.gguf");
  const auto first = train(onward, {}), second = train(anew, {}), third = train(told, {});
  ASSERT_TRUE(first && second && third);
  EXPECT_EQ(first->learning_rate, kRateOnward);
  EXPECT_EQ(second->learning_rate, kRateAnew);
  EXPECT_EQ(third->learning_rate, 1e-5);
}

TEST_F(TrainTest, AStoppedTrainingGoesOnFromItsCheckpoint) {
  const std::string model = make_model("m.gguf", "tiny", synth::WeightType::f32);
  const auto stopped = train(options(model), [](const Progress& p) { return p.fraction < 0.5; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled) << stopped.error().text();
  EXPECT_THAT(files(), Contains("out.gguf.checkpoint"));
  EXPECT_THAT(files(), Not(Contains("out.gguf")));
  TrainOptions again = options(model);
  again.resume = true;
  const auto done = train(again, {});
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_GE(done->first_step, 12);
  EXPECT_EQ(done->tokens, (24 - done->first_step) * 256);
  EXPECT_EQ((*GgufInput::open(at("out.gguf")))->file().find("skep.training.step"), nullptr);
}

TEST_F(TrainTest, OnlyTheTensorsAskedForChange) {
  const std::string model = make_model("m.gguf", "tiny", synth::WeightType::f32);
  TrainOptions o = options(model);
  o.only = "ffn_down";
  o.most_steps = 4;
  ASSERT_TRUE(train(o, {}));
  const auto before = GgufInput::open(model), after = GgufInput::open(at("out.gguf"));
  for (const auto& t : (*before)->file().tensors) {
    std::string a(static_cast<size_t>(t.bytes), 0), b = a;
    ASSERT_TRUE((*before)->read(t, 0, a.data(), a.size()));
    ASSERT_TRUE((*after)->read(*(*after)->find(t.name), 0, b.data(), b.size()));
    EXPECT_EQ(a != b, t.name.find("ffn_down") != t.name.npos) << t.name;
  }
  o.only = "no such tensor";
  o.output = at("none.gguf");
  EXPECT_EQ(train(o, {}).error().code, ErrorCode::invalid_argument);
}

TEST_F(TrainTest, BeginsFromAShapeAndLearnsTasks) {
  std::string tasks;
  for (int i = 0; i < 200; ++i) {
    tasks +=
        fmt::format(R"({{"prompt": "sensor {} reads {}", "answer": "{}"}})", i, i % 7, i % 7 > 4 ? "warning" : "ok") +
        "\n";
  }
  write(at("tasks.jsonl"), tasks);
  TrainOptions o = options("");
  o.shape = "tiny";
  o.data = at("tasks.jsonl");
  const auto done = train(o, {});
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_LT(done->validation_after, done->validation_before - 0.5);
}

// Mean loss of the tokens of this text, of which the model's answers are so marked or not.
double loss_of(const std::string& model, const std::string& tasks, bool of_answers) {
  const auto session = LlamaSession::open(model, {.context_tokens = 256, .threads = 1}).value();
  const auto data = TrainingData::load(*session, tasks, 256, 0.1, 1).value();
  double sum = 0;
  int tokens = 0;
  for (size_t w = 0; w < 3; ++w) {
    const auto window = data.window(w);
    const auto learnt = data.learnt(w);
    EXPECT_TRUE(session->evaluate(window.first(256), [](int) { return true; }));
    for (size_t i = 0; i < 200; ++i) {  // without what fills the window
      if ((learnt[i] != 0) != of_answers) continue;
      sum -= log_probability(session->logits(static_cast<int>(i)), window[i + 1]);
      ++tokens;
    }
  }
  return sum / tokens;
}

// With the gradient of the questions left in, they are learnt several times faster than the answers: they are more.
TEST_F(TrainTest, OfTasksTheAnswersAreLearntAndNotTheQuestions) {
  std::string tasks;
  for (int i = 0; i < 300; ++i)
    tasks += fmt::format(R"({{"prompt": "the pump in hall {} stands still and nobody knows why", "answer": "ask {}"}})",
                         i % 5, i % 5) +
             "\n";
  write(at("tasks.jsonl"), tasks);
  TrainOptions o = options(make_model("m.gguf", "tiny", synth::WeightType::f32));
  o.data = at("tasks.jsonl");
  o.most_steps = 16;
  const auto done = train(o, {});
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_LT(done->curve.front().loss, done->validation_before) << "the mean of the first eight steps";
  EXPECT_GT(done->curve.front().loss, done->validation_after) << "of answers alone, as what is held out";
  const double answers = loss_of(at("out.gguf"), at("tasks.jsonl"), true);
  const double questions = loss_of(at("out.gguf"), at("tasks.jsonl"), false);
  EXPECT_LT(answers, loss_of(at("m.gguf"), at("tasks.jsonl"), true) - 1.5);
  EXPECT_GT(questions, loss_of(at("m.gguf"), at("tasks.jsonl"), false) - 0.7);
  EXPECT_GT(questions, answers + 1);
}

TEST_F(TrainTest, ConversationsStandWholeInTheirWindows) {
  std::string tasks;
  for (int i = 0; i < 40; ++i) tasks += fmt::format(R"({{"prompt": "sensor {}", "answer": "fine {}"}})", i, i) + "\n";
  write(at("tasks.jsonl"), tasks);
  const auto session = LlamaSession::open(make_model("m.gguf"), {.context_tokens = 256, .threads = 1}).value();
  const auto data = TrainingData::load(*session, at("tasks.jsonl"), 256, 0.1, 1).value();
  const auto text = conversation_text(*session, {.messages = {{"user", "sensor 3"}}, .answer = "fine 3"}).value();
  EXPECT_EQ(text.answer.rfind("fine 3", 0), 0U) << text.answer;
  const std::vector<Token> question = session->tokenize(text.question, true);
  for (size_t w = 0; w < data.training_windows() + data.validation_windows(); ++w) {
    const auto window = data.window(w);
    ASSERT_EQ(window.size(), 257U);
    EXPECT_EQ(window[0], question[0]) << "window " << w << " begins within a conversation";
    EXPECT_EQ(data.learnt(w)[0], 0);
    EXPECT_NE(std::count(data.learnt(w).begin(), data.learnt(w).end(), 1), 0);
  }
  EXPECT_TRUE(TrainingData::load(*session, at("text"), 256, 0.1, 1)->learnt(0).empty()) << "a text is learnt whole";
}

TEST_F(TrainTest, AQuantizedModelIsWidenedFirst) {
  TrainOptions o = options(make_model("q8.gguf", "tiny", synth::WeightType::q8_0));
  o.most_steps = 4;
  const auto done = train(o, [&](const Progress& now) {
    if (now.stage == "training") {
      EXPECT_EQ(files().size(), 2U) << "what was widened has no name by then";
    }
    return true;
  });
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ((*GgufInput::open(at("out.gguf")))->find("blk.0.ffn_up.weight")->type, 0U);
  EXPECT_EQ(files().size(), 3U);  // text, q8.gguf, out.gguf
}

// The same steps with labels from a teacher that knows the text: the student comes nearer to the teacher's opinion.
TEST_F(TrainTest, ATeachersOpinionIsLearnt) {
  TrainOptions first = options(make_model("m.gguf", "tiny", synth::WeightType::f32));
  first.output = at("teacher.gguf");
  first.most_steps = 60;
  ASSERT_TRUE(train(first, {}));
  TrainOptions o = options(make_model("student.gguf", "tiny", synth::WeightType::f32, 1, 5));
  o.teacher = at("teacher.gguf");
  o.teacher_share = 1;
  o.teacher_top = 64;
  const auto done = train(o, {});
  ASSERT_TRUE(done) << done.error().text();

  const auto divergence = [&](const std::string& student) {
    const auto teacher = LlamaSession::open(at("teacher.gguf"), {.context_tokens = 256, .threads = 1});
    const auto pupil = LlamaSession::open(student, {.context_tokens = 256, .threads = 1});
    const std::vector<Token> tokens = (*pupil)->tokenize(sample_text(400, 8), true);
    const std::span<const Token> window(tokens.data(), 256);
    EXPECT_TRUE((*teacher)->evaluate(window, [](int) { return true; }));
    EXPECT_TRUE((*pupil)->evaluate(window, [](int) { return true; }));
    double sum = 0;
    for (int i = 0; i < 256; i += 16) {
      for (Token t = 0; t < (*pupil)->vocabulary(); ++t) {
        const double p = log_probability((*teacher)->logits(i), t);
        if (p > -8) sum += std::exp(p) * (p - log_probability((*pupil)->logits(i), t));
      }
    }
    return sum / 16;
  };
  EXPECT_LT(divergence(at("out.gguf")), 0.7 * divergence(at("student.gguf")));
}

TEST_F(TrainTest, ATeacherWithAnotherVocabularyIsRefused) {
  TrainOptions o = options(make_model("m.gguf", "tiny", synth::WeightType::f32));
  o.teacher = make_model("wide.gguf", "tiny-wide", synth::WeightType::f32);
  const auto refused = train(o, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
}

TEST_F(TrainTest, WhatCannotBeTrainedIsRefused) {
  TrainOptions o = options(make_model("bert.gguf", "tiny-embed", synth::WeightType::f32));
  EXPECT_FALSE(train(o, {}));
  o = options(make_model("m.gguf", "tiny", synth::WeightType::f32));
  o.context_tokens = 100;
  EXPECT_EQ(train(o, {}).error().code, ErrorCode::invalid_argument);
  o.context_tokens = 256;
  write(at("text"), "too short");
  EXPECT_EQ(train(o, {}).error().code, ErrorCode::invalid_argument);
}

TEST(TrainingOrder, EveryEpochSeesEveryWindowOnceInAnOrderOfItsOwn) {
  const auto first = window_order(100, 7, 0), second = window_order(100, 7, 1);
  EXPECT_EQ(std::set<uint32_t>(first.begin(), first.end()).size(), 100U);
  EXPECT_NE(first, second);
  EXPECT_EQ(first, window_order(100, 7, 0));
}

TEST(LearningRate, WarmsUpAndThenFallsToATenth) {
  EXPECT_LT(learning_rate_at(0, 1000, 10, 1.0), 0.2);
  EXPECT_NEAR(learning_rate_at(9, 1000, 10, 1.0), 1.0, 1e-9);
  EXPECT_NEAR(learning_rate_at(1000, 1000, 10, 1.0), 0.1, 1e-9);
  for (int64_t step = 10; step < 1000; ++step) {
    EXPECT_GE(learning_rate_at(step, 1000, 10, 1.0), learning_rate_at(step + 1, 1000, 10, 1.0));
  }
}

}  // namespace
}  // namespace skep::model_tools
