#include "engine/synth/synth.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/temporary_file.h"
#include "engine/synth/tensors.h"
#include "engine/synth/vocabulary.h"
#include "gguf.h"

namespace skep::synth {
namespace {

constexpr int64_t kSlabValues = 1 << 20;  // drawn and quantized at once: 4 MiB of floats per thread
constexpr int kMostThreads = 64;

struct GgufDelete {
  void operator()(gguf_context* c) const { gguf_free(c); }
  void operator()(ggml_context* c) const { ggml_free(c); }
};
using GgufPtr = std::unique_ptr<gguf_context, GgufDelete>;
using GgmlPtr = std::unique_ptr<ggml_context, GgufDelete>;

void set_strings(gguf_context* gguf, const char* key, const std::vector<std::string>& values) {
  std::vector<const char*> pointers;
  pointers.reserve(values.size());
  for (const auto& value : values) pointers.push_back(value.c_str());
  gguf_set_arr_str(gguf, key, pointers.data(), pointers.size());
}

void set_tokenizer(gguf_context* gguf, const Shape& shape) {
  const Vocabulary vocabulary = make_vocabulary(shape.vocabulary);
  const bool encoder = shape.architecture == Architecture::bert;
  gguf_set_val_str(gguf, "tokenizer.ggml.model", "gpt2");
  gguf_set_val_str(gguf, "tokenizer.ggml.pre", "smollm");
  set_strings(gguf, "tokenizer.ggml.tokens", vocabulary.tokens);
  gguf_set_arr_data(gguf, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, vocabulary.types.data(),
                    vocabulary.types.size());
  set_strings(gguf, "tokenizer.ggml.merges", vocabulary.merges);
  gguf_set_val_u32(gguf, "tokenizer.ggml.bos_token_id", Vocabulary::kBegin);
  gguf_set_val_u32(gguf, "tokenizer.ggml.eos_token_id", encoder ? Vocabulary::kEndOfText : Vocabulary::kTurnEnd);
  gguf_set_val_u32(gguf, "tokenizer.ggml.eot_token_id", Vocabulary::kTurnEnd);
  gguf_set_val_u32(gguf, "tokenizer.ggml.padding_token_id", Vocabulary::kEndOfText);
  gguf_set_val_bool(gguf, "tokenizer.ggml.add_bos_token", shape.adds_bos);
  gguf_set_val_bool(gguf, "tokenizer.ggml.add_eos_token", encoder);
  if (encoder) {
    gguf_set_val_u32(gguf, "tokenizer.ggml.token_type_count", 2);
    gguf_set_val_u32(gguf, "tokenizer.ggml.seperator_token_id", Vocabulary::kEndOfText);  // spelt so in the format
  } else {
    gguf_set_val_str(gguf, "tokenizer.chat_template", std::string(chat_template()).c_str());
  }
}

void set_metadata(gguf_context* gguf, const SynthOptions& options) {
  const Shape& shape = options.shape;
  const std::string architecture = to_string(shape.architecture);
  const auto number = [&](const char* key, int value) {
    gguf_set_val_u32(gguf, (architecture + "." + key).c_str(), static_cast<uint32_t>(value));
  };
  const auto real = [&](const char* key, float value) {
    gguf_set_val_f32(gguf, (architecture + "." + key).c_str(), value);
  };

  const int64_t parameters = size_of(shape, options.type).parameters;
  gguf_set_val_str(gguf, "general.architecture", architecture.c_str());
  gguf_set_val_str(gguf, "general.type", "model");
  gguf_set_val_str(gguf, "general.name", options.name.empty() ? shape.name.c_str() : options.name.c_str());
  gguf_set_val_str(
      gguf, "general.description",
      fmt::format("Random weights in the shape {}, seed {}. Says nothing.", shape.name, options.seed).c_str());
  gguf_set_val_str(gguf, "general.size_label",
                   parameters >= 999'500'000
                       ? fmt::format("{:.1f}B", static_cast<double>(parameters) / 1e9).c_str()
                       : fmt::format("{:.0f}M", std::max(1.0, static_cast<double>(parameters) / 1e6)).c_str());
  gguf_set_val_u64(gguf, "general.parameter_count", static_cast<uint64_t>(parameters));
  gguf_set_val_u32(gguf, "general.quantization_version", GGML_QNT_VERSION);
  gguf_set_val_u32(gguf, "general.file_type", file_type(options.type));

  number("context_length", shape.context);
  number("embedding_length", shape.embedding);
  number("block_count", shape.layers);
  number("feed_forward_length", shape.feed_forward);
  number("attention.head_count", shape.heads);
  if (shape.architecture == Architecture::bert) {
    real("attention.layer_norm_epsilon", shape.norm_epsilon);
    gguf_set_val_bool(gguf, "bert.attention.causal", false);
    number("pooling_type", 1);  // mean
  } else {
    number("attention.head_count_kv", shape.kv_heads);
    number("attention.key_length", shape.head_width());
    number("attention.value_length", shape.head_width());
    number("rope.dimension_count", shape.head_width());
    number("vocab_size", shape.vocabulary);
    real("rope.freq_base", shape.rope_base);
    real("attention.layer_norm_rms_epsilon", shape.norm_epsilon);
  }
  set_tokenizer(gguf, shape);
}

GgmlPtr add_tensors(gguf_context* gguf, const std::vector<Tensor>& tensors) {
  GgmlPtr context(
      ggml_init({.mem_size = ggml_tensor_overhead() * (tensors.size() + 1), .mem_buffer = nullptr, .no_alloc = true}));
  for (const Tensor& t : tensors) {
    ggml_tensor* tensor = t.vector ? ggml_new_tensor_1d(context.get(), t.type, t.columns)
                                   : ggml_new_tensor_2d(context.get(), t.type, t.columns, t.rows);
    ggml_set_name(tensor, t.name.c_str());
    gguf_add_tensor(gguf, tensor);
  }
  return context;
}

// A run of rows of one tensor: what a thread draws, quantizes and writes at once.
struct Slab {
  size_t tensor = 0;
  int64_t first = 0, rows = 0;
  int64_t offset = 0;  // in the file
};

std::vector<Slab> cut(const std::vector<Tensor>& tensors, const gguf_context* gguf, int64_t data_offset) {
  std::vector<Slab> slabs;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& t = tensors[i];
    const int64_t rows_at_once = std::max<int64_t>(1, kSlabValues / t.columns);
    const auto start = data_offset + static_cast<int64_t>(gguf_get_tensor_offset(gguf, static_cast<int64_t>(i)));
    const auto row_size = static_cast<int64_t>(ggml_row_size(t.type, t.columns));
    for (int64_t row = 0; row < t.rows; row += rows_at_once) {
      slabs.push_back({i, row, std::min(rows_at_once, t.rows - row), start + row * row_size});
    }
  }
  return slabs;
}

using Pools = std::map<std::pair<ggml_type, float>, BlockPool>;  // by type and deviation

Pools make_pools(const std::vector<Tensor>& tensors, uint64_t seed) {
  Pools pools;
  for (const Tensor& t : tensors) {
    if (BlockPool::suits(t) && !pools.contains({t.type, t.deviation})) {
      pools.emplace(std::pair(t.type, t.deviation), BlockPool(t, seed));
    }
  }
  return pools;
}

// Draws all slabs on `threads` threads, the caller's among them, which reports the progress.
class Drawing {
 public:
  Drawing(const std::vector<Tensor>& tensors, const std::vector<Slab>& slabs, const TemporaryFile& file, uint64_t seed)
      : tensors_(tensors), slabs_(slabs), file_(file), seed_(seed), pools_(make_pools(tensors, seed)) {}

