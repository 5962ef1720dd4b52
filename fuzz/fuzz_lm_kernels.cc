// The forward pass's kernels beside the matrix product: attention and what it stores, RMS norm, rotary positions,
// SwiGLU. Every instruction set against the scalar reference, to the bit, and the reference against the formula in
// double precision, on shapes and numbers that the input chooses. The first byte says which kernel.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "kernel/lm/kernels.h"
#include "kernel_input.h"

using namespace skep::kernel::lm;
using skep::fuzz::KernelInput;
using skep::fuzz::same;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// Relative to `size`, which no rounding error of the sum exceeds by more than 2^-24 for each term.
void require_near(float x, double exact, double size, double tolerance) {
  require(std::abs(x - exact) <= tolerance * size + 1e-30);
}

void rms_norm(KernelInput& in) {
  const size_t n = 16 * static_cast<size_t>(1 + in.up_to(130));
  const auto x = in.numbers(n), weight = in.numbers(n);
  const float epsilon = in.byte() % 2 == 0 ? 1e-5F : 1e-6F;
  std::vector<float> plain(n), ours(n);
  scalar_kernels().rms_norm(x.data(), weight.data(), static_cast<int>(n), epsilon, plain.data());
  for (const Kernels* kernels : available_kernels()) {
    kernels->rms_norm(x.data(), weight.data(), static_cast<int>(n), epsilon, ours.data());
    require(same(ours, plain));
    ours = x;  // in place
    kernels->rms_norm(ours.data(), weight.data(), static_cast<int>(n), epsilon, ours.data());
    require(same(ours, plain));
  }
  double squares = 0;
  for (const float f : x) squares += static_cast<double>(f) * f;
  const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + epsilon);
  for (size_t i = 0; i < n; ++i) {
    const double exact = x[i] * scale * weight[i];
    require_near(plain[i], exact, std::abs(exact), 2e-5);
  }
}

void rope(KernelInput& in) {
  const int heads = 1 + in.up_to(5), head_size = 16 * (1 + in.up_to(15)), pairs = 1 + in.up_to(head_size / 2 - 1);
  const bool halves = in.byte() % 2 == 0;
  const auto x = in.numbers(static_cast<size_t>(heads * head_size));
  std::vector<float> cosine, sine;
  for (int i = 0; i < pairs; ++i) {
    const double angle = in.number();
    cosine.push_back(static_cast<float>(std::cos(angle)));
    sine.push_back(static_cast<float>(std::sin(angle)));
  }
  auto plain = x;
  scalar_kernels().rope(plain.data(), heads, head_size, pairs, halves, cosine.data(), sine.data());
  for (const Kernels* kernels : available_kernels()) {
    auto ours = x;
    kernels->rope(ours.data(), heads, head_size, pairs, halves, cosine.data(), sine.data());
    require(same(ours, plain));
  }
  for (int h = 0; h < heads; ++h) {
    for (int d = 0; d < head_size; ++d) {
      const auto at = [&](int i) { return static_cast<size_t>(h * head_size + i); };
      if (d >= 2 * pairs) {
        require(plain[at(d)] == x[at(d)]);  // passed through
        continue;
      }
      const int pair = halves ? d % pairs : d / 2;
      const bool second = halves ? d >= pairs : d % 2 == 1;
      const double a = x[at(halves ? pair : 2 * pair)], b = x[at(halves ? pair + pairs : 2 * pair + 1)];
      const double c = cosine[static_cast<size_t>(pair)], s = sine[static_cast<size_t>(pair)];
      require_near(plain[at(d)], second ? a * s + b * c : a * c - b * s, std::abs(a) + std::abs(b), 3e-7);
    }
  }
}

void swiglu(KernelInput& in) {
  const size_t n = 16 * static_cast<size_t>(1 + in.up_to(60));
  const auto gate = in.numbers(n), up = in.numbers(n);
  auto plain = gate;
  scalar_kernels().swiglu(plain.data(), up.data(), static_cast<int>(n));
  for (const Kernels* kernels : available_kernels()) {
    auto ours = gate;
    kernels->swiglu(ours.data(), up.data(), static_cast<int>(n));
    require(same(ours, plain));
  }
  for (size_t i = 0; i < n; ++i) {
    const double g = std::clamp<double>(gate[i], -87, 1e30);  // exp() is clamped there
    const double exact = gate[i] / (1 + std::exp(-g)) * up[i];
    require_near(plain[i], exact, std::abs(exact), 2e-6);
  }
}

