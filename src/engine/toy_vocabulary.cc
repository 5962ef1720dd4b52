#include "engine/toy_vocabulary.h"

#include <array>

namespace skep::engine {
namespace {

constexpr std::array<std::pair<std::string_view, Token>, 4> kSpecial = {{{"<s>", ToyVocabulary::kBegin},
                                                                         {"</s>", ToyVocabulary::kEnd},
                                                                         {"<|im_start|>", ToyVocabulary::kTurnStart},
                                                                         {"<|im_end|>", ToyVocabulary::kTurnEnd}}};
constexpr std::array<Token, 2> kEnds = {ToyVocabulary::kEnd, ToyVocabulary::kTurnEnd};

class Literal final : public Grammar {
 public:
  explicit Literal(std::string_view text) : rest_(text) {}
  void filter(std::span<const Token> tokens, std::vector<bool>& allowed) override {
    allowed.assign(tokens.size(), false);
    for (size_t i = 0; i < tokens.size(); ++i) {
      allowed[i] = rest_.empty() ? tokens[i] == ToyVocabulary::kEnd || tokens[i] == ToyVocabulary::kTurnEnd
                                 : tokens[i] == static_cast<uint8_t>(rest_.front());
    }
  }
  Status accept(Token token) override {
    if (rest_.empty() || token != static_cast<uint8_t>(rest_.front())) {
      return fail(ErrorCode::internal, "the token does not fit the literal");
    }
    rest_.erase(0, 1);
    return {};
  }
  std::string forced(size_t most) override { return rest_.substr(0, most); }

 private:
  std::string rest_;
};

}  // namespace

Result<std::vector<Token>> ToyVocabulary::tokenize(std::string_view text, bool add_special, bool parse_special) const {
  std::vector<Token> tokens;
  if (add_special) tokens.push_back(kBegin);
  while (!text.empty()) {
    bool special = false;
    for (const auto& [name, token] : kSpecial) {
      if (!parse_special || !text.starts_with(name)) continue;
      tokens.push_back(token);
      text.remove_prefix(name.size());
      special = true;
      break;
    }
    if (special) continue;
    tokens.push_back(static_cast<uint8_t>(text.front()));
    text.remove_prefix(1);
  }
  return tokens;
}

std::string ToyVocabulary::piece(Token token) const {
  return token < kBegin ? std::string(1, static_cast<char>(token)) : std::string();
}

std::span<const Token> ToyVocabulary::end_tokens() const { return kEnds; }

Result<std::string> ToyVocabulary::render(std::span<const ChatMessage> messages) const {
  std::string text;
  for (const ChatMessage& m : messages) text += "<|im_start|>" + m.role + "\n" + m.content + "<|im_end|>\n";
  return text + "<|im_start|>assistant\n";
}

Result<std::unique_ptr<Grammar>> ToyVocabulary::grammar(std::string_view gbnf) const {
  if (gbnf == "invalid") return fail(ErrorCode::invalid_argument, "grammar: does not parse");
  return std::make_unique<Literal>(gbnf);
}

}  // namespace skep::engine
