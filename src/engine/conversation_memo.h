#pragma once
// Remembers which tokens an agent's conversation really consists of. The text of an answer, tokenized again in the next
// turn's prompt, often gives other tokens than those that were generated, and the KV cells behind the first difference
// would be lost. So a prompt that begins with a remembered text takes its tokens, and only the rest is tokenized; where
// the rest begins with a control token (as every chat template makes it) that is exact.

#include <cstddef>
#include <list>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/vocabulary.h"

namespace skep::engine {

class ConversationMemo {
 public:
  explicit ConversationMemo(size_t limit = 1024) : limit_(limit) {}  // conversations; the one unused longest goes

  // The conversation `key` consists of `tokens` so far, which read `text`.
  void remember(const std::string& key, std::string text, std::span<const Token> tokens);

  Result<std::vector<Token>> tokenize(const Vocabulary& vocabulary, const std::string& key, const std::string& text,
                                      bool add_special);

 private:
  struct Conversation {
    std::string key, text;
    std::vector<Token> tokens;
  };
  size_t limit_;
  std::list<Conversation> conversations_;  // the latest used first
  std::unordered_map<std::string, std::list<Conversation>::iterator> by_key_;
};

}  // namespace skep::engine
