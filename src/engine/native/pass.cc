#include "engine/native/pass.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace skep::engine::native {
namespace {

using kernel::lm::kBlock;
using kernel::lm::kMaxQueries;
using kernel::lm::kPageTokens;
using kernel::lm::kTileRows;
using kernel::lm::Matrix;

constexpr int kTokensAtOnce = 32;    // whose results of one head or 32 columns wait in a member's scratch
constexpr int kTokensOfAHead = 128;  // that are a chunk of the phase for queries, keys and values
constexpr int kOwnNorm = 4;          // up to so many tokens every member norms all for itself

size_t elements(int rows, int columns) { return static_cast<size_t>(rows) * static_cast<size_t>(columns); }

// Rows [first, first + rows) of a matrix, first a multiple of 16.
Matrix rows_of(const Matrix& w, int first, int rows) {
  Matrix part = w;
  part.rows = rows;
  part.data = w.data + first / kTileRows * kernel::lm::tile_bytes(w.format, w.columns);
  return part;
}

void add(float* x, const std::vector<float>& bias, int first, int count) {
  if (bias.empty()) return;
  for (int i = 0; i < count; ++i) x[i] += bias[static_cast<size_t>(first + i)];
}

}  // namespace

Pass::Pass(const Weights& weights, const KvLayout& layout, const kernel::lm::Kernels& kernels, Team& team, int tokens,
           int output_rows)
    : weights_(weights), a_(weights.architecture()), layout_(layout), k_(kernels), team_(team) {
  const int pairs = static_cast<int>(a_.rope.frequencies.size());
  const bool quantized = weights.any_quantized(), floats = weights.any_float();
  x_ = Buffer<float>(elements(tokens, a_.embedding));
  y_ = Buffer<float>(elements(output_rows, a_.embedding));
  q_ = Buffer<float>(elements(tokens, a_.q_width()));
  cosine_ = Buffer<float>(elements(tokens, pairs));
  sine_ = Buffer<float>(elements(tokens, pairs));
  normed_ = Operand(tokens, a_.embedding, quantized, floats);
  attended_ = Operand(tokens, a_.q_width(), quantized, floats);
  gated_ = Operand(tokens, a_.feed_forward, quantized, floats);
  const int width = std::max(kBlock, a_.head_size);
  for (int i = 0; i < team.threads(); ++i) {
    Scratch s;
    s.row = Buffer<float>(static_cast<size_t>(a_.embedding));
    s.a = Buffer<float>(elements(kTokensAtOnce, width));
    s.b = Buffer<float>(elements(kTokensAtOnce, width));
    s.norm = Operand(kOwnNorm, a_.embedding, quantized, floats);
    scratch_.push_back(std::move(s));
  }
}

Bytes Pass::bytes() const {
  size_t total = x_.bytes() + y_.bytes() + q_.bytes() + cosine_.bytes() + sine_.bytes() + normed_.bytes() +
                 attended_.bytes() + gated_.bytes();
  for (const Scratch& s : scratch_) total += s.row.bytes() + s.a.bytes() + s.b.bytes() + s.norm.bytes();
  return Bytes(static_cast<int64_t>(total));
}

Bytes Pass::bytes_for(const Architecture& a, bool quantized, bool floats, int tokens, int output_rows, int threads) {
  const auto operand = [&](int rows, int columns) {
    return static_cast<size_t>(rows) *
           ((quantized ? static_cast<size_t>(Operand::stride_of(columns)) * sizeof(kernel::lm::ActivationBlock) : 0) +
            (floats ? static_cast<size_t>(columns) * sizeof(float) : 0));
  };
  const size_t pairs = a.rope.frequencies.size(), width = static_cast<size_t>(std::max(kBlock, a.head_size));
  const size_t numbers = elements(tokens + output_rows, a.embedding) + elements(tokens, a.q_width()) +
                         static_cast<size_t>(tokens) * 2 * pairs;
  const size_t member =
      (static_cast<size_t>(a.embedding) + 2 * kTokensAtOnce * width) * sizeof(float) + operand(kOwnNorm, a.embedding);
  return Bytes(static_cast<int64_t>(numbers * sizeof(float) + operand(tokens, a.embedding) +
                                    operand(tokens, a.q_width()) + operand(tokens, a.feed_forward) +
                                    static_cast<size_t>(threads) * member));
}

