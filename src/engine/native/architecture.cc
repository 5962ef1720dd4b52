#include "engine/native/architecture.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "kernel/lm/kernels.h"
#include "kernel/lm/pack.h"

namespace skep::engine::native {
namespace {

using kernel::lm::Format;

constexpr int64_t kMostLayers = 1024, kMostWidth = 1 << 20, kMostVocabulary = 1 << 22, kMostContext = 1 << 26;

tl::unexpected<Error> unsupported(std::string why) { return fail(ErrorCode::unsupported, std::move(why)); }
tl::unexpected<Error> corrupt(std::string why) { return fail(ErrorCode::corrupt, std::move(why)); }

// Reads keys and tensors, and remembers which tensors it was asked for.
class Reader {
 public:
  Reader(const ModelHeader& header, std::string architecture)
      : header_(header), prefix_(std::move(architecture) + ".") {}

  [[nodiscard]] double number(const std::string& key, double otherwise) const {
    const auto found = header_.numbers.find(prefix_ + key);
    return found == header_.numbers.end() ? otherwise : found->second;
  }
  [[nodiscard]] std::string text(const std::string& key) const {
    const auto found = header_.texts.find(prefix_ + key);
    return found == header_.texts.end() ? std::string() : found->second;
  }
  [[nodiscard]] bool is_array(const std::string& key) const { return header_.arrays.contains(prefix_ + key); }
  // 0 when absent and allowed to be.
  [[nodiscard]] Result<int> count(const std::string& key, int64_t most, double otherwise = 0) const {
    if (is_array(key)) return unsupported(fmt::format("{}{} differs from layer to layer", prefix_, key));
    const double n = number(key, otherwise);
    if (!(n >= 0) || n > static_cast<double>(most) || n != std::floor(n)) {
      return corrupt(fmt::format("{}{} is {}", prefix_, key, n));
    }
    return static_cast<int>(n);
  }

  Result<MatrixInfo> matrix(const std::string& name, int rows, int columns) {
    SKEP_TRY(const TensorInfo* t, take(name));
    const auto format = kernel::lm::format_of_gguf(t->type);
    if (!format) return unsupported(fmt::format("tensor {} has type {}, for which there is no kernel", name, t->type));
    if (t->extent[0] != columns || t->extent[1] != rows || t->extent[2] != 1 || t->extent[3] != 1) {
      return corrupt(fmt::format("tensor {} is {} × {}, not {} × {}", name, t->extent[1], t->extent[0], rows, columns));
    }
    if (columns % kernel::lm::column_multiple(*format) != 0) {
      return corrupt(fmt::format("tensor {}: {} columns in {}", name, columns, kernel::lm::to_string(*format)));
    }
    const int64_t bytes = kernel::lm::gguf_row_bytes(*format, columns) * rows;
    SKEP_CHECK(inside(*t, bytes));
    return MatrixInfo{name, *format, rows, columns, t->offset};
  }
  Result<VectorInfo> vector(const std::string& name, int size) {
    SKEP_TRY(const TensorInfo* t, take(name));
    if (t->type != 0) return unsupported(fmt::format("tensor {} is not F32", name));
    if (t->extent != std::array<int64_t, 4>{size, 1, 1, 1}) {
      return corrupt(fmt::format("tensor {} has {} elements, not {}", name, t->extent[0], size));
    }
    SKEP_CHECK(inside(*t, int64_t{4} * size));
    return VectorInfo{name, size, t->offset};
  }
  Result<VectorInfo> vector_if_there(const std::string& name, int size) {
    if (header_.tensor(name) == nullptr) return VectorInfo{};
    return vector(name, size);
  }

  // A tensor that nobody asked for does something that we would leave out.
  [[nodiscard]] Status all_taken() const {
    for (const TensorInfo& t : header_.tensors) {
      if (!taken_.contains(t.name))
        return unsupported(fmt::format("tensor {} is of a kind that we don't evaluate", t.name));
    }
    return {};
  }

 private:
  Result<const TensorInfo*> take(const std::string& name) {
    const TensorInfo* t = header_.tensor(name);
    if (t == nullptr) return corrupt(fmt::format("tensor {} is missing", name));
    taken_.insert(name);
    return t;
  }
  [[nodiscard]] Status inside(const TensorInfo& t, int64_t bytes) const {
    if (t.offset < 0 || t.offset > header_.file_size || bytes > header_.file_size - t.offset) {
      return corrupt(fmt::format("tensor {} reaches past the end of the file", t.name));
    }
    return {};
  }

