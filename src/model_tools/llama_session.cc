#include "model_tools/llama_session.h"

#include <llama.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <filesystem>
#include <utility>

#include "base/units.h"
#include "engine/llama_library.h"
#include "engine/thread_policy.h"
#include "model/byte_source.h"

namespace skep::model_tools {
namespace {

constexpr Bytes kMostText = 256_MiB;

struct Free {
  void operator()(llama_model* model) const { llama_model_free(model); }
  void operator()(llama_context* context) const { llama_free(context); }
};

std::string because() {
  const std::string errors = engine::take_llama_errors();
  return errors.empty() ? "" : ": " + errors;
}

}  // namespace

struct LlamaSession::State {
  SessionOptions options;
  std::shared_ptr<llama_model> model;
  std::unique_ptr<llama_context, Free> context;  // after the model: goes first
  const llama_vocab* vocabulary = nullptr;
  std::vector<int> output_of;  // position → index of its logits, -1: none
};

LlamaSession::~LlamaSession() = default;
llama_model* LlamaSession::model() const { return state_->model.get(); }
llama_context* LlamaSession::context() const { return state_->context.get(); }
int LlamaSession::context_tokens() const { return state_->options.context_tokens; }
int LlamaSession::layers() const { return llama_model_n_layer(model()); }
int LlamaSession::vocabulary() const { return llama_vocab_n_tokens(state_->vocabulary); }
bool LlamaSession::adds_bos() const { return llama_vocab_get_add_bos(state_->vocabulary); }
Token LlamaSession::bos() const { return llama_vocab_bos(state_->vocabulary); }
Token LlamaSession::eot() const {
  const Token end = llama_vocab_eot(state_->vocabulary);
  return end >= 0 ? end : llama_vocab_eos(state_->vocabulary);
}

Result<std::unique_ptr<LlamaSession>> LlamaSession::open(const std::string& path, SessionOptions options) {
  SKEP_CHECK(engine::start_llama());
  std::error_code missing;
  if (!std::filesystem::is_regular_file(path, missing)) return fail(ErrorCode::not_found, path + ": no such file");
  engine::take_llama_errors();
  std::unique_ptr<LlamaSession> session(new LlamaSession);
  session->state_ = std::make_unique<State>();
  State& s = *session->state_;
  try {  // libllama is C++ inside
    llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    model_params.load_mode = options.trainable ? LLAMA_LOAD_MODE_NONE : LLAMA_LOAD_MODE_MMAP;
    if (options.trainable) model_params.use_extra_bufts = false;  // repacked weights have no gradients
    s.model.reset(llama_model_load_from_file(path.c_str(), model_params), Free());
    if (!s.model) return fail(ErrorCode::corrupt, fmt::format("{}: libllama can't load it{}", path, because()));
    if (!llama_model_has_decoder(s.model.get())) {
      return fail(ErrorCode::invalid_argument, path + ": this model makes embeddings, it can't generate");
    }
    SKEP_CHECK(session->start(std::move(options)));
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::corrupt, fmt::format("{}: {}", path, thrown.what()));
  }
  return session;
}

Result<std::unique_ptr<LlamaSession>> LlamaSession::beside(const LlamaSession& other, SessionOptions options) {
  std::unique_ptr<LlamaSession> session(new LlamaSession);
  session->state_ = std::make_unique<State>();
  session->state_->model = other.state_->model;
  try {
    SKEP_CHECK(session->start(std::move(options)));
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::out_of_memory, fmt::format("no second context: {}", thrown.what()));
  }
  return session;
}

