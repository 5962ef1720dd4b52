// The kernels of packed own models, of every target that this CPU runs, against the scalar reference; and the bound on
// what packing does.

#include "kernel/packed_own_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "base/random.h"
#include "kernel/belief_kernels.h"
#include "kernel/bfloat16.h"
#include "kernel/testing_rows.h"

namespace skep::kernel {
namespace {

constexpr double kUlp = std::numeric_limits<float>::epsilon();

// Half of them with zeros.
void fill_any(Random& random, float* row, size_t n) {
  const bool sparse = random.below(2) == 0;
  fill_distribution(random, row, n, sparse);
}

std::vector<uint16_t> packed(const float* from, size_t n) {
  std::vector<uint16_t> out(n);
  std::transform(from, from + n, out.begin(), to_bfloat16);
  return out;
}

// An agent's model, as it is and packed.
struct Model {
  Model(Random& random, size_t states, size_t outcomes, size_t actions)
      : stride(belief_stride<float>(states)), A(outcomes, stride), B(actions * states, stride), linear(1, stride) {
    for (size_t s = 0; s < actions * states; ++s) fill_any(random, B[s], states);
    std::vector<float> column(outcomes);
    for (size_t s = 0; s < states; ++s) {
      fill_any(random, column.data(), outcomes);
      for (size_t o = 0; o < outcomes; ++o) A[o][s] = column[o];
      linear[0][s] = static_cast<float>(random.uniform(-3, 0));
    }
    packed_A = packed(A[0], outcomes * stride);
    packed_B = packed(B[0], actions * states * stride);
  }
  size_t stride;
  Rows<float> A, B, linear;
  std::vector<uint16_t> packed_A, packed_B;
};

TEST(PackedOwnKernels, TheChosenTargetIsOneOfThoseTested) {
  std::set<std::string> names;
  for (const auto& kernels : every_packed_own_kernels()) names.insert(kernels.target);
  EXPECT_TRUE(names.contains(packed_own_kernels().target));
  EXPECT_EQ(names.size(), every_packed_own_kernels().size());
}

TEST(PackedOwnKernels, FilterAgreesWithTheReferenceForEveryShape) {
  for (const PackedOwnKernels& fast : every_packed_own_kernels()) {
    SCOPED_TRACE(fast.target);
    Random random(1);
    for (size_t states : {1, 2, 3, 7, 8, 9, 16, 17, 31, 32, 33, 48, 64, 65, 100}) {
      const size_t stride = belief_stride<float>(states);
      const double tolerance = static_cast<double>(states + 4) * kUlp;
      for (size_t n : {1, 2, 5}) {
        for (size_t modalities : {1, 3}) {
          Rows<float> q(n, stride), expected(n, stride), scratch(2, stride);
          std::vector<Model> models;
          for (size_t i = 0; i < n; ++i) models.emplace_back(random, states, 3, 2);
          std::vector<const float*> source;
          std::vector<float*> target, reference;
          std::vector<const uint16_t*> transition, likelihood;
          for (size_t i = 0; i < n; ++i) {
            fill_any(random, q[i], states);
            source.push_back(q[i]);
            target.push_back(q[i]);  // in place
            reference.push_back(expected[i]);
            const uint16_t* B = models[i].packed_B.data() + random.below(2) * states * stride;
            transition.push_back(random.below(5) == 0 ? nullptr : B);
            for (size_t m = 0; m < modalities; ++m) {
              const uint16_t* row = models[i].packed_A.data() + random.below(3) * stride;
              likelihood.push_back(random.below(4) == 0 ? nullptr : row);
            }
          }
          std::vector<float> z(n), z_expected(n);
          PackedFilterArgs args{states,           n,          transition.data(), source.data(),
                                reference.data(), modalities, likelihood.data(), z_expected.data(),
                                scratch[0],       2};
          packed_own_kernels_scalar().filter(args);
          args.target = target.data();
          args.evidence = z.data();
          fast.filter(args);
          for (size_t i = 0; i < n; ++i) {
            ASSERT_NEAR(z[i], z_expected[i], tolerance * static_cast<double>(z_expected[i])) << states << " states";
            for (size_t s = 0; s < stride; ++s)
              ASSERT_NEAR(q[i][s], expected[i][s], 2 * tolerance) << states << " states, agent " << i << " of " << n;
          }
        }
      }
    }
  }
}

TEST(PackedOwnKernels, AnImpossibleObservationLeavesThePrediction) {
  for (const PackedOwnKernels& fast : every_packed_own_kernels()) {
    SCOPED_TRACE(fast.target);
    Random random(2);
    for (size_t states : {4, 32, 80}) {
      const size_t stride = belief_stride<float>(states);
      Model model(random, states, 1, 1);
      const std::vector<uint16_t> never(stride);
      Rows<float> q(2, stride), scratch(2, stride);
      fill_any(random, q[0], states);
      const float* source = q[0];
      const uint16_t* const nothing = nullptr;
      const uint16_t* const B = model.packed_B.data();
      for (const uint16_t* transition : {nothing, B}) {
        const uint16_t* likelihood = never.data();
        float z = 0, z_expected = 0;
        std::vector<float> expected(stride);
        float* target = expected.data();
        PackedFilterArgs args{states, 1, &transition, &source, &target, 1, &likelihood, &z_expected, scratch[0], 0};
        packed_own_kernels_scalar().filter(args);
        target = q[1];
        args.evidence = &z;
        fast.filter(args);
        EXPECT_EQ(z, static_cast<float>(kImpossible));
        EXPECT_EQ(z, z_expected);
        for (size_t s = 0; s < stride; ++s) ASSERT_NEAR(q[1][s], expected[s], 1e-6);
      }
    }
  }
}

TEST(PackedOwnKernels, ExpectedFreeEnergyAgreesWithTheReference) {
  for (const PackedOwnKernels& fast : every_packed_own_kernels()) {
    SCOPED_TRACE(fast.target);
    Random random(3);
    for (size_t states : {2, 4, 16, 32, 40}) {
      for (size_t outcomes : {1, 3, 8, 16, 32, 70}) {
        const size_t stride = belief_stride<float>(states), pitch = belief_stride<float>(outcomes);
        const double tolerance = kUlp * 64 * static_cast<double>(states) + 2e-6;
        Model model(random, states, outcomes, 3);
        Rows<float> q(1, stride), predicted(3, stride), expected_predicted(3, stride), scratch(3, pitch);
        fill_any(random, q[0], states);
        for (bool entropy : {true, false}) {
          float value[3], expected[3];
          PackedEfeArgs args{states,
                             outcomes,
                             3,
                             model.packed_B.data(),
                             model.packed_A.data(),
                             model.linear[0],
                             entropy,
                             q[0],
                             predicted[0],
                             value,
                             scratch[0],
                             model.B[0],
                             states * stride * 4};
          fast.efe(args);
          args.value = expected;
          args.predicted = expected_predicted[0];
          packed_own_kernels_scalar().efe(args);
          for (size_t u = 0; u < 3; ++u) {
            ASSERT_NEAR(value[u], expected[u], tolerance) << states << 'x' << outcomes;
            for (size_t s = 0; s < stride; ++s)
              ASSERT_NEAR(predicted[u][s], expected_predicted[u][s], tolerance) << states << 'x' << outcomes;
          }
        }
      }
    }
  }
}

// Agents with packed models beside the same with unpacked ones: over steps, with zeros in the models and without.
TEST(PackedOwnKernels, BeliefsStayWithinTheBoundOnWhatPackingDoes) {
  Random random(4);
  const auto& kernels = belief_kernels_scalar<float>();
  double largest = 0;
  for (int agent = 0; agent < 60; ++agent) {
    const size_t states = 2 + random.below(40), outcomes = 2 + random.below(6);
    const size_t stride = belief_stride<float>(states);
    Model model(random, states, outcomes, 2);
    Rows<float> exact(2, stride), near(2, stride), scratch(2, stride);
    std::fill_n(exact[0], states, 1 / static_cast<float>(states));
    std::copy_n(exact[0], stride, near[0]);
    for (uint64_t t = 1; t <= 12; ++t) {
      const size_t action = random.below(2), seen = random.below(static_cast<uint32_t>(outcomes));
      const float *source = exact[0], *near_source = near[0], *B = model.B[action * states], *A = model.A[seen];
      const uint16_t *packed_B = model.packed_B.data() + action * states * stride,
                     *packed_A = model.packed_A.data() + seen * stride;
      float *target = exact[1], *near_target = near[1], z = 0, near_z = 0;
      kernels.filter_own({states, 1, &B, &source, &target, 1, &A, &z, scratch[0], 0});
      packed_own_kernels_scalar().filter(
          {states, 1, &packed_B, &near_source, &near_target, 1, &packed_A, &near_z, scratch[0], 0});
      ASSERT_EQ(z == static_cast<float>(kImpossible), near_z == static_cast<float>(kImpossible));
      std::swap_ranges(exact[0], exact[0] + stride, exact[1]);
      std::swap_ranges(near[0], near[0] + stride, near[1]);
      double error = 0;
      for (size_t s = 0; s < states; ++s)
        error += std::abs(static_cast<double>(exact[0][s]) - static_cast<double>(near[0][s]));
      ASSERT_LE(error, packed_model_error(t, 1) + 1e-5) << states << " states, step " << t;
      if (t == 1) largest = std::max(largest, error);
    }
  }
  EXPECT_GT(largest, packed_model_error(1, 1) / 8) << "a bound far from what happens says little";
  EXPECT_EQ(packed_model_error(0, 3), 0);
  EXPECT_NEAR(packed_model_error(1, 1), 0x1p-7, 1e-6);
  EXPECT_LE(packed_model_error(1'000'000, 2), 2);
}

TEST(Bfloat16, RoundsToNearestWithinItsErrorAndKeepsZero) {
  Random random(5);
  EXPECT_EQ(from_bfloat16(to_bfloat16(0)), 0);
  EXPECT_EQ(from_bfloat16(to_bfloat16(1)), 1);
  for (int i = 0; i < 100'000; ++i) {
    const auto x = static_cast<float>(std::exp2(random.uniform(-120, 0)));
    const double back = from_bfloat16(to_bfloat16(x));
    ASSERT_LE(std::abs(back - static_cast<double>(x)), kBfloat16Error * static_cast<double>(x)) << x;
  }
}

}  // namespace
}  // namespace skep::kernel
