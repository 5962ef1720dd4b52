// What both stores of long-term memory must do, on LocalFacts (and PostgresFacts in postgres_facts_test.cc), is in
// long_term_contract.h; here is what LocalFacts does with its files.

#include "memory/local_facts.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "base/random.h"
#include "memory/long_term_contract.h"
#include "store/testing_full_disk.h"

namespace skep::memory {
namespace {

namespace fs = std::filesystem;
using store::FullDisk;

LocalFactsOptions small_options(const std::string& folder) {
  LocalFactsOptions options;
  options.folder = folder;
  options.index.exact_below = 20;
  options.index.tail = 50;
  return options;
}

struct LocalStore {
  LocalStore() : folder((fs::temp_directory_path() / fmt::format("skep-facts-{}", getpid())).string()) {
    fs::remove_all(folder);
    open();
  }
  ~LocalStore() {
    facts.reset();
    fs::remove_all(folder);
  }
  void open() {
    facts.reset();
    facts = LocalFacts::open(small_options(folder)).value();
  }
  void reopen() { open(); }
  LongTerm& store() { return *facts; }

  std::string folder;
  std::unique_ptr<LocalFacts> facts;
};
INSTANTIATE_TYPED_TEST_SUITE_P(Local, LongTermContract, LocalStore);

class LocalFactsTest : public testing::Test, public LocalStore {
 protected:
  // In any file of the folder.
  bool on_disk(std::string_view bytes) const {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (read_file(entry.path()).value().find(bytes) != std::string::npos) return true;
    }
    return false;
  }
};

TEST_F(LocalFactsTest, WhatWasForgottenStandsInNoFile) {
  ASSERT_TRUE(store().use_embedder("e", 64));
  Random random(1);
  std::vector<QuantizedVector> secrets;
  for (int i = 0; i < 300; ++i) {
    const bool secret = i % 3 == 0;
    NewFact fact;
    fact.agent = secret ? "agent-vermilion" : "agent-teal";
    fact.text = fmt::format("{} number {}", secret ? "zanzibarish hideout" : "harmless remark", i);
    fact.source = secret ? "whistleblower" : "newspaper";
    fact.tags = {secret ? "clandestine" : "public"};
    fact.vector = random_unit(random, 64);
    if (secret) secrets.push_back(quantize(fact.vector));
    ASSERT_TRUE(store().add({fact}));
    if (i % 100 == 50) {  // some in a snapshot and a graph, some in the log
      ASSERT_TRUE(facts->fold());
    }
    if (i % 7 == 0) store().work();
  }
  while (store().work()) {
  }
  ASSERT_TRUE(store().sync());
  for (const char* word : {"zanzibarish", "agent-vermilion", "whistleblower", "clandestine"}) {
    EXPECT_TRUE(on_disk(word)) << word << ": the test looks in the right place";
  }
  Filter everything;
  everything.agent = "agent-vermilion";
  everything.with_shared = false;
  EXPECT_EQ(store().forget(everything).value(), 100U);
  const auto gone = [&] {
    for (const char* word : {"zanzibar", "hideout", "vermilion", "whistleblower", "clandestine"}) {
      EXPECT_FALSE(on_disk(word)) << word;
    }
    for (const auto& v : secrets) {
      EXPECT_FALSE(on_disk({reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size()}));
    }
  };
  gone();
  reopen();
  gone();
  EXPECT_EQ(store().statistics()->facts, 200U);
  EXPECT_TRUE(on_disk("harmless"));
  Query query;
  query.text = "zanzibarish hideout";
  EXPECT_TRUE(store().search(query)->empty());
}

TEST_F(LocalFactsTest, ForgettingThatWasInterruptedIsFinishedAfterwards) {
  NewFact fact;
  fact.agent = "a";
  fact.text = "zanzibarish hideout";
  const FactId id = store().add({fact})->front().id;
  fact.text = "harmless";
  ASSERT_TRUE(store().add({fact}));
  facts.reset();
  // As after a kill between the record and the folding.
  const std::string log = folder + "/facts-1.log";
  const std::string bytes = read_file(log).value();
  ASSERT_TRUE(FactLog::open(log, bytes.size())->append(frame(ForgetRecord{{id}})));
  open();
  EXPECT_EQ(store().statistics()->facts, 1U);
  EXPECT_TRUE(on_disk("zanzibarish"));
  while (store().work()) {
  }
  EXPECT_FALSE(on_disk("zanzibarish"));
  EXPECT_TRUE(on_disk("harmless"));
}

TEST_F(LocalFactsTest, EveryPrefixOfTheLogIsAStateThatWas) {
  ASSERT_TRUE(store().use_embedder("e", 32));
  Random random(2);
  for (int i = 0; i < 12; ++i) {
    NewFact fact;
    fact.agent = "a";
    fact.text = fmt::format("fact {}", i);
    fact.vector = random_unit(random, 32);
    ASSERT_TRUE(store().add({fact}));
  }
  facts.reset();
  const std::string bytes = read_file(folder + "/facts-1.log").value();
  size_t most = 0;
  for (size_t cut = 0; cut <= bytes.size(); cut += cut + 40 < bytes.size() ? 37 : 1) {
    fs::remove_all(folder);
    fs::create_directories(folder);
    auto file = FileReplacement::begin(folder + "/facts-1.log");
    ASSERT_TRUE(file && file->write(std::string_view(bytes).substr(0, cut)) && file->commit());
    auto opened = LocalFacts::open(small_options(folder));
    if (cut >= kFactFileHeader || cut == 0) {
      ASSERT_TRUE(opened) << cut << " " << opened.error().text();
    } else if (!opened) {
      continue;
    }
    const size_t count = (*opened)->statistics()->facts;
    EXPECT_GE(count, most);
    most = count;
    const auto all = (*opened)->list({}, 0, 100).value();
    for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].text, fmt::format("fact {}", i));
    NewFact more;
    more.text = "one more";
    ASSERT_TRUE((*opened)->add({more}));
  }
  EXPECT_EQ(most, 12U);
  open();
}

