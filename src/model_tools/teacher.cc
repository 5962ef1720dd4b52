#include "model_tools/teacher.h"

#include <llama.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace skep::model_tools {
namespace {

bool same_vocabulary(const llama_vocab* a, const llama_vocab* b) {
  const int size = llama_vocab_n_tokens(a);
  if (size != llama_vocab_n_tokens(b)) return false;
  for (Token t = 0; t < size; ++t) {
    if (std::strcmp(llama_vocab_get_text(a, t), llama_vocab_get_text(b, t)) != 0) return false;
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<Teacher>> Teacher::open(const std::string& path, const LlamaSession& student, int window,
                                               int top, int threads) {
  SessionOptions options;
  options.context_tokens = window;
  options.batch_tokens = std::min(window, 256);
  options.threads = threads;
  SKEP_TRY(auto session, LlamaSession::open(path, options));
  if (!same_vocabulary(llama_model_get_vocab(session->model()), llama_model_get_vocab(student.model()))) {
    return fail(ErrorCode::invalid_argument, path + ": the teacher has another vocabulary than the student",
                "let it answer tasks instead: `skep model distill` without --soft");
  }
  if (session->context_tokens() < window) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: the teacher's context is only {} tokens", path, session->context_tokens()));
  }
  return std::unique_ptr<Teacher>(new Teacher(std::move(session), top));
}

Result<std::vector<Teacher::Opinion>> Teacher::opinions(std::span<const Token> window,
                                                        const std::function<bool(int)>& wanted) {
  SKEP_CHECK(session_->evaluate(window, wanted));
  std::vector<Opinion> opinions(window.size());
  std::vector<Token> order(static_cast<size_t>(session_->vocabulary()));
  const auto top = std::min(order.size(), static_cast<size_t>(top_));
  for (size_t i = 0; i < window.size(); ++i) {
    if (!wanted(static_cast<int>(i))) continue;
    const std::span<const float> logits = session_->logits(static_cast<int>(i));
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(
        order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(),
        [&](Token a, Token b) { return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]; });
    const float most = logits[static_cast<size_t>(order[0])];
    double sum = 0;
    for (size_t k = 0; k < top; ++k) sum += std::exp(logits[static_cast<size_t>(order[k])] - most);
    for (size_t k = 0; k < top; ++k) {
      opinions[i].emplace_back(order[k],
                               static_cast<float>(std::exp(logits[static_cast<size_t>(order[k])] - most) / sum));
    }
  }
  return opinions;
}

}  // namespace skep::model_tools
