#include "mind/belief/agent.h"

#include <gtest/gtest.h>

#include <cmath>

#include "mind/belief/precision.h"
#include "mind/belief/random_model.h"

namespace skep::belief {
namespace {

std::vector<int> observe(Random& random, const GenerativeModel& model) {
  std::vector<int> o;
  for (int n : model.num_obs) o.push_back(static_cast<int>(random.below(static_cast<uint32_t>(n))));
  return o;
}

TEST(Agent, JointInferenceIsExactOverTimeWhereMeanFieldIsNot) {
  const auto model = random_model({.states = {3, 3}, .observations = {6}, .controls = {2, 1}}, 5);
  AgentOptions options;
  options.inference = Inference::joint;
  Agent exact = Agent::create(model, options).value();
  options.inference = Inference::mean_field;
  Agent approximate = Agent::create(model, options).value();
  // The forward algorithm over the nine joint states, by hand.
  std::vector<double> p;
  for (double a : model.D[0].data) {
    for (double b : model.D[1].data) p.push_back(a * b);
  }
  Random random(1);
  double worst = 0;
  for (int t = 0; t < 6; ++t) {
    const auto o = observe(random, model);
    if (t > 0) {
      std::vector<double> next(9, 0.0);
      for (int s = 0; s < 9; ++s) {
        for (int n = 0; n < 9; ++n) {
          next[static_cast<size_t>(n)] +=
              model.B[0].at({n / 3, s / 3, 1}) * model.B[1].at({n % 3, s % 3, 0}) * p[static_cast<size_t>(s)];
        }
      }
      p = next;
    }
    double z = 0;
    for (int s = 0; s < 9; ++s) z += p[static_cast<size_t>(s)] *= model.A[0].at({o[0], s / 3, s % 3});
    for (double& x : p) x /= z;
    ASSERT_TRUE(exact.infer_states(o).has_value());
    ASSERT_TRUE(approximate.infer_states(o).has_value());
    for (size_t s = 0; s < 9; ++s) ASSERT_NEAR(exact.joint()[s], p[s], 1e-13);
    ASSERT_NEAR(exact.free_energy().F, -std::log(z), 1e-9) << "F of exact inference is the surprise";
    for (size_t s = 0; s < 3; ++s) worst = std::max(worst, std::abs(exact.belief(0)[s] - approximate.belief(0)[s]));
    exact.set_action({1, 0});
    approximate.set_action({1, 0});
  }
  EXPECT_GT(worst, 1e-3) << "the model does not tell the two apart";
}

TEST(Agent, WithoutAnObservationOnlyPredicts) {
  const auto model = random_model({.states = {4}, .observations = {3, 2}, .controls = {2}}, 6);
  Agent agent = Agent::create(model).value();
  ASSERT_TRUE(agent.infer_states(std::vector<int>{-1, -1}).has_value());
  for (size_t s = 0; s < 4; ++s) EXPECT_NEAR(agent.belief(0)[s], model.D[0].data[s], 1e-12);
  EXPECT_NEAR(agent.free_energy().F, 0, 1e-12);
  EXPECT_FALSE(agent.infer_states(std::vector<int>{3, 0}).has_value());
  EXPECT_FALSE(agent.infer_states(std::vector<int>{0}).has_value());
}

TEST(Agent, AWindowsFreeEnergyIsComplexityLessAccuracy) {
  const auto model = random_model({.states = {3}, .observations = {4, 2}, .controls = {2}}, 15);
  AgentOptions options;
  options.inference = Inference::marginal_messages;
  options.inference_horizon = 2;
  Agent agent = Agent::create(model, options).value();
  std::vector<std::vector<int>> seen;
  for (const std::vector<int>& o : {std::vector<int>{1, 0}, {3, -1}, {0, 1}}) {
    const auto weight = agent.policy_terms().q_pi.empty() ? std::vector<double>{0.5, 0.5} : agent.policy_terms().q_pi;
    ASSERT_TRUE(agent.infer_states(o).has_value());
    seen.push_back(o);
    if (seen.size() > 2) seen.erase(seen.begin());
    double accuracy = 0;
    for (int p = 0; p < 2; ++p) {
      for (size_t t = 0; t < seen.size(); ++t) {
        for (int s = 0; s < 3; ++s) {
          for (int m = 0; m < 2; ++m) {
            if (seen[t][static_cast<size_t>(m)] < 0) continue;
            accuracy += weight[static_cast<size_t>(p)] *
                        agent.window_belief(p, static_cast<int>(t), 0)[static_cast<size_t>(s)] *
                        std::log(model.A[static_cast<size_t>(m)].at({seen[t][static_cast<size_t>(m)], s}));
          }
        }
      }
    }
    const FreeEnergy& F = agent.free_energy();
    EXPECT_NEAR(F.accuracy, accuracy, 1e-9);
    EXPECT_LT(F.accuracy, 0);
    EXPECT_NEAR(F.F, F.complexity - F.accuracy, 1e-12);
    EXPECT_NEAR(F.complexity, F.neg_entropy + F.cross_entropy, 1e-12);
    agent.infer_policies();
    agent.sample_action();
  }
}

TEST(Agent, HabitsGrowWithUse) {
  const auto model = random_model({.states = {4}, .observations = {4}, .controls = {3}}, 7);
  Agent agent = Agent::create(model).value();
  EXPECT_FALSE(agent.update_E().has_value()) << "nothing inferred yet";
  ASSERT_TRUE(agent.infer_states(std::vector<int>{1}).has_value());
  agent.infer_policies();
  const auto q_pi = agent.policy_terms().q_pi;
  ASSERT_TRUE(agent.update_E().has_value());
  for (size_t p = 0; p < 3; ++p) EXPECT_NEAR(agent.model().E[p], (1 + q_pi[p]) / 4, 1e-12);
}

TEST(Agent, HabitsAreForgottenTowardsTheFirstOnes) {
  auto model = random_model({.states = {4}, .observations = {4}, .controls = {3}}, 7);
  model.E = {0.5, 0.3, 0.2};
  AgentOptions options;
  options.forgetting = 0.25;
  options.lr_pE = 0.6;
  Agent agent = Agent::create(model, options).value();
  std::vector<double> counts = model.E;
  for (int o : {1, 3, 0, 2}) {
    ASSERT_TRUE(agent.infer_states(std::vector<int>{o}).has_value());
    agent.infer_policies();
    ASSERT_TRUE(agent.update_E().has_value());
    double sum = 0;
    for (size_t p = 0; p < 3; ++p)
      sum += counts[p] = model.E[p] + 0.75 * (counts[p] - model.E[p]) + 0.6 * agent.policy_terms().q_pi[p];
    for (size_t p = 0; p < 3; ++p) EXPECT_NEAR(agent.model().E[p], counts[p] / sum, 1e-12);
    agent.sample_action();
  }
}

TEST(Agent, LearnsWhereItStartsAndForgetsItTowardsTheFirstCounts) {
  auto model = random_model({.states = {3, 2}, .observations = {4}, .controls = {2, 1}}, 12);
  model.pD = {Tensor({3}, {1, 2, 0}), Tensor({2}, {3, 1})};
  model.D = {Tensor({3}, {1.0 / 3, 2.0 / 3, 0}), Tensor({2}, {0.75, 0.25})};
  AgentOptions options;
  options.forgetting = 0.5;
  options.lr_pD = 2;
  Agent agent = Agent::create(model, options).value();
  std::vector<Tensor> counts = model.pD;
  for (int o : {1, 3}) {
    agent.reset();
    ASSERT_TRUE(agent.infer_states(std::vector<int>{o}).has_value());
    ASSERT_TRUE(agent.update_D().has_value());
    for (size_t f = 0; f < 2; ++f) {
      double sum = 0;
      for (size_t s = 0; s < counts[f].data.size(); ++s) {
        const double first = model.pD[f].data[s];
        double& count = counts[f].data[s];
        count = first + 0.5 * (count - first);
        if (count > 0) count += 2 * agent.belief(static_cast<int>(f))[s];
        sum += count;
      }
      for (size_t s = 0; s < counts[f].data.size(); ++s) {
        EXPECT_NEAR(agent.model().pD[f].data[s], counts[f].data[s], 1e-12);
        EXPECT_NEAR(agent.model().D[f].data[s], counts[f].data[s] / sum, 1e-12);
      }
    }
  }
  EXPECT_EQ(agent.model().pD[0].data[2], 0) << "what is impossible stays so";
  agent.reset();
  ASSERT_TRUE(agent.infer_states(std::vector<int>{-1}).has_value());
  EXPECT_NEAR(agent.belief(1)[0], agent.model().D[1].data[0], 1e-12) << "the next life begins where it learnt to";
  auto without = model;
  without.pD.clear();
  Agent other = Agent::create(without).value();
  EXPECT_EQ(other.update_D().error().code, ErrorCode::invalid_argument);
}

TEST(Agent, ParameterGainNeedsBeliefsPerFactor) {
  const auto model = random_model({.states = {3, 3}, .observations = {4}, .controls = {2, 1}, .counts = true}, 13);
  AgentOptions options;
  options.use_param_info_gain = true;
  options.inference = Inference::joint;
  EXPECT_EQ(Agent::create(model, options).error().code, ErrorCode::unsupported);
  options.inference = Inference::automatic;  // takes the inference that can
  Agent agent = Agent::create(model, options).value();
  ASSERT_TRUE(agent.infer_states(std::vector<int>{1}).has_value());
  agent.infer_policies();
  EXPECT_NE(agent.policy_terms().pA_info_gain[0], 0);
  const auto single = random_model({.states = {3}, .observations = {4}, .controls = {2}, .counts = true}, 13);
  options.inference = Inference::joint;  // of one factor, whose counts are its own
  EXPECT_TRUE(Agent::create(single, options).has_value());
}

// Of one step a search is what the plain evaluation is; deeper in the tree time goes on.
TEST(Agent, ASearchCountsParameterGainAndPreferencesOfItsTime) {
  auto model =
      random_model({.states = {4}, .observations = {4}, .controls = {3}, .counts = true, .preference_steps = 3}, 14);
  AgentOptions options;
  options.use_param_info_gain = true;
  const auto G_of = [&](const GenerativeModel& m, int horizon) {
    AgentOptions o = options;
    o.sophisticated = horizon > 0;
    o.si_horizon = horizon;
    o.si_policy_prune = o.si_state_prune = 0;
    Agent agent = Agent::create(m, o).value();
    EXPECT_TRUE(agent.infer_states(std::vector<int>{2}).has_value());
    agent.infer_policies();
    return agent.policy_terms().neg_efe;
  };
  const auto plain = G_of(model, 0), searched = G_of(model, 1), before = G_of(model, 2);
  for (size_t p = 0; p < 3; ++p) EXPECT_NEAR(plain[p], searched[p], 1e-12);
  options.use_param_info_gain = false;
  EXPECT_GT(std::abs(G_of(model, 1)[0] - searched[0]), 1e-6);
  options.use_param_info_gain = true;
  auto later = model;  // another preference for the second step alone
  for (int o = 0; o < 4; ++o) later.C[0].at({o, 1}) += o;
  EXPECT_NEAR(G_of(later, 1)[0], searched[0], 1e-12);
  EXPECT_GT(std::abs(G_of(later, 2)[0] - before[0]), 1e-3);
}

TEST(Agent, ForgettingBoundsTheCounts) {
  const auto model = random_model({.states = {3}, .observations = {3}, .controls = {2}, .counts = true}, 8);
  AgentOptions options;
  options.forgetting = 0.2;
  Agent agent = Agent::create(model, options).value();
  double most = 0;
  for (int t = 0; t < 400; ++t) {
    ASSERT_TRUE(agent.infer_states(std::vector<int>{0}).has_value());
    ASSERT_TRUE(agent.update_A(std::vector<int>{0}).has_value());
    agent.infer_policies();
    agent.sample_action();
  }
  for (size_t i = 0; i < model.pA[0].data.size(); ++i) {
    most = std::max(most, agent.model().pA[0].data[i] - model.pA[0].data[i]);
  }
  EXPECT_LE(most, 1 / 0.2 + 1e-9);
  EXPECT_GT(most, 1);
}

TEST(Agent, SophisticatedSearchStopsAtItsLimit) {
  const auto model = random_model({.states = {4}, .observations = {5}, .controls = {4}}, 9);
  AgentOptions options;
  options.sophisticated = true;
  options.si_horizon = 12;
  options.si_policy_prune = options.si_state_prune = 0;
  options.si_node_limit = 500;
  Agent agent = Agent::create(model, options).value();
  ASSERT_TRUE(agent.infer_states(std::vector<int>{0}).has_value());
  agent.infer_policies();  // without the limit this would take 20^11 nodes
  double sum = 0;
  for (double p : agent.policy_terms().q_pi) sum += p;
  EXPECT_NEAR(sum, 1, 1e-12);
}

TEST(Agent, RefusesOptionsThatDoNotFit) {
  auto model = random_model({.states = {4}, .observations = {5}, .controls = {2}, .policy_length = 2}, 10);
  AgentOptions options;
  options.sophisticated = true;
  EXPECT_FALSE(Agent::create(model, options).has_value());
  options = {};
  options.gamma = 0;
  EXPECT_FALSE(Agent::create(model, options).has_value());
  options = {};
  EXPECT_FALSE([&] {
    Agent agent = Agent::create(model, options).value();
    return agent.update_A(std::vector<int>{0}).has_value();
  }()) << "learnt counts that the model does not have";
}

TEST(Precision, GrowsWhenEvidenceSpeaksForWhatIsPreferredAndFallsWhenAgainst) {
  const std::vector<double> neg_efe{-1, -3}, ln_E{std::log(0.5), std::log(0.5)};
  const double agrees = 1 / adapt_beta(1, 1, neg_efe, std::vector<double>{0, 2}, ln_E);
  const double disagrees = 1 / adapt_beta(1, 1, neg_efe, std::vector<double>{2, 0}, ln_E);
  const double silent = 1 / adapt_beta(1, 1, neg_efe, std::vector<double>{1, 1}, ln_E);
  EXPECT_GT(agrees, 1.01);
  EXPECT_LT(disagrees, 0.99);
  EXPECT_NEAR(silent, 1, 1e-12);
}

TEST(Agent, AdaptsItsPrecisionToWhatHappens) {
  const auto model = random_model({.states = {4}, .observations = {4}, .controls = {2}}, 11);
  AgentOptions options;
  options.adaptive_gamma = true;
  options.gamma = 1;
  Agent agent = Agent::create(model, options).value();
  std::vector<double> gammas;
  for (int o : {0, 1, 2, 3, 0}) {
    ASSERT_TRUE(agent.infer_states(std::vector<int>{o}).has_value());
    agent.infer_policies();
    agent.sample_action();
    gammas.push_back(agent.gamma());
  }
  EXPECT_EQ(gammas[0], 1);
  EXPECT_NE(gammas[4], 1);
  for (double g : gammas) EXPECT_TRUE(g > 0 && g < 1000);
}

}  // namespace
}  // namespace skep::belief
