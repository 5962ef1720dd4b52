#include "engine/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "engine/parking_lot.h"
#include "engine/toy_forward.h"
#include "engine/toy_vocabulary.h"

namespace skep::engine {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

struct Outcome {
  std::string text;
  int tokens = 0;
  std::vector<Token> ids;
  std::vector<TokenLogprob> logprobs;
  std::optional<Finished> finished;
  std::optional<Error> failed;
  [[nodiscard]] bool over() const { return finished || failed; }
};

struct Engine {
  explicit Engine(ToyOptions toy = {}, GeneratorOptions options = {})
      : forward(std::move(toy)),
        generator(forward, vocabulary, clock, options, [this](RequestId id, Message m) { hear(id, m); }) {}

  void hear(RequestId id, const Message& message) {
    Outcome& o = outcomes[id];
    EXPECT_FALSE(o.over()) << "something after the end of request " << id;
    if (const auto* piece = std::get_if<Piece>(&message)) {
      o.text += piece->text;
      o.tokens += piece->tokens;
      o.ids.insert(o.ids.end(), piece->ids.begin(), piece->ids.end());
      o.logprobs.insert(o.logprobs.end(), piece->logprobs.begin(), piece->logprobs.end());
    } else if (const auto* finished = std::get_if<Finished>(&message)) {
      o.finished = *finished;
    } else if (const auto* failed = std::get_if<Failed>(&message)) {
      o.failed = failed->error;
    }
  }
  void run(int limit = 10000) {
    while (limit-- > 0 && generator.step()) clock.advance(milliseconds(1));
  }
  Outcome ask(Generate request) {
    const RequestId id = next++;
    generator.start(id, std::move(request));
    run();
    return outcomes[id];
  }

