#include "agent/cached_tasks.h"

#include "agent/task_fixture.h"

namespace skep::agent {
namespace {

using namespace std::chrono_literals;

// Knows the questions that it was told; all of a scope are alike to it.
class AllAlike final : public cache::Similar {
 public:
  explicit AllAlike(EventLoop& loop) : loop_(loop) {}
  void find(const cache::CacheKey& scope, const std::string&, double,
            std::function<void(std::vector<Match>)> done) override {
    std::vector<Match> matches;
    for (const auto& [s, match] : known) {
      if (s == scope) matches.push_back(match);
    }
    loop_.post([done = std::move(done), matches = std::move(matches)] { done(matches); });
  }
  void add(const cache::CacheKey& scope, const std::string& question, const cache::CacheKey& answer,
           const std::string& agent) override {
    known.push_back({scope, {answer, question, 0.97}});
    agents[answer] = agent;
  }
  void forget_agent(const std::string& agent) override {
    std::erase_if(known, [&](const auto& entry) { return agents.at(entry.second.key) == agent; });
  }
  void forget(const cache::CacheKey& answer) override {
    std::erase_if(known, [&](const auto& entry) { return entry.second.key == answer; });
  }
  std::vector<std::pair<cache::CacheKey, Match>> known;
  std::map<cache::CacheKey, std::string> agents;

 private:
  EventLoop& loop_;
};

class CachedTasksTest : public TaskFixture {
 protected:
  CachedTasksTest() {
    roster = *Roster::parse(
        "agents:\n"
        "  - {name: exact, tier: fast, system_prompt: x}\n"
        "  - {name: always, tier: fast, system_prompt: x, cache: always}\n"
        "  - {name: alike, tier: fast, system_prompt: x, cache: similar}\n",
        "test");
  }
  std::pair<TaskId, std::shared_ptr<Hearing>> submit(TaskRequest request) {
    auto hearing = std::make_shared<Hearing>();
    const TaskId id = dispatcher.reserve();
    tasks.submit(id, std::move(request), hearing);
    return {id, hearing};
  }
  std::shared_ptr<Hearing> ask(const std::string& text, const std::string& agent = "") {
    TaskRequest request = question(text);
    request.agent = agent;
    auto hearing = submit(std::move(request)).second;
    settle();
    return hearing;
  }
  bool invalidate(const std::string& tag) {
    bool done = false;
    tasks.invalidate(tag, [&](const Status& status) { done = status.has_value(); });
    return done;
  }
  std::string content = "hash";
  uint64_t basis = 1;  // of the catalog and the agents' core memory

  Roster roster;
  cache::AnswerCache cache{loop.clock(), {}, {}};
  AllAlike similar{loop};
  CachedTasks tasks{{loop, dispatcher, planner, roster, &cache, &similar,
                     [this](const std::string&, const std::string& adapter) { return content + adapter; },
                     [this](const std::string& agent) { return agent == "exact" ? 10 * basis : basis; }}};