  const ModelHeader& header_;
  std::string prefix_;
  std::set<std::string, std::less<>> taken_;
};

// The keys of a scaling that we have no use for: a model that sets one is libllama's.
constexpr const char* kRareScaling[] = {"rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor",
                                        "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow",
                                        "rope.scaling.yarn_log_multiplier"};

Result<RopeScaling> read_scaling(const Reader& reader, const Architecture& a) {
  using enum RopeScaling::Kind;
  const std::string name = reader.text("rope.scaling.type");
  RopeScaling scaling;
  scaling.factor = reader.number("rope.scaling.factor", reader.number("rope.scale_linear", 0));
  if (scaling.factor == 0) scaling.factor = 1;  // as if it were not there
  if (name == "" || name == "linear") {
    scaling.kind = linear;
  } else if (name == "yarn") {
    scaling.kind = yarn;
  } else if (name == "longrope" && a.name == "llama") {
    scaling.kind = longrope;
  } else if (name != "none") {
    return unsupported(fmt::format("rotary positions with {} scaling", name));
  }
  scaling.magnitude = reader.number("rope.scaling.attn_factor", 1);
  for (const double n : {scaling.factor, scaling.magnitude}) {
    if (!(n > 0) || !std::isfinite(n)) return corrupt(fmt::format("a rope scaling factor is {}", n));
  }
  SKEP_TRY(scaling.original_context, reader.count("rope.scaling.original_context_length", kMostContext, a.context));
  for (const char* key : kRareScaling) {
    if (reader.number(key, 0) != 0) return unsupported(fmt::format("rotary positions with {}", key));
  }
  if (scaling.kind == yarn && scaling.original_context == 0) return corrupt("YaRN without an original context length");
  return scaling;
}

Status read_rope(Reader& reader, Architecture& a) {
  SKEP_TRY(const int dimensions, reader.count("rope.dimension_count", a.head_size, a.head_size));
  if (dimensions % 2 != 0 || dimensions == 0) return corrupt(fmt::format("rope.dimension_count is {}", dimensions));
  const double base = reader.number("rope.freq_base", 10'000);
  if (!(base > 1) || !std::isfinite(base)) return corrupt(fmt::format("rope.freq_base is {}", base));
  SKEP_TRY(const RopeScaling scaling, read_scaling(reader, a));
  a.rope = make_rope(dimensions, base, a.name != "llama", scaling);
  if (a.name != "llama") return {};  // no factors: such a tensor is one that nobody asked for
  if (scaling.kind == RopeScaling::Kind::longrope) {
    a.original_context = scaling.original_context;
    SKEP_TRY(a.short_factors, reader.vector_if_there("rope_factors_short.weight", dimensions / 2));
    SKEP_TRY(a.long_factors, reader.vector_if_there("rope_factors_long.weight", dimensions / 2));
  } else {
    SKEP_TRY(a.rope_factors, reader.vector_if_there("rope_freqs.weight", dimensions / 2));
  }
  return {};
}

Result<LayerInfo> read_layer(Reader& reader, const Architecture& a, int layer) {
  const auto name = [&](const char* part) { return fmt::format("blk.{}.{}", layer, part); };
  LayerInfo l;
  SKEP_TRY(l.attention_norm, reader.vector(name("attn_norm.weight"), a.embedding));
  SKEP_TRY(l.feed_forward_norm, reader.vector(name("ffn_norm.weight"), a.embedding));
  SKEP_TRY(l.q, reader.matrix(name("attn_q.weight"), a.q_width(), a.embedding));
  SKEP_TRY(l.k, reader.matrix(name("attn_k.weight"), a.kv_width(), a.embedding));
  SKEP_TRY(l.v, reader.matrix(name("attn_v.weight"), a.kv_width(), a.embedding));
  SKEP_TRY(l.output, reader.matrix(name("attn_output.weight"), a.embedding, a.q_width()));
  SKEP_TRY(l.gate, reader.matrix(name("ffn_gate.weight"), a.feed_forward, a.embedding));
  SKEP_TRY(l.up, reader.matrix(name("ffn_up.weight"), a.feed_forward, a.embedding));
  SKEP_TRY(l.down, reader.matrix(name("ffn_down.weight"), a.embedding, a.feed_forward));
  SKEP_TRY(l.q_bias, reader.vector_if_there(name("attn_q.bias"), a.q_width()));
  SKEP_TRY(l.k_bias, reader.vector_if_there(name("attn_k.bias"), a.kv_width()));
  SKEP_TRY(l.v_bias, reader.vector_if_there(name("attn_v.bias"), a.kv_width()));
  if (a.name == "qwen3") {
    SKEP_TRY(l.q_norm, reader.vector(name("attn_q_norm.weight"), a.head_size));
    SKEP_TRY(l.k_norm, reader.vector(name("attn_k_norm.weight"), a.head_size));
  }
  return l;
}

Status check_dimensions(const Architecture& a) {
  using kernel::lm::kBlock;
  if (a.embedding == 0 || a.heads == 0 || a.kv_heads == 0 || a.feed_forward == 0 || a.vocabulary == 0) {
    return corrupt("a dimension of the model is missing");
  }
  if (a.heads % a.kv_heads != 0) return corrupt("the number of heads is no multiple of that of key/value heads");
  if (a.head_size % 16 != 0 || a.head_size == 0 || a.head_size > kernel::lm::kMaxHeadSize) {
    return unsupported(fmt::format("heads of {} elements", a.head_size));
  }
  if (a.group() > kernel::lm::kMaxQueries) return unsupported(fmt::format("{} heads on one key/value head", a.group()));
  if (a.embedding % kBlock != 0 || a.feed_forward % kBlock != 0 || a.group() * a.head_size % kBlock != 0) {
    return unsupported("a width that is no multiple of 32");
  }
  if (!(a.norm_epsilon > 0)) return corrupt("the norm's epsilon is missing");
  return {};
}

}  // namespace

Result<Architecture> describe(const ModelHeader& header) {
  const auto architecture = header.texts.find("general.architecture");
  if (architecture == header.texts.end()) return corrupt("general.architecture is missing");
  Architecture a;
  a.name = architecture->second;
  if (a.name != "llama" && a.name != "qwen2" && a.name != "qwen3") return unsupported("architecture " + a.name);
  Reader reader(header, a.name);
  if (reader.number("expert_count", 0) > 0) return unsupported("a mixture of experts");
  SKEP_TRY(const int layers, reader.count("block_count", kMostLayers));
  SKEP_TRY(a.embedding, reader.count("embedding_length", kMostWidth));
  SKEP_TRY(a.feed_forward, reader.count("feed_forward_length", kMostWidth));
  SKEP_TRY(a.heads, reader.count("attention.head_count", kMostWidth));
  SKEP_TRY(a.kv_heads, reader.count("attention.head_count_kv", kMostWidth, a.heads));
  SKEP_TRY(a.context, reader.count("context_length", kMostContext));
  const double per_head = a.heads > 0 ? a.embedding / a.heads : 0;
  SKEP_TRY(a.head_size, reader.count("attention.key_length", kMostWidth, per_head));
  SKEP_TRY(const int value_size, reader.count("attention.value_length", kMostWidth, per_head));
  if (value_size != a.head_size) return unsupported("keys and values of different widths");
  if (reader.number("attention.sliding_window", 0) > 0) return unsupported("sliding-window attention");
  a.norm_epsilon = static_cast<float>(reader.number("attention.layer_norm_rms_epsilon", 0));
  const TensorInfo* embeddings = header.tensor("token_embd.weight");
  if (embeddings == nullptr || embeddings->extent[1] > kMostVocabulary) return corrupt("no usable token_embd.weight");
  a.vocabulary = static_cast<int>(embeddings->extent[1]);
  SKEP_CHECK(check_dimensions(a));
  if (layers == 0) return corrupt("a model without layers");
  SKEP_CHECK(read_rope(reader, a));
  SKEP_TRY(a.embeddings, reader.matrix("token_embd.weight", a.vocabulary, a.embedding));
  SKEP_TRY(a.output_norm, reader.vector("output_norm.weight", a.embedding));
  a.tied = header.tensor("output.weight") == nullptr;
  SKEP_TRY(a.output, reader.matrix(a.tied ? "token_embd.weight" : "output.weight", a.vocabulary, a.embedding));
  for (int i = 0; i < layers; ++i) {
    SKEP_TRY(LayerInfo layer, read_layer(reader, a, i));
    a.layers.push_back(std::move(layer));
  }
  SKEP_CHECK(reader.all_taken());
  return a;
}

const VectorInfo& rope_factors(const Architecture& a, int context_tokens) {
  if (a.rope_factors) return a.rope_factors;
  return context_tokens > a.original_context ? a.long_factors : a.short_factors;
}

}  // namespace skep::engine::native
