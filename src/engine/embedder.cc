#include "engine/embedder.h"

#include <algorithm>
#include <utility>

namespace skep::engine {

Embedder::Embedder(Forward& forward, const Vocabulary& vocabulary, Emit emit)
    : forward_(forward), vocabulary_(vocabulary), emit_(std::move(emit)) {}

void Embedder::start(RequestId id, Embed request) {
  auto prepared = prepare(id, std::move(request));
  if (!prepared) return emit_(id, Failed{prepared.error()});
  if (prepared->inputs.empty()) return emit_(id, Embeddings{});
  waiting_.push_back(std::move(*prepared));
}

void Embedder::cancel(RequestId id) {
  std::erase_if(waiting_, [&](const Request& request) { return request.id == id; });
}

Result<Embedder::Request> Embedder::prepare(RequestId id, Embed request) const {
  const size_t count = request.inputs.size() + request.token_inputs.size();
  if (count > kMostInputs) {
    return fail(ErrorCode::invalid_argument, fmt::format("{} inputs, at most {} are allowed", count, kMostInputs));
  }
  if (waiting_.size() >= kMostWaiting) {
    return fail(ErrorCode::overloaded, fmt::format("{} requests for embeddings wait already", waiting_.size()));
  }
  Request prepared{id, {}, {}};
  for (const std::string& text : request.inputs) {
    SKEP_TRY(std::vector<Token> tokens, vocabulary_.tokenize(text, true, false));
    prepared.inputs.push_back(std::move(tokens));
  }
  for (auto& tokens : request.token_inputs) {
    for (const Token token : tokens) {
      if (token < 0 || token >= vocabulary_.size()) {
        return fail(ErrorCode::invalid_argument, fmt::format("token {} is not in the vocabulary", token));
      }
    }
    prepared.inputs.push_back(std::move(tokens));
  }
  for (size_t i = 0; i < prepared.inputs.size(); ++i) {
    std::vector<Token>& tokens = prepared.inputs[i];
    const size_t whole = tokens.size();
    SKEP_CHECK(fit(tokens, i, request.truncate));
    prepared.answer.truncated += tokens.size() < whole ? 1 : 0;
    prepared.answer.prompt_tokens += static_cast<int>(tokens.size());
  }
  return prepared;
}

Status Embedder::fit(std::vector<Token>& tokens, size_t index, bool may_cut) const {
  const auto most = static_cast<size_t>(std::min(forward_.limits().batch_tokens, forward_.limits().context_tokens));
  if (tokens.size() <= most) return {};
  if (!may_cut) {
    return fail(ErrorCode::context_overflow,
                fmt::format("input {} has {} tokens, this engine takes {}", index, tokens.size(), most),
                "split it, or let it be cut (Ollama's `truncate`)");
  }
  // The mark at the end stays: some models gather the meaning there.
  const Token last = tokens.back();
  tokens.resize(most);
  if (vocabulary_.is_control(last)) tokens.back() = last;
  return {};
}

// How many inputs, counted from the first, are done after the next step. At least one more than now.
size_t Embedder::batch_end(const Request& request) const {
  const ForwardLimits& limits = forward_.limits();
  const size_t begin = request.answer.vectors.size();
  size_t end = begin, tokens = 0;
  while (end < request.inputs.size() && end - begin < static_cast<size_t>(limits.sequences)) {
    tokens += request.inputs[end].size();
    if (end > begin && tokens > static_cast<size_t>(limits.batch_tokens)) break;
    ++end;
  }
  return end;
}

int Embedder::next_tokens() const {
  if (waiting_.empty()) return 0;
  const Request& request = waiting_.front();
  size_t tokens = 0;
  for (size_t i = request.answer.vectors.size(); i < batch_end(request); ++i) tokens += request.inputs[i].size();
  return std::max(1, static_cast<int>(tokens));
}

bool Embedder::step() {
  if (waiting_.empty()) return false;
  Request& request = waiting_.front();
  const size_t begin = request.answer.vectors.size();
  auto vectors = forward_.embed(std::span(request.inputs).subspan(begin, batch_end(request) - begin));
  if (vectors) {
    for (auto& vector : *vectors) request.answer.vectors.push_back(std::move(vector));
    if (request.answer.vectors.size() < request.inputs.size()) return true;
  }
  Request ended = std::move(request);
  waiting_.pop_front();
  if (vectors)
    emit_(ended.id, std::move(ended.answer));
  else
    emit_(ended.id, Failed{vectors.error()});
  return true;
}

}  // namespace skep::engine