  Status run(int threads, Bytes total, const ProgressFn& progress, const std::string& path) {
    {
      std::vector<std::jthread> others;
      for (int i = 1; i < threads; ++i) others.emplace_back([this] { work([] { return true; }); });
      work([&] { return !progress || progress({Bytes(written_.load()), total}); });
    }
    if (error_ != 0 && error_ != ECANCELED) return fail(file_.write_error(error_));
    // The last word is the caller's, who may have had no slab of its own.
    if (error_ == ECANCELED || (progress && !progress({Bytes(written_.load()), total}))) {
      return fail(ErrorCode::cancelled, path + ": stopped, nothing was written");
    }
    return {};
  }

 private:
  template <typename Proceed>
  void work(Proceed proceed) {
    std::vector<float> values;
    std::vector<char> stored;
    while (error_ == 0) {
      const size_t next = next_.fetch_add(1);
      if (next >= slabs_.size()) return;
      const Slab& slab = slabs_[next];
      const Tensor& t = tensors_[slab.tensor];
      const size_t size = ggml_row_size(t.type, t.columns) * static_cast<size_t>(slab.rows);
      stored.resize(std::max(stored.size(), size));
      if (BlockPool::suits(t)) {
        pools_.at({t.type, t.deviation}).draw_rows(t, seed_, slab.tensor, slab.first, slab.rows, stored.data());
      } else {
        values.resize(std::max(values.size(), static_cast<size_t>(t.columns * slab.rows)));
        draw_rows(t, seed_, slab.tensor, slab.first, slab.rows, values.data(), stored.data());
      }
      int error = file_.write_at(stored.data(), size, slab.offset);
      written_ += static_cast<int64_t>(size);
      if (error == 0 && !proceed()) error = ECANCELED;
      int none = 0;
      if (error != 0) error_.compare_exchange_strong(none, error);
    }
  }

