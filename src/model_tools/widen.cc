#include "model_tools/widen.h"

#include <ggml.h>
#include <gguf.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <vector>

#include "model_tools/gguf_writer.h"

namespace skep::model_tools {
namespace {

struct Shape {
  int64_t embedding, feed_forward, layers, heads, kv_heads, head_width;
};

// Where the input's rows and columns go: query head h keeps its key-value head, whose group has grown.
class Layout {
 public:
  Layout(const Shape& from, const Shape& to) : from_(from), to_(to) {}

  // The input's row or column of queries that stands at `at`, or none.
  [[nodiscard]] std::optional<int64_t> query(int64_t at) const {
    const int64_t head = at / from_.head_width, old_group = from_.heads / from_.kv_heads,
                  group = to_.heads / to_.kv_heads;
    const int64_t kv = head / group, member = head % group;
    if (kv >= from_.kv_heads || member >= old_group) return std::nullopt;
    return (kv * old_group + member) * from_.head_width + at % from_.head_width;
  }

 private:
  Shape from_, to_;
};

using Place = std::function<std::optional<int64_t>(int64_t)>;

Place up_to(int64_t count) {
  return [count](int64_t at) { return at < count ? std::optional(at) : std::nullopt; };
}

struct Widening {
  const GgufInput& input;
  Shape from, to;
  ggml_type type;

  [[nodiscard]] OutputTensor matrix(const std::string& name, const model::GgufTensor* source, ggml_type stored,
                                    int64_t columns, int64_t rows, const Place& column, const Place& row) const {
    OutputTensor out{name, static_cast<uint32_t>(stored), {columns, rows}, {}};
    out.rows = [this, source, stored, columns, column, row](int64_t first, int64_t count, char* bytes) -> Status {
      std::vector<float> old(source != nullptr ? static_cast<size_t>(source->extent[0]) : 0);
      std::vector<float> values(static_cast<size_t>(columns));
      const size_t size = ggml_row_size(stored, columns);
      for (int64_t r = 0; r < count; ++r) {
        std::fill(values.begin(), values.end(), 0.0F);
        const auto from_row = source != nullptr ? row(first + r) : std::nullopt;
        if (from_row) {
          SKEP_CHECK(input.read_rows(*source, *from_row, 1, old.data()));
          for (int64_t c = 0; c < columns; ++c) {
            if (const auto at = column(c)) values[static_cast<size_t>(c)] = old[static_cast<size_t>(*at)];
          }
        }
        ggml_quantize_chunk(stored, values.data(), bytes + static_cast<size_t>(r) * size, 0, 1, columns, nullptr);
      }
      return {};
    };
    return out;
  }

  [[nodiscard]] OutputTensor norm(const std::string& name, const model::GgufTensor* source) const {
    OutputTensor out{name, GGML_TYPE_F32, {to.embedding}, {}};
    out.rows = [this, source](int64_t, int64_t, char* bytes) -> Status {
      std::vector<float> gain(static_cast<size_t>(to.embedding));
      if (source != nullptr) SKEP_CHECK(input.read_rows(*source, 0, 1, gain.data()));
      const double thinned = std::sqrt(static_cast<double>(from.embedding) / static_cast<double>(to.embedding));
      for (float& g : gain) g = static_cast<float>(g * thinned);
      std::copy_n(reinterpret_cast<const char*>(gain.data()), gain.size() * sizeof(float), bytes);
      return {};
    };
    return out;
  }

