#include "engine/conversation_memo.h"

#include <utility>

namespace skep::engine {

void ConversationMemo::remember(const std::string& key, std::string text, std::span<const Token> tokens) {
  if (const auto old = by_key_.find(key); old != by_key_.end()) {
    conversations_.erase(old->second);
    by_key_.erase(old);
  }
  conversations_.push_front({key, std::move(text), {tokens.begin(), tokens.end()}});
  by_key_[key] = conversations_.begin();
  if (conversations_.size() <= limit_) return;
  by_key_.erase(conversations_.back().key);
  conversations_.pop_back();
}

Result<std::vector<Token>> ConversationMemo::tokenize(const Vocabulary& vocabulary, const std::string& key,
                                                      const std::string& text, bool add_special) {
  const auto found = by_key_.find(key);
  if (found != by_key_.end() && text.size() > found->second->text.size() && text.starts_with(found->second->text)) {
    conversations_.splice(conversations_.begin(), conversations_, found->second);
    const std::string_view rest = std::string_view(text).substr(found->second->text.size());
    SKEP_TRY(const std::vector<Token> added, vocabulary.tokenize(rest, false, true));
    if (!added.empty() && vocabulary.is_control(added.front())) {
      std::vector<Token> tokens = found->second->tokens;
      tokens.insert(tokens.end(), added.begin(), added.end());
      return tokens;
    }
  }
  return vocabulary.tokenize(text, add_special, true);
}

}  // namespace skep::engine