  ManualClock clock;
  ToyVocabulary vocabulary;
  ToyForward forward;
  std::map<RequestId, Outcome> outcomes;
  Generator generator;
  RequestId next = 1000;
};

// What a score request is answered with.
struct Judge {
  explicit Judge(ToyOptions toy = {}, GeneratorOptions options = {})
      : forward(std::move(toy)), generator(forward, vocabulary, clock, options, [this](RequestId id, const Message& m) {
          if (const auto* s = std::get_if<Scores>(&m)) scores[id] = *s;
          if (std::holds_alternative<Failed>(m)) ++failures;
        }) {}
  void run() {
    while (generator.step()) clock.advance(milliseconds(1));
  }
  ManualClock clock;
  ToyVocabulary vocabulary;
  ToyForward forward;
  std::map<RequestId, Scores> scores;
  int failures = 0;
  Generator generator;
};

Generate prompt(std::string text, int max_tokens = 8) {
  Generate request;
  request.prompt = std::move(text);
  request.max_tokens = max_tokens;
  return request;
}

// Continues whatever ends in the text before `|` with what follows it, then ends.
ToyOptions saying(const std::string& answer, char after = ':') {
  ToyOptions toy;
  toy.script = [answer, after](std::span<const Token> history) -> std::optional<Token> {
    const auto mark = std::find(history.rbegin(), history.rend(), static_cast<Token>(after));
    const auto said = static_cast<size_t>(mark - history.rbegin());
    if (said >= answer.size()) return ToyVocabulary::kEnd;
    return static_cast<uint8_t>(answer[said]);
  };
  return toy;
}

TEST(Generator, AnswersUntilTheModelEnds) {
  Engine engine(saying("hello world"));
  const Outcome o = engine.ask(prompt("say:", 50));
  EXPECT_EQ(o.text, "hello world");
  ASSERT_TRUE(o.finished);
  EXPECT_EQ(o.finished->reason, FinishReason::stop);
  EXPECT_EQ(o.finished->usage, (Usage{5, 0, 11}));
  EXPECT_EQ(o.tokens, 11);
}

TEST(Generator, EndsAtMaxTokens) {
  Engine engine(saying("hello world"));
  const Outcome o = engine.ask(prompt("say:", 5));
  EXPECT_EQ(o.text, "hello");
  EXPECT_EQ(o.finished->reason, FinishReason::length);
}

TEST(Generator, RendersMessagesWithTheTemplateAndContinuesAPrefix) {
  Engine engine(saying("xyz", '\n'));
  Generate request;
  request.messages = {{"system", "be brief"}, {"user", "hi"}};
  request.max_tokens = 20;
  EXPECT_EQ(engine.ask(request).text, "xyz");
  Engine other(saying("+1", '='));
  request.assistant_prefix = "sum=";
  EXPECT_EQ(other.ask(request).text, "+1");
}

TEST(Generator, StopsBeforeAStopString) {
  Engine engine(saying("one two END three"));
  Generate request = prompt("say:", 50);
  request.stop = {"END"};
  const Outcome o = engine.ask(request);
  EXPECT_EQ(o.text, "one two ");
  EXPECT_EQ(o.finished->reason, FinishReason::stop);
  EXPECT_EQ(o.finished->usage.completion_tokens, 11);
  EXPECT_EQ(o.tokens, 11);
}

TEST(Generator, IgnoresTheEndWhereToldTo) {
  Engine engine(saying("ab"));
  Generate request = prompt("say:", 9);
  request.ignore_eos = true;
  const Outcome o = engine.ask(request);
  EXPECT_EQ(o.finished->reason, FinishReason::length);
  EXPECT_EQ(o.finished->usage.completion_tokens, 9);
}

TEST(Generator, AGrammarHoldsTheAnswerToIt) {
  Engine engine(saying("free text"));
  Generate request = prompt("say:", 50);
  request.grammar = "{\"a\": 1}";
  const Outcome o = engine.ask(request);
  EXPECT_EQ(o.text, "{\"a\": 1}");
  EXPECT_EQ(o.finished->reason, FinishReason::stop);
  request.ignore_eos = true;
  EXPECT_EQ(engine.ask(request).text, "{\"a\": 1}") << "a complete grammar ends an answer that must not end";
  request.grammar = "invalid";
  EXPECT_EQ(engine.ask(request).failed->code, ErrorCode::invalid_argument);
}

TEST(Generator, LogprobsComeWithThePieces) {
  Engine engine(saying("ok"));
  Generate request = prompt("say:");
  request.logprobs = true;
  request.top_logprobs = 2;
  const Outcome o = engine.ask(request);
  EXPECT_EQ(o.text, "ok");
  ASSERT_EQ(o.logprobs.size(), 2U);
  EXPECT_EQ(o.logprobs[0].text, "o");
  EXPECT_NEAR(o.logprobs[0].logprob, 0, 1e-3) << "the script leaves no doubt";
  ASSERT_EQ(o.logprobs[1].top.size(), 2U);
  EXPECT_EQ(o.logprobs[1].top[0].first, "k");
}

TEST(Generator, ABadRequestIsAnsweredWithTheReason) {
  Engine engine({.context_tokens = 32});
  EXPECT_THAT(engine.ask(prompt(std::string(40, 'x'))).failed->message, HasSubstr("41 tokens"));
  EXPECT_THAT(engine.ask(prompt(std::string(40, 'x'))).failed->message, HasSubstr("32"));
  EXPECT_EQ(engine.ask(prompt("x", 0)).failed->code, ErrorCode::invalid_argument);
  Generate request = prompt("x");
  request.stop = {""};
  EXPECT_TRUE(engine.ask(request).failed);
  request = prompt("x");
  request.priority = 4;
  EXPECT_TRUE(engine.ask(request).failed);
  request = prompt("x");
  request.sampling.repeat_penalty = 0;
  EXPECT_TRUE(engine.ask(request).failed);
  request = prompt("");
  request.add_special = false;
  EXPECT_TRUE(engine.ask(request).failed);
  EXPECT_EQ(engine.forward.steps(), 0);
}

TEST(Generator, TheAnswerEndsWhereTheContextDoes) {
  Engine engine({.context_tokens = 32});
  Generate request = prompt(std::string(19, 'x'), 100);
  request.ignore_eos = true;
  const Outcome o = engine.ask(request);
  EXPECT_EQ(o.finished->reason, FinishReason::length);
  EXPECT_EQ(o.finished->usage.completion_tokens, 12);
}

TEST(Generator, ManyRequestsShareTheSlotsAndAllEnd) {
  Engine engine({.cells = 2048}, {.slots = 4});
  for (RequestId id = 1; id <= 40; ++id) {
    Generate request = prompt("request " + std::to_string(id), 10);
    request.ignore_eos = true;
    engine.generator.start(id, request);
  }
  int most = 0;
  while (engine.generator.step()) most = std::max(most, engine.generator.heartbeat().generating);
  EXPECT_EQ(most, 4);
  for (RequestId id = 1; id <= 40; ++id) EXPECT_EQ(engine.outcomes[id].finished->usage.completion_tokens, 10);
}

TEST(Generator, ACommonPreambleIsEvaluatedOnceHoweverManyComeAtOnce) {
  Engine engine({.sequences = 64, .cells = 4096, .batch_tokens = 512}, {.slots = 8});
  const std::string preamble(150, 'p');
  for (RequestId id = 1; id <= 30; ++id) {
    Generate request = prompt(preamble + " agent " + std::to_string(100 + id), 4);
    request.ignore_eos = true;
    engine.generator.start(id, request);
  }
  engine.run();
  int cached = 0;
  for (RequestId id = 1; id <= 30; ++id) cached += engine.outcomes[id].finished->usage.cached_tokens;
  EXPECT_GE(cached, 29 * 151);
  EXPECT_LE(engine.forward.tokens_evaluated(), 161 + 29 * (3 + 8) + 30 * 4);
}

TEST(Generator, TheNextTurnOfAConversationEvaluatesOnlyWhatIsNew) {
  Engine engine(saying("the answer", '\n'));
  Generate request;
  request.sequence_key = "agent 1";
  request.max_tokens = 50;
  request.messages = {{"user", "first?"}};
  const Outcome first = engine.ask(request);
  ASSERT_EQ(first.text, "the answer");
  const int known = first.finished->usage.prompt_tokens + first.finished->usage.completion_tokens;
  request.messages.push_back({"assistant", first.text});
  request.messages.push_back({"user", "second?"});
  const Outcome second = engine.ask(request);
  EXPECT_EQ(second.finished->usage.cached_tokens, known);
}

TEST(Generator, AStopStringIsNotPartOfTheNextTurn) {
  Engine engine(saying("answer STOP", '\n'));
  Generate request;
  request.sequence_key = "agent 1";
  request.max_tokens = 50;
  request.stop = {"STOP"};
  request.messages = {{"user", "first"}};
  ASSERT_EQ(engine.ask(request).text, "answer ");
  request.messages.push_back({"assistant", "answer "});
  request.messages.push_back({"user", "second"});
  const int rendered = static_cast<int>(
      engine.vocabulary.tokenize(engine.vocabulary.render(request.messages).value(), true, true).value().size());
  EXPECT_EQ(engine.ask(request).finished->usage.prompt_tokens, rendered);
}

TEST(Generator, CachedTokensAreTheTruth) {
  Engine engine;
  Generate request = prompt("a prompt of some length", 4);
  request.ignore_eos = true;
  EXPECT_EQ(engine.ask(request).finished->usage.cached_tokens, 0);
  const int before = engine.forward.tokens_evaluated();
  const Outcome again = engine.ask(request);
  EXPECT_EQ(again.finished->usage.cached_tokens, 23) << "all but the last token, whose logits are needed";
  EXPECT_EQ(engine.forward.tokens_evaluated() - before, 1 + 3);
  request.share_scope = "somebody else";
  EXPECT_EQ(engine.ask(request).finished->usage.cached_tokens, 0);
}

TEST(Generator, TwoCallersShareThePublicPreambleAndNothingElse) {
  const std::string preamble = "the rules of this house";
  Engine engine;
  const auto as = [&](const char* caller, bool is_public) {
    Generate request = prompt(preamble + " and a secret", 4);
    request.ignore_eos = true;
    request.share_scope = caller;
    request.public_bytes = is_public ? static_cast<int>(preamble.size()) : 0;
    return request;
  };
  EXPECT_EQ(engine.ask(as("a", true)).finished->usage.cached_tokens, 0);
  const int shared = 1 + static_cast<int>(preamble.size()) - 4;  // <s>, and all but its end
  EXPECT_EQ(engine.ask(as("b", true)).finished->usage.cached_tokens, shared) << "although it asked the very same";
  EXPECT_EQ(engine.ask(as("c", false)).finished->usage.cached_tokens, 0) << "where it is not public";
  EXPECT_EQ(engine.ask(as("a", true)).finished->usage.cached_tokens, 1 + 23 + 13 - 1) << "all of its own";
  Engine alone;
  EXPECT_EQ(engine.ask(as("b", true)).text, alone.ask(as("b", false)).text);
}

TEST(Generator, APublicPreambleIsEvaluatedOnceForCallersThatComeTogether) {
  Engine engine({.context_tokens = 256}, {.slots = 4});
  const std::string preamble(100, 'p');
  for (RequestId id = 1; id <= 4; ++id) {
    Generate request = prompt(preamble + std::string(10, static_cast<char>('a' + id)), 1);
    request.share_scope = std::to_string(id);
    request.public_bytes = 100;
    engine.generator.start(id, request);
  }
  engine.run();
  EXPECT_LE(engine.forward.tokens_evaluated(), 101 + 4 * (10 + 4));
}

TEST(Generator, CancelTakesEffectBeforeTheNextStep) {
  Engine engine;
  Generate request = prompt("work", 100);
  request.ignore_eos = true;
  engine.generator.start(1, request);
  engine.generator.start(2, request);
  for (int i = 0; i < 5; ++i) engine.generator.step();
  engine.generator.cancel(1);
  EXPECT_EQ(engine.outcomes[1].finished->reason, FinishReason::cancelled);
  EXPECT_EQ(engine.generator.heartbeat().generating, 1);
  engine.generator.cancel(1);
  engine.generator.cancel(77);
  engine.run();
  EXPECT_EQ(engine.outcomes[2].finished->usage.completion_tokens, 100);
}

TEST(Generator, AWaitingRequestCanBeCancelledToo) {
  Engine engine({}, {.slots = 1});
  engine.generator.start(1, prompt("a", 50));
  engine.generator.start(2, prompt("b", 50));
  engine.generator.step();
  engine.generator.cancel(2);
  EXPECT_EQ(engine.outcomes[2].finished->reason, FinishReason::cancelled);
  EXPECT_EQ(engine.outcomes[2].finished->usage.completion_tokens, 0);
}

TEST(Generator, AFailedStepFailsItsRequestsAndTheNextOnesWork) {
  bool broken = true;
  ToyOptions toy = saying("fine");
  toy.before_step = [&](std::span<const Slice>, const std::atomic<bool>&) -> Status {
    if (broken) return fail(ErrorCode::internal, "the tensors are on fire");
    return {};
  };
  Engine engine(toy);
  EXPECT_THAT(engine.ask(prompt("say:")).failed->message, HasSubstr("on fire"));
  EXPECT_EQ(engine.forward.cells_used(), 0);
  broken = false;
  EXPECT_EQ(engine.ask(prompt("say:")).text, "fine");
}

TEST(Generator, UrgentRequestsGetTheNextSlot) {
  Engine engine({}, {.slots = 1});
  std::vector<RequestId> order;
  for (const auto& [id, priority] : std::map<RequestId, int>{{1, 2}, {2, 3}, {3, 2}, {4, 1}}) {
    Generate request = prompt("r" + std::to_string(id), 3);
    request.priority = priority;
    request.ignore_eos = true;
    engine.generator.start(id, request);
    engine.clock.advance(milliseconds(1));
  }
  while (engine.generator.step()) {
    for (RequestId id = 1; id <= 4; ++id) {
      if (engine.outcomes[id].over() && std::find(order.begin(), order.end(), id) == order.end()) order.push_back(id);
    }
  }
  EXPECT_THAT(order, ::testing::ElementsAre(4, 1, 3, 2));
}

TEST(Generator, ACriticalRequestStartsInTheNextStepAndThePreemptedGoOnWithoutEvaluatingAgain) {
  ToyOptions toy{.sequences = 32, .cells = 1024};
  Engine alone(toy, {.slots = 2});
  Generate background = prompt("background work", 30);
  background.priority = 3;
  background.ignore_eos = true;
  const std::string expected = alone.ask(background).text;

  Engine engine(toy, {.slots = 2});
  engine.generator.start(1, background);
  background.prompt = "other work here";
  engine.generator.start(2, background);
  for (int i = 0; i < 10; ++i) engine.generator.step();
  Generate critical = prompt("now!", 5);
  critical.priority = 0;
  critical.ignore_eos = true;
  engine.generator.start(3, critical);
  engine.generator.step();
  EXPECT_EQ(engine.outcomes[3].tokens, 1) << "its first token comes out of the very next step";
  engine.run();
  EXPECT_EQ(engine.outcomes[3].finished->usage.completion_tokens, 5);
  EXPECT_EQ(engine.outcomes[1].text, expected);
  EXPECT_EQ(engine.outcomes[2].finished->usage.completion_tokens, 30);
  EXPECT_LE(engine.forward.tokens_evaluated(), (16 + 29) + (16 + 29) + (5 + 4)) << "nothing was evaluated twice";
}

TEST(Generator, APromptDoesNotStallRunningStreams) {
  Engine engine({.cells = 2048, .context_tokens = 1024, .batch_tokens = 512}, {.slots = 2});
  Generate request = prompt("stream", 200);
  request.ignore_eos = true;
  engine.generator.start(1, request);
  for (int i = 0; i < 20; ++i) engine.generator.step();
  const int before = engine.outcomes[1].finished ? -1 : engine.forward.tokens_evaluated();
  engine.generator.start(2, prompt(std::string(900, 'x'), 1));
  engine.generator.step();
  EXPECT_LE(engine.forward.tokens_evaluated() - before, 1 + 4 * StepTimes::kLeast) << "a part of it, with the stream";
}

// Steps take 10 ms and a millisecond for each token: what a 4,000-token prompt does to a stream beside it.
milliseconds longest_gap_beside_a_prompt_of(int priority, int* steps) {
  ManualClock* clock = nullptr;
  milliseconds longest{0};
  ToyOptions toy{.cells = 8192, .context_tokens = 5000, .batch_tokens = 512};
  toy.before_step = [&](std::span<const Slice> slices, const std::atomic<bool>&) -> Status {
    size_t tokens = 0;
    for (const Slice& slice : slices) tokens += slice.tokens.size();
    const milliseconds took(10 + tokens);
    clock->advance(took);
    if (slices.size() > 1) longest = std::max(longest, took);
    return {};
  };
  Engine engine(toy, {.slots = 2, .drafts = false});
  clock = &engine.clock;
  engine.ask(prompt(std::string(300, 'y'), 1));  // learns what prompts cost
  Generate stream = prompt("stream", 2000);
  stream.ignore_eos = true;
  engine.generator.start(1, stream);
  for (int i = 0; i < 50; ++i) engine.generator.step();
  longest = milliseconds(0);
  Generate long_one = prompt(std::string(4000, 'x'), 1);
  long_one.priority = priority;
  engine.generator.start(2, long_one);
  for (*steps = 0; !engine.outcomes[2].over(); ++*steps) engine.generator.step();
  EXPECT_FALSE(engine.outcomes[1].over());
  return longest;
}

TEST(Generator, ALongPromptNeverStopsAStreamForLongerThanIsStated) {
  int ordinary = 0, critical = 0;
  EXPECT_LE(longest_gap_beside_a_prompt_of(2, &ordinary).count(), 2.5 * 11 + 1) << "kStall";
  EXPECT_LE(longest_gap_beside_a_prompt_of(0, &critical).count(), 500 + 11) << "kCriticalSeconds";
  EXPECT_LT(critical, ordinary / 5) << "and it is done much sooner";
}

// Whatever a worker said before it died, the next one says the rest: grammar, stop strings, penalties and random
// numbers stand where they stood.
TEST(Generator, AnAnswerGoesOnInAnotherEngineAsIfNothingHadHappened) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    Engine whole;
    Generate request = prompt("the work", 40);
    request.sampling.temperature = 1.0F;
    request.sampling.seed = seed;
    request.sampling.repeat_penalty = 1.3F;
    request.ignore_eos = true;
    request.stop = {"q", "xy"};
    const Outcome expected = whole.ask(request);

