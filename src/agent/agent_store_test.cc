#include "agent/agent_store.h"

#include <gtest/gtest.h>

#include <fstream>

#include "agent/random_life.h"
#include "store/testing_folder.h"

namespace skep::agent {
namespace {

Turn turn(const std::string& content) {
  Turn turn;
  turn.message.role = "user";
  turn.message.content = content;
  return turn;
}

struct AgentStoreTest : ::testing::Test {
  store::TestingFolder folder;
  std::unique_ptr<store::Store> store = *store::Store::open({.folder = folder.path()});
  AgentStore agents{*store};

  void reopen() {
    store.reset();
    store = *store::Store::open({.folder = folder.path()});
    agents = AgentStore(*store);
  }
  int64_t updated_keys(const std::function<void()>& work) {
    int64_t before = store->usage().updates;
    work();
    return store->usage().updates - before;
  }
};

TEST_F(AgentStoreTest, AnAgentThatNeverWasIsEmpty) {
  auto state = agents.load("nobody");
  ASSERT_TRUE(state);
  EXPECT_EQ(*state, AgentState());
}

TEST_F(AgentStoreTest, GivesBackAnyLifeBitForBitWithItsSize) {
  AgentState state;
  for (int step = 0; step < 400; ++step) {
    ASSERT_TRUE(live(state, 5, step));
    if (step % 7 == 0) {
      ASSERT_TRUE(agents.save("a", state));
    }
  }
  ASSERT_TRUE(agents.save("a", state));
  reopen();
  auto loaded = agents.load("a");
  ASSERT_TRUE(loaded) << loaded.error().text();
  EXPECT_EQ(*loaded, state);
  EXPECT_EQ(loaded->size(), state.size()) << "measured along the way and measured at once";
}

TEST_F(AgentStoreTest, NotesOfParkedContextsAreWrittenOnlyWhenTheyChangedAndNeverForAForgottenAgent) {
  AgentState state;
  state.was_active(WallTime(std::chrono::hours(1)));
  ASSERT_TRUE(agents.save("ann", state));
  std::map<std::string, ParkedCells> files = {{"one.kv", {"model", 0, 100, 1_MiB}},
                                              {"two.kv", {"model", 100, 7, 1_KiB}}};
  EXPECT_EQ(updated_keys([&] { EXPECT_TRUE(agents.note_parked("ann", files)); }), 1);
  EXPECT_EQ(updated_keys([&] { EXPECT_TRUE(agents.note_parked("ann", files)); }), 0);
  EXPECT_EQ(agents.load("ann")->parked(), files);
  files.erase("one.kv");
  files["two.kv"].tokens = 8;
  EXPECT_EQ(updated_keys([&] { EXPECT_TRUE(agents.note_parked("ann", files)); }), 1);
  reopen();
  EXPECT_EQ(agents.load("ann")->parked(), files);
  const std::string exported = *agents.export_agent("ann");
  ASSERT_TRUE(agents.forget("ann"));
  ASSERT_TRUE(agents.note_parked("ann", files)) << "by whoever looked before it was forgotten";
  EXPECT_EQ(*agents.agents(), std::vector<std::string>());
  ASSERT_TRUE(agents.import_agent("bob", exported));
  EXPECT_TRUE(agents.load("bob")->parked().empty()) << "the files are not in an export";
}

TEST_F(AgentStoreTest, WritesOnlyWhatChanged) {
  AgentState state;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(state.say("talk", turn("turn " + std::to_string(i))));
  ASSERT_TRUE(state.write_block("persona", "calm"));
  ASSERT_TRUE(agents.save("a", state));
  EXPECT_TRUE(state.dirty().empty());
  EXPECT_EQ(updated_keys([&] { ASSERT_TRUE(agents.save("a", state)); }), 0) << "nothing changed, nothing is written";
  ASSERT_TRUE(state.say("talk", turn("one more")));
  EXPECT_EQ(state.dirty().size(), 2U) << "the last chunk and the core";
}

TEST_F(AgentStoreTest, AgentsDoNotMixThoughTheirNamesDo) {
  for (const char* name : {"a", "a-b", "ab"}) {
    AgentState state;
    ASSERT_TRUE(state.say("t", turn(name)));
    ASSERT_TRUE(agents.save(name, state));
  }
  EXPECT_EQ(*agents.agents(), (std::vector<std::string>{"a", "a-b", "ab"}));
  EXPECT_EQ(*agents.agents("a", 1), (std::vector<std::string>{"a-b"}));
  ASSERT_TRUE(agents.forget("a"));
  EXPECT_EQ(*agents.load("a"), AgentState());
  EXPECT_EQ(agents.load("a-b")->conversation("t")->messages().front().content, "a-b");
}

TEST_F(AgentStoreTest, KnowsWhoHasMail) {
  AgentState with, without;
  ASSERT_TRUE(with.deliver({0, "x", "t", "hello", {}, 0, ""}));
  ASSERT_TRUE(without.say("t", turn("hi")));
  ASSERT_TRUE(agents.save("with", with));
  ASSERT_TRUE(agents.save("without", without));
  EXPECT_EQ(*agents.agents_with_mail(), std::vector<std::string>{"with"});
  with.take_letter(with.mailbox().front().id);
  ASSERT_TRUE(agents.save("with", with));
  EXPECT_TRUE(agents.agents_with_mail()->empty());
}

TEST_F(AgentStoreTest, ExportedAndImportedItIsTheSame) {
  AgentState state;
  for (int step = 0; step < 200; ++step) ASSERT_TRUE(live(state, 9, step));
  ASSERT_TRUE(agents.save("a", state));
  auto text = agents.export_agent("a");
  ASSERT_TRUE(text);
  AgentState old;
  ASSERT_TRUE(old.write_block("to be replaced", "x"));
  ASSERT_TRUE(agents.save("b", old));
  ASSERT_TRUE(agents.import_agent("b", *text));
  EXPECT_FALSE(state.parked().empty());
  state.note_parked({});
  EXPECT_EQ(*agents.load("b"), state) << "but for what is parked in files of this machine";
}

TEST_F(AgentStoreTest, RefusesAnExportThatWasCutOrChanged) {
  AgentState state;
  ASSERT_TRUE(state.say("t", turn("hello")));
  ASSERT_TRUE(agents.save("a", state));
  std::string text = *agents.export_agent("a");
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(agents.import_agent("a", std::string_view(text).substr(0, size))) << size;
  }
  for (size_t at = 0; at < text.size(); ++at) {
    std::string changed = text;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    if (changed == text || text.substr(0, text.find('\n')).size() > at) continue;
    EXPECT_FALSE(agents.import_agent("a", changed)) << at;
  }
  EXPECT_EQ(*agents.load("a"), state) << "nothing was replaced";
}

TEST_F(AgentStoreTest, ABrokenPartNamesTheAgentAndTheOthersGoOn) {
  std::string marker(1500, '\0');  // small enough to stand beside its key
  Random random(4);
  for (char& c : marker) c = static_cast<char>('A' + random.below(58));
  for (const char* name : {"a", "b", "c"}) {
    AgentState state;
    ASSERT_TRUE(state.say("t", turn(name + marker)));
    ASSERT_TRUE(agents.save(name, state));
  }
  store.reset();
  std::string path = folder / "state.mdb";
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  std::string key = std::string("talk\0b\0t\0", 9);
  size_t at = bytes.find(key);
  ASSERT_NE(at, std::string::npos);
  for (; at != std::string::npos; at = bytes.find(key, at + 1)) {        // pages that are out of use may hold it, too
    file.seekp(static_cast<std::streamoff>(at + key.size() + 8 + 500));  // in the middle of b's record
    file << "broken";
  }
  file.close();
  reopen();
  auto broken = agents.load("b");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::corrupt);
  EXPECT_NE(broken.error().message.find("'b'"), std::string::npos) << broken.error().message;
  EXPECT_TRUE(agents.load("a"));
  EXPECT_TRUE(agents.load("c"));
  EXPECT_GT(agents.salvage("b")->size(), 1000U);
  ASSERT_TRUE(agents.forget("b"));
  EXPECT_EQ(*agents.load("b"), AgentState());
}

