#include "base/yaml.h"

#include <gtest/gtest.h>

#include "base/yaml_fields.h"

namespace skep {
namespace {

using namespace std::chrono_literals;

YamlDocument parse(std::string_view text) {
  auto document = parse_yaml(text, "skep.yaml");
  EXPECT_TRUE(document) << document.error().text();
  return std::move(*document);
}

std::string error_of(std::string_view text, const YamlLimits& limits = {}) {
  const auto document = parse_yaml(text, "skep.yaml", limits);
  return document ? "" : document.error().message;
}

TEST(Yaml, KnowsThePlaceAndPathOfEveryValue) {
  const auto document = parse("a: 1\nmodels:\n  - name: x\n  - name: y\n    deep:\n      - [1, 2]\n");
  const auto name = document.root().find("models")->at(1).find("name");
  EXPECT_EQ(name->place(), "skep.yaml:4");
  EXPECT_EQ(name->path(), "models[1].name");
  const auto two = document.root().find("models")->at(1).find("deep")->at(0).at(1);
  EXPECT_EQ(two.path(), "models[1].deep[0][1]");
  EXPECT_EQ(two.integer(), 2);
  EXPECT_EQ(two.error("is wrong").value().message, "skep.yaml:6: models[1].deep[0][1]: is wrong");
}

TEST(Yaml, ReadsTypedValuesAndChecksTheirRanges) {
  const auto document = parse("i: -7\nn: 2.5\nb: true\ns: 4GiB\nd: 1h30m\nt: 'true'\nplus: +3\n");
  const YamlNode root = document.root();
  EXPECT_EQ(root.find("i")->integer(-10, 10), -7);
  EXPECT_FALSE(root.find("i")->integer(0, 10));
  EXPECT_EQ(root.find("n")->number(0, 3), 2.5);
  EXPECT_EQ(root.find("n")->number(0, 2).error().message, "skep.yaml:2: n: must be 0 to 2, not 2.5");
  EXPECT_EQ(root.find("n")->integer().error().message, "skep.yaml:2: n: must be a whole number, not '2.5'");
  EXPECT_EQ(root.find("b")->boolean(), true);
  EXPECT_EQ(root.find("s")->bytes(0_B, 8_GiB), 4_GiB);
  EXPECT_EQ(root.find("d")->duration(0s, 24h), 90min);
  EXPECT_EQ(root.find("t")->text(), "true");
  EXPECT_EQ(root.find("t")->boolean().error().message, "skep.yaml:6: t: must be true or false, not quoted text");
  EXPECT_EQ(root.find("plus")->integer(), 3);
}

TEST(Yaml, RefusesNumbersThatAreNone) {
  for (const char* text : {"v: 1e999", "v: nan", "v: .inf", "v: 12abc", "v: 0x10", "v: +-5", "v: [1]", "v: {a: 1}"}) {
    const auto document = parse(text);
    EXPECT_FALSE(document.root().find("v")->number(-1e300, 1e300)) << text;
    EXPECT_FALSE(document.root().find("v")->integer()) << text;
  }
  EXPECT_FALSE(parse("v: 99999999999999999999").root().find("v")->integer());
}

TEST(Yaml, RefusesWhatConfigurationDoesNotNeedNamingTheLine) {
  EXPECT_EQ(error_of("a: 1\nb: 2\na: 3\n"), "skep.yaml:3: 'a' stands here and in line 1");
  EXPECT_NE(error_of("a: &x 1\nb: *x\n").find("anchors"), std::string::npos);
  EXPECT_NE(error_of("a: !!str 1\n").find("tag"), std::string::npos);
  EXPECT_NE(error_of("a: 1\n---\nb: 2\n").find("second document"), std::string::npos);
  EXPECT_NE(error_of("? [a]\n: 1\n").find("can't be a key"), std::string::npos);
  EXPECT_EQ(error_of("a: 1\n  b: 2\n").substr(0, 12), "skep.yaml:2:");
}

TEST(Yaml, HoldsItsLimits) {
  EXPECT_NE(error_of(std::string(40, '[') + std::string(40, ']')).find("deeper than 32"), std::string::npos);
  EXPECT_NE(error_of("[1, 2, 3, 4]", {.values = 4}).find("more than 4 values"), std::string::npos);
  EXPECT_NE(error_of("abcdefgh", {.size = Bytes(4)}).find("more than"), std::string::npos);
}

TEST(Yaml, TakesAnEmptyFileAsNothingSet) {
  for (const char* text : {"", "# only a comment\n", "---\n", "~"}) EXPECT_TRUE(parse(text).root().is_null()) << text;
}

TEST(Yaml, LetsEnvironmentVariablesOverrideAndNamesThemInErrors) {
  auto document = parse("server:\n  listen: a\nempty:\nlist: [1]\n");
  ASSERT_TRUE(document.set("server.listen", "b", "SKEP_SERVER_LISTEN"));
  ASSERT_TRUE(document.set("empty.key", "7", "SKEP_EMPTY_KEY"));
  ASSERT_TRUE(document.set("new.section.key", "x", "SKEP_NEW_SECTION_KEY"));
  EXPECT_EQ(document.root().find("server")->find("listen")->text(), "b");
  EXPECT_EQ(document.root().find("empty")->find("key")->integer(8, 9).error().message,
            "SKEP_EMPTY_KEY: empty.key: must be 8 to 9, not 7");
  EXPECT_EQ(document.root().find("new")->find("section")->find("key")->text(), "x");
  EXPECT_FALSE(document.set("list.key", "1", "SKEP_LIST_KEY"));
  EXPECT_FALSE(document.set("server", "1", "SKEP_SERVER"));
}

TEST(Yaml, SaysThatAFileIsMissing) {
  const auto document = read_yaml("/nowhere/skep.yaml");
  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().code, ErrorCode::not_found);
  EXPECT_EQ(document.error().message, "/nowhere/skep.yaml: No such file or directory");
}

struct Sample {
  std::string listen = "127.0.0.1";
  std::string kv_type = "f16";
  int slots = 4;
  std::optional<int> context;
  Bytes budget = 1_GiB;
  Duration keep_alive = 5min;
  std::vector<std::string> folders = {"models"};
  std::vector<std::string> names;
};

Status read_sample(const YamlNode& root, Sample& out, std::vector<std::string>* asked = nullptr) {
  YamlFields fields(root);
  fields.text("listen", out.listen, 32);
  fields.texts("folders", out.folders, 2);
  fields.bytes("budget", out.budget, 1_MiB, 1024_GiB);
  fields.section("engines", [&](YamlFields& engines) {
    engines.integer("slots", out.slots, 1, 64);
    engines.integer("context", out.context, 16, 1 << 20);
    engines.choice("kv_type", out.kv_type, {"f16", "q8_0"});
    engines.duration("keep_alive", out.keep_alive, 0s, 24h);
  });
  fields.list("agents", 3, [&](const YamlNode& node) -> Status {
    YamlFields agent(node);
    std::string name;
    agent.required().text("name", name);
    SKEP_CHECK(agent.finish());
    out.names.push_back(name);
    return {};
  });
  if (asked != nullptr) *asked = fields.asked();
  return fields.finish();
}

TEST(YamlFields, FillsAStructAndKeepsDefaults) {
  Sample s;
  const auto document = parse(
      "listen: 0.0.0.0\nfolders: here\nengines:\n  context: 4096\n  keep_alive: 10s\nagents:\n- name: a\n- {name: "
      "b}\n");
  const auto status = read_sample(document.root(), s);
  ASSERT_TRUE(status) << status.error().text();
  EXPECT_EQ(s.listen, "0.0.0.0");
  EXPECT_EQ(s.folders, std::vector<std::string>{"here"});
  EXPECT_EQ(s.slots, 4);
  EXPECT_EQ(s.context, 4096);
  EXPECT_EQ(s.keep_alive, 10s);
  EXPECT_EQ(s.kv_type, "f16");
  EXPECT_EQ(s.names, (std::vector<std::string>{"a", "b"}));
}

TEST(YamlFields, RefusesAnUnknownKeyWithTheNearestKnownOne) {
  Sample s;
  const auto document = parse("engines:\n  solts: 3\n");
  const auto status = read_sample(document.root(), s);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "skep.yaml:2: engines.solts: is no key that is known here");
  EXPECT_EQ(status.error().hint, "did you mean 'slots'?");
}

