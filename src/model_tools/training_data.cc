#include "model_tools/training_data.h"

#include <llama.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/random.h"

namespace skep::model_tools {
namespace {

template <typename T>
void shuffle(std::vector<T>& items, uint64_t seed) {
  Random random(seed);
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(static_cast<uint32_t>(i))]);
}

}  // namespace

Result<ConversationText> conversation_text(const LlamaSession& session, const TaskExample& task) {
  const char* chat_template = llama_model_chat_template(session.model(), nullptr);
  if (chat_template == nullptr) {
    return fail(ErrorCode::invalid_argument, "the model has no chat template, so tasks can't be written down for it",
                "train on a text, or take a model with a template");
  }
  std::vector<llama_chat_message> chat;
  size_t bytes = 256 + task.answer.size();
  for (const auto& message : task.messages) {
    chat.push_back({message.role.c_str(), message.content.c_str()});
    bytes += message.role.size() + message.content.size() + 64;
  }
  const auto written = [&](bool answer_follows) -> Result<std::string> {
    std::string text(2 * bytes, '\0');
    const int n = llama_chat_apply_template(chat_template, chat.data(), chat.size(), answer_follows, text.data(),
                                            static_cast<int>(text.size()));
    if (n < 0 || n > static_cast<int>(text.size())) {
      return fail(ErrorCode::unsupported, "libllama does not know this model's chat template");
    }
    text.resize(static_cast<size_t>(n));
    return text;
  };
  ConversationText text;
  SKEP_TRY(text.question, written(true));
  chat.push_back({"assistant", task.answer.c_str()});
  SKEP_TRY(std::string whole, written(false));
  if (!whole.starts_with(text.question)) {
    return fail(ErrorCode::unsupported, "this model's chat template writes an answer otherwise than it asks for it");
  }
  text.answer = whole.substr(text.question.size());
  return text;
}

Status TrainingData::add_tasks(const LlamaSession& session, const std::string& path, uint64_t seed) {
  SKEP_TRY(std::vector<TaskExample> tasks, read_tasks(path));
  shuffle(tasks, seed);
  const Token filler = std::max(session.eot(), 0);
  for (const TaskExample& task : tasks) {
    SKEP_TRY(const ConversationText text, conversation_text(session, task));
    std::vector<Token> tokens = session.tokenize(text.question, true);
    const size_t question = tokens.size();
    const std::vector<Token> answer = session.tokenize(text.answer, true, false);
    tokens.insert(tokens.end(), answer.begin(), answer.end());
    tokens.resize(std::min(tokens.size(), stride_));
    const size_t used = tokens_.size() % stride_;
    if (used > 0 && used + tokens.size() > stride_) tokens_.resize(tokens_.size() + stride_ - used, filler);
    learnt_.resize(tokens_.size() + std::min(question, tokens.size()), 0);
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    learnt_.resize(tokens_.size(), 1);
  }
  tokens_.resize((tokens_.size() + stride_ - 1) / stride_ * stride_, filler);
  learnt_.resize(tokens_.size(), 0);
  windows_ = tokens_.size() / stride_;
  return {};
}

Result<TrainingData> TrainingData::load(const LlamaSession& session, const std::string& path, int length,
                                        double validation, uint64_t seed) {
  TrainingData data;
  data.length_ = length;
  if (path.ends_with(".jsonl")) {
    data.stride_ = static_cast<size_t>(length) + 1;
    SKEP_CHECK(data.add_tasks(session, path, seed));
  } else {
    data.stride_ = static_cast<size_t>(length);
    SKEP_TRY(const std::string text, read_text(path));
    data.tokens_ = session.tokenize(text, true);
    data.windows_ = data.tokens_.empty() ? 0 : (data.tokens_.size() - 1) / data.stride_;
  }
  if (data.windows_ < 2) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: {} tokens are fewer than two windows of {}", path, data.tokens_.size(), length),
                "take more data or a smaller --context");
  }
  const auto share = static_cast<size_t>(std::lround(static_cast<double>(data.windows_) * validation));
  data.held_out_ = std::clamp<size_t>(share, 1, data.windows_ / 2);
  return data;
}

std::vector<uint32_t> window_order(size_t count, uint64_t seed, int64_t epoch) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  shuffle(order, mix_bits(seed) + static_cast<uint64_t>(epoch));
  return order;
}

double learning_rate_at(int64_t step, int64_t steps, int64_t warm_up, double highest) {
  if (step < warm_up) return highest * static_cast<double>(step + 1) / static_cast<double>(warm_up);
  const double way = static_cast<double>(step - warm_up) / static_cast<double>(std::max<int64_t>(1, steps - warm_up));
  return highest * (0.1 + 0.45 * (1 + std::cos(3.141592653589793 * std::clamp(way, 0.0, 1.0))));
}

}  // namespace skep::model_tools