// One head's pages, filled through the kernels' own stores: those must agree on every byte.
struct Context {
  Context(KernelInput& in, KvType kv_type, int size, int tokens) : type(kv_type), head_size(size) {
    const auto half = static_cast<size_t>(kv_head_bytes(type, head_size));
    const int count = (tokens + kPageTokens - 1) / kPageTokens;
    for (int p = 0; p < count; ++p) pages.emplace_back(2 * half, uint8_t{0});
    for (int t = 0; t < tokens; ++t) {
      keys.push_back(in.numbers(static_cast<size_t>(head_size)));
      values.push_back(in.numbers(static_cast<size_t>(head_size)));
      auto& page = pages[static_cast<size_t>(t / kPageTokens)];
      const auto before = page;
      store(scalar_kernels(), t, page, half);
      for (const Kernels* kernels : available_kernels()) {
        auto ours = before;
        store(*kernels, t, ours, half);
        require(ours == page);
      }
    }
  }
  void store(const Kernels& kernels, int t, std::vector<uint8_t>& page, size_t half) const {
    KvStoreArguments s{type, head_size, t % kPageTokens, keys[static_cast<size_t>(t)].data(), page.data()};
    kernels.store_key(s);
    s.x = values[static_cast<size_t>(t)].data();
    s.at += half;
    kernels.store_value(s);
  }
  KvType type;
  int head_size;
  std::vector<std::vector<uint8_t>> pages;
  std::vector<std::vector<float>> keys, values;
};

// What one query sees, in double precision, on the numbers before they were stored. Returns how far an output may be
// off: a share of the largest value, by the rounding of what is stored and what that does to the scores.
void check_attention(const Context& c, const float* q, int visible, float scale, const float* out) {
  std::vector<double> scores;
  double score_error = 0;
  const double rounding = c.type == KvType::f16 ? 0x1p-11 : c.type == KvType::bf16 ? 0x1p-8 : 1.0 / 254;
  for (int t = 0; t < visible; ++t) {
    const auto& k = c.keys[static_cast<size_t>(t)];
    double dot = 0, size = 0, largest = 0, q_size = 0;
    for (int d = 0; d < c.head_size; ++d) {
      const double qd = q[d], kd = k[static_cast<size_t>(d)];
      dot += qd * kd;
      size += std::abs(qd * kd);
      largest = std::max(largest, std::abs(kd));
      q_size += std::abs(qd);
    }
    scores.push_back(dot * scale);
    const double stored = c.type == KvType::q8 ? largest * q_size : size + 1e-7 * q_size;
    score_error = std::max(score_error, std::abs(scale) * (rounding * stored + 1e-5 * size));
  }
  if (score_error > 0.05) return;  // the softmax of such scores is anybody's guess: to the bit, it was compared
  const double most = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& s : scores) total += s = std::exp(s - most);
  for (int d = 0; d < c.head_size; ++d) {
    double exact = 0, largest = 0;
    for (int t = 0; t < visible; ++t) {
      const auto& v = c.values[static_cast<size_t>(t)];
      exact += scores[static_cast<size_t>(t)] / total * v[static_cast<size_t>(d)];
      for (const float f : v) largest = std::max<double>(largest, std::abs(f));
    }
    require_near(out[d], exact, largest + 1e-6, 3 * score_error + 2 * rounding + 1e-4);
  }
}

void attention(KernelInput& in) {
  const KvType type = std::array{KvType::f16, KvType::bf16, KvType::q8}[in.byte() % 3];
  const int head_size = 16 * (1 + in.up_to(15)), tokens = 1 + in.up_to(70), queries = 1 + in.up_to(kMaxQueries - 1);
  const Context c(in, type, head_size, tokens);
  const auto q = in.numbers(static_cast<size_t>(queries * head_size));
  std::vector<const uint8_t*> pages;
  for (const auto& page : c.pages) pages.push_back(page.data());
  std::vector<int> visible(static_cast<size_t>(queries));
  for (int& v : visible) v = 1 + in.up_to(tokens - 1);
  AttentionArguments a;
  a.type = type;
  a.head_size = head_size;
  a.queries = queries;
  a.visible = visible.data();
  a.pages = pages.data();
  a.values_at = kv_head_bytes(type, head_size);
  a.scale = 1 / std::sqrt(static_cast<float>(head_size));
  const auto run = [&](const Kernels& kernels) {
    std::vector<float> out(q.size());
    std::vector<const float*> from;
    std::vector<float*> to;
    for (int i = 0; i < queries; ++i) {
      from.push_back(q.data() + i * head_size);
      to.push_back(out.data() + i * head_size);
    }
    a.q = from.data();
    a.out = to.data();
    kernels.attention(a);
    return out;
  };
  const auto plain = run(scalar_kernels());
  for (const Kernels* kernels : available_kernels()) require(same(run(*kernels), plain));
  for (int i = 0; i < queries; ++i) {
    const auto at = static_cast<size_t>(i * head_size);
    check_attention(c, q.data() + at, visible[static_cast<size_t>(i)], a.scale, plain.data() + at);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  KernelInput in(data, size);
  switch (in.byte() % 4) {
    case 0:
      attention(in);
      break;
    case 1:
      rms_norm(in);
      break;
    case 2:
      rope(in);
      break;
    default:
      swiglu(in);
  }
  return 0;
}