// A child adds and says through a pipe what was acknowledged; it is killed at a random one of its words.
TEST_F(LocalFactsTest, AKilledProcessLosesNothingThatWasAcknowledged) {
  facts.reset();
  Random random(3);
  std::set<std::string> acknowledged;
  for (int life = 0; life < 25; ++life) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(pipe_ends[0]);
      auto own = LocalFacts::open(small_options(folder));
      if (!own || !(*own)->use_embedder("e", 32)) _exit(1);
      Random vectors(static_cast<uint64_t>(life) + 100);
      for (uint32_t i = 0;; ++i) {
        NewFact fact;
        fact.agent = "a";
        fact.text = fmt::format("life {} fact {}", life, i);
        fact.vector = random_unit(vectors, 32);
        if (!(*own)->add({fact})) _exit(2);
        if (write(pipe_ends[1], &i, sizeof i) != sizeof i) _exit(3);
        if (i % 10 == 9) (*own)->work();
        if (i % 40 == 39 && !(*own)->fold()) _exit(4);
      }
    }
    close(pipe_ends[1]);
    const uint32_t words = 1 + random.below(90);
    uint32_t last = 0;
    for (uint32_t heard = 0; heard < words; ++heard)
      ASSERT_EQ(read(pipe_ends[0], &last, sizeof last), ssize_t{sizeof last});
    kill(child, SIGKILL);
    while (read(pipe_ends[0], &last, sizeof last) == ssize_t{sizeof last}) {
    }
    close(pipe_ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself: " << WEXITSTATUS(status);
    for (uint32_t i = 0; i <= last; ++i) acknowledged.insert(fmt::format("life {} fact {}", life, i));
    open();
    std::set<std::string> there;
    const auto facts_now = store().list({}, 0, 100'000).value();
    for (const Fact& fact : facts_now) there.insert(fact.text);
    for (const std::string& text : acknowledged) {
      ASSERT_TRUE(there.contains(text)) << text << " of " << last + 1 << " acknowledged in life " << life;
    }
    EXPECT_LE(there.size(), acknowledged.size() + static_cast<size_t>(life) + 1) << "at most one unheard per life";
    EXPECT_TRUE(store().statistics()->problems.empty());
    while (store().work()) {
    }
    for (const char* word : {"life", "fact"}) {
      Query query;
      query.text = fmt::format("{} {}", word, last);
      EXPECT_FALSE(store().search(query)->empty());
    }
    facts.reset();
  }
  open();
}

TEST_F(LocalFactsTest, AFoldingThatFailsLosesNoFactThatIsAddedAfterIt) {
  const auto add = [&](const std::string& text) {
    NewFact fact;
    fact.text = text;
    return store().add({fact});
  };
  ASSERT_TRUE(add("before"));
  // In the way of the next log, and not to be removed.
  fs::create_directories(folder + "/facts-2.log/x");
  EXPECT_FALSE(facts->fold());
  EXPECT_FALSE(fs::exists(folder + "/facts-2.snapshot"));
  ASSERT_TRUE(add("after"));
  facts.reset();
  fs::remove_all(folder + "/facts-2.log");
  open();
  EXPECT_EQ(store().statistics()->facts, 2U);
  ASSERT_TRUE(facts->fold());
  reopen();
  EXPECT_EQ(store().statistics()->facts, 2U);
}

