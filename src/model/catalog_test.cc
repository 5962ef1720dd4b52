#include "model/catalog.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/simulated_event_loop.h"
#include "engine/synth/synth.h"
#include "model/gguf_builder.h"

namespace skep::model {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class CatalogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "skep_catalog_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    options_.folders = {folder_.string()};
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) {
    const fs::path path = folder_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path.string();
  }
  static std::string model() { return GgufBuilder().model().bytes(); }
  static std::string part(uint32_t index, uint32_t count) {
    GgufBuilder b;
    if (index == 0) b.model();
    b.entry("split.no", GgufType::uint16, GgufBuilder::raw(static_cast<uint16_t>(index)));
    b.entry("split.count", GgufType::uint16, GgufBuilder::raw(static_cast<uint16_t>(count)));
    return b.tensor("part" + std::to_string(index), {32}).bytes();
  }
  Scan scan_now() { return scan(options_, cache_); }
  static std::vector<std::string> names(const std::vector<ModelInfo>& models) {
    std::vector<std::string> all;
    for (const auto& model : models) all.push_back(model.name);
    return all;
  }

  fs::path folder_;
  ScanOptions options_;
  ScanCache cache_;
};

TEST_F(CatalogTest, ListsModelsOfNestedFoldersByName) {
  write("b.gguf", model());
  write("sub/deeper/a.gguf", model());
  write("sub/readme.txt", "no model");
  write(".hidden/c.gguf", model());
  const Scan found = scan_now();
  EXPECT_EQ(names(found.models), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(found.models[0].path, (folder_ / "sub/deeper/a.gguf").string());
  EXPECT_EQ(found.models[0].hash.size(), 32U);
  EXPECT_EQ(found.models[0].hash, found.models[1].hash) << "the same bytes elsewhere";
  EXPECT_EQ(found.models[0].broken, "");
  EXPECT_GT(found.models[0].modified.time_since_epoch().count(), 0);
}

TEST_F(CatalogTest, UnderstandsWhatLibggmlWrites) {
  const synth::Shape shape = *synth::find_shape("tiny");
  ASSERT_TRUE(
      synth::synthesize({.shape = shape, .type = synth::WeightType::q8_0, .path = (folder_ / "tiny.gguf").string()}));
  const Scan found = scan_now();
  ASSERT_EQ(found.models.size(), 1U);
  const ModelInfo& info = found.models[0];
  EXPECT_EQ(info.broken, "");
  EXPECT_EQ(info.architecture, "llama");
  EXPECT_EQ(info.quantization, "Q8_0");
  EXPECT_EQ(info.parameters, synth::size_of(shape, synth::WeightType::q8_0).parameters);
  EXPECT_EQ(info.context_length, shape.context);
  EXPECT_EQ(info.layers, shape.layers);
  EXPECT_EQ(info.capabilities, (std::vector<std::string>{"completion", "tools"}));
}

TEST_F(CatalogTest, ListsBrokenFilesWithTheReason) {
  write("empty.gguf", "");
  write("text.gguf", "this is no model at all");
  write("cut.gguf", model().substr(0, 300));
  const Scan found = scan_now();
  ASSERT_EQ(found.models.size(), 3U);
  EXPECT_NE(found.models[0].broken.find("at byte"), std::string::npos) << found.models[0].broken;
  EXPECT_EQ(found.models[0].broken.find(folder_.string()), std::string::npos) << "the path stands beside it";
  EXPECT_NE(found.models[2].broken.find("begins with 'this'"), std::string::npos);
  EXPECT_EQ(found.models[2].hash, "");
}

TEST_F(CatalogTest, JoinsTheParts) {
  for (uint32_t i = 0; i < 3; ++i) write(fmt::format("big-{:05}-of-00003.gguf", i + 1), part(i, 3));
  const Scan found = scan_now();
  ASSERT_EQ(names(found.models), std::vector<std::string>{"big"});
  EXPECT_EQ(found.models[0].broken, "");
  EXPECT_EQ(found.models[0].parameters, 64 * 3 + 64 + 3 * 32);
  EXPECT_EQ(found.models[0].path, (folder_ / "big-00001-of-00003.gguf").string());
  int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) bytes += static_cast<int64_t>(entry.file_size());
  EXPECT_EQ(found.models[0].file_size, Bytes(bytes));

  fs::remove(folder_ / "big-00002-of-00003.gguf");
  EXPECT_EQ(scan_now().models[0].broken, "part 2 of 3 is missing");
  write("big-00002-of-00003.gguf", part(2, 3));
  EXPECT_EQ(scan_now().models[0].broken, "part 2 of 3 says that it is part 3 of 3");
  write("big-00002-of-00003.gguf", "no");
  EXPECT_NE(scan_now().models[0].broken.find("part 2 of 3 at byte"), std::string::npos);
}

TEST_F(CatalogTest, SaysThatARenamedPartIsOne) {
  write("alone.gguf", part(0, 3));
  EXPECT_EQ(scan_now().models[0].broken, "says that it is part 1 of 3");
}

TEST_F(CatalogTest, GivesEveryFileANameOfItsOwn) {
  write("a/m.gguf", model());
  write("b/m.gguf", model());
  const std::string third = write("c/m.gguf", model());
  options_.folders = {(folder_ / "a").string(), (folder_ / "b").string(), folder_.string()};
  options_.named = {{"team/favourite:8b", third}};
  const Scan found = scan_now();
  EXPECT_EQ(names(found.models),
            (std::vector<std::string>{(folder_ / "b/m.gguf").string(), "c/m", "m", "team/favourite:8b"}));
}