TEST(YamlFields, ShowsEveryMistakeAtOnce) {
  Sample s;
  const auto document = parse(
      "listen: [1]\nbudget: 4 parsecs\nwhatever: 1\nengines:\n  slots: 65\n  kv_type: q8\nagents:\n- nmae: x\nfolders: "
      "[a, b, "
      "c]\n");
  const auto status = read_sample(document.root(), s);
  ASSERT_FALSE(status);
  const std::string& text = status.error().message;
  for (const char* part :
       {"skep.yaml:1: listen: must be text, not a list",
        "skep.yaml:2: budget:", "skep.yaml:3: whatever:", "skep.yaml:5: engines.slots: must be 1 to 64, not 65",
        "skep.yaml:6: engines.kv_type: 'q8' is none of f16, q8_0", "skep.yaml:8: agents[0]: 'name' is missing",
        "skep.yaml:8: agents[0].nmae:", "skep.yaml:9: folders: has 3 entries"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n in \n" << text;
  }
  EXPECT_EQ(s.slots, 4) << "a refused value leaves its place as it was";
}

TEST(YamlFields, WantsAMap) {
  Sample s;
  const auto document = parse("engines: [1]\n");
  EXPECT_EQ(read_sample(document.root(), s).error().message, "skep.yaml:1: engines: must be a map of keys and values");
}

TEST(YamlFields, KnowsThePathsThatMayBeOverriddenEvenOfAnEmptyFile) {
  Sample s;
  std::vector<std::string> asked;
  const auto document = parse("");
  ASSERT_TRUE(read_sample(document.root(), s, &asked));
  EXPECT_EQ(asked, (std::vector<std::string>{"listen", "folders", "budget", "engines.slots", "engines.context",
                                             "engines.kv_type", "engines.keep_alive"}));
}

TEST(YamlFields, TakesOneTextWithCommasForAListAsAVariableHasToSayIt) {
  for (const char* text : {"folders: a,b\n", "folders: [a, b]\n"}) {
    Sample s;
    ASSERT_TRUE(read_sample(parse(text).root(), s));
    EXPECT_EQ(s.folders, (std::vector<std::string>{"a", "b"})) << text;
  }
  Sample s;
  EXPECT_FALSE(read_sample(parse("folders: a,b,c\n").root(), s)) << "at most two";
  EXPECT_EQ(s.folders, std::vector<std::string>{"models"});
}

}  // namespace
}  // namespace skep
