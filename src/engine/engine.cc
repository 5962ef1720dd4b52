#include "engine/engine.h"

#include <ggml.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "engine/llama_forward.h"
#include "engine/llama_vocabulary.h"
#include "engine/native/native_forward.h"
#include "engine/thread_policy.h"
#include "engine/wire.h"
#include "engine/worker.h"

namespace skep::engine {
namespace {

// Ids of sequences that our own forward pass has beside the slots: nodes of the prefix tree. They cost next to nothing.
constexpr int kNativeNodes = 1024;

Result<ReadyModel> load_native(const LoadOptions& options, const std::function<bool(float)>& progress) {
  SKEP_TRY(const native::ModelHeader header, native::read_header(options.path));
  SKEP_CHECK(native::supports(header, options));
  SKEP_TRY(std::shared_ptr<LlamaModel> names, LlamaModel::load_vocabulary(options));
  SKEP_TRY(auto vocabulary, LlamaVocabulary::make(*names));
  native::NativeOptions settings;
  settings.path = options.path;
  settings.cache_path = native::cache_path_for(options.path);
  settings.context_tokens = options.context_tokens;
  settings.cells = std::max(options.context_tokens,
                            options.kv_tokens > 0 ? options.kv_tokens : options.sequences * options.context_tokens);
  settings.sequences = options.sequences + kNativeNodes;
  settings.batch_tokens = options.batch_tokens;
  settings.output_rows = std::min(options.batch_tokens, std::max(64, 8 * options.sequences));
  settings.threads = options.threads > 0 ? options.threads : available_cores();
  settings.kv_type = *native::kv_type_from(options.kv_type);
  bool wanted = true;
  SKEP_TRY(auto forward, native::NativeForward::create(
                             settings, [&](float fraction) { wanted = wanted && (!progress || progress(fraction)); }));
  if (!wanted) return fail(ErrorCode::cancelled, "loading was given up");
  ReadyModel ready;
  ready.minds_others = true;  // native/team.h
  ready.loaded.memory = {forward->memory()};
  ready.loaded.context_tokens = forward->limits().context_tokens;
  ready.loaded.vocabulary = forward->limits().vocabulary;
  ready.loaded.embedding_size = forward->limits().embedding_size;
  ready.loaded.chat_template = vocabulary->template_name();
  ready.loaded.forward = std::string("native ") + forward->kernels();
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
  if (!options.measure_only) ready.forward = std::make_unique<LlamaForward>(*model);
  ready.vocabulary = std::move(vocabulary);
  ready.owner = std::move(model);
  return ready;
}

Result<ReadyModel> load_model(const LoadOptions& options, const std::function<bool(float)>& progress) {
  if (options.forward == "llama") return load_llama(options, progress);
  auto own = load_native(options, progress);
  const bool last_word = own || options.forward == "native" || own.error().code == ErrorCode::cancelled;
  if (last_word) return own;
  auto ready = load_llama(options, progress);
  if (ready) ready->loaded.forward += ": " + own.error().message;
  return ready;
}

int last_words_fd = -1;

// libggml is about to abort the process: the reason goes to the daemon, as well as it can still be written.
void last_words(const char* message) {
  const auto frame = encode(0, Failed{{ErrorCode::internal, message, {}}});
  if (frame) (void)!send(last_words_fd, frame->data(), frame->size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

int run_engine(int fd) {
  last_words_fd = fd;
  ggml_set_abort_callback(last_words);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == 1) return 1;  // it died before the line above
  signal(SIGPIPE, SIG_IGN);
  return run_worker(fd, load_model);
}

}  // namespace skep::engine
