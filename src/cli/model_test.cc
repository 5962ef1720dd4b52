// Runs `skep model …` as the command line does, on real files.

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "engine/synth/adapter.h"

namespace skep::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

struct Output {
  int code = 0;
  std::string out, err;
};

Output run(std::vector<std::string> arguments) {
  CLI::App app{"skep"};
  int code = kOk;
  add_model(app, code);
  std::reverse(arguments.begin(), arguments.end());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  app.parse(arguments);
  std::fflush(stdout);
  std::fflush(stderr);
  Output output{
      .code = code, .out = testing::internal::GetCapturedStdout(), .err = testing::internal::GetCapturedStderr()};
  return output;
}

class ModelCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "skep_model_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const char* name) { return (folder_ / name).string(); }

  fs::path folder_;
};

void expect_fits(const std::string& text, size_t columns) {
  for (size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = text.substr(at, end - at);
    const auto width = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; });
    EXPECT_LE(static_cast<size_t>(width), columns) << line;
  }
}

TEST_F(ModelCommand, MakesListsAndInspectsAModel) {
  const Output made = run({"model", "synth", "--shape", "tiny", "--type", "q8_0", "-o", path("little.gguf")});
  ASSERT_EQ(made.code, kOk) << made.err;
  EXPECT_NE(made.out.find("Q8_0"), std::string::npos);
  std::ofstream(path("bad.gguf")) << "nonsense";

  const Output listed = run({"model", "list", "--folder", folder_.string()});
  EXPECT_EQ(listed.code, kOk);
  EXPECT_NE(listed.out.find("little"), std::string::npos) << listed.out;
  EXPECT_NE(listed.out.find("broken"), std::string::npos);
  EXPECT_NE(listed.out.find("begins with 'nons'"), std::string::npos);
  EXPECT_EQ(listed.out.find('\033'), std::string::npos) << "no colours where no terminal is";

  const Output inspected = run({"model", "inspect", "LITTLE:latest", "--folder", folder_.string(), "--tensors"});
  EXPECT_EQ(inspected.code, kOk) << inspected.err;
  EXPECT_NE(inspected.out.find("token_embd.weight"), std::string::npos);
  expect_fits(inspected.out, 80);
}

TEST_F(ModelCommand, SpeaksJson) {
  ASSERT_EQ(run({"model", "synth", "-o", path("a.gguf"), "--layers", "3"}).code, kOk);
  const json::value listed = json::parse(run({"model", "list", "--folder", folder_.string(), "--json"}).out);
  const json::object& model = listed.at("models").at(0).as_object();
  EXPECT_EQ(model.at("name").as_string(), "a");
  EXPECT_EQ(model.at("layers").as_int64(), 3);
  const json::value inspected = json::parse(run({"model", "inspect", path("a.gguf"), "--json"}).out);
  EXPECT_EQ(inspected.at("forward").as_string(), "native");
  EXPECT_EQ(inspected.at("parameters").to_number<int64_t>(), model.at("parameters").to_number<int64_t>());
  const json::value shapes = json::parse(run({"model", "synth", "--shapes", "--json"}).out);
  EXPECT_GT(shapes.at("shapes").as_array().size(), 5U);
}

TEST_F(ModelCommand, SaysWhichForwardPassTheDaemonOfTheConfigurationWouldTake) {
  ASSERT_EQ(run({"model", "synth", "-o", path("a.gguf")}).code, kOk);
  const auto forward = [&](const std::string& engines) {
    std::ofstream(path("skep.yaml")) << "model_folders: [" << folder_.string() << "]\n" << engines;
    const Output out = run({"model", "inspect", "a", "--config", path("skep.yaml"), "--json"});
    EXPECT_EQ(out.code, kOk) << out.err;
    return std::string(json::parse(out.out).at("forward").as_string());
  };
  EXPECT_EQ(forward(""), "native");
  EXPECT_EQ(forward("engines: {forward: llama}\n"), "libllama");
  synth::AdapterOptions style;
  style.shape = *synth::find_shape("tiny");
  style.path = path("style.gguf");
  ASSERT_TRUE(synth::synthesize_adapter(style));
  EXPECT_EQ(forward(""), "native") << "nobody uses the adapter";
  EXPECT_EQ(forward("engines: {adapters: [style]}\n"), "libllama: LoRA adapters");
}

TEST_F(ModelCommand, ListsTheShapesWithinEightyColumns) {
  const Output shapes = run({"model", "synth", "--shapes", "--type", "Q4_K_M"});
  EXPECT_NE(shapes.out.find("qwen2.5-coder-7b "), std::string::npos) << "no name is cut";
  expect_fits(shapes.out, 80);
}

TEST_F(ModelCommand, SaysWhatIsWrongAndHowToGoOn) {
  const Output shape = run({"model", "synth", "--shape", "huge", "-o", path("x.gguf")});
  EXPECT_EQ(shape.code, kUsage);
  EXPECT_NE(shape.err.find("known: tiny"), std::string::npos) << shape.err;
  EXPECT_EQ(run({"model", "synth", "--type", "q1", "-o", path("x.gguf")}).code, kUsage);
  EXPECT_EQ(run({"model", "synth", "--heads", "7", "-o", path("x.gguf")}).code, kUsage);
  EXPECT_FALSE(fs::exists(path("x.gguf")));
  std::ofstream(path("cut.gguf")) << "GGUF";
  const Output cut = run({"model", "inspect", path("cut.gguf")});
  EXPECT_EQ(cut.code, kUsage);
  EXPECT_NE(cut.err.find("at byte 4"), std::string::npos) << cut.err;
  EXPECT_EQ(run({"model", "inspect", "nothing", "--folder", folder_.string()}).code, kUsage);
}