  const std::vector<Tensor>& tensors_;
  const std::vector<Slab>& slabs_;
  const TemporaryFile& file_;
  uint64_t seed_;
  const Pools pools_;
  std::atomic<size_t> next_ = 0;
  std::atomic<int64_t> written_ = 0;
  std::atomic<int> error_ = 0;
};

int threads_for(int wanted) {
  const int cpus = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(wanted > 0 ? wanted : cpus, 1, kMostThreads);
}

}  // namespace

Size size_of(const Shape& shape, WeightType type) {
  Size size;
  for (const Tensor& t : tensors_of(shape, type)) {
    size.parameters += t.columns * t.rows;
    size.tensors += Bytes(static_cast<int64_t>(ggml_row_size(t.type, t.columns)) * t.rows);
  }
  return size;
}

Status synthesize(const SynthOptions& options, const ProgressFn& progress) {
  SKEP_CHECK(check(options.shape));
  if (options.path.empty()) return fail(ErrorCode::invalid_argument, "no path to write to");
  std::error_code ignored;
  if (!options.overwrite && std::filesystem::exists(options.path, ignored)) {
    return fail(ErrorCode::conflict, options.path + " exists already");
  }

  const std::vector<Tensor> tensors = tensors_of(options.shape, options.type);
  const GgufPtr gguf(gguf_init_empty());
  set_metadata(gguf.get(), options);
  const GgmlPtr context = add_tensors(gguf.get(), tensors);
  std::vector<char> metadata(gguf_get_meta_size(gguf.get()));
  gguf_get_meta_data(gguf.get(), metadata.data());

  const std::vector<Slab> slabs = cut(tensors, gguf.get(), static_cast<int64_t>(metadata.size()));
  const auto last = static_cast<int64_t>(tensors.size()) - 1;
  const auto alignment = static_cast<int64_t>(gguf_get_alignment(gguf.get()));
  const auto end =
      static_cast<int64_t>(gguf_get_tensor_offset(gguf.get(), last) + gguf_get_tensor_size(gguf.get(), last));
  const int64_t data_size = (end + alignment - 1) / alignment * alignment;  // libggml expects the last one padded, too

  SKEP_TRY(const std::unique_ptr<TemporaryFile> file, TemporaryFile::create(options.path));
  const int64_t file_size = static_cast<int64_t>(metadata.size()) + data_size;
  SKEP_CHECK(file->reserve(file_size));
  SKEP_CHECK(file->write(metadata.data(), metadata.size(), 0));
  SKEP_CHECK(file->write("", 1, file_size - 1));
  Drawing drawing(tensors, slabs, *file, options.seed);
  SKEP_CHECK(
      drawing.run(threads_for(options.threads), size_of(options.shape, options.type).tensors, progress, options.path));
  return file->publish(options.overwrite);
}

}  // namespace skep::synth
