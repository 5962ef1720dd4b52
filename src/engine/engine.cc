#include "engine/engine.h"

#include <ggml.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/llama_forward.h"
#include "engine/llama_vocabulary.h"
#include "engine/wire.h"
#include "engine/worker.h"

namespace skep::engine {
namespace {

Result<ReadyModel> load_llama(const LoadOptions& options, const std::function<bool(float)>& progress) {
  SKEP_TRY(std::shared_ptr<LlamaModel> model, LlamaModel::load(options, progress));
  ReadyModel ready;
  ready.loaded = model->loaded();
  SKEP_TRY(auto vocabulary, LlamaVocabulary::make(*model));
  ready.loaded.chat_template = vocabulary->template_name();
  if (!options.measure_only) ready.forward = std::make_unique<LlamaForward>(*model);
  ready.vocabulary = std::move(vocabulary);
  ready.owner = std::move(model);
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
  return run_worker(fd, load_llama);
}

}  // namespace skep::engine