  // Hears the end of a task with a look at its ticket.
  struct Ticketed final : TaskListener {
    explicit Ticketed(KnownAnswers& a) : answers(a) {}
    void delta(const language::Delta&) override {}
    void finished(const TaskResult& result) override {
      done = result;
      ticket = answers.ticket(result.id);
    }
    void failed(const TaskFailure&) override {}
    KnownAnswers& answers;
    std::optional<TaskResult> done;
    std::optional<KnownAnswers::Ticket> ticket;
  };
  std::shared_ptr<Ticketed> ask_for_ticket(TaskRequest request) {
    auto hearing = std::make_shared<Ticketed>(tasks);
    tasks.submit(dispatcher.reserve(), std::move(request), hearing);
    settle();
    return hearing;
  }
};

TEST_F(CachedTasksTest, AHitHasATicketForTheSameAnswerOnceMore) {
  TaskRequest request = question("How hot?");
  request.agent = "exact";
  auto first = ask_for_ticket(request);
  answer("80 degrees.");
  EXPECT_TRUE(first->done);
  EXPECT_FALSE(first->ticket) << "it was generated";
  const auto second = ask_for_ticket(request);
  ASSERT_TRUE(second->ticket);
  EXPECT_EQ(second->ticket->agent, "exact");
  EXPECT_EQ(second->ticket->route.model, second->done->route.model);
  EXPECT_FALSE(tasks.ticket(second->done->id)) << "only while its end is heard";

  std::vector<TaskResult> heard;
  tasks.on_cached([&](const TaskResult& result, const CacheNote&) { heard.push_back(result); });
  const auto before = tasks.take(*second->ticket)->note.age;
  heard.clear();
  loop.advance(3s);
  const auto hits = tasks.counters().hits;
  const auto finished = dispatcher.statistics().models().at("m").finished;
  const auto hit = tasks.take(*second->ticket);
  ASSERT_TRUE(hit);
  EXPECT_GT(hit->id, second->done->id);
  EXPECT_EQ(hit->note.level, "memory");
  EXPECT_EQ(hit->note.age, before + 3s);
  EXPECT_EQ(tasks.counters().hits, hits + 1);
  EXPECT_EQ(dispatcher.statistics().models().at("m").finished, finished + 1) << "counted like every task";
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].agent, "exact");
  EXPECT_EQ(heard[0].message.content, "80 degrees.");
  EXPECT_EQ(heard[0].usage.prompt_tokens, second->done->usage.prompt_tokens);
}

TEST_F(CachedTasksTest, ATicketIsStaleOnceAnythingElseWouldBeAnswered) {
  TaskRequest request = question("How hot?");
  request.agent = "exact";
  const auto again = [&] { return *ask_for_ticket(request)->ticket; };
  ask_for_ticket(request);
  answer("80 degrees.");
  const auto ticket = again();
  ASSERT_TRUE(tasks.take(ticket));
  ++basis;
  EXPECT_FALSE(tasks.take(ticket)) << "another catalog, or core memory";
  --basis;
  ASSERT_TRUE(tasks.take(ticket));
  TaskRequest anew = request;
  anew.cache.look_up = false;
  ask_for_ticket(anew);
  answer("90 degrees.");
  EXPECT_FALSE(tasks.take(ticket)) << "the answer was replaced";
  const auto newer = again();
  ASSERT_TRUE(tasks.take(newer));
  ASSERT_TRUE(invalidate("agent:exact"));
  EXPECT_FALSE(tasks.take(newer)) << "invalidated";
  ask_for_ticket(request);
  answer("70 degrees.");
  const auto last = again();
  loop.advance(2h);
  EXPECT_FALSE(tasks.take(last)) << "expired";
}

TEST_F(CachedTasksTest, WhatIsRoutedByLoadOrAskedInOtherWordsHasNoTicket) {
  TaskRequest automatic = question("q");
  automatic.model = "auto";
  ask_for_ticket(automatic);
  answer("a");
  const auto hit = ask_for_ticket(automatic);
  ASSERT_TRUE(hit->done);
  EXPECT_FALSE(hit->ticket);
  TaskRequest alike = question("Please explain how photosynthesis works");
  alike.agent = "alike";
  ask_for_ticket(alike);
  answer("a");
  alike.input.messages.back().content = "Explain how photosynthesis works, please";
  const auto similar_hit = ask_for_ticket(alike);
  ASSERT_TRUE(similar_hit->done);
  EXPECT_EQ(similar_hit->done->cache.level, "similar");
  EXPECT_FALSE(similar_hit->ticket);
}

TEST_F(CachedTasksTest, TheSecondTimeTheAnswerComesFromTheCacheAsAStream) {
  auto first = ask("How hot is too hot for the pump?");
  answer("Anything over eighty degrees is too hot for this pump, and it has to be stopped.");
  ASSERT_TRUE(first->done);
  EXPECT_EQ(first->note.state, CacheNote::State::miss);
  loop.advance(7s);
  auto second = ask("How hot is too hot for the pump?");
  EXPECT_EQ(generating(), 0U);
  ASSERT_TRUE(second->done);
  EXPECT_EQ(second->text, first->text);
  EXPECT_EQ(second->done->message.content, first->text);
  EXPECT_EQ(second->starts, 1);
  EXPECT_GT(second->deltas, 2) << "in pieces";
  EXPECT_EQ(second->note.state, CacheNote::State::hit);
  EXPECT_EQ(second->note.level, "memory");
  EXPECT_EQ(second->note.age, 7s);
  EXPECT_EQ(second->done->usage.cached_tokens, 10);
  EXPECT_EQ(dispatcher.statistics().models().at("m").finished, 2);
}