TEST_F(ModelCommand, ReplacesAFileOnlyWhenForced) {
  ASSERT_EQ(run({"model", "synth", "-o", path("a.gguf")}).code, kOk);
  EXPECT_NE(run({"model", "synth", "-o", path("a.gguf")}).code, kOk);
  EXPECT_EQ(run({"model", "synth", "-o", path("a.gguf"), "--force"}).code, kOk);
}

class ModelTools : public ModelCommand {
 protected:
  void SetUp() override {
    ModelCommand::SetUp();
    ASSERT_EQ(run({"model", "synth", "--shape", "tiny", "--layers", "3", "--type", "F32", "-o", path("a.gguf")}).code,
              kOk);
    std::ofstream text(path("text"));
    for (int i = 0; i < 400; ++i) text << "pump " << i % 7 << " reads " << i * 31 % 101 << " over limit\n";
  }
  json::object result(std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    const Output output = run(std::move(arguments));
    EXPECT_EQ(output.code, kOk) << output.err;
    boost::system::error_code broken;
    const json::value parsed = json::parse(output.out, broken);
    EXPECT_FALSE(broken) << output.out;
    return parsed.is_object() ? parsed.get_object() : json::object{};
  }
};

TEST_F(ModelTools, QuantizeSaysBeforeWhatItDoes) {
  const auto plan = result({"model", "quantize", path("a.gguf"), "--dry-run", "--type", "q8_0"});
  EXPECT_TRUE(plan.at("output").is_null());
  const auto done = result({"model", "quantize", path("a.gguf"), path("b.gguf"), "--type", "q8_0"});
  EXPECT_EQ(done.at("bytes_after").to_number<int64_t>(), plan.at("bytes_after").to_number<int64_t>());
  EXPECT_EQ(done.at("bytes_after").to_number<uint64_t>(), fs::file_size(path("b.gguf")));
  const Output table = run({"model", "quantize", path("a.gguf"), path("c.gguf"), "--imatrix-text", path("text")});
  EXPECT_EQ(table.code, kOk) << table.err;
  EXPECT_NE(table.out.find("by importance"), std::string::npos) << table.out;
  EXPECT_NE(run({"model", "quantize", path("a.gguf"), path("b.gguf")}).err.find("--force"), std::string::npos);
}

TEST_F(ModelTools, EvalMeasuresATextAndPruneCompares) {
  const auto before = result({"model", "eval", path("a.gguf"), path("text"), "--context", "64"});
  EXPECT_GT(before.at("perplexity").to_number<double>(), 1);
  const auto pruned = result(
      {"model", "prune", path("a.gguf"), path("b.gguf"), "--count", "1", "--text", path("text"), "--context", "64"});
  EXPECT_EQ(pruned.at("layers_after").to_number<int>(), 2);
  EXPECT_NEAR(pruned.at("perplexity_before").to_number<double>(), before.at("perplexity").to_number<double>(), 1e-6);
  const auto after = result({"model", "eval", path("b.gguf"), path("text"), "--context", "64"});
  EXPECT_NEAR(pruned.at("perplexity_after").to_number<double>(), after.at("perplexity").to_number<double>(), 1e-6);
  EXPECT_EQ(run({"model", "prune", path("a.gguf"), path("c.gguf")}).code, kUsage);
}

TEST_F(ModelTools, WhatWasTrainedBecomesAnAdapterAndADelta) {
  const auto trained = result({"model", "train", path("text"), "--model", path("a.gguf"), "-o", path("b.gguf"),
                               "--steps", "4", "--only", "ffn_up", "--learning-rate", "0.001"});
  EXPECT_EQ(trained.at("steps").to_number<int>(), 4);
  const auto adapter = result({"model", "adapter", "extract", path("a.gguf"), path("b.gguf"), path("l.gguf")});
  EXPECT_EQ(adapter.at("matrices").as_array().size(), 3U);
  const auto merged = result({"model", "adapter", "merge", path("a.gguf"), path("l.gguf"), path("m.gguf")});
  EXPECT_EQ(merged.at("matrices").to_number<int>(), 3);
  const auto delta = result({"model", "diff", path("a.gguf"), path("b.gguf"), "-o", path("d")});
  EXPECT_LT(delta.at("delta_bytes").to_number<int64_t>(), delta.at("new_bytes").to_number<int64_t>());
  result({"model", "patch", path("a.gguf"), path("d"), "-o", path("c.gguf")});
  std::ifstream b(path("b.gguf")), c(path("c.gguf"));
  EXPECT_TRUE(std::equal(std::istreambuf_iterator<char>(b), {}, std::istreambuf_iterator<char>(c), {}));
}

TEST_F(ModelTools, ProgressAndResultGoToTheDescriptorOfAJob) {
  const std::string log = path("progress");
  std::FILE* file = std::fopen(log.c_str(), "w");
  const std::string fd = std::to_string(::fileno(file));
  result({"model", "quantize", path("a.gguf"), path("b.gguf"), "--progress-fd", fd});
  run({"model", "quantize", path("a.gguf"), path("b.gguf"), "--progress-fd", fd});
  std::fclose(file);
  std::ifstream lines(log);
  bool staged = false, ended = false, refused = false;
  for (std::string line; std::getline(lines, line);) {
    const json::value said = json::parse(line);
    staged |= said.as_object().contains("stage");
    ended |= said.as_object().contains("result");
    refused |= said.as_object().contains("error") && said.at("error").at("code").as_string() == "conflict";
  }
  EXPECT_TRUE(staged && ended && refused);
}

}  // namespace
}  // namespace skep::cli