TEST_F(CatalogTest, ReadsOnlyWhatChanged) {
  write("a.gguf", model());
  write("b.gguf", model());
  (void)scan_now();
  EXPECT_EQ(cache_.files_read, 2);
  (void)scan_now();
  EXPECT_EQ(cache_.files_read, 2);
  write("a.gguf", GgufBuilder().model().number("k", 1).bytes());
  const Scan found = scan_now();
  EXPECT_EQ(cache_.files_read, 3);
  EXPECT_NE(found.models[0].hash, found.models[1].hash);
  fs::remove(folder_ / "a.gguf");
  EXPECT_EQ(names(scan_now().models), std::vector<std::string>{"b"});
  EXPECT_EQ(cache_.entries.size(), 1U);
}

TEST_F(CatalogTest, KeepsItsBoundsAndSaysSo) {
  for (int i = 0; i < 5; ++i) write(fmt::format("{}.gguf", i), model());
  write("1/2/3/deep.gguf", model());
  options_.depth = 2;
  EXPECT_EQ(scan_now().models.size(), 5U);
  options_.files = 3;
  const Scan found = scan_now();
  EXPECT_EQ(found.models.size(), 3U);
  ASSERT_EQ(found.problems.size(), 1U);
  EXPECT_NE(found.problems[0].find("more than 3 models"), std::string::npos);
}

TEST_F(CatalogTest, IsNotLedInCirclesByLinks) {
  write("sub/m.gguf", model());
  fs::create_directory_symlink(folder_, folder_ / "sub" / "back");
  fs::create_symlink("/nowhere.gguf", folder_ / "dangling.gguf");
  ASSERT_EQ(::mkfifo((folder_ / "pipe.gguf").c_str(), 0600), 0);
  const Scan found = scan_now();
  EXPECT_EQ(names(found.models), (std::vector<std::string>{"dangling", "m", "pipe"}));
  EXPECT_EQ(found.models[0].broken, "No such file or directory");
  EXPECT_EQ(found.models[2].broken, "is no regular file");
}

TEST_F(CatalogTest, TakesAMissingFolderForAnEmptyOne) {
  options_.folders = {"/nowhere/models"};
  const Scan found = scan_now();
  EXPECT_TRUE(found.models.empty());
  EXPECT_TRUE(found.problems.empty());
}

TEST(FindModel, ForgivesFormsOfOneNameButNoAmbiguity) {
  std::vector<ModelInfo> models;
  for (const char* name : {"Alpha", "deepseek-r1-8b", "phi", "phi:latest", "tie", "tie-a", "tie:a"}) {
    models.push_back({});
    models.back().name = name;
  }
  const auto found = [&](std::string_view name) {
    const ModelInfo* model = find_model(models, name);
    return model == nullptr ? std::string() : model->name;
  };
  EXPECT_EQ(found("deepseek-r1-8b"), "deepseek-r1-8b");
  EXPECT_EQ(found("deepseek-r1:8b"), "deepseek-r1-8b");
  EXPECT_EQ(found("DeepSeek-R1:8B"), "deepseek-r1-8b");
  EXPECT_EQ(found("alpha:latest"), "Alpha");
  EXPECT_EQ(found("alpha.gguf"), "Alpha");
  EXPECT_EQ(found("phi"), "phi") << "exact before forms";
  EXPECT_EQ(found("phi:latest"), "phi:latest");
  EXPECT_EQ(found("TIE:a"), "tie:a") << "case before colons";
  EXPECT_EQ(found("other"), "");
  EXPECT_EQ(found(""), "");
}

TEST_F(CatalogTest, NoticesFilesThatComeAndGoWithoutBeingAsked) {
  SimulatedEventLoop loop;
  Catalog catalog(loop, {.scan = options_});
  int changes = 0;
  catalog.on_change([&] { ++changes; });
  catalog.load();
  catalog.watch();
  loop.advance(5s);
  EXPECT_EQ(changes, 0);
  write("new/fresh.gguf", model());
  loop.advance(3s);
  EXPECT_EQ(changes, 1);
  EXPECT_TRUE(catalog.find("fresh"));
  fs::remove(folder_ / "new/fresh.gguf");
  loop.advance(3s);
  EXPECT_EQ(changes, 2);
  EXPECT_EQ(catalog.find("fresh").error().code, ErrorCode::not_found);
}

TEST_F(CatalogTest, NoticesAFolderThatWasNotThereAtFirst) {
  SimulatedEventLoop loop;
  options_.folders = {(folder_ / "later").string()};
  Catalog catalog(loop, {.scan = options_});
  catalog.load();
  catalog.watch();
  write("later/m.gguf", model());
  loop.advance(15s);
  EXPECT_TRUE(catalog.find("m"));
}

TEST_F(CatalogTest, NamesTheNearestModelOrTheReason) {
  write("tinyllama.gguf", model());
  write("bad.gguf", "x");
  SimulatedEventLoop loop;
  Catalog catalog(loop, {.scan = options_});
  catalog.load();
  EXPECT_EQ(catalog.find("tinylama").error().hint, "did you mean 'tinyllama'?");
  EXPECT_EQ(catalog.find("bad").error().code, ErrorCode::unsupported);
}

TEST_F(CatalogTest, AnswersEveryRefreshAndForgetsThoseOfADeadCatalog) {
  SimulatedEventLoop loop;
  int done = 0;
  {
    Catalog catalog(loop, {.scan = options_});
    for (int i = 0; i < 3; ++i) catalog.refresh([&] { ++done; });
    loop.run_ready();
    EXPECT_EQ(done, 3);
    catalog.refresh([&] { ++done; });
  }
  loop.run_ready();
  EXPECT_EQ(done, 3);
}

}  // namespace
}  // namespace skep::model
