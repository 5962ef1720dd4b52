#include "engine/engine.h"

#include <ggml.h>
#include <llama.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "engine/llama_forward.h"
#include "engine/llama_library.h"
#include "engine/llama_vocabulary.h"
#include "engine/native/native_forward.h"
#include "engine/streaming.h"
#include "engine/thread_policy.h"
#include "engine/weight_pager.h"
#include "engine/wire.h"
#include "engine/worker.h"

namespace skep::engine {
namespace {

// Ids of sequences that our own forward pass has beside the slots: nodes of the prefix tree. They cost next to nothing.
constexpr int kNativeNodes = 1024;

native::NativeOptions native_options(const LoadOptions& options, const native::ModelHeader& header, bool streamed) {
  native::NativeOptions native;
  native.path = options.path;
  native.cache_path = native::cache_path_for(options.path);
  native.context_tokens = options.context_tokens;
  native.cells = native::cells_for(header, options);
  native.slots = options.sequences;
  native.sequences = options.sequences + kNativeNodes;
  native.batch_tokens = options.batch_tokens;
  native.output_rows = std::min(options.batch_tokens, std::max(64, 8 * options.sequences));
  native.threads = options.threads > 0 ? options.threads : available_cores();
  native.kv_type = *native::kv_type_from(options.kv_type);
  native.must_map = streamed;
  return native;
}

Result<ReadyModel> load_native(const LoadOptions& options, const std::function<bool(float)>& progress, bool streamed) {
  if (options.adapter_memory > Bytes(0)) return fail(ErrorCode::unsupported, "LoRA adapters");
  SKEP_TRY(const native::ModelHeader header, native::read_header(options.path));
  SKEP_CHECK(native::supports(header, options));
  if (options.sequences < 1 || options.context_tokens < 1 || options.batch_tokens < 1) {
    return fail(ErrorCode::invalid_argument, "context, sequences and batch must be at least 1");
  }
  const native::NativeOptions settings = native_options(options, header, streamed);
  SKEP_TRY(const native::Architecture architecture, native::describe(header));
  SKEP_TRY(std::shared_ptr<LlamaModel> names, LlamaModel::load_vocabulary(options));
  SKEP_TRY(auto vocabulary, LlamaVocabulary::make(*names));
  ReadyModel ready;
  ready.loaded.context_tokens =
      architecture.context > 0 ? std::min(options.context_tokens, architecture.context) : options.context_tokens;
  ready.loaded.vocabulary = architecture.vocabulary;
  ready.loaded.embedding_size = architecture.embedding;
  ready.loaded.chat_template = vocabulary->template_name();
  ready.loaded.forward = ready.state_format = "native";
  if (options.measure_only) {
    SKEP_TRY(const MemoryUse memory, native::measure(settings));
    ready.loaded.memory = {memory};
    return ready;
  }
  SKEP_TRY(auto forward, native::NativeForward::create(settings, progress));
  ready.loaded.memory = {forward->memory()};
  ready.loaded.forward += std::string(" ") + forward->kernels();
  ready.forward = std::move(forward);
  ready.vocabulary = std::move(vocabulary);
  ready.owner = std::move(names);
  return ready;
}

Result<ReadyModel> load_llama(const LoadOptions& options, const std::function<bool(float)>& progress, bool streamed) {
  const auto placement = streamed ? LlamaModel::Weights::as_in_the_file : LlamaModel::Weights::as_fast_as_can_be;
  SKEP_TRY(std::shared_ptr<LlamaModel> model, LlamaModel::load(options, progress, placement));
  ReadyModel ready;
  ready.loaded = model->loaded();
  SKEP_TRY(auto vocabulary, LlamaVocabulary::make(*model));
  ready.loaded.chat_template = vocabulary->template_name();
  ready.loaded.forward = "libllama";
  ready.state_format = fmt::format("libllama {} {}", LLAMA_STATE_SEQ_VERSION, ggml_commit());
  if (!options.measure_only) ready.forward = std::make_unique<LlamaForward>(*model);
  ready.vocabulary = std::move(vocabulary);
  ready.owner = std::move(model);
  return ready;
}

// A GPU is one that libggml can compute on, and not a device node: without one no layer goes anywhere, and our own
// forward pass may run the model.
Result<LoadOptions> for_this_machine(LoadOptions options) {
  SKEP_CHECK(start_llama());
  if (!has_gpu()) options.gpu_layers = 0;
  return options;
}

// Whichever of the two is to have it. `streamed`: weights only as mapped files.
Result<ReadyModel> load_either(const LoadOptions& options, const std::function<bool(float)>& progress, bool streamed) {
  if (options.forward == "llama") return load_llama(options, progress, streamed);
  auto own = load_native(options, progress, streamed);
  const bool last_word = own || options.forward == "native" || own.error().code == ErrorCode::cancelled;
  if (last_word) return own;
  auto ready = load_llama(options, progress, streamed);
  if (ready) ready->loaded.forward += ": " + own.error().message;
  return ready;
}

// Whether the model has to be read as it goes. Asking what it takes costs the reading of its vocabulary, so that is
// only done for files that come near the budget.
Result<std::optional<Streaming>> streaming_for(const LoadOptions& options) {
  const auto budget = host_budget();
  std::error_code unknown;
  const auto size = std::filesystem::file_size(options.path, unknown);
  const bool may_stream = budget && !unknown && options.mmap && !options.embeddings;
  if (!may_stream || static_cast<int64_t>(size) < budget->count / 2) return std::nullopt;
  LoadOptions question = options;
  question.measure_only = true;
  SKEP_TRY(const ReadyModel measured, load_either(question, {}, true));
  if (measured.loaded.memory.size() != 1) return std::nullopt;  // a GPU has its share: that part can't be read later
  auto streaming = plan_streaming(measured.loaded.memory.front(), *budget);
  if (streaming) streaming->disk_bytes_per_second = measure_read_rate(options.path).value_or(0);
  return streaming;
}

void say_streamed(Loaded& loaded, const Streaming& streaming) {
  loaded.memory.front().weights = streaming.resident;
  loaded.streamed = streaming.report();
}

Result<ReadyModel> load_streamed(const LoadOptions& options, Streaming streaming,
                                 const std::function<bool(float)>& progress) {
  SKEP_TRY(ReadyModel ready, load_either(options, progress, true));
  // libllama may have taken what was measured for our own forward pass, and has larger buffers.
  if (const auto again = plan_streaming(ready.loaded.memory.front(), *host_budget())) {
    streaming.resident = again->resident;
  }
  // Our own pass reads the packed weights, and of the GGUF file a row of embeddings per token.
  const std::vector<std::string> files = {native::cache_path_for(options.path), options.path};
  SKEP_TRY(std::shared_ptr<WeightPager> pager, WeightPager::create(files, streaming.resident));
  pager->run();
  ready.watcher = std::move(pager);
  say_streamed(ready.loaded, streaming);
  return ready;
}

int last_words_fd = -1;

// libggml is about to abort the process: the reason goes to the daemon, as well as it can still be written.
void last_words(const char* message) {
  const auto frame = encode(0, Failed{{ErrorCode::internal, message, {}}});
  if (frame) (void)!send(last_words_fd, frame->data(), frame->size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

Result<ReadyModel> load_model(const LoadOptions& asked, const std::function<bool(float)>& progress) {
  SKEP_TRY(const LoadOptions options, for_this_machine(asked));
  SKEP_TRY(const auto streaming, streaming_for(options));
  if (!streaming) return load_either(options, progress, false);
  if (!options.measure_only) return load_streamed(options, *streaming, progress);
  auto ready = load_either(options, progress, true);
  if (ready) say_streamed(ready->loaded, *streaming);
  return ready;
}

int run_engine(int fd) {
  last_words_fd = fd;
  ggml_set_abort_callback(last_words);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == 1) return 1;  // it died before the line above
  signal(SIGPIPE, SIG_IGN);
  return run_worker(fd, load_model);
}

}  // namespace skep::engine