TEST_F(CachedTasksTest, NeverFromInsideSubmit) {
  ask("q");
  answer("a");
  auto hearing = submit(question("q")).second;
  EXPECT_EQ(hearing->ends, 0);
  loop.run_ready();
  EXPECT_EQ(hearing->ends, 1);
}

TEST_F(CachedTasksTest, SampledAnswersAreKeptOnlyForAgentsThatWantIt) {
  TaskRequest sampled = question("q");
  sampled.input.overrides.temperature = 0.8F;
  for (int i = 0; i < 2; ++i) {
    submit(sampled);
    settle();
    ASSERT_EQ(generating(), 1U) << i;
    answer("a");
  }
  for (const char* agent : {"always", "alike"}) {
    sampled.agent = agent;
    submit(sampled);
    settle();
    answer("a");
    auto hearing = submit(sampled).second;
    settle();
    EXPECT_EQ(hearing->note.state, CacheNote::State::hit) << agent;
  }
  sampled.agent = "always";
  sampled.input.overrides.seed = 0;
  submit(sampled);
  settle();
  EXPECT_EQ(generating(), 1U) << "whoever names a seed wants its answer, not just any";
  answer("a");
  TaskRequest seeded = question("q");
  seeded.input.overrides.temperature = 0.8F;
  seeded.input.overrides.seed = 4;
  submit(seeded);
  settle();
  answer("a");
  EXPECT_EQ((submit(seeded), settle(), generating()), 0U);
}

TEST_F(CachedTasksTest, WhateverDecidesAnAnswerMakesItAnother) {
  ask("q");
  answer("a");
  auto differs = [&](const std::function<void(TaskRequest&)>& change) {
    TaskRequest request = question("q");
    change(request);
    auto [id, hearing] = submit(std::move(request));
    settle();
    bool asked = generating() == 1;
    if (asked) answer("another");
    return asked;
  };
  EXPECT_FALSE(differs([](TaskRequest&) {}));
  EXPECT_TRUE(differs([](TaskRequest& r) { r.input.messages[0].content = "q "; }));
  EXPECT_TRUE(differs([](TaskRequest& r) { r.input.messages[0].role = "system"; }));
  EXPECT_TRUE(differs([](TaskRequest& r) { r.input.overrides.seed = 3; }));
  EXPECT_TRUE(differs([](TaskRequest& r) { r.adapter = "polite.gguf"; }));
  EXPECT_TRUE(differs([](TaskRequest& r) { r.input.tools.push_back({"t", "", ""}); }));
  EXPECT_TRUE(differs([](TaskRequest& r) { r.input.format.kind = language::ResponseFormat::Kind::json_object; }));
  EXPECT_TRUE(differs([](TaskRequest& r) { r.input.overrides.logprobs = true; }));
  EXPECT_FALSE(differs([](TaskRequest& r) { r.priority = scheduling::Priority::high; }));
  EXPECT_FALSE(differs([](TaskRequest& r) { r.deadline = 10s; }));
  content = "another file under the same name";
  EXPECT_TRUE(differs([](TaskRequest&) {}));
  content = "";
  EXPECT_TRUE(differs([](TaskRequest&) {}));
}

TEST_F(CachedTasksTest, NoCacheAsksAnewAndKeepsNoStoreDoesNeither) {
  ask("q");
  answer("old");
  TaskRequest fresh = question("q");
  fresh.cache.look_up = false;
  submit(fresh);
  settle();
  answer("new");
  EXPECT_EQ(ask("q")->text, "new");
  fresh.cache.store = false;
  submit(fresh);
  settle();
  answer("not kept");
  EXPECT_EQ(ask("q")->text, "new");
}

