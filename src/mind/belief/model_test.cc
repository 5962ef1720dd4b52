#include "mind/belief/model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "mind/belief/joint_model.h"
#include "mind/belief/model_blob.h"
#include "mind/belief/random_model.h"

namespace skep::belief {
namespace {

GenerativeModel two_factors() {
  return random_model({.states = {3, 2}, .observations = {4, 2}, .controls = {2, 1}, .counts = true}, 1);
}

std::string refusal(const GenerativeModel& model) {
  const Status status = validate(model);
  return status ? "" : status.error().message;
}

TEST(Model, AValidOneIsAccepted) { EXPECT_EQ(refusal(two_factors()), ""); }

TEST(Model, ErrorsNameTheMatrixAndTheIndex) {
  auto m = two_factors();
  m.A[1].at({1, 2, 0}) += 0.25;
  EXPECT_NE(refusal(m).find("A[1][:, 2, 0]: sums to 1.25"), std::string::npos) << refusal(m);
  m = two_factors();
  m.B[0].at({1, 2, 1}) = std::nan("");
  EXPECT_NE(refusal(m).find("B[0][1, 2, 1]"), std::string::npos) << refusal(m);
  m = two_factors();
  m.D[1].data = {1.5, -0.5};
  EXPECT_NE(refusal(m).find("D[1][1]: is negative"), std::string::npos) << refusal(m);
  m = two_factors();
  m.C[0].data[2] = INFINITY;
  EXPECT_NE(refusal(m).find("C[0][2]"), std::string::npos) << refusal(m);
  m = two_factors();
  m.A[0].shape = {4, 2, 3};
  EXPECT_NE(refusal(m).find("A[0]: shape is [4, 2, 3], expected [4, 3, 2]"), std::string::npos) << refusal(m);
  m = two_factors();
  m.A_factors[1] = {0, 7};
  EXPECT_NE(refusal(m).find("A_factors[1]: no factor 7"), std::string::npos) << refusal(m);
  m = two_factors();
  m.policies = {{{0, 0}}, {{2, 0}}};
  EXPECT_NE(refusal(m).find("policies[1][0][0]: no action 2"), std::string::npos) << refusal(m);
  m = two_factors();
  m.E = {0.5, 0.2};
  EXPECT_NE(refusal(m).find("E[:]: sums to 0.7"), std::string::npos) << refusal(m);
  m = two_factors();
  m.pB[0].data[0] = -1;
  EXPECT_NE(refusal(m).find("pB[0][0, 0, 0]: is negative"), std::string::npos) << refusal(m);
}

TEST(Model, AStateThatNothingReachesIsAnErrorOrAWarning) {
  GenerativeModel m;
  m.A = {Tensor({2, 3}, {1, 0, 0.5, 0, 1, 0.5})};
  m.B = {Tensor({3, 3, 1}, {1, 0, 1, 0, 1, 0, 0, 0, 0})};
  m.D = {Tensor({3}, {0.5, 0.5, 0})};
  auto completed = complete(m);
  ASSERT_FALSE(completed.has_value());
  EXPECT_NE(completed.error().message.find("nothing reaches state 2"), std::string::npos);
  m.num_states = {3};
  m.num_obs = {2};
  m.num_controls = {1};
  m.A_factors = m.B_factors = {{0}};
  m.C = {Tensor({2})};
  std::vector<ModelWarning> warnings;
  EXPECT_TRUE(validate(m, {}, &warnings).has_value());
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0].where, "B[0][2, …]");
}

TEST(Model, YamlAndJsonReadAlike) {
  const char* yaml = R"(
name: lamp
A: [[[0.9, 0.2], [0.1, 0.8]]]
B: [[[[1, 0.3], [0, 0.3]], [[0, 0.7], [1, 0.7]]]]
C: [[0, 1.5]]
policy_length: 2
factor_names: [light]
)";
  const char* json = R"({"name": "lamp", "A": [[[0.9, 0.2], [0.1, 0.8]]],
    "B": [[[[1, 0.3], [0, 0.3]], [[0, 0.7], [1, 0.7]]]], "C": [[0, 1.5]], "policy_length": 2, "factor_names": ["light"]})";
  const auto from_yaml = read_model_yaml(yaml, "lamp.yaml");
  ASSERT_TRUE(from_yaml.has_value()) << from_yaml.error().text();
  const auto from_json = read_model_json(json, "lamp.json");
  ASSERT_TRUE(from_json.has_value()) << from_json.error().text();
  EXPECT_EQ(*from_yaml, *from_json);
  EXPECT_EQ(from_yaml->num_controls, std::vector<int>{2});
  EXPECT_EQ(from_yaml->D[0].data, (std::vector<double>{0.5, 0.5})) << "D is uniform when left out";
  EXPECT_EQ(policies_of(*from_yaml).size(), 4u);
}