TEST(AgentState, KeepsToItsBounds) {
  AgentState state;
  for (size_t i = 0; i < AgentState::kMostLetters; ++i) ASSERT_TRUE(state.deliver({0, "x", "t", "", {}, 0, ""}));
  EXPECT_EQ(state.deliver({0, "x", "t", "", {}, 0, ""}).error().code, ErrorCode::overloaded);
  EXPECT_EQ(state.deliver({0, "x", "t", std::string(2 << 20, 'x'), {}, 0, ""}).error().code, ErrorCode::too_large);
  EXPECT_EQ(state.say("", turn("x")).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(state.say("a\nb", turn("x")).error().code, ErrorCode::invalid_argument);
  std::string large(500'000, 'x');
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(state.say("long", turn(large)));
  const Conversation& talk = *state.conversation("long");
  EXPECT_EQ(talk.turns() + talk.dropped_turns, 60U) << "what was dropped is counted";
  EXPECT_LT(state.size(), 20_MiB);
}

TEST(AgentState, BlocksAreVersionedAndCanBeProtected) {
  AgentState state;
  ASSERT_TRUE(state.write_block("persona", "calm", 0));
  EXPECT_EQ(state.blocks().at("persona").version, 1U);
  EXPECT_EQ(state.write_block("persona", "loud", 7).error().code, ErrorCode::conflict);
  ASSERT_TRUE(state.write_block("persona", "loud", 1));
  ASSERT_TRUE(state.protect_block("persona", true));
  EXPECT_EQ(state.write_block("persona", "x").error().code, ErrorCode::conflict);
  EXPECT_EQ(state.blocks().at("persona").value, "loud");
}

}  // namespace
}  // namespace skep::agent