  void add_layer(int64_t layer, std::vector<OutputTensor>& out) const {
    const auto named = [&](const char* what) { return fmt::format("blk.{}.{}.weight", layer, what); };
    const auto source = [&](const char* what) { return layer < from.layers ? input.find(named(what)) : nullptr; };
    const auto add = [&](const char* what, int64_t columns, int64_t rows, const Place& column, const Place& row) {
      out.push_back(matrix(named(what), source(what), type, columns, rows, column, row));
    };
    const Place residual = up_to(from.embedding), inner = up_to(from.feed_forward),
                kv = up_to(from.kv_heads * from.head_width);
    const Place query = [at = Layout(from, to)](int64_t i) { return at.query(i); };
    const int64_t q = to.heads * to.head_width, k = to.kv_heads * to.head_width;
    out.push_back(norm(named("attn_norm"), source("attn_norm")));
    add("attn_q", to.embedding, q, residual, query);
    add("attn_k", to.embedding, k, residual, kv);
    add("attn_v", to.embedding, k, residual, kv);
    add("attn_output", q, to.embedding, query, residual);
    out.push_back(norm(named("ffn_norm"), source("ffn_norm")));
    add("ffn_gate", to.embedding, to.feed_forward, residual, inner);
    add("ffn_up", to.embedding, to.feed_forward, residual, inner);
    add("ffn_down", to.feed_forward, to.embedding, inner, residual);
  }
};

Status check(const Shape& from, const Shape& to) {
  const bool fits = to.embedding >= from.embedding && to.feed_forward >= from.feed_forward &&
                    to.layers >= from.layers && to.kv_heads >= from.kv_heads && to.kv_heads > 0 &&
                    to.heads % to.kv_heads == 0 && to.heads / to.kv_heads >= from.heads / from.kv_heads &&
                    to.embedding % 32 == 0 && to.feed_forward % 32 == 0;
  if (fits) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("{} wide, {} inside, {} layers, {} heads over {} do not fit into {}, {}, {}, {} over {}",
                          from.embedding, from.feed_forward, from.layers, from.heads, from.kv_heads, to.embedding,
                          to.feed_forward, to.layers, to.heads, to.kv_heads),
              "each number at least the input's, widths in multiples of 32, as many query heads per key-value head");
}

void describe(gguf_context* of, const Shape& from, const Shape& to) {
  const auto number = [&](const char* key, int64_t value) {
    gguf_set_val_u32(of, (std::string("llama.") + key).c_str(), static_cast<uint32_t>(value));
  };
  number("embedding_length", to.embedding);
  number("feed_forward_length", to.feed_forward);
  number("block_count", to.layers);
  number("attention.head_count", to.heads);
  number("attention.head_count_kv", to.kv_heads);
  number("attention.key_length", to.head_width);
  number("attention.value_length", to.head_width);
  number("rope.dimension_count", to.head_width);
  constexpr const char* kEpsilon = "llama.attention.layer_norm_rms_epsilon";
  const double epsilon = gguf_get_val_f32(of, gguf_find_key(of, kEpsilon));
  gguf_set_val_f32(
      of, kEpsilon,
      static_cast<float>(epsilon * static_cast<double>(from.embedding) / static_cast<double>(to.embedding)));
}

}  // namespace

Status widen(const WidenOptions& options, const ProgressFn& progress) {
  SKEP_TRY(const auto input, GgufInput::open(options.input));
  if (input->architecture() != "llama" || input->find("blk.0.ffn_gate.weight") == nullptr) {
    return fail(ErrorCode::unsupported, options.input + " is no dense model of the architecture llama");
  }
  const auto number = [&](const char* key) { return input->number(key); };
  Shape from{number("embedding_length"),     number("feed_forward_length"),     number("block_count"),
             number("attention.head_count"), number("attention.head_count_kv"), 0};
  if (from.kv_heads == 0) from.kv_heads = from.heads;
  if (from.heads == 0 || from.embedding == 0) return fail(ErrorCode::corrupt, options.input + ": no heads, no width");
  from.head_width = input->find("blk.0.attn_q.weight")->extent[1] / from.heads;
  const Shape to{options.embedding, options.feed_forward, options.layers,
                 options.heads,     options.kv_heads,     from.head_width};
  SKEP_CHECK(check(from, to));
  const ggml_type type = options.type == "F16"    ? GGML_TYPE_F16
                         : options.type == "Q8_0" ? GGML_TYPE_Q8_0
                         : options.type == "Q4_0" ? GGML_TYPE_Q4_0
                                                  : GGML_TYPE_COUNT;
  if (type == GGML_TYPE_COUNT) return fail(ErrorCode::invalid_argument, "no such type here: " + options.type);

  SKEP_TRY(const Metadata metadata, metadata_of(*input));
  describe(metadata.get(), from, to);
  const Widening widening{*input, from, to, type};
  std::vector<OutputTensor> tensors;
  const Place residual = up_to(from.embedding);
  for (const char* name : {"token_embd.weight", "output.weight"}) {
    const model::GgufTensor* table = input->find(name);
    if (table == nullptr) continue;  // tied
    tensors.push_back(widening.matrix(name, table, GGML_TYPE_Q8_0, to.embedding, table->extent[1], residual,
                                      up_to(table->extent[1])));
  }
  tensors.push_back(widening.norm("output_norm.weight", input->find("output_norm.weight")));
  for (int64_t layer = 0; layer < to.layers; ++layer) widening.add_layer(layer, tensors);
  return write_gguf(options.output, metadata.get(), tensors, options.overwrite, "widening", progress);
}

}  // namespace skep::model_tools
