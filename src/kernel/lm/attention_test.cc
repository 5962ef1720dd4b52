#include <gtest/gtest.h>

#include <cmath>

#include "kernel/lm/kernels.h"
#include "kernel/lm/test_matrix.h"

namespace skep::kernel::lm {
namespace {

// One sequence of random keys and values, stored into pages through the kernels, with what is past its end poisoned.
struct Context {
  Context(KvType kv_type, int size, int count, std::mt19937& random, uint8_t poison = 0x11)
      : type(kv_type), head_size(size), tokens(count) {
    const int64_t half = kv_head_bytes(type, head_size);
    for (int p = 0; p * kPageTokens < tokens; ++p) {
      storage.emplace_back(static_cast<size_t>(2 * half));
      std::memset(storage.back().data(), poison, static_cast<size_t>(2 * half));
    }
    for (auto& page : storage) pages.push_back(page.data());
    keys = random_floats(static_cast<size_t>(tokens * head_size), random);
    values = random_floats(static_cast<size_t>(tokens * head_size), random);
    for (int t = 0; t < tokens; ++t) {
      uint8_t* page = storage[static_cast<size_t>(t / kPageTokens)].data();
      const ptrdiff_t row = static_cast<ptrdiff_t>(t) * head_size;
      best_kernels().store_key({type, head_size, t % kPageTokens, keys.data() + row, page});
      best_kernels().store_value({type, head_size, t % kPageTokens, values.data() + row, page + half});
    }
  }

  std::vector<float> attend(const Kernels& kernels, const std::vector<float>& q,
                            const std::vector<int>& visible) const {
    std::vector<float> out(q.size());
    std::vector<const float*> queries;
    std::vector<float*> outs;
    for (size_t i = 0; i < visible.size(); ++i) {
      queries.push_back(q.data() + i * static_cast<size_t>(head_size));
      outs.push_back(out.data() + i * static_cast<size_t>(head_size));
    }
    AttentionArguments a;
    a.type = type;
    a.head_size = head_size;
    a.queries = static_cast<int>(visible.size());
    a.q = queries.data();
    a.out = outs.data();
    a.visible = visible.data();
    a.pages = pages.data();
    a.values_at = kv_head_bytes(type, head_size);
    a.scale = 1.0F / std::sqrt(static_cast<float>(head_size));
    kernels.attention(a);
    return out;
  }

  // By the textbook, in double.
  std::vector<double> exact(const float* q, int visible) const {
    std::vector<double> s(static_cast<size_t>(visible)), out(static_cast<size_t>(head_size));
    double largest = -1e300, total = 0;
    for (int t = 0; t < visible; ++t) {
      double& x = s[static_cast<size_t>(t)];
      for (int d = 0; d < head_size; ++d) x += static_cast<double>(q[d]) * keys[static_cast<size_t>(t * head_size + d)];
      x /= std::sqrt(static_cast<double>(head_size));
      largest = std::max(largest, x);
    }
    for (double& x : s) total += x = std::exp(x - largest);
    for (int t = 0; t < visible; ++t) {
      for (int d = 0; d < head_size; ++d) {
        out[static_cast<size_t>(d)] +=
            s[static_cast<size_t>(t)] / total * values[static_cast<size_t>(t * head_size + d)];
      }
    }
    return out;
  }

  KvType type;
  int head_size, tokens;
  std::vector<Aligned<uint8_t>> storage;
  std::vector<const uint8_t*> pages;
  std::vector<float> keys, values;
};

constexpr KvType kTypes[] = {KvType::f16, KvType::bf16, KvType::q8};

TEST(Attention, AgreesWithTheTextbook) {
  std::mt19937 random(1);
  for (const KvType type : kTypes) {
    SCOPED_TRACE(to_string(type));
    const Context c(type, 64, 83, random);
    const std::vector<float> q = random_floats(64 * 3, random);
    const std::vector<int> visible{83, 16, 1};
    const std::vector<float> out = c.attend(best_kernels(), q, visible);
    const double tolerance = type == KvType::f16 ? 2e-3 : type == KvType::bf16 ? 2e-2 : 4e-2;
    for (size_t i = 0; i < 3; ++i) {
      const std::vector<double> exact = c.exact(q.data() + 64 * i, visible[i]);
      for (size_t d = 0; d < 64; ++d) EXPECT_NEAR(out[64 * i + d], exact[d], tolerance) << i << " " << d;
    }
  }
}

TEST(Attention, IsTheSameToTheBitOnEveryInstructionSet) {
  std::mt19937 random(2);
  for (const KvType type : kTypes) {
    for (const int head_size : {16, 64, 128, 256}) {
      const Context c(type, head_size, 70, random);
      const std::vector<float> q = random_floats(static_cast<size_t>(head_size) * 7, random);
      const std::vector<int> visible{70, 69, 64, 33, 32, 5, 1};
      const std::vector<float> plain = c.attend(scalar_kernels(), q, visible);
      for (const Kernels* kernels : available_kernels()) {
        EXPECT_EQ(c.attend(*kernels, q, visible), plain) << kernels->name << " " << to_string(type) << " " << head_size;
      }
    }
  }
}

TEST(Attention, OfOneQueryDoesNotDependOnTheOthers) {
  std::mt19937 random(3);
  const Context c(KvType::f16, 64, 100, random);
  const std::vector<float> q = random_floats(size_t{64} * kMaxQueries, random);
  std::vector<int> visible;
  for (int i = 0; i < kMaxQueries; ++i) visible.push_back(1 + i * 99 / (kMaxQueries - 1));
  const std::vector<float> together = c.attend(best_kernels(), q, visible);
  for (size_t i = 0; i < kMaxQueries; ++i) {
    const std::vector<float> one(q.begin() + static_cast<ptrdiff_t>(64 * i),
                                 q.begin() + static_cast<ptrdiff_t>(64 * i + 64));
    const std::vector<float> alone = c.attend(best_kernels(), one, {visible[i]});
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + static_cast<ptrdiff_t>(64 * i))) << i;
  }
}

TEST(Attention, DoesNotSeeWhatIsPastTheEndOfItsContext) {
  for (const KvType type : kTypes) {
    std::mt19937 one(4), other(4);
    const Context a(type, 64, 21, one, 0x11), b(type, 64, 21, other, 0x93);
    std::mt19937 random(5);
    const std::vector<float> q = random_floats(64, random);
    EXPECT_EQ(a.attend(best_kernels(), q, {21}), b.attend(best_kernels(), q, {21})) << to_string(type);
  }
}

TEST(Attention, StoresTheSameBytesOnEveryInstructionSet) {
  std::mt19937 random(6);
  const std::vector<float> x = random_floats(128, random, 100.0F);
  for (const KvType type : kTypes) {
    for (const Kernels* kernels : available_kernels()) {
      std::vector<uint8_t> ours(static_cast<size_t>(kv_head_bytes(type, 128))), plain = ours;
      kernels->store_key({type, 128, 5, x.data(), ours.data()});
      scalar_kernels().store_key({type, 128, 5, x.data(), plain.data()});
      EXPECT_EQ(ours, plain);
      kernels->store_value({type, 128, 9, x.data(), ours.data()});
      scalar_kernels().store_value({type, 128, 9, x.data(), plain.data()});
      EXPECT_EQ(ours, plain);
    }
  }
}

}  // namespace
}  // namespace skep::kernel::lm
