#include "engine/llama_model.h"

#include <ggml-backend.h>
#include <llama.h>
#include <sys/mman.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>

#include "engine/llama_library.h"
#include "engine/thread_policy.h"

// Exported by libllama, declared in none of its installed headers (llama-ext.h of its source tree). Weak, so that a
// build without it links and measure() falls back to what the public functions tell.
struct llama_memory_breakdown_data {
  size_t model = 0, context = 0, compute = 0;
};
__attribute__((weak)) std::map<ggml_backend_buffer_type_t, llama_memory_breakdown_data> llama_get_memory_breakdown(
    const llama_context* context);

namespace skep::engine {
namespace {

constexpr int kCellMultiple = 256;  // libllama pads the cache to it

std::string because() {
  const std::string errors = take_llama_errors();
  return errors.empty() ? "" : ": " + errors;
}

Result<ggml_type> kv_type(const std::string& name) {
  if (name == "f16") return GGML_TYPE_F16;
  if (name == "f32") return GGML_TYPE_F32;
  if (name == "q8_0") return GGML_TYPE_Q8_0;
  return fail(ErrorCode::invalid_argument, fmt::format("kv_type: {} is none of f16, q8_0, f32", name));
}

// "host", or "gpu0" in the order of the devices.
std::string device_name(ggml_backend_buffer_type_t buffer_type) {
  ggml_backend_dev_t device = ggml_backend_buft_get_device(buffer_type);
  if (device == nullptr || ggml_backend_buft_is_host(buffer_type)) return "host";
  const auto type = ggml_backend_dev_type(device);
  if (type != GGML_BACKEND_DEVICE_TYPE_GPU && type != GGML_BACKEND_DEVICE_TYPE_IGPU) return "host";
  int index = 0;
  for (size_t i = 0; i < ggml_backend_dev_count() && ggml_backend_dev_get(i) != device; ++i) {
    const auto other = ggml_backend_dev_type(ggml_backend_dev_get(i));
    index += other == GGML_BACKEND_DEVICE_TYPE_GPU || other == GGML_BACKEND_DEVICE_TYPE_IGPU ? 1 : 0;
  }
  return fmt::format("gpu{}", index);
}

}  // namespace

void LlamaModel::Free::operator()(llama_model* model) const { llama_model_free(model); }
void LlamaModel::Free::operator()(llama_context* context) const { llama_free(context); }
LlamaModel::~LlamaModel() = default;

Result<std::unique_ptr<LlamaModel>> LlamaModel::load(const LoadOptions& options,
                                                     const std::function<bool(float)>& progress, Weights weights) {
  SKEP_CHECK(start_llama());
  std::unique_ptr<LlamaModel> loaded(new LlamaModel);
  loaded->options_ = options;
  try {
    SKEP_CHECK(loaded->open(progress, weights, false));
    SKEP_CHECK(loaded->shape());
    SKEP_CHECK(loaded->make_context());
    loaded->measure();
  } catch (const std::exception& thrown) {  // libllama is C++ inside
    return fail(ErrorCode::corrupt, fmt::format("{}: {}", options.path, thrown.what()));
  }
  return loaded;
}

Result<std::unique_ptr<LlamaModel>> LlamaModel::load_vocabulary(const LoadOptions& options) {
  SKEP_CHECK(start_llama());
  std::unique_ptr<LlamaModel> loaded(new LlamaModel);
  loaded->options_ = options;
  try {
    SKEP_CHECK(loaded->open({}, Weights::as_fast_as_can_be, true));
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::corrupt, fmt::format("{}: {}", options.path, thrown.what()));
  }
  loaded->loaded_.vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(loaded->model_.get()));
  return loaded;
}

namespace {

constexpr float kDropEvery = 0.04F;  // of the file: so much may be mapped and repacked at once

// Loading touches every page of the map, also those of tensors that libllama then keeps a repacked copy of: without
// this, such weights would count twice. The pages stay in the page cache; what is used is mapped again on first touch.
void drop_mapped_pages(const std::string& path) {
  std::error_code error;
  const std::string file = std::filesystem::canonical(path, error).string();
  std::ifstream ranges("/proc/self/maps");
  for (std::string line; !error && std::getline(ranges, line);) {
    if (!line.ends_with(" " + file)) continue;
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) != 2) continue;
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
}

// What libllama tells its progress to.
struct LoadObserver {
  const std::function<bool(float)>& progress;
  const std::string& path;
  bool maps = false;
  bool stopped = false;
  float dropped_at = 0;

  bool hear(float fraction) {
    if (maps && fraction - dropped_at >= kDropEvery) {
      drop_mapped_pages(path);
      dropped_at = fraction;
    }
    stopped = progress && !progress(fraction);
    return !stopped;
  }
};

}  // namespace

Status LlamaModel::open(const std::function<bool(float)>& progress, Weights weights, bool vocabulary_only) {
  std::error_code missing;
  if (!std::filesystem::is_regular_file(options_.path, missing)) {
    return fail(ErrorCode::not_found, fmt::format("{}: no such file", options_.path));
  }
  take_llama_errors();
  LoadObserver observer{progress, options_.path, options_.mmap && !options_.measure_only && !vocabulary_only};
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = options_.gpu_layers;
  params.load_mode = options_.mmap ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;
  params.no_alloc = options_.measure_only && !vocabulary_only;
  params.vocab_only = vocabulary_only;
  params.use_extra_bufts = weights == Weights::as_fast_as_can_be;  // where repacked weights lie
  params.progress_callback_user_data = &observer;
  params.progress_callback = [](float fraction, void* user) {
    return static_cast<LoadObserver*>(user)->hear(fraction);
  };
  if (params.no_alloc) params.load_mode = LLAMA_LOAD_MODE_NONE;  // a map is no simulation
  model_.reset(llama_model_load_from_file(options_.path.c_str(), params));
  if (observer.stopped) return fail(ErrorCode::cancelled, "loading was given up");
  if (!model_) {
    return fail(ErrorCode::corrupt, fmt::format("{}: libllama can't load it{}", options_.path, because()));
  }
  if (observer.maps) drop_mapped_pages(options_.path);
  return {};
}