bool Pass::run(std::span<const PassSlice> slices, int members, const std::atomic<bool>& cancelled, float* logits) {
  prepare(slices);
  stop_.store(false, std::memory_order_relaxed);
  team_.run(members, [&](Member& member) { work(member, cancelled, logits); });
  return !stop_.load(std::memory_order_relaxed);
}

void Pass::prepare(std::span<const PassSlice> slices) {
  slices_ = slices;
  token_.clear();
  position_.clear();
  page_.clear();
  output_token_.clear();
  items_.clear();
  last_items_.clear();
  for (size_t s = 0; s < slices.size(); ++s) {
    const PassSlice& slice = slices[s];
    const int count = static_cast<int>(slice.tokens.size()), first = static_cast<int>(token_.size());
    add_items(items_, static_cast<int>(s), 0, count, first, first);
    const int skipped = count - slice.outputs;
    if (slice.outputs > 0) {
      add_items(last_items_, static_cast<int>(s), skipped, slice.outputs, first + skipped,
                static_cast<int>(output_token_.size()));
    }
    for (int i = 0; i < count; ++i) {
      const int position = slice.position + i;
      token_.push_back(slice.tokens[static_cast<size_t>(i)]);
      position_.push_back(position);
      page_.push_back(const_cast<uint8_t*>(slice.pages[position / kPageTokens]));
      if (i >= skipped) output_token_.push_back(first + i);
    }
  }
  tokens_ = static_cast<int>(token_.size());
  outputs_ = static_cast<int>(output_token_.size());
}

void Pass::add_items(std::vector<AttentionItem>& items, int slice, int first, int count, int token, int row) {
  const int most = kMaxQueries / a_.group();
  for (int i = 0; i < count; i += most) {
    items.push_back({slice, first + i, std::min(most, count - i), token + i, row + i});
  }
}

void Pass::work(Member& member, const std::atomic<bool>& cancelled, float* logits) {
  embed(member);
  const int layers = weights_.layers();
  for (int i = 0; i < layers; ++i) {
    const LayerWeights& w = weights_.layer(i);
    const bool last = i + 1 == layers;
    heads(member, i, norm(member, x_.data(), tokens_, w.attention_norm));
    attend(member, i, last ? last_items_ : items_, last);
    const int rows = last ? outputs_ : tokens_;
    float* x = last ? y_.data() : x_.data();
    spread_product(member, w.output, {.shared = &attended_}, rows, x, a_.embedding, true);
    feed_forward(member, w, norm(member, x, rows, w.feed_forward_norm), rows);
    spread_product(member, w.down, {.shared = &gated_}, rows, x, a_.embedding, true);
    if (cancelled.load(std::memory_order_relaxed)) stop_.store(true, std::memory_order_relaxed);
    if (stop_.load(std::memory_order_relaxed)) return;
  }
  if (outputs_ == 0) return;
  spread_product(member, weights_.output(), norm(member, y_.data(), outputs_, weights_.output_norm()), outputs_, logits,
                 a_.vocabulary, false);
}

void Pass::embed(Member& member) {
  const int pairs = static_cast<int>(a_.rope.frequencies.size());
  member.phase(tokens_, [&](int t) {
    weights_.embed(token_[static_cast<size_t>(t)],
                   {x_.data() + elements(t, a_.embedding), static_cast<size_t>(a_.embedding)});
    float* cosine = cosine_.data() + elements(t, pairs);
    float* sine = sine_.data() + elements(t, pairs);
    for (int i = 0; i < pairs; ++i) {
      const double angle = position_[static_cast<size_t>(t)] * a_.rope.frequencies[static_cast<size_t>(i)];
      cosine[i] = static_cast<float>(std::cos(angle) * a_.rope.magnitude);
      sine[i] = static_cast<float>(std::sin(angle) * a_.rope.magnitude);
    }
  });
}

void Pass::norm_row(Scratch& scratch, const float* x, const std::vector<float>& weight, const Operand& out, int row) {
  k_.rms_norm(x + elements(row, a_.embedding), weight.data(), a_.embedding, a_.norm_epsilon, scratch.row.data());
  out.put(k_, row, 0, scratch.row.data(), a_.embedding);
}

