#pragma once
// Vocabulary, chat template and grammars by libllama.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/llama_model.h"
#include "engine/vocabulary.h"

struct llama_vocab;

namespace skep::engine {

// What tokens begin with: where a grammar forbids a character, it forbids every token that begins with it.
struct Beginnings {
  static constexpr size_t kAscii = 128;  // of other characters a token may be a part
  std::vector<uint8_t> first;            // of each token; 0: it has none, or none that is a token by itself
  std::array<Token, kAscii> single = [] {
    std::array<Token, kAscii> none{};
    none.fill(-1);
    return none;
  }();  // the token that is this character alone; -1: there is none
};

class LlamaVocabulary final : public Vocabulary {
 public:
  // Checks the chat template (LoadOptions::chat_template, or the model's own): one that libllama does not know is
  // unsupported, and the hint names the override. A model without any can still complete raw prompts.
  static Result<std::unique_ptr<LlamaVocabulary>> make(const LlamaModel& model);

  [[nodiscard]] int size() const override { return static_cast<int>(pieces_.size()); }
  [[nodiscard]] Result<std::vector<Token>> tokenize(std::string_view text, bool add_special,
                                                    bool parse_special) const override;
  [[nodiscard]] std::string piece(Token token) const override { return pieces_.at(static_cast<size_t>(token)); }
  [[nodiscard]] bool ends_generation(Token token) const override;
  [[nodiscard]] bool is_control(Token token) const override;
  [[nodiscard]] std::span<const Token> end_tokens() const override { return end_tokens_; }
  [[nodiscard]] Result<std::string> render(std::span<const ChatMessage> messages) const override;
  [[nodiscard]] Result<std::unique_ptr<Grammar>> grammar(std::string_view gbnf) const override;

  [[nodiscard]] const std::string& template_name() const { return template_name_; }  // for Loaded; empty: none

 private:
  explicit LlamaVocabulary(const llama_vocab* vocabulary);
  Status choose_template(const LlamaModel& model);

  const llama_vocab* vocabulary_;
  std::vector<std::string> pieces_;
  Beginnings beginnings_;
  std::vector<Token> end_tokens_;
  std::string template_;  // a name that libllama knows, or template text
  std::string template_name_;
};

}  // namespace skep::engine