TEST(Model, WhatIsWrongInATextIsNamed) {
  const auto message = [](const char* yaml) { return read_model_yaml(yaml, "m.yaml").error().message; };
  EXPECT_NE(message("A: [[[1, 1]]]\nBee: []").find("unknown key 'Bee'"), std::string::npos);
  EXPECT_NE(message("A: [[[0.5, 1], [0.5]]]\nB: [[[[1]]]]").find("A[0][1]: 1 entries, expected 2"), std::string::npos);
  EXPECT_NE(message("A: [[[x, 1]]]\nB: []").find("A[0][0][0]: expected a number"), std::string::npos);
  EXPECT_NE(message("A: [[[1, 1]]\nB: ").find("m.yaml:"), std::string::npos);
  EXPECT_NE(message("[]").find("expected a mapping"), std::string::npos);
  EXPECT_FALSE(read_model_json("{\"A\": 1e999}", "m").has_value());
  EXPECT_FALSE(load_model("/no/such/model.yaml").has_value());
}

TEST(Model, TextAndBlobGiveItBack) {
  auto m = two_factors();
  m.name = "α \"quoted\"";
  m.policies = {{{0, 0}, {1, 0}}, {{1, 0}, {1, 0}}};
  m.policy_length = 2;
  m.E = {0.25, 0.75};
  m.modality_names = {"sight", "sound"};
  const auto blob = write_model_blob(m);
  const auto back = read_model_blob(blob);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, m) << "bit for bit";
  const auto text = read_model_json(write_model_json(m), "text");
  ASSERT_TRUE(text.has_value()) << text.error().text();
  for (size_t i = 0; i < m.B[0].data.size(); ++i) EXPECT_NEAR(text->B[0].data[i], m.B[0].data[i], 1e-15);
  EXPECT_EQ(text->policies, m.policies);
  for (size_t cut = 0; cut < blob.size(); cut += 7) {
    EXPECT_FALSE(read_model_blob(std::span(blob).first(cut)).has_value()) << cut;
  }
}

TEST(Model, ActionsPackLikeItertoolsProduct) {
  auto m = two_factors();
  m.num_controls = {3, 1, 4};
  EXPECT_EQ(m.joint_actions(), 12);
  EXPECT_EQ(m.unpack_action(5), (JointAction{1, 0, 1}));
  for (int a = 0; a < 12; ++a) EXPECT_EQ(m.pack_action(m.unpack_action(a)), a);
  const auto policies = all_policies({2, 1}, 2);
  ASSERT_EQ(policies.size(), 4u);
  EXPECT_EQ(policies[1], (Policy{{0, 0}, {1, 0}}));
  EXPECT_EQ(policies[2], (Policy{{1, 0}, {0, 0}}));
}

TEST(JointModel, IsTheProductOfItsFactors) {
  const auto m = two_factors();
  const auto joint = joint_model(m, 100);
  ASSERT_TRUE(joint.has_value());
  EXPECT_TRUE(validate(*joint).has_value());
  EXPECT_EQ(joint->num_states, std::vector<int>{6});
  // P(s' = (2, 1) | s = (0, 1), u = 1)
  EXPECT_NEAR(joint->B[0].at({5, 1, 1}), m.B[0].at({2, 0, 1}) * m.B[1].at({1, 1, 0}), 1e-15);
  EXPECT_NEAR(joint->A[1].at({1, 3}), m.A[1].at({1, 1, 1}), 1e-15);
  EXPECT_EQ(joint_model(m, 5).error().code, ErrorCode::too_large);
}

}  // namespace
}  // namespace skep::belief
