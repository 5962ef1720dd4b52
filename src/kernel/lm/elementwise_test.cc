#include <gtest/gtest.h>

#include <cmath>

#include "kernel/lm/kernels.h"
#include "kernel/lm/test_matrix.h"

namespace skep::kernel::lm {
namespace {

TEST(Half, RoundsToNearestEvenAndBack) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float f = from_f16(static_cast<uint16_t>(h));
    if (std::isnan(f)) continue;
    EXPECT_EQ(to_f16(f), h);
  }
  EXPECT_EQ(to_f16(65519.0F), 0x7bff);
  EXPECT_EQ(to_f16(65520.0F), 0x7c00);
  EXPECT_EQ(to_f16(1.0F + 0x1p-11F), to_f16(1.0F));          // a tie goes to the even one
  EXPECT_EQ(to_f16(1.0F + 3 * 0x1p-11F), to_f16(1.0F) + 2);  // likewise
  EXPECT_EQ(to_f16(0x1p-25F), 0);                            // half of the smallest: even is zero
  EXPECT_EQ(to_f16(0x1.8p-25F), 1);
  EXPECT_TRUE(std::isnan(from_f16(to_f16(NAN))));
}

TEST(Quantize, StaysWithinHalfAStepAndKeepsItsSums) {
  std::mt19937 random(1);
  const std::vector<float> x = random_floats(256, random, 3.0F);
  Aligned<ActivationBlock> blocks(8);
  best_kernels().quantize(x.data(), 256, blocks.data());
  for (int b = 0; b < 8; ++b) {
    const ActivationBlock& block = blocks.data()[b];
    int sum = 0, lanes[2][2] = {};
    for (int j = 0; j < 32; ++j) {
      EXPECT_NEAR(block.scale * static_cast<float>(block.q[j]), x[static_cast<size_t>(b * 32 + j)],
                  block.scale * 0.5001F);
      sum += block.q[j];
      lanes[j / 16][j % 4 / 2] += block.q[j];
    }
    EXPECT_EQ(block.sum, sum);
    EXPECT_EQ(block.scaled_sum, block.scale * static_cast<float>(sum));
    for (int half = 0; half < 2; ++half) {
      for (int lane = 0; lane < 2; ++lane) EXPECT_EQ(block.neg8_half[half][lane], -8 * lanes[half][lane]);
    }
    EXPECT_EQ(block.neg8[0], -8 * (lanes[0][0] + lanes[1][0]));
  }
}

TEST(Quantize, GivesZerosForZeros) {
  const std::vector<float> x(32, 0.0F);
  Aligned<ActivationBlock> block(1);
  best_kernels().quantize(x.data(), 32, block.data());
  EXPECT_EQ(block.data()->scale, 0.0F);
  EXPECT_EQ(block.data()->sum, 0);
}

TEST(Elementwise, IsTheSameToTheBitOnEveryInstructionSet) {
  std::mt19937 random(2);
  const std::vector<float> x = random_floats(1024, random, 4.0F), w = random_floats(1024, random);
  const std::vector<float> cosine = random_floats(32, random), sine = random_floats(32, random);
  for (const Kernels* kernels : available_kernels()) {
    SCOPED_TRACE(kernels->name);
    const auto both = [&](auto&& f) {
      auto ours = x, plain = x;
      f(*kernels, ours.data());
      f(scalar_kernels(), plain.data());
      EXPECT_EQ(ours, plain);
    };
    both([&](const Kernels& k, float* y) { k.rms_norm(y, w.data(), 1024, 1e-5F, y); });
    both([&](const Kernels& k, float* y) { k.swiglu(y, w.data(), 1024); });
    for (const bool halves : {false, true}) {
      both([&](const Kernels& k, float* y) { k.rope(y, 16, 64, 32, halves, cosine.data(), sine.data()); });
    }
    Aligned<ActivationBlock> ours(32), plain(32);
    kernels->quantize(x.data(), 1024, ours.data());
    scalar_kernels().quantize(x.data(), 1024, plain.data());
    for (int b = 0; b < 32; ++b) EXPECT_EQ(std::memcmp(ours.data() + b, plain.data() + b, 52), 0);
  }
}

TEST(Elementwise, AgreesWithTheFormulas) {
  std::mt19937 random(3);
  std::vector<float> gate = random_floats(512, random, 8.0F);
  const std::vector<float> up = random_floats(512, random);
  const std::vector<float> x = gate;
  best_kernels().swiglu(gate.data(), up.data(), 512);
  for (size_t i = 0; i < 512; ++i) {
    const double exact = x[i] / (1.0 + std::exp(-static_cast<double>(x[i]))) * up[i];
    EXPECT_NEAR(gate[i], exact, 1e-6 * std::abs(exact) + 1e-12);
  }
  std::vector<float> y(512);
  best_kernels().rms_norm(x.data(), up.data(), 512, 1e-5F, y.data());
  double squares = 0;
  for (const float v : x) squares += static_cast<double>(v) * v;
  for (size_t i = 0; i < 512; ++i) {
    const double exact = x[i] / std::sqrt(squares / 512 + 1e-5) * up[i];
    EXPECT_NEAR(y[i], exact, 2e-6 * std::abs(exact));
  }
}

TEST(Rope, RotatesPairsAndLeavesTheRest) {
  const float cosine = 0.0F, sine = 1.0F;  // a quarter turn
  std::vector<float> x{1, 2, 3, 4};
  best_kernels().rope(x.data(), 1, 4, 1, false, &cosine, &sine);
  EXPECT_EQ(x, (std::vector<float>{-2, 1, 3, 4}));
  std::vector<float> y{1, 2, 3, 4};
  const float c2[] = {0, 0}, s2[] = {1, 1};
  best_kernels().rope(y.data(), 1, 4, 2, true, c2, s2);
  EXPECT_EQ(y, (std::vector<float>{-3, -4, 1, 2}));
}

}  // namespace
}  // namespace skep::kernel::lm
