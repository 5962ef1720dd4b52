#pragma once
// The seam to tokens as text: tokenizer, chat template, grammar. Always libllama's in production (LlamaVocabulary),
// whatever does the forward pass; ToyVocabulary is for tests.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/messages.h"

namespace skep::engine {

// What may come next in one generation. Starts at the grammar's root.
class Grammar {
 public:
  virtual ~Grammar() = default;
  // allowed[i]: tokens[i] may come next. End-of-generation tokens may where the grammar is complete.
  virtual void filter(std::span<const Token> tokens, std::vector<bool>& allowed) = 0;
  // `token` was chosen; it is one that filter() allows and not an end-of-generation one.
  virtual Status accept(Token token) = 0;
  // Text that comes next whatever is chosen, as far as that is cheap to know, in at most `most` bytes.
  virtual std::string forced(size_t most) {
    (void)most;
    return {};
  }
};

class Vocabulary {
 public:
  virtual ~Vocabulary() = default;

  [[nodiscard]] virtual int size() const = 0;

  // add_special: BOS and the like, where the model wants them. parse_special: control tokens are recognised in the
  // text.
  [[nodiscard]] virtual Result<std::vector<Token>> tokenize(std::string_view text, bool add_special,
                                                            bool parse_special) const = 0;

  // The token's bytes as they stand in an answer; control tokens have none.
  [[nodiscard]] virtual std::string piece(Token token) const = 0;
  [[nodiscard]] virtual bool ends_generation(Token token) const = 0;
  [[nodiscard]] virtual bool is_control(Token token) const = 0;
  [[nodiscard]] virtual std::span<const Token> end_tokens() const = 0;  // all that end a generation

  // The messages in the model's chat template, up to where the assistant's answer begins. invalid_argument where the
  // model has none.
  [[nodiscard]] virtual Result<std::string> render(std::span<const ChatMessage> messages) const = 0;

  // invalid_argument: not a grammar.
  [[nodiscard]] virtual Result<std::unique_ptr<Grammar>> grammar(std::string_view gbnf) const = 0;
};

}  // namespace skep::engine
