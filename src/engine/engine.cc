#include "engine/engine.h"

#include <ggml.h>
#include <llama.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "engine/llama_forward.h"
#include "engine/llama_library.h"
#include "engine/llama_vocabulary.h"
#include "engine/native/native_forward.h"
#include "engine/thread_policy.h"
#include "engine/wire.h"
#include "engine/worker.h"

namespace skep::engine {
namespace {

// Ids of sequences that our own forward pass has beside the slots: nodes of the prefix tree. They cost next to nothing.
constexpr int kNativeNodes = 1024;

native::NativeOptions native_options(const LoadOptions& options, const native::ModelHeader& header) {
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
  return native;
}

Result<ReadyModel> load_native(const LoadOptions& options, const std::function<bool(float)>& progress) {
  if (options.adapter_memory > Bytes(0)) return fail(ErrorCode::unsupported, "LoRA adapters");
  SKEP_TRY(const native::ModelHeader header, native::read_header(options.path));
  SKEP_CHECK(native::supports(header, options));
  if (options.sequences < 1 || options.context_tokens < 1 || options.batch_tokens < 1) {
    return fail(ErrorCode::invalid_argument, "context, sequences and batch must be at least 1");
  }
  const native::NativeOptions settings = native_options(options, header);
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

Result<ReadyModel> load_llama(const LoadOptions& options, const std::function<bool(float)>& progress) {
  SKEP_TRY(std::shared_ptr<LlamaModel> model, LlamaModel::load(options, progress));
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

int last_words_fd = -1;

// libggml is about to abort the process: the reason goes to the daemon, as well as it can still be written.
void last_words(const char* message) {
  const auto frame = encode(0, Failed{{ErrorCode::internal, message, {}}});
  if (frame) (void)!send(last_words_fd, frame->data(), frame->size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

Result<ReadyModel> load_model(const LoadOptions& asked, const std::function<bool(float)>& progress) {
  SKEP_TRY(const LoadOptions options, for_this_machine(asked));
  if (options.forward == "llama") return load_llama(options, progress);
  auto own = load_native(options, progress);
  const bool last_word = own || options.forward == "native" || own.error().code == ErrorCode::cancelled;
  if (last_word) return own;
  auto ready = load_llama(options, progress);
  if (ready) ready->loaded.forward += ": " + own.error().message;
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