TEST_F(CachedTasksTest, TasksInFlightAreJoinedAndTheLateOneHearsTheBeginning) {
  auto first = ask("q");
  factory.alive("m")->say(factory.alive("m")->running.begin()->first, "one ");
  auto second = ask("q");
  EXPECT_EQ(generating(), 1U);
  EXPECT_EQ(second->text, "one ");
  answer("two");
  EXPECT_EQ(first->text, "one two");
  EXPECT_EQ(second->text, "one two");
  EXPECT_EQ(second->done->message.content, "one two");
  EXPECT_NE(first->done->id, second->done->id);
  EXPECT_EQ(second->note.level, "flight");
  EXPECT_EQ(tasks.counters().joined, 1);
}

TEST_F(CachedTasksTest, OneThatJoinsWhilePiecesComeHearsEachOnceAndInOrder) {
  auto first = ask("q");
  auto& engine = *factory.alive("m");
  const auto generation = engine.running.begin()->first;
  engine.say(generation, "one ");
  auto second = submit(question("q")).second;
  engine.say(generation, "two ");  // before the second one was told what there is
  loop.run_ready();
  EXPECT_EQ(second->text, "one two ");
  auto third = submit(question("q")).second;
  answer("three");  // the end, too
  for (const auto& hearing : {first, second, third}) {
    EXPECT_EQ(hearing->text, "one two three");
    EXPECT_EQ(hearing->starts, 1);
    EXPECT_EQ(hearing->ends, 1);
  }
}

TEST_F(CachedTasksTest, WhatIsInvalidatedWhileItIsAnsweredIsKeptAndJoinedByNobody) {
  auto first = ask("q", "exact");
  EXPECT_TRUE(invalidate("agent:exact"));
  auto second = ask("q", "exact");
  EXPECT_EQ(generating(), 2U) << "it was asked after the invalidation";
  answer("old");
  EXPECT_EQ(first->text, "old");
  EXPECT_EQ(cache.entries(), 0U);
  answer("new");
  EXPECT_EQ(ask("q", "exact")->text, "new");
  EXPECT_TRUE(invalidate(""));
  EXPECT_EQ((ask("q", "exact"), generating()), 1U);
}

TEST_F(CachedTasksTest, OneWhoLeavesTakesNothingFromTheOthers) {
  auto [leader, first] = submit(question("q"));
  settle();
  auto second = ask("q");
  tasks.cancel(leader);
  EXPECT_EQ(generating(), 1U);
  answer("a");
  EXPECT_EQ(first->ends, 0);
  EXPECT_EQ(second->text, "a");
  auto [alone, third] = submit(question("another"));
  settle();
  EXPECT_EQ(generating(), 1U);
  tasks.cancel(alone);
  tasks.cancel(alone);
  EXPECT_EQ(generating(), 0U) << "the last one left";
}

TEST_F(CachedTasksTest, TheFirstOnesDeadlineIsNotTheOthers) {
  TaskRequest hasty = question("q");
  hasty.deadline = 4s;
  auto first = submit(hasty).second;
  auto patient = submit(question("q")).second;
  auto hastier = submit(hasty).second;
  EXPECT_EQ(tasks.counters().joined, 1) << "whoever has a deadline keeps it by itself";
  for (int i = 0; i < 6; ++i) loop.advance(1s);
  for (const auto& late : {first, hastier}) {
    ASSERT_TRUE(late->failure);
    EXPECT_EQ(late->failure->error.code, ErrorCode::deadline_exceeded);
  }
  EXPECT_FALSE(patient->failure);
  settle();
  ASSERT_EQ(generating(), 1U);
  answer("a");
  EXPECT_EQ(patient->text, "a");
}

TEST_F(CachedTasksTest, NobodyUrgentJoinsABackgroundGeneration) {
  TaskRequest slow = question("q");
  slow.priority = scheduling::Priority::background;
  submit(slow);
  settle();
  TaskRequest urgent = question("q");
  urgent.priority = scheduling::Priority::critical;
  submit(urgent);
  settle();
  EXPECT_EQ(generating(), 2U);
}