TEST_F(LocalFactsTest, AFullDiskStopsFoldingUntilThereIsRoom) {
  for (int i = 0; i < 40; ++i) {
    NewFact fact;
    fact.text = fmt::format("{} {}", i, std::string(10'000, 'x'));
    ASSERT_TRUE(store().add({fact}));
  }
  {
    const FullDisk full(100'000);
    const Status folded = facts->fold();
    ASSERT_FALSE(folded);
    EXPECT_EQ(folded.error().code, ErrorCode::overloaded) << folded.error().text();
    NewFact fact;
    fact.text = "refused";
    EXPECT_FALSE(store().add({fact}));
    Query query;
    query.text = "17";
    EXPECT_EQ(store().search(query)->size(), 1U) << "reading goes on";
  }
  NewFact fact;
  fact.text = "added with room";
  ASSERT_TRUE(store().add({fact}));
  ASSERT_TRUE(facts->fold());
  reopen();
  EXPECT_EQ(store().statistics()->facts, 41U);
}

TEST_F(LocalFactsTest, TheFullTextFileOfEarlierVersionsGoes) {
  facts.reset();
  for (const char* name : {"words.sqlite", "words.sqlite-wal", "words.sqlite-shm"}) {
    auto file = FileReplacement::begin(folder + "/" + name);
    ASSERT_TRUE(file && file->write("zanzibarish") && file->commit());
  }
  open();
  EXPECT_FALSE(on_disk("zanzibarish")) << "what is forgotten later must not stand in it";
}

TEST_F(LocalFactsTest, ASearchByWordsWithinATimeLooksBehindTheBetterOnesOutside) {
  for (int i = 0; i < 300; ++i) {
    NewFact fact;
    fact.text = i == 7 ? "once a remark about pumps, among much else that was said" : fmt::format("pump {}", i);
    fact.text += i == 7 ? " of pump" : "";
    fact.time = WallTime(std::chrono::hours(i));
    ASSERT_TRUE(store().add({fact}));
  }
  Query query;
  query.text = "pump";
  query.filter.from = WallTime(std::chrono::hours(7));
  query.filter.to = WallTime(std::chrono::hours(8));
  const auto hits = store().search(query).value();
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits.front().fact.time, WallTime(std::chrono::hours(7)));
}

TEST_F(LocalFactsTest, ASecondProcessIsRefused) {
  const auto second = LocalFacts::open(small_options(folder));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
}

TEST_F(LocalFactsTest, ADamagedSnapshotIsReadAsFarAsItGoesAndSaysSo) {
  for (int i = 0; i < 50; ++i) {
    NewFact fact;
    fact.text = fmt::format("remark {}", i);
    ASSERT_TRUE(store().add({fact}));
  }
  ASSERT_TRUE(facts->fold());
  facts.reset();
  std::string bytes = read_file(folder + "/facts-2.snapshot").value();
  bytes[bytes.size() / 2] ^= 1;
  auto file = FileReplacement::begin(folder + "/facts-2.snapshot");
  ASSERT_TRUE(file && file->write(bytes) && file->commit());
  open();
  EXPECT_EQ(store().statistics()->facts, 49U);
  EXPECT_EQ(store().statistics()->problems.size(), 1U);
}

TEST_F(LocalFactsTest, WithoutItsGraphSearchIsMadeAgainByWork) {
  ASSERT_TRUE(store().use_embedder("e", 32));
  Random random(5);
  std::vector<float> wanted;
  for (int i = 0; i < 200; ++i) {
    NewFact fact;
    fact.text = fmt::format("remark w{}", i);
    fact.vector = random_unit(random, 32);
    if (i == 123) wanted = fact.vector;
    ASSERT_TRUE(store().add({fact}));
  }
  while (store().work()) {
  }
  ASSERT_TRUE(facts->fold());
  facts.reset();
  fs::remove(folder + "/facts-2.graph");
  open();
  Query by_vector;
  by_vector.vector = wanted;
  EXPECT_EQ(store().search(by_vector)->front().fact.text, "remark w123") << "the tail is scanned meanwhile";
  while (store().work()) {
  }
  Query by_text;
  by_text.text = "w123";
  EXPECT_EQ(store().search(by_text)->front().fact.text, "remark w123");
  EXPECT_EQ(store().search(by_vector)->front().fact.text, "remark w123");
}

TEST_F(LocalFactsTest, TheLogIsFoldedWhenItOutgrowsTheSnapshot) {
  facts.reset();
  LocalFactsOptions options = small_options(folder);
  options.fold_at = Bytes(20'000);
  facts = LocalFacts::open(options).value();
  for (int i = 0; i < 2000; ++i) {
    NewFact fact;
    fact.text = fmt::format("remark {} of the long log", i);
    ASSERT_TRUE(store().add({fact}));
    store().work();
  }
  EXPECT_LT(fs::file_size(folder + "/" +
                          [&] {
                            for (const auto& e : fs::directory_iterator(folder)) {
                              if (e.path().extension() == ".log") return e.path().filename().string();
                            }
                            return std::string();
                          }()),
            160'000U);
  reopen();
  EXPECT_EQ(store().statistics()->facts, 2000U);
}

}  // namespace
}  // namespace skep::memory