Status LlamaSession::start(SessionOptions options) {
  State& s = *state_;
  s.vocabulary = llama_model_get_vocab(s.model.get());
  const int trained = llama_model_n_ctx_train(s.model.get());
  if (trained > 0) options.context_tokens = std::min(options.context_tokens, trained);
  options.batch_tokens = std::min(options.batch_tokens, options.context_tokens);
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<uint32_t>(options.context_tokens);
  params.n_batch = static_cast<uint32_t>(options.context_tokens);
  params.n_ubatch = static_cast<uint32_t>(options.batch_tokens);
  params.n_seq_max = 1;
  params.n_threads = params.n_threads_batch = options.threads > 0 ? options.threads : engine::available_cores();
  params.no_perf = true;
  params.flash_attn_type = options.trainable ? LLAMA_FLASH_ATTN_TYPE_DISABLED : LLAMA_FLASH_ATTN_TYPE_AUTO;
  if (options.trainable) params.type_k = params.type_v = GGML_TYPE_F32;
  s.options = std::move(options);
  if (s.options.observe) {
    params.cb_eval_user_data = &s.options;
    params.cb_eval = [](ggml_tensor* tensor, bool ask, void* user) {
      return static_cast<SessionOptions*>(user)->observe(tensor, ask);
    };
  }
  s.context.reset(llama_init_from_model(s.model.get(), params));
  if (!s.context) return fail(ErrorCode::out_of_memory, "no context" + because());
  return {};
}

std::vector<Token> LlamaSession::tokenize(std::string_view text, bool special, bool beginning) const {
  const auto length = static_cast<int32_t>(text.size());
  std::vector<Token> tokens(text.size() + 8);
  const int n = llama_tokenize(state_->vocabulary, text.data(), length, tokens.data(),
                               static_cast<int32_t>(tokens.size()), special && beginning, special);
  assert(n >= 0);  // never more tokens than bytes
  tokens.resize(static_cast<size_t>(std::max(0, n)));
  return tokens;
}

Status LlamaSession::evaluate(std::span<const Token> window, const std::function<bool(int)>& wants_logits) {
  const auto n = static_cast<int>(window.size());
  assert(n > 0 && n <= context_tokens());
  llama_memory_clear(llama_get_memory(context()), true);
  llama_batch batch = llama_batch_init(n, 0, 1);
  batch.n_tokens = n;
  state_->output_of.assign(window.size(), -1);
  int outputs = 0;
  for (int i = 0; i < n; ++i) {
    batch.token[i] = window[static_cast<size_t>(i)];
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = wants_logits(i) ? 1 : 0;
    if (batch.logits[i] != 0) state_->output_of[static_cast<size_t>(i)] = outputs++;
  }
  int failed = 0;
  try {
    failed = llama_decode(context(), batch);
  } catch (const std::exception& thrown) {
    llama_batch_free(batch);
    return fail(ErrorCode::internal, fmt::format("libllama can't evaluate: {}", thrown.what()));
  }
  llama_batch_free(batch);
  if (failed != 0) {
    return fail(ErrorCode::internal, fmt::format("libllama can't evaluate ({}){}", failed, because()));
  }
  return {};
}

std::span<const float> LlamaSession::logits(int i) const {
  assert(state_->output_of.at(static_cast<size_t>(i)) >= 0);
  return {llama_get_logits_ith(context(), i), static_cast<size_t>(vocabulary())};
}

Status observe_text(LlamaSession& session, std::string_view text, int most_windows, const std::string& what,
                    const ProgressFn& progress) {
  const std::vector<Token> tokens = session.tokenize(text, true);
  const auto length = static_cast<size_t>(session.context_tokens());
  size_t windows = tokens.size() / length;
  if (windows < 1) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the text has {} tokens, fewer than a window of {}", tokens.size(), length),
                "take a longer text");
  }
  if (most_windows > 0) windows = std::min(windows, static_cast<size_t>(most_windows));
  for (size_t w = 0; w < windows; ++w) {
    SKEP_CHECK(session.evaluate({tokens.data() + w * length, length}, [](int i) { return i % kLogitsEvery == 0; }));
    const double fraction = static_cast<double>(w + 1) / static_cast<double>(windows);
    if (!proceed(progress, {what, fraction, {}})) return fail(ErrorCode::cancelled, "stopped");
  }
  return {};
}

double log_probability(std::span<const float> logits, Token token) {
  const float most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  return static_cast<double>(logits[static_cast<size_t>(token)] - most) - std::log(sum);
}

Result<std::string> read_text(const std::string& path) {
  SKEP_TRY(const auto source, model::FileSource::open(path));
  if (source->size() > kMostText.count) {
    return fail(ErrorCode::too_large, fmt::format("{}: more than {}", path, to_string(kMostText)));
  }
  std::string text(static_cast<size_t>(source->size()), '\0');
  SKEP_CHECK(source->read(0, std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace skep::model_tools