Pass::Normed Pass::norm(Member& member, const float* x, int rows, const std::vector<float>& weight) {
  if (rows <= kOwnNorm) return {nullptr, x, rows, &weight, false};
  Scratch& scratch = scratch_[static_cast<size_t>(member.index())];
  member.phase(rows, [&](int row) { norm_row(scratch, x, weight, normed_, row); });
  return {.shared = &normed_};
}

// Only from within a chunk: until then a late member must not look at x.
const Operand& Pass::operand(const Member& member, Normed& normed) {
  if (normed.shared != nullptr) return *normed.shared;
  Scratch& scratch = scratch_[static_cast<size_t>(member.index())];
  for (int row = 0; row < normed.rows && !normed.done; ++row) {
    norm_row(scratch, normed.x, *normed.weight, scratch.norm, row);
  }
  normed.done = true;
  return scratch.norm;
}

void Pass::heads(Member& member, int layer, Normed in) {
  const LayerWeights& w = weights_.layer(layer);
  Scratch& scratch = scratch_[static_cast<size_t>(member.index())];
  // Of many tokens a part at a time: there may be few heads, and all members wait for the last one.
  const int all = a_.heads + 2 * a_.kv_heads, parts = (tokens_ + kTokensOfAHead - 1) / kTokensOfAHead;
  member.phase(all * parts, [&](int chunk) {
    const int head = chunk / parts, begin = chunk % parts * kTokensOfAHead;
    const int end = std::min(tokens_, begin + kTokensOfAHead);
    const Operand& rows = operand(member, in);
    if (head < a_.heads) return query(w, head, rows, begin, end);
    const int kv = head - a_.heads;
    key_or_value(scratch, w, layer, kv % a_.kv_heads, kv < a_.kv_heads, rows, begin, end);
  });
}

void Pass::query(const LayerWeights& w, int head, const Operand& in, int begin, int end) {
  const int pairs = static_cast<int>(a_.rope.frequencies.size());
  const int first = head * a_.head_size, tiles = a_.head_size / kTileRows;
  product(w.q, in, begin, end - begin, head * tiles, (head + 1) * tiles, q_.data() + elements(begin, a_.q_width()),
          a_.q_width(), false);
  for (int t = begin; t < end; ++t) {
    float* q = q_.data() + elements(t, a_.q_width()) + first;
    add(q, w.q_bias, first, a_.head_size);
    if (!w.q_norm.empty()) k_.rms_norm(q, w.q_norm.data(), a_.head_size, a_.norm_epsilon, q);
    k_.rope(q, 1, a_.head_size, pairs, a_.rope.halves, cosine_.data() + elements(t, pairs),
            sine_.data() + elements(t, pairs));
  }
}

void Pass::key_or_value(Scratch& scratch, const LayerWeights& w, int layer, int head, bool key, const Operand& in,
                        int first_token, int last_token) {
  const int size = a_.head_size, pairs = static_cast<int>(a_.rope.frequencies.size());
  const Matrix rows = rows_of(key ? w.k : w.v, head * size, size);
  const int64_t place = key ? layout_.keys_at(layer, head) : layout_.values_at(layer, head);
  for (int begin = first_token; begin < last_token; begin += kTokensAtOnce) {
    const int count = std::min(kTokensAtOnce, last_token - begin);
    product(rows, in, begin, count, 0, rows.tiles(), scratch.a.data(), size, false);
    for (int i = 0; i < count; ++i) {
      const int t = begin + i;
      float* x = scratch.a.data() + elements(i, size);
      add(x, key ? w.k_bias : w.v_bias, head * size, size);
      const kernel::lm::KvStoreArguments store{layout_.type, size, position_[static_cast<size_t>(t)] % kPageTokens, x,
                                               page_[static_cast<size_t>(t)] + place};
      if (!key) {
        k_.store_value(store);
        continue;
      }
      if (!w.k_norm.empty()) k_.rms_norm(x, w.k_norm.data(), size, a_.norm_epsilon, x);
      k_.rope(x, 1, size, pairs, a_.rope.halves, cosine_.data() + elements(t, pairs),
              sine_.data() + elements(t, pairs));
      k_.store_key(store);
    }
  }
}