    Engine first;
    first.generator.start(1, request);
    for (uint32_t steps = 1 + seed; steps > 0 && !first.outcomes[1].over(); --steps) first.generator.step();
    if (first.outcomes[1].over()) continue;
    Engine second;
    request.answered = first.outcomes[1].ids;
    request.max_tokens -= static_cast<int>(request.answered.size());
    const Outcome rest = second.ask(request);
    EXPECT_EQ(first.outcomes[1].text + rest.text, expected.text) << "seed " << seed;
    EXPECT_EQ(rest.finished->reason, expected.finished->reason);
    EXPECT_EQ(rest.finished->usage.prompt_tokens, expected.finished->usage.prompt_tokens);
    EXPECT_EQ(first.outcomes[1].tokens + rest.tokens, expected.tokens);
  }
  Engine engine;
  Generate request = prompt("say:", 50);
  request.grammar = "{\"a\": 1}";
  request.answered = {'{', '"', 'a'};
  EXPECT_EQ(engine.ask(request).text, "\": 1}");
  request.answered = {999'999};
  EXPECT_EQ(engine.ask(request).failed->code, ErrorCode::invalid_argument);
}

// Every agent may have an adapter of its own: each answer is what the adapter gives alone, cells are shared only within
// one, and all make progress.
TEST(Generator, SequencesWithDifferentAdaptersTakeTurnsAndShareNothing) {
  const std::string folder = (std::filesystem::temp_directory_path() / fmt::format("skep-lora-{}", getpid())).string();
  std::filesystem::create_directories(folder);
  ToyOptions toy{.cells = 4096};
  for (const char* name : {"/a", "/b"}) {
    std::ofstream(folder + name) << "adapter";
    toy.adapters.insert(folder + name);
  }
  const GeneratorOptions options{.slots = 4, .adapter_memory = Bytes(100)};
  const auto request_for = [&](int i) {
    Generate request = prompt("a common beginning of some length, agent " + std::to_string(i % 2), 12);
    request.ignore_eos = true;
    if (i % 3 > 0) request.adapter = folder + (i % 3 == 1 ? "/a" : "/b");
    if (i == 4) request.adapter_scale = 0.5F;
    return request;
  };
  Engine engine(toy, options);
  for (int i = 0; i < 9; ++i) engine.generator.start(static_cast<RequestId>(i), request_for(i));
  engine.run();
  std::set<std::string> texts;
  for (int i = 0; i < 9; ++i) {
    Engine alone(toy, options);
    const Outcome expected = alone.ask(request_for(i));
    EXPECT_EQ(engine.outcomes[static_cast<RequestId>(i)].text, expected.text) << i;
    texts.insert(expected.text);
  }
  EXPECT_EQ(texts.size(), 6U) << "two prompts, each with three weights; one of the six at half its scale";
  EXPECT_EQ(engine.generator.heartbeat().adapters, 2);
  EXPECT_EQ(engine.generator.heartbeat().adapter_bytes, Bytes(14));
  Generate other = request_for(1);
  other.prompt = "a common beginning of some length, and another end";
  EXPECT_GE(engine.ask(other).finished->usage.cached_tokens, 30) << "within one adapter cells are shared";
  other.adapter = folder + "/none";
  EXPECT_EQ(engine.ask(other).failed->code, ErrorCode::not_found);
  std::filesystem::remove_all(folder);
}

