#include "mind/belief/golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace skep::belief {
namespace {

using testing::HasSubstr;

TEST(Golden, EveryCaseOfPymdpAgrees) {
  auto report = run_goldens(SKEP_TEST_DATA "/golden/belief");
  ASSERT_TRUE(report.has_value()) << report.error().text();
  EXPECT_EQ(report->failed, 0) << report->text();
  EXPECT_GE(report->passed, 26);
  EXPECT_LT(report->quantities.at("f64 qs").worst, 1e-12);
  // Every quantity that the format has was looked at, by every engine that computes it.
  for (const char* quantity : {"f64 qs",
                               "f64 vfe",
                               "f64 exact",
                               "f64 prior",
                               "f64 qs_fpi_16",
                               "f64 neg_efe_G",
                               "f64 q_pi",
                               "f64 G_terms",
                               "f64 G_terms_exact",
                               "f64 action_marginals",
                               "f64 p_action",
                               "f64 qA",
                               "f64 E_qA",
                               "f64 qB",
                               "f64 qD",
                               "f64 mmp qs",
                               "f64 mmp F",
                               "batch f64 qs",
                               "batch f64 F",
                               "batch f64 q_pi",
                               "batch f32 qs",
                               "batch f32 F",
                               "batch f32 q_pi",
                               "batch f32 neg_efe_G",
                               "batch f64 mean-field qs"}) {
    ASSERT_TRUE(report->quantities.contains(quantity)) << quantity;
    EXPECT_GT(report->quantities.at(quantity).values, 0U) << quantity;
  }
}

TEST(Golden, AFolderThatIsNotThereIsAnError) { EXPECT_FALSE(run_goldens("/nowhere/at/all").has_value()); }

// A folder with one good case and one that was tampered with.
class TamperedGolden : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("skep-golden-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    std::ifstream in(SKEP_TEST_DATA "/golden/belief/case_00.json");
    good_ = {std::istreambuf_iterator<char>(in), {}};
    ASSERT_FALSE(good_.empty());
    write("case_00.json", good_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const char* name, const std::string& text) const { std::ofstream(folder_ / name) << text; }
  // Replaces the last of `what`: in the last step.
  [[nodiscard]] std::string replaced(const std::string& what, const std::string& by) const {
    std::string text = good_;
    const size_t at = text.rfind(what);
    EXPECT_NE(at, std::string::npos) << what;
    return at == std::string::npos ? text : text.replace(at, what.size(), by);
  }
  // Why the second case failed; the first must pass.
  [[nodiscard]] std::string failure(const std::string& text) const {
    write("case_01.json", text);
    const auto report = run_goldens(folder_.string());
    if (!report.has_value()) return "no report: " + report.error().text();
    EXPECT_EQ(report->passed, 1) << report->text();
    EXPECT_EQ(report->failed, 1) << report->text();
    EXPECT_THAT(report->text(), HasSubstr("1 passed, 1 failed\n"));
    EXPECT_THAT(report->text(), HasSubstr("FAILED case_01.json: "));
    return report->cases.at(1).failure;
  }

  std::filesystem::path folder_;
  std::string good_;
};

TEST_F(TamperedGolden, ABeliefThatIsOffByAMillionthTooMuchFails) {
  const size_t at = good_.find("0.", good_.rfind("\"qs\""));
  std::string text = good_;
  text[at + 6] = text[at + 6] == '5' ? '7' : '5';  // the fifth digit
  EXPECT_THAT(failure(text), HasSubstr(" qs: "));
}

TEST_F(TamperedGolden, AMemberUnderAnotherNameFails) {
  for (const char* key : {"\"qs\"", "\"q_pi\"", "\"neg_efe_G\"", "\"vfe\""}) {
    EXPECT_THAT(failure(replaced(key, "\"renamed\"")), HasSubstr(std::string("no ") + std::string(key + 1, 2))) << key;
  }
}

TEST_F(TamperedGolden, ACaseWithNothingToCompareFails) {
  EXPECT_THAT(failure(R"({"A":[[[0.9,0.1],[0.1,0.9]]],"B":[[[[1],[0]],[[0],[1]]]],"steps":[{"obs":[0]}]})"),
              HasSubstr("step 0: no qs"));
}

TEST_F(TamperedGolden, WhatIsNoCaseFailsAndSaysWhy) {
  EXPECT_THAT(failure("{\"A\": "), HasSubstr("case_01.json"));
  EXPECT_NE(failure(good_.substr(0, good_.size() / 2)), "");
  EXPECT_NE(failure("[]"), "");
  std::filesystem::remove(folder_ / "case_01.json");
  std::filesystem::create_directory(folder_ / "case_01.json");  // can't be read as a file
  const auto report = run_goldens(folder_.string());
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->failed, 1);
  EXPECT_THAT(report->cases.at(1).failure, HasSubstr("case_01.json"));
}

}  // namespace
}  // namespace skep::belief