TEST_F(CachedTasksTest, AFailureIsToldToAllAndKeptByNobody) {
  auto first = ask("q");
  auto second = ask("q");
  factory.scripts["m"].load_fails = Error{ErrorCode::unsupported, "no such architecture", ""};
  factory.alive("m")->die({ErrorCode::internal, "assertion failed", ""});
  settle();
  EXPECT_EQ(first->ends, 1);
  EXPECT_EQ(second->ends, 1);
  EXPECT_TRUE(second->failure);
  EXPECT_EQ(cache.entries(), 0U);
}

TEST_F(CachedTasksTest, AQuestionThatMeansTheSameIsAnsweredForAgentsThatOptedIn) {
  ask("Please explain how photosynthesis works", "alike");
  answer("light");
  auto hit = ask("Explain how photosynthesis works, please", "alike");
  EXPECT_EQ(hit->text, "light");
  EXPECT_EQ(hit->note.level, "similar");
  ask("Explain how photosynthesis works, please", "exact");
  EXPECT_EQ(generating(), 1U) << "this one did not opt in";
  answer("exactly");
}

TEST_F(CachedTasksTest, TheGuardStandsBeforeWhatOnlyLooksAlike) {
  ask("Is 81 degrees too hot?", "alike");
  answer("yes");
  ask("Is 18 degrees too hot?", "alike");
  ASSERT_EQ(generating(), 1U);
  answer("no");
  EXPECT_GE(tasks.counters().guarded, 1);
}

TEST_F(CachedTasksTest, SimilarQuestionsMustAgreeInEverythingElse) {
  auto with_system = [&](const std::string& system) {
    TaskRequest request = question("Explain it please");
    request.agent = "alike";
    request.input.messages.insert(request.input.messages.begin(), {"system", system, "", {}, "", ""});
    return request;
  };
  submit(with_system("You are brief."));
  settle();
  answer("brief");
  TaskRequest other = with_system("You are verbose.");
  other.input.messages.back().content = "Please explain it";
  submit(other);
  settle();
  EXPECT_EQ(generating(), 1U);
}

TEST_F(CachedTasksTest, WarmedAnswersAreFound) {
  language::Message answer;
  answer.role = "assistant";
  answer.content = "forty-two";
  ASSERT_TRUE(tasks.warm(question("q"), answer));
  auto hearing = ask("q");
  EXPECT_EQ(hearing->text, "forty-two");
  TaskRequest sampled = question("q");
  sampled.input.overrides.temperature = 1.0F;
  EXPECT_EQ(tasks.warm(sampled, answer).error().code, ErrorCode::invalid_argument);
}

TEST_F(CachedTasksTest, ACancelledHitSaysNothing) {
  ask("q");
  answer("a");
  auto [id, hearing] = submit(question("q"));
  tasks.cancel(id);
  settle();
  EXPECT_EQ(hearing->starts + hearing->ends, 0);
}

// Has answers, and gives them a while later.
class SlowLevel final : public cache::Level {
 public:
  explicit SlowLevel(EventLoop& loop) : loop_(loop) {}
  const std::string& name() const override { return name_; }
  void find(const cache::CacheKey& key, std::function<void(std::optional<cache::Kept>)> done) override {
    ++asked;
    loop_.after(kTakes, [this, key, done = std::move(done)] {
      auto found = map.find(key);
      done(found == map.end() ? std::nullopt : std::optional(found->second));
    });
  }
  void keep(const cache::CacheKey& key, cache::Kept answer) override { map[key] = std::move(answer); }
  void invalidate(const std::string&, bool, std::function<void(Status)> done) override {
    map.clear();
    done({});
  }
  void on_invalidated(Heard h) override { heard = std::move(h); }
  Counters counters() const override { return {}; }

  static constexpr Duration kTakes = 10ms;
  std::map<cache::CacheKey, cache::Kept> map;
  Heard heard;
  int asked = 0;

 private:
  EventLoop& loop_;
  std::string name_ = "database";
};