TEST(Generator, AFullQueueRefusesWithOverloaded) {
  Engine engine({}, {.slots = 1, .waiting_limit = 2});
  for (RequestId id = 1; id <= 3; ++id) engine.generator.start(id, prompt("x"));
  EXPECT_EQ(engine.outcomes[3].failed->code, ErrorCode::overloaded);
}

TEST(Generator, SequencesWaitForCellsInsteadOfRunningOut) {
  Engine engine({.cells = 64, .context_tokens = 48}, {.slots = 4});
  for (RequestId id = 1; id <= 6; ++id) {
    Generate request = prompt("p" + std::to_string(id), 40);
    request.ignore_eos = true;
    engine.generator.start(id, request);
  }
  engine.run();
  for (RequestId id = 1; id <= 6; ++id) EXPECT_EQ(engine.outcomes[id].finished->usage.completion_tokens, 40);
}

TEST(Generator, MemoryThatCannotShareStillAnswers) {
  ToyOptions toy = saying("same");
  toy.can_share = toy.can_truncate = false;
  Engine engine(toy, {.slots = 2});
  for (int i = 0; i < 3; ++i) {
    const Outcome o = engine.ask(prompt("say:", 50));
    EXPECT_EQ(o.text, "same");
    EXPECT_EQ(o.finished->usage.cached_tokens, 0);
  }
}