// Checks the options against the model and settles the sizes.
Status LlamaModel::shape() {
  const llama_vocab* vocabulary = llama_model_get_vocab(model_.get());
  loaded_.vocabulary = llama_vocab_n_tokens(vocabulary);
  loaded_.embedding_size = llama_model_n_embd_out(model_.get());
  encodes_only_ = !llama_model_has_decoder(model_.get()) ||
                  (llama_model_has_encoder(model_.get()) && llama_model_has_decoder(model_.get()));
  char causal[16] = {};
  char architecture[64] = {};
  llama_model_meta_val_str(model_.get(), "general.architecture", architecture, sizeof architecture);
  const std::string key = std::string(architecture) + ".attention.causal";
  if (llama_model_meta_val_str(model_.get(), key.c_str(), causal, sizeof causal) > 0) {
    encodes_only_ |= std::string(causal) == "false";
  }
  loaded_.can_generate = !encodes_only_ && !options_.embeddings;
  if (encodes_only_ && !options_.embeddings) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: this model makes embeddings, it can't generate", options_.path),
                "use it for embeddings");
  }
  if (options_.context_tokens < 1 || options_.sequences < 1 || options_.batch_tokens < 1 || options_.kv_tokens < 0 ||
      options_.threads < 0) {
    return fail(ErrorCode::invalid_argument, "context, sequences and batch must be at least 1");
  }
  const int trained = llama_model_n_ctx_train(model_.get());
  loaded_.context_tokens = trained > 0 ? std::min(options_.context_tokens, trained) : options_.context_tokens;
  const int most = static_cast<int>(llama_max_parallel_sequences());
  options_.sequences = std::min(options_.sequences, most / 2);
  sequences_ = options_.embeddings ? std::min(16, most) : std::min(options_.sequences + kNodeSequences, most);
  int64_t cells =
      options_.kv_tokens > 0 ? options_.kv_tokens : static_cast<int64_t>(options_.sequences) * loaded_.context_tokens;
  if (options_.embeddings) cells = loaded_.context_tokens;
  cells = std::max<int64_t>(cells, loaded_.context_tokens);
  cells = (cells + kCellMultiple - 1) / kCellMultiple * kCellMultiple;
  if (cells > INT32_MAX)
    return fail(ErrorCode::invalid_argument, "the KV cache is too large: reduce engines.context or engines.slots");
  cells_ = static_cast<int>(cells);
  return {};
}

Status LlamaModel::make_context() {
  SKEP_TRY(const ggml_type type, kv_type(options_.kv_type));
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<uint32_t>(cells_);
  params.n_seq_max = static_cast<uint32_t>(sequences_);
  // An encoder sees an input whole: it must fit one batch.
  const int batch =
      options_.embeddings ? std::max(options_.batch_tokens, loaded_.context_tokens) : options_.batch_tokens;
  params.n_batch = params.n_ubatch = static_cast<uint32_t>(std::min(batch, cells_));
  params.n_outputs_max = options_.embeddings ? 0 : params.n_seq_max;  // libllama asks for n_seq_max at least
  params.kv_unified = true;
  const int threads = options_.threads > 0 ? options_.threads : available_cores();
  params.n_threads = params.n_threads_batch = threads;
  params.type_k = params.type_v = type;
  // With it masked cells are skipped, which makes a cache shared by many cheap; a quantized V needs it.
  params.flash_attn_type = options_.embeddings ? LLAMA_FLASH_ATTN_TYPE_AUTO : LLAMA_FLASH_ATTN_TYPE_ENABLED;
  params.embeddings = options_.embeddings;
  params.no_perf = true;
  context_.reset(llama_init_from_model(model_.get(), params));
  if (!context_) {
    return fail(ErrorCode::out_of_memory,
                fmt::format("{}: no context of {} cells{}", options_.path, cells_, because()));
  }
  if (options_.embeddings && llama_pooling_type(context_.get()) == LLAMA_POOLING_TYPE_NONE) {
    // A generating model has no pooling of its own: the last token has seen all others.
    params.pooling_type = LLAMA_POOLING_TYPE_LAST;
    context_.reset();
    context_.reset(llama_init_from_model(model_.get(), params));
    if (!context_) return fail(ErrorCode::out_of_memory, fmt::format("{}: no context{}", options_.path, because()));
  }
  take_llama_errors();
  return {};
}

void LlamaModel::measure() {
  loaded_.memory.assign(1, MemoryUse{});
  if (&llama_get_memory_breakdown == nullptr) {
    loaded_.memory[0].weights = Bytes(static_cast<int64_t>(llama_model_size(model_.get())));
    loaded_.memory[0].kv = Bytes(static_cast<int64_t>(llama_state_get_size(context_.get())));
    return;
  }
  for (const auto& [type, use] : llama_get_memory_breakdown(context_.get())) {
    const std::string device = device_name(type);
    auto at = std::find_if(loaded_.memory.begin(), loaded_.memory.end(),
                           [&](const MemoryUse& m) { return m.device == device; });
    if (at == loaded_.memory.end()) at = loaded_.memory.insert(at, MemoryUse{device, {}, {}, {}});
    at->weights += Bytes(static_cast<int64_t>(use.model));
    at->kv += Bytes(static_cast<int64_t>(use.context));
    at->compute += Bytes(static_cast<int64_t>(use.compute));
  }
}

}  // namespace skep::engine
