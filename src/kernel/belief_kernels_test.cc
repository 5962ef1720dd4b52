// The vector kernels of every target that this CPU runs against the scalar reference. Tolerances: a sum of S
// non-negative products in T is off by at most (S + 2) u relative, u the unit roundoff; a logarithm adds what
// belief_kernels.cc derives.

#include "kernel/belief_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <new>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernel/testing_rows.h"

namespace skep::kernel {
namespace {

template <typename T>
class BeliefKernelsTest : public testing::Test {
 protected:
  static constexpr T kUlp = std::numeric_limits<T>::epsilon();
};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(BeliefKernelsTest, Types);

// The same for every target, each from the same random numbers.
template <typename T, typename Check>
void for_every_target(Check&& check) {
  for (const BeliefKernels<T>& kernels : every_belief_kernels<T>()) {
    SCOPED_TRACE(kernels.target);
    check(kernels);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TYPED_TEST(BeliefKernelsTest, TheChosenTargetIsOneOfThoseTested) {
  std::set<std::string> names;
  for (const auto& kernels : every_belief_kernels<TypeParam>()) names.insert(kernels.target);
  EXPECT_TRUE(names.contains(belief_kernels<TypeParam>().target));
  EXPECT_EQ(names.size(), every_belief_kernels<TypeParam>().size()) << "one target stands for two";
}

TYPED_TEST(BeliefKernelsTest, FilterAgreesWithTheReferenceForEveryShape) {
  using T = TypeParam;
  for_every_target<T>([](const BeliefKernels<T>& fast) {
    const auto& slow = belief_kernels_scalar<T>();
    Random random(1);
    for (size_t states : {1, 2, 3, 4, 7, 8, 9, 16, 17, 31, 32, 33, 48, 64, 65, 100}) {
      const size_t stride = belief_stride<T>(states);
      const double tolerance = static_cast<double>(states + 4) * static_cast<double>(TestFixture::kUlp);
      for (size_t n : {1, 2, 3, 5, 6, 7, 13, 40}) {
        for (size_t modalities : {1, 3}) {
          Rows<T> B(states, stride), A(3, stride), q(n, stride), expected(n, stride), scratch(16, stride);
          for (size_t s = 0; s < states; ++s) fill_distribution(random, B[s], states, true);
          for (size_t o = 0; o < 3; ++o) {
            for (size_t s = 0; s < states; ++s) A[o][s] = static_cast<T>(random.uniform(0.01, 1));
          }
          std::vector<const T*> source, likelihood;
          std::vector<T*> target, reference;
          for (size_t i = 0; i < n; ++i) {
            fill_distribution(random, q[i], states);
            source.push_back(q[i]);
            target.push_back(q[i]);  // in place
            reference.push_back(expected[i]);
            for (size_t m = 0; m < modalities; ++m)
              likelihood.push_back(random.below(4) == 0 ? nullptr : A[random.below(3)]);
          }
          std::vector<T> z(n), z_expected(n);
          FilterArgs<T> args;
          args.states = states;
          args.transition = random.below(8) == 0 ? nullptr : B[0];
          args.n = n;
          args.source = source.data();
          args.modalities = modalities;
          args.likelihood = likelihood.data();
          args.scratch = scratch[0];
          args.target = reference.data();
          args.evidence = z_expected.data();
          slow.filter(args);
          std::vector<const T*> own(n, args.transition);
          Rows<T> own_target(n, stride);
          std::vector<T*> own_rows;
          for (size_t i = 0; i < n; ++i) own_rows.push_back(own_target[i]);
          std::vector<T> own_z(n);
          fast.filter_own({states, n, own.data(), source.data(), own_rows.data(), modalities, likelihood.data(),
                           own_z.data(), scratch[0], 0});
          args.target = target.data();
          args.evidence = z.data();
          fast.filter(args);
          for (size_t i = 0; i < n; ++i) {
            EXPECT_NEAR(z[i], z_expected[i], tolerance * static_cast<double>(z_expected[i])) << states << " states";
            EXPECT_NEAR(own_z[i], z_expected[i], tolerance * static_cast<double>(z_expected[i]));
            for (size_t s = 0; s < stride; ++s) {
              ASSERT_NEAR(q[i][s], expected[i][s], 2 * tolerance) << states << " states, agent " << i << " of " << n;
              ASSERT_NEAR(own_target[i][s], expected[i][s], 2 * tolerance);
            }
          }
        }
      }
    }
  });
}

// Whole rows and padded ones, whole blocks of agents and tails: as the reference, and as filter() to the bit.
TYPED_TEST(BeliefKernelsTest, ARunOfAgentsIsFilteredAsOneByOne) {
  using T = TypeParam;
  for_every_target<T>([](const BeliefKernels<T>& fast) {
    constexpr size_t actions = 3, outcomes = 5;
    Random random(8);
    for (size_t states : {1, 2, 4, 5, 8, 12, 15, 16, 17, 23, 24, 30, 31, 32}) {
      const size_t stride = belief_stride<T>(states);
      if (stride * sizeof(T) > fast.longest_run_row) continue;
      const double tolerance = static_cast<double>(states + 4) * static_cast<double>(TestFixture::kUlp);
      for (size_t n : {1, 2, 3, 5, 6, 7, 13, 40}) {
        Rows<T> B(actions * states, stride), A(outcomes, stride), q(n, stride), expected(n, stride), one(n + 1, stride),
            scratch(16, stride);
        for (size_t s = 0; s < actions * states; ++s) fill_distribution(random, B[s], states, true);
        for (size_t o = 0; o + 1 < outcomes; ++o) {  // the last outcome is impossible
          for (size_t s = 0; s < states; ++s) A[o][s] = static_cast<T>(random.uniform(0.01, 1));
        }
        std::vector<uint16_t> action(n), outcome(n);
        for (size_t i = 0; i < n; ++i) {
          fill_distribution(random, q[i], states);
          std::copy_n(q[i], stride, expected[i]);
          std::copy_n(q[i], stride, one[i]);
          action[i] = static_cast<uint16_t>(random.below(actions));
          const uint32_t o = random.below(outcomes + 1);
          outcome[i] = o == outcomes ? kNoOutcome : static_cast<uint16_t>(o);
        }
        std::vector<T> z(n), z_expected(n), z_one(2);
        FilterRunArgs<T> args{states,    n, B[0], action.data(), A[0], outcome.data(), expected[0], z_expected.data(),
                              scratch[0]};
        belief_kernels_scalar<T>().filter_run(args);
        args.beliefs = q[0];
        args.evidence = z.data();
        fast.filter_run(args);
        for (size_t i = 0; i < n; ++i) {
          EXPECT_NEAR(z[i], z_expected[i], tolerance * static_cast<double>(z_expected[i]));
          for (size_t s = 0; s < stride; ++s)
            ASSERT_NEAR(q[i][s], expected[i][s], 2 * tolerance) << states << " states, agent " << i << " of " << n;
          const T* source[2] = {one[i], one[i]};
          T* target[2] = {one[i], one[n]};
          const T* given = outcome[i] == kNoOutcome ? nullptr : A[outcome[i]];
          const T* likelihood[2] = {given, given};
          fast.filter({states, B[action[i] * states], 2, source, target, 1, likelihood, z_one.data(), scratch[0]});
          ASSERT_EQ(z_one[0], z[i]);
          ASSERT_TRUE(std::equal(q[i], q[i] + stride, one[i])) << states << " states, agent " << i << " of " << n;
        }
      }
    }
  });
}

// Wide rows whose agents believe in a few runs of states, as where one factor of a joint is known.
TYPED_TEST(BeliefKernelsTest, StatesThatNobodyBelievesInChangeNothing) {
  using T = TypeParam;
  for_every_target<T>([](const BeliefKernels<T>& fast) {
    constexpr size_t states = 150, outcomes = 70, n = 8;
    const size_t stride = belief_stride<T>(states), pitch = belief_stride<T>(outcomes);
    Random random(6);
    Rows<T> B(states, stride), A(1, stride), AB(states, pitch), linear(1, stride), q(n, stride), found(n, stride),
        slow(n, stride), scratch(16, stride);
    for (size_t s = 0; s < states; ++s) {
      fill_distribution(random, B[s], states);
      fill_distribution(random, AB[s], outcomes);
      A[0][s] = static_cast<T>(random.uniform(0.1, 1));
    }
    std::vector<const T*> source, likelihood(n, A[0]);
    std::vector<T*> target, expected;
    for (size_t i = 0; i < n; ++i) {
      // Far apart, next to each other, at both ends; every second state, which makes more runs than are told apart.
      const size_t from = i == 0 ? 0 : i == 1 ? 140 : i == 7 ? 3 : 20 * i, width = i == 7 ? 140 : 9;
      fill_distribution(random, q[i] + from, width);
      for (size_t s = 0; i == 7 && s < states; s += 2) q[i][s] = 0;
      source.push_back(q[i]);
      target.push_back(found[i]);
      expected.push_back(slow[i]);
    }
    std::vector<T> z(n), z_expected(n), value(n, T(0)), value_expected(n, T(0));
    FilterArgs<T> args{states,    B[0], n, source.data(), expected.data(), 1, likelihood.data(), z_expected.data(),
                       scratch[0]};
    belief_kernels_scalar<T>().filter(args);
    args.target = target.data();
    args.evidence = z.data();
    fast.filter(args);
    EfeArgs<T> efe{states, outcomes, AB[0], linear[0], true, n, source.data(), value_expected.data()};
    belief_kernels_scalar<T>().efe(efe);
    efe.value = value.data();
    fast.efe(efe);
    for (size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(z[i], z_expected[i], 200 * static_cast<double>(TestFixture::kUlp));
      EXPECT_NEAR(value[i], value_expected[i], 1e-5);
      for (size_t s = 0; s < stride; ++s)
        ASSERT_NEAR(found[i][s], slow[i][s], 200 * static_cast<double>(TestFixture::kUlp));
    }
    args.target = expected.data();
    belief_kernels_scalar<T>().predict(args);
    args.target = target.data();
    fast.predict(args);
    for (size_t i = 0; i < n; ++i) {
      for (size_t s = 0; s < stride; ++s)
        ASSERT_NEAR(found[i][s], slow[i][s], 200 * static_cast<double>(TestFixture::kUlp));
    }
  });
}

TYPED_TEST(BeliefKernelsTest, AnImpossibleObservationLeavesThePrediction) {
  using T = TypeParam;
  for_every_target<T>([](const BeliefKernels<T>& fast) {
    for (size_t states : {4, 32, 80}) {
      const size_t stride = belief_stride<T>(states);
      Rows<T> B(states, stride), never(1, stride), q(5, stride), before(5, stride), scratch(16, stride),
          expected(5, stride);
      Random random(2);
      for (size_t s = 0; s < states; ++s) fill_distribution(random, B[s], states);
      std::vector<const T*> source, likelihood(5, never[0]);
      std::vector<T*> target, reference;
      for (size_t i = 0; i < 5; ++i) {
        fill_distribution(random, q[i], states);
        std::copy_n(q[i], stride, before[i]);
        source.push_back(q[i]);
        target.push_back(q[i]);
        reference.push_back(expected[i]);
      }
      std::vector<T> z(5);
      FilterArgs<T> args{states, B[0], 5, source.data(), reference.data(), 1, likelihood.data(), z.data(), scratch[0]};
      belief_kernels_scalar<T>().filter(args);
      args.target = target.data();
      fast.filter(args);
      for (size_t i = 0; i < 5; ++i) {
        EXPECT_EQ(z[i], static_cast<T>(kImpossible));
        for (size_t s = 0; s < states; ++s) ASSERT_NEAR(q[i][s], expected[i][s], 1e-5);
      }
    }
  });
}

TYPED_TEST(BeliefKernelsTest, ExpectedFreeEnergyAgreesWithTheReference) {
  using T = TypeParam;
  for_every_target<T>([](const BeliefKernels<T>& fast) {
    Random random(3);
    for (size_t states : {2, 4, 16, 32, 40}) {
      for (size_t outcomes : {1, 3, 8, 16, 32, 70}) {
        const size_t stride = belief_stride<T>(states), pitch = belief_stride<T>(outcomes);
        const double tolerance =
            static_cast<double>(TestFixture::kUlp) * 64 * static_cast<double>(states) + (sizeof(T) == 4 ? 2e-6 : 0);
        Rows<T> AB(states, pitch), linear(1, stride), q(11, stride), A(outcomes, stride), B(3 * states, stride);
        Rows<T> predicted(3, stride), predicted_expected(3, stride), scratch(3, pitch);
        for (size_t s = 0; s < states; ++s) {
          fill_distribution(random, AB[s], outcomes, true);
          linear[0][s] = static_cast<T>(random.uniform(-3, 0));
        }
        for (size_t s = 0; s < 3 * states; ++s) fill_distribution(random, B[s], states, true);
        for (size_t o = 0; o < outcomes; ++o) {
          for (size_t s = 0; s < states; ++s)
            A[o][s] = static_cast<T>(random.uniform(0, 2.0 / static_cast<double>(outcomes)));
        }
        std::vector<const T*> beliefs;
        for (size_t i = 0; i < 11; ++i) {
          fill_distribution(random, q[i], states);
          beliefs.push_back(q[i]);
        }
        for (bool entropy : {true, false}) {
          std::vector<T> value(11, T(0.5)), expected(11, T(0.5));
          EfeArgs<T> args{states, outcomes, AB[0], linear[0], entropy, 11, beliefs.data(), value.data()};
          fast.efe(args);
          args.value = expected.data();
          belief_kernels_scalar<T>().efe(args);
          for (size_t i = 0; i < 11; ++i) ASSERT_NEAR(value[i], expected[i], tolerance) << states << 'x' << outcomes;
          T own[3], own_expected[3];
          OwnEfeArgs<T> one{states, outcomes,     3,   B[0],       A[0],    linear[0], entropy,
                            q[0],   predicted[0], own, scratch[0], nullptr, 0};
          fast.efe_own(one);
          one.value = own_expected;
          one.predicted = predicted_expected[0];
          belief_kernels_scalar<T>().efe_own(one);
          for (size_t u = 0; u < 3; ++u) {
            ASSERT_NEAR(own[u], own_expected[u], tolerance);
            for (size_t s = 0; s < stride; ++s) ASSERT_NEAR(predicted[u][s], predicted_expected[u][s], tolerance);
          }
        }
      }
    }
  });
}

TYPED_TEST(BeliefKernelsTest, PredictionAgreesWithTheReference) {
  using T = TypeParam;
  for_every_target<T>([](const BeliefKernels<T>& fast) {
    Random random(4);
    for (size_t states : {3, 16, 32, 90}) {
      const size_t stride = belief_stride<T>(states);
      Rows<T> B(states, stride), q(7, stride), next(7, stride), expected(7, stride);
      for (size_t s = 0; s < states; ++s) fill_distribution(random, B[s], states);
      std::vector<const T*> source;
      std::vector<T*> target, reference;
      for (size_t i = 0; i < 7; ++i) {
        fill_distribution(random, q[i], states);
        source.push_back(q[i]);
        target.push_back(next[i]);
        reference.push_back(expected[i]);
      }
      FilterArgs<T> args{states, B[0], 7, source.data(), target.data()};
      fast.predict(args);
      args.target = reference.data();
      belief_kernels_scalar<T>().predict(args);
      for (size_t i = 0; i < 7; ++i) {
        for (size_t s = 0; s < stride; ++s)
          ASSERT_NEAR(next[i][s], expected[i][s], static_cast<double>(states) * TestFixture::kUlp);
      }
    }
  });
}

TEST(BeliefKernelsLog, StaysWithinItsBoundForEveryExponent) {
  for_every_target<float>([](const BeliefKernels<float>& fast) {
    Random random(5);
    for (int e = -125; e <= 0; ++e) {
      std::vector<float> x, out(1001);
      for (int i = 0; i < 1001; ++i) {
        x.push_back(std::min(1.0f, std::ldexp(static_cast<float>(random.uniform(0.5, 1)), e + (i & 1))));
      }
      fast.surprise(x.data(), x.size(), out.data());
      for (size_t i = 0; i < x.size(); ++i) {
        const double exact = -std::log(static_cast<double>(x[i]));
        ASSERT_NEAR(out[i], exact, 2e-7 + 1.2e-7 * exact) << x[i];
      }
    }
    float one = 1, zero = 1;
    fast.surprise(&one, 1, &zero);
    EXPECT_EQ(zero, 0);
  });
}

TYPED_TEST(BeliefKernelsTest, SoftmaxAgreesAndSurvivesLargeValues) {
  using T = TypeParam;
  for_every_target<T>([](const BeliefKernels<T>& fast) {
    Random random(6);
    const size_t policies = 5, pitch = 32, n = 19;
    std::vector<T> x(policies * pitch), ln_prior(policies, T(-1.6));
    for (T& v : x) v = static_cast<T>(random.uniform(-200, 0));
    std::vector<T> expected = x;
    fast.softmax(x.data(), policies, pitch, n, T(16), ln_prior.data());
    belief_kernels_scalar<T>().softmax(expected.data(), policies, pitch, n, T(16), ln_prior.data());
    for (size_t p = 0; p < policies; ++p) {
      // The exponent is up to 3200: its rounding alone is 3200 u relative.
      for (size_t i = 0; i < n; ++i) ASSERT_NEAR(x[p * pitch + i], expected[p * pitch + i], 6400 * TestFixture::kUlp);
    }
  });
}

TYPED_TEST(BeliefKernelsTest, DistanceAndEntropyAgree) {
  using T = TypeParam;
  for_every_target<T>([](const BeliefKernels<T>& fast) {
    Random random(7);
    for (size_t states : {1, 5, 8, 32, 50}) {
      const size_t stride = belief_stride<T>(states);
      Rows<T> p(2, stride);
      fill_distribution(random, p[0], states, true);
      fill_distribution(random, p[1], states);
      const auto& slow = belief_kernels_scalar<T>();
      EXPECT_NEAR(fast.total_variation(p[0], p[1], stride), slow.total_variation(p[0], p[1], stride), 1e-6);
      EXPECT_NEAR(fast.entropy(p[0], stride), slow.entropy(p[0], stride), 2e-6);
    }
  });
}

}  // namespace
}  // namespace skep::kernel