TEST(Generator, DraftsSaveStepsAndChangeNothing) {
  const std::string answer = "{\"name\" = 1, \"name\" = 2, \"name\" = 3, \"name\" = 4}";
  Engine plain(saying(answer), {.drafts = false});
  Engine guessing(saying(answer));
  EXPECT_EQ(plain.ask(prompt("say:", 100)).text, answer);
  EXPECT_EQ(guessing.ask(prompt("say:", 100)).text, answer);
  EXPECT_LT(guessing.forward.steps(), plain.forward.steps() * 3 / 4);
  EXPECT_EQ(guessing.generator.heartbeat().kv_cells_used, guessing.forward.cells_used());
  const int before = guessing.forward.steps();
  EXPECT_EQ(guessing.ask(prompt("another agent, the same format:", 100)).text, answer);
  EXPECT_LT(guessing.forward.steps() - before, 12) << "others' answers help";
  EXPECT_GT(guessing.generator.heartbeat().draft_accepted, 40);
}

TEST(Generator, WhatLeavesTheCacheIsParkedAndComesBackInsteadOfBeingEvaluated) {
  SystemClock clock;
  ParkingLot lot({1_MiB, {}, {}, "toy"}, clock);
  Engine engine({.cells = 256, .context_tokens = 128}, {.slots = 1, .parking = &lot});
  for (const char who : {'a', 'b', 'c', 'd', 'e'}) engine.ask(prompt(std::string(80, who), 10));
  EXPECT_GT(lot.entries(), 0);
  const int before = engine.forward.tokens_evaluated();
  Generate again = prompt(std::string(80, 'a') + " next", 1);
  EXPECT_GE(engine.ask(again).finished->usage.cached_tokens, 80);
  EXPECT_LE(engine.forward.tokens_evaluated() - before, 6);
}