// The same with a level below memory, where another process's answer is.
class CachedTasksBelow : public CachedTasksTest {
 protected:
  CachedTasksBelow() {
    SlowLevel same(loop);
    cache::AnswerCache theirs(loop.clock(), {&same}, {});
    CachedTasks other{{loop, dispatcher, planner, roster, &theirs, nullptr,
                       [this](const std::string&, const std::string&) { return content; }}};
    language::Message answer;
    answer.role = "assistant";
    answer.content = "80 degrees.";
    TaskRequest request = question("How hot?");
    request.agent = "alike";
    EXPECT_TRUE(other.warm(request, answer));
    level.map = same.map;
    EXPECT_EQ(level.map.size(), 1U);
    key = level.map.begin()->first;
  }
  std::shared_ptr<Hearing> ask_mine(const std::string& text, const std::string& agent = "alike") {
    TaskRequest request = question(text);
    request.agent = agent;
    auto hearing = std::make_shared<Hearing>();
    id = dispatcher.reserve();
    mine.submit(id, std::move(request), hearing);
    return hearing;
  }
  SlowLevel level{loop};
  cache::CacheKey key{};
  TaskId id = 0;
  cache::AnswerCache my_cache{loop.clock(), {&level}, {}};
  CachedTasks mine{{loop, dispatcher, planner, roster, &my_cache, &similar,
                    [this](const std::string&, const std::string&) { return content; },
                    [this](const std::string&) { return basis; }}};
};

TEST_F(CachedTasksBelow, AnAnswerBelowMemoryIsGivenWhenItComesAndIsNearerTheNextTime) {
  auto hearing = ask_mine("How hot?");
  loop.run_ready();
  EXPECT_EQ(hearing->ends, 0);
  loop.advance(SlowLevel::kTakes);
  settle();
  EXPECT_EQ(hearing->text, "80 degrees.");
  EXPECT_EQ(hearing->note.level, "database");
  EXPECT_EQ(generating(), 0U);
  auto again = ask_mine("How hot?");
  loop.run_ready();
  EXPECT_EQ(again->note.level, "memory");
  EXPECT_EQ(level.asked, 1);
}

TEST_F(CachedTasksBelow, WhatIsNotThereEitherIsGeneratedOnceForAllThatLooked) {
  auto first = ask_mine("Another?", "exact");
  auto second = ask_mine("Another?", "exact");
  loop.advance(SlowLevel::kTakes);
  settle();
  EXPECT_EQ(generating(), 1U);
  EXPECT_EQ(mine.counters().misses, 1);
  EXPECT_EQ(mine.counters().joined, 1);
  answer("yes");
  EXPECT_EQ(first->text, "yes");
  EXPECT_EQ(second->text, "yes");
  EXPECT_EQ(level.map.size(), 2U) << "written through";
}

TEST_F(CachedTasksBelow, WhoLeavesWhileItIsLookedForHearsNothing) {
  auto hearing = ask_mine("How hot?");
  mine.cancel(id);
  loop.advance(SlowLevel::kTakes);
  settle();
  EXPECT_EQ(hearing->starts + hearing->ends, 0);
  EXPECT_EQ(generating(), 0U);
}

TEST_F(CachedTasksBelow, ASimilarQuestionsAnswerIsFoundThereToo) {
  similar.agents[key] = "alike";
  ask_mine("Please explain how photosynthesis works");
  loop.advance(SlowLevel::kTakes);
  settle();
  ASSERT_EQ(generating(), 1U) << "nothing alike is known yet";
  answer("light");
  similar.known.front().second.key = key;  // its answer is only below
  auto hearing = ask_mine("Explain how photosynthesis works, please");
  for (int i = 0; i < 2; ++i) loop.advance(SlowLevel::kTakes);
  settle();
  EXPECT_EQ(hearing->note.level, "similar");
  EXPECT_EQ(hearing->text, "80 degrees.");
}

TEST_F(CachedTasksBelow, WhatOthersInvalidateWhileItIsAnsweredHereIsKeptByNobody) {
  auto hearing = ask_mine("Another?", "exact");
  loop.advance(SlowLevel::kTakes);
  settle();
  ASSERT_EQ(generating(), 1U);
  bool applied = false;
  level.heard({"agent:exact"}, [&] { applied = true; });
  EXPECT_TRUE(applied);
  answer("old");
  EXPECT_EQ(hearing->text, "old");
  EXPECT_EQ(my_cache.entries(), 0U);
}

}  // namespace
}  // namespace skep::agent
