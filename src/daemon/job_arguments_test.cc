#include "daemon/job_arguments.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace skep::daemon {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JobArguments : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "skep_jobs_XXXXXX").string();
    root_ = fs::canonical(::mkdtemp(name.data()));
    fs::create_directories(root_ / "models");
    fs::create_directories(root_ / "more");
    fs::create_directories(root_ / "models-secret");
    std::ofstream(root_ / "models/a.gguf") << std::string(1000, 'x');
    std::ofstream(root_ / "more/text") << "text";
    std::ofstream(root_ / "models-secret/key") << "key";
    fs::create_symlink(root_ / "models-secret/key", root_ / "models/link");
    folders_ = {(root_ / "models").string(), (root_ / "more").string()};
  }
  void TearDown() override { fs::remove_all(root_); }

  Result<JobCommand> command(const std::string& tool, std::vector<std::pair<std::string, std::string>> parameters) {
    return job_command({.tool = tool, .parameters = std::move(parameters)}, folders_);
  }

  fs::path root_;
  std::vector<std::string> folders_;
};

TEST_F(JobArguments, NamesArePlacedInTheModelFolders) {
  const auto made =
      command("quantize",
              {{"type", "Q8_0"}, {"output", "b.gguf"}, {"input", "a.gguf"}, {"imatrix-text", "text"}, {"force", ""}});
  ASSERT_TRUE(made) << made.error().text();
  const std::string root = root_.string();
  EXPECT_THAT(made->arguments, ElementsAre("model", "quantize", "--type=Q8_0", "--imatrix-text=" + root + "/more/text",
                                           "--force", root + "/models/a.gguf", root + "/models/b.gguf"));
  EXPECT_GE(made->memory, 256_MiB);
}

TEST_F(JobArguments, ToolsOfTwoWordsAreTwoArguments) {
  const auto made = command("adapter merge", {{"model", "a.gguf"}, {"adapter", "a.gguf"}, {"output", "m.gguf"}});
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_EQ(made->arguments[1], "adapter");
  EXPECT_EQ(made->arguments[2], "merge");
}

TEST_F(JobArguments, NoPathLeadsOutOfTheModelFolders) {
  const std::string root = root_.string();
  for (const std::string& path :
       {std::string("../models-secret/key"), root + "/models-secret/key", std::string("link"),
        std::string("/etc/passwd"), std::string("missing.gguf"), std::string(""), std::string(".")}) {
    EXPECT_FALSE(command("quantize", {{"input", path}, {"output", "b.gguf"}})) << path;
  }
  for (const std::string& path : {std::string("../b.gguf"), root + "/models-secret/b", std::string("/tmp/b.gguf"),
                                  std::string("link"), std::string(".")}) {
    EXPECT_FALSE(command("quantize", {{"input", "a.gguf"}, {"output", path}})) << path;
  }
}

TEST_F(JobArguments, UnknownToolsAndParametersAndMissingOnesAreNamed) {
  EXPECT_THAT(command("rm", {}).error().hint, HasSubstr("quantize"));
  EXPECT_THAT(command("quantize", {{"progress-fd", "1"}}).error().message, HasSubstr("progress-fd"));
  EXPECT_THAT(command("quantize", {{"input", "a.gguf"}}).error().message, HasSubstr("output"));
}

TEST_F(JobArguments, ValuesThatNoOptionTakesAreRefusedByName) {
  const auto refused = [&](const char* name, const char* value) {
    const auto made = command("prune", {{"input", "a.gguf"}, {"output", "p.gguf"}, {name, value}});
    return !made && made.error().code == ErrorCode::invalid_argument &&
           made.error().message.find(name) != std::string::npos;
  };
  EXPECT_TRUE(refused("ratio", "7"));
  EXPECT_TRUE(refused("ratio", "-0.1"));
  EXPECT_TRUE(refused("ratio", ""));
  EXPECT_TRUE(refused("threads", "x"));
  EXPECT_TRUE(refused("threads", "1.5"));
  EXPECT_TRUE(refused("threads", "2x"));
  EXPECT_TRUE(refused("layers", "1,,2"));
  EXPECT_TRUE(refused("layers", "1,-2"));
  EXPECT_TRUE(command("prune", {{"input", "a.gguf"}, {"output", "p.gguf"}, {"ratio", "0.25"}}));
  EXPECT_TRUE(command("prune", {{"input", "a.gguf"}, {"output", "p.gguf"}, {"layers", "1,2"}, {"threads", "2"}}));
  EXPECT_EQ(command("train", {{"data", "text"}, {"output", "t"}, {"shape", "none"}}).error().code,
            ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace skep::daemon