TEST(Generator, AWorkerThatWasKilledLeavesItsAgentsContexts) {
  SystemClock clock;
  const auto directory = std::filesystem::temp_directory_path() / fmt::format("skep-generator-{}", getpid());
  const std::string system(60, 's');
  {
    ParkingLot lot({1_MiB, directory, 1_MiB, "toy"}, clock);
    Engine engine({}, {.slots = 2, .parking = &lot});
    engine.ask(prompt(system + "agent one", 5));
    engine.ask(prompt(system + "agent two", 5));
    while (engine.generator.park_some()) {
    }
    lot.sync();
  }
  ParkingLot lot({1_MiB, directory, 1_MiB, "toy"}, clock);
  Engine engine({}, {.slots = 2, .parking = &lot});
  for (const auto& left : lot.survivors()) {
    EXPECT_TRUE(engine.generator.adopt(left.scope, left.prefix, left.begin, left.ticket));
  }
  Engine fresh;
  const Generate next = prompt(system + "agent two", 5);
  const Outcome resumed = engine.ask(next);
  EXPECT_GE(resumed.finished->usage.cached_tokens, 61 + 6) << "the rest of the name is not worth cutting a node";
  EXPECT_EQ(resumed.text, fresh.ask(next).text);
  std::filesystem::remove_all(directory);
}