void Pass::attend(Member& member, int layer, std::span<const AttentionItem> items, bool last) {
  const int work = static_cast<int>(items.size()) * a_.kv_heads;
  const int copies = last ? outputs_ : 0;
  member.phase(work + copies, [&](int chunk) {
    if (chunk < work) return attend(layer, chunk % a_.kv_heads, items[static_cast<size_t>(chunk / a_.kv_heads)]);
    const int row = chunk - work;
    std::memcpy(y_.data() + elements(row, a_.embedding),
                x_.data() + elements(output_token_[static_cast<size_t>(row)], a_.embedding),
                static_cast<size_t>(a_.embedding) * sizeof(float));
  });
}

void Pass::attend(int layer, int kv_head, const AttentionItem& item) {
  const PassSlice& slice = slices_[static_cast<size_t>(item.slice)];
  const int group = a_.group(), width = group * a_.head_size;
  const float* q[kMaxQueries];
  float* out[kMaxQueries];
  int visible[kMaxQueries];
  int n = 0;
  for (int i = 0; i < item.count; ++i) {
    float* first = q_.data() + elements(item.token + i, a_.q_width()) + elements(kv_head, width);
    for (int h = 0; h < group; ++h, ++n) {
      q[n] = out[n] = first + elements(h, a_.head_size);
      visible[n] = slice.position + item.first + i + 1;
    }
  }
  kernel::lm::AttentionArguments args;
  args.type = layout_.type;
  args.head_size = a_.head_size;
  args.queries = n;
  args.q = q;
  args.out = out;
  args.visible = visible;
  args.pages = slice.pages;
  args.keys_at = layout_.keys_at(layer, kv_head);
  args.values_at = layout_.values_at(layer, kv_head);
  args.scale = 1.0F / std::sqrt(static_cast<float>(a_.head_size));
  k_.attention(args);
  for (int i = 0; i < item.count; ++i) attended_.put(k_, item.row + i, kv_head * width, out[i * group], width);
}

void Pass::feed_forward(Member& member, const LayerWeights& w, Normed normed, int rows) {
  Scratch& scratch = scratch_[static_cast<size_t>(member.index())];
  member.phase(rows > 0 ? a_.feed_forward / kBlock : 0, [&](int block) {
    const Operand& in = operand(member, normed);
    const Matrix gate = rows_of(w.gate, block * kBlock, kBlock), up = rows_of(w.up, block * kBlock, kBlock);
    for (int begin = 0; begin < rows; begin += kTokensAtOnce) {
      const int count = std::min(kTokensAtOnce, rows - begin);
      product(gate, in, begin, count, 0, gate.tiles(), scratch.a.data(), kBlock, false);
      product(up, in, begin, count, 0, up.tiles(), scratch.b.data(), kBlock, false);
      k_.swiglu(scratch.a.data(), scratch.b.data(), count * kBlock);
      for (int i = 0; i < count; ++i) {
        gated_.put(k_, begin + i, block * kBlock, scratch.a.data() + elements(i, kBlock), kBlock);
      }
    }
  });
}

void Pass::spread_product(Member& member, const Matrix& w, Normed in, int rows, float* out, int64_t stride,
                          bool accumulate) {
  // Some eight chunks for each member: enough to level differences in speed, few enough not to be felt.
  const int tiles = w.tiles(), step = std::clamp(tiles / (8 * member.size()), 1, 16);
  member.phase(rows > 0 ? (tiles + step - 1) / step : 0, [&](int chunk) {
    product(w, operand(member, in), 0, rows, chunk * step, std::min(tiles, (chunk + 1) * step), out, stride,
            accumulate);
  });
}

void Pass::product(const Matrix& w, const Operand& in, int row, int count, int first_tile, int last_tile, float* out,
                   int64_t stride, bool accumulate) const {
  kernel::lm::GemmArguments g;
  g.weights = w;
  g.quantized = in.blocks(row);
  g.quantized_stride = in.stride();
  g.floats = in.floats(row);
  g.tokens = count;
  g.first_tile = first_tile;
  g.last_tile = last_tile;
  g.out = out;
  g.out_stride = stride;
  g.accumulate = accumulate;
  k_.gemm(g);
}

}  // namespace skep::engine::native
