#pragma once
// A vocabulary for tests: every byte is a token (its own number), and four control tokens follow. The chat template is
// chatml; a "grammar" is a literal text that the answer must be.

#include "engine/vocabulary.h"

namespace skep::engine {

class ToyVocabulary final : public Vocabulary {
 public:
  static constexpr Token kBegin = 256, kEnd = 257, kTurnStart = 258, kTurnEnd = 259;
  static constexpr int kSize = 260;

  [[nodiscard]] int size() const override { return kSize; }
  [[nodiscard]] Result<std::vector<Token>> tokenize(std::string_view text, bool add_special,
                                                    bool parse_special) const override;
  [[nodiscard]] std::string piece(Token token) const override;
  [[nodiscard]] bool ends_generation(Token token) const override { return token == kEnd || token == kTurnEnd; }
  [[nodiscard]] bool is_control(Token token) const override { return token >= kBegin; }
  [[nodiscard]] std::span<const Token> end_tokens() const override;
  [[nodiscard]] Result<std::string> render(std::span<const ChatMessage> messages) const override;
  [[nodiscard]] Result<std::unique_ptr<Grammar>> grammar(std::string_view gbnf) const override;
};

}  // namespace skep::engine