// Workers die at random moments, in the middle of answers; the next one finds what they parked on disk and goes on
// behind what was said. Every answer is what a plain engine gives.
TEST(Generator, RandomInterleavingsWithCrashesGiveTheAnswersOfAPlainSequentialEngine) {
  SystemClock clock;
  const auto directory = std::filesystem::temp_directory_path() / fmt::format("skep-crashes-{}", getpid());
  int crashes = 0, taken_over = 0;
  for (uint64_t seed = 1; seed <= 15; ++seed) {
    std::filesystem::remove_all(directory);
    Random random(seed);
    struct Task {
      Generate request;  // as it is sent next
      Outcome heard;
    };
    std::map<RequestId, Task> tasks;
    for (RequestId id = 1; id <= 20; ++id) {
      Generate request = prompt("a preamble that they have in common, ", 1 + static_cast<int>(random.below(30)));
      for (uint32_t n = 1 + random.below(20); n > 0; --n) request.prompt += static_cast<char>('a' + random.below(2));
      request.priority = static_cast<int>(random.below(4));
      request.ignore_eos = true;
      request.sampling.temperature = random.below(2) == 0 ? 0.0F : 0.9F;
      request.sampling.seed = 1 + random.below(1000);
      request.sampling.frequency_penalty = random.below(2) == 0 ? 0.0F : 0.5F;
      tasks[id] = {request, {}};
    }
    const auto given = tasks;
    for (bool all_over = false; !all_over;) {
      ParkingLot lot({1_MiB, directory, 4_MiB, "toy"}, clock);
      Engine engine({.cells = 300, .context_tokens = 128, .batch_tokens = 24}, {.slots = 3, .parking = &lot});
      for (const auto& left : lot.survivors()) {
        if (!engine.generator.adopt(left.scope, left.prefix, left.begin, left.ticket)) lot.erase(left.ticket);
      }
      for (auto& [id, task] : tasks) {
        if (!task.heard.over()) engine.generator.start(id, task.request);
      }
      const uint32_t life = 10 + random.below(40);
      bool busy = true;
      for (uint32_t step = 0; step < life && busy; ++step) {
        busy = engine.generator.step();
        if (random.below(4) == 0) engine.generator.park_some();
        engine.clock.advance(milliseconds(1));
        ASSERT_EQ(engine.generator.cache().used_cells(), engine.forward.cells_used()) << "seed " << seed;
      }
      if (busy) lot.sync();
      all_over = true;
      for (auto& [id, task] : tasks) {
        if (task.heard.over()) continue;
        const Outcome& o = engine.outcomes[id];
        task.heard.text += o.text;
        task.heard.finished = o.finished;
        task.request.answered.insert(task.request.answered.end(), o.ids.begin(), o.ids.end());
        task.request.max_tokens -= o.tokens;
        if (o.finished) taken_over += o.finished->usage.cached_tokens;
        ASSERT_FALSE(o.failed) << o.failed->message;
        all_over = all_over && task.heard.over();
      }
      crashes += all_over ? 0 : 1;
    }
    for (const auto& [id, task] : given) {
      Engine plain({.cells = 512}, {.slots = 1});
      EXPECT_EQ(tasks[id].heard.text, plain.ask(task.request).text) << "seed " << seed << " request " << id;
    }
  }
  EXPECT_GT(crashes, 30);
  EXPECT_GT(taken_over, 1000);
  std::filesystem::remove_all(directory);
}

// Random requests, priorities, cancels and interleavings in a small cache: every answer is exactly what a plain engine
// gives to it alone.
TEST(Generator, RandomInterleavingsGiveTheAnswersOfAPlainSequentialEngine) {
  const auto reference = [](const Generate& request) {
    Engine engine({.cells = 512}, {.slots = 1});
    return engine.ask(request).text;
  };
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Random random(seed);
    SystemClock clock;
    ParkingLot lot({Bytes(400 * static_cast<int64_t>(random.below(4))), {}, {}, "toy"}, clock);
    Engine engine({.sequences = 6 + static_cast<int>(random.below(20)),
                   .cells = 260 + static_cast<int>(random.below(300)),
                   .context_tokens = 128,
                   .batch_tokens = 8 + static_cast<int>(random.below(60))},
                  {.slots = 1 + static_cast<int>(random.below(5)),
                   .worth_waiting = 1 + static_cast<int>(random.below(20)),
                   .drafts = random.below(2) == 0,
                   .parking = random.below(2) == 0 ? &lot : nullptr});
    std::map<RequestId, Generate> requests;
    std::map<RequestId, bool> cancelled;
    RequestId next = 1;
    for (int i = 0; i < 400; ++i) {
      engine.clock.advance(milliseconds(random.below(20)));
      if (requests.size() < 25 && random.below(4) == 0) {
        Generate request = prompt("", 1 + static_cast<int>(random.below(20)));
        const char* preambles[] = {"", "a common preamble for all of them, ", "a common preamble for some: "};
        request.prompt = preambles[random.below(3)];
        for (uint32_t n = 1 + random.below(30); n > 0; --n) request.prompt += static_cast<char>('a' + random.below(2));
        request.share_scope = random.below(4) == 0 ? "other" : "";
        request.public_bytes = static_cast<int>(random.below(2) * std::min<size_t>(28, request.prompt.size()));
        request.priority = static_cast<int>(random.below(4));
        request.ignore_eos = true;
        request.sampling.temperature = random.below(2) == 0 ? 0.0F : 0.8F;
        request.sampling.seed = 1 + random.below(1000);
        requests[next] = request;
        engine.generator.start(next++, request);
      }
      if (next > 1 && random.below(40) == 0) {
        const RequestId id = 1 + random.below(static_cast<uint32_t>(next - 1));
        if (!engine.outcomes[id].over()) cancelled[id] = true;
        engine.generator.cancel(id);
      }
      engine.generator.step();
      ASSERT_EQ(engine.generator.cache().used_cells(), engine.forward.cells_used()) << "seed " << seed;
    }
    engine.run();
    for (const auto& [id, request] : requests) {
      const Outcome& o = engine.outcomes[id];
      ASSERT_TRUE(o.finished) << (o.failed ? o.failed->message : "not over") << " seed " << seed;
      const std::string expected = reference(request);
      if (cancelled[id]) {
        EXPECT_TRUE(expected.starts_with(o.text) || o.text.find("\uFFFD") != std::string::npos);
      } else {
        EXPECT_EQ(o.text, expected) << "seed " << seed << " request " << id;
      }
    }
  }
}

// The toy's script makes one token certain after each history; everything else is a surprise.
ToyOptions expecting(const std::string& text) {
  ToyOptions toy;
  toy.script = [text](std::span<const Token> history) -> std::optional<Token> {
    size_t said = 0;
    for (const Token t : history) said += t < 256 ? 1 : 0;
    if (said >= text.size()) return ToyVocabulary::kEnd;
    return static_cast<uint8_t>(text[said]);
  };
  return toy;
}

TEST(GeneratorScores, EachTokenGetsItsProbabilityAfterThoseBefore) {
  Judge judge(expecting("the cat sat"));
  judge.generator.score(1, {.text = "the hat sat"});
  judge.run();
  const auto& tokens = judge.scores.at(1).tokens;
  ASSERT_EQ(tokens.size(), 11U);
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    text += tokens[i].text;
    if (i == 4) {
      EXPECT_LT(tokens[i].logprob, -3) << "h for c";
    } else {
      EXPECT_GT(tokens[i].logprob, -0.5) << i;
    }
  }
  EXPECT_EQ(text, "the hat sat");
}

TEST(GeneratorScores, AreTheSameInSmallStepsBesideStreamsAndAfterAnother) {
  const std::string text = "a rather long text to be judged, longer than one step may be";
  Judge alone(expecting(text));
  alone.generator.score(1, {.text = text});
  alone.run();
  ToyOptions small = expecting(text);
  small.batch_tokens = 7;
  Judge beside(small, {.slots = 3});
  beside.generator.start(50, prompt("stream", 40));
  beside.generator.score(1, {.text = text});
  beside.generator.score(2, {.text = text});  // takes nothing over from the first
  beside.run();
  EXPECT_EQ(beside.scores.at(1), alone.scores.at(1));
  EXPECT_EQ(beside.scores.at(2), alone.scores.at(1));
}

TEST(GeneratorScores, BeginAnewAfterTheyWereSuspended) {
  const std::string text = "a rather long text to be judged";
  Judge alone(expecting(text));
  alone.generator.score(1, {.text = text});
  alone.run();
  ToyOptions small = expecting(text);
  small.batch_tokens = 5;
  Judge judge(small, {.slots = 1});
  judge.generator.score(1, {.text = text});
  judge.generator.step();
  judge.generator.step();
  Generate urgent = prompt("now", 2);
  urgent.priority = 0;
  judge.generator.start(2, urgent);
  judge.run();
  EXPECT_EQ(judge.scores.at(1), alone.scores.at(1));
}

TEST(GeneratorScores, WhatIsLongerThanTheContextIsRefused) {
  Judge judge;
  judge.generator.score(1, {.text = std::string(300, 'x')});
  judge.run();
  EXPECT_EQ(judge.failures, 1);
  EXPECT_TRUE(judge.scores.empty());
}

}  // namespace
}  // namespace skep::engine
