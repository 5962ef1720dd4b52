#include "engine/llama_vocabulary.h"

#include <llama.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/llama_library.h"

namespace skep::engine {
namespace {

constexpr size_t kTextBytes = 64U << 20U;

std::string piece_of(const llama_vocab* vocabulary, Token token) {
  std::string text(32, '\0');
  int n = llama_token_to_piece(vocabulary, token, text.data(), static_cast<int>(text.size()), 0, false);
  if (n < 0) {
    text.resize(static_cast<size_t>(-n));
    n = llama_token_to_piece(vocabulary, token, text.data(), static_cast<int>(text.size()), 0, false);
  }
  text.resize(static_cast<size_t>(std::max(0, n)));
  return text;
}

// One generation's place in a grammar. libllama masks whole candidate lists; a list of one answers "may this come".
// Asked about a whole vocabulary, it looks at every token. What begins with a character that may not come may not come
// either, so of many the single characters are asked about first, and then the tokens that begin with one of those
// that may.
class LlamaGrammar final : public Grammar {
 public:
  // `beginnings` outlives it.
  LlamaGrammar(llama_sampler* sampler, const Beginnings& beginnings) : sampler_(sampler), beginnings_(beginnings) {}
  LlamaGrammar(const LlamaGrammar&) = delete;
  LlamaGrammar& operator=(const LlamaGrammar&) = delete;
  ~LlamaGrammar() override { llama_sampler_free(sampler_); }

  void filter(std::span<const Token> tokens, std::vector<bool>& allowed) override {
    constexpr size_t kFew = 64;
    if (tokens.size() <= kFew) return ask(*sampler_, tokens, allowed);
    std::array<bool, Beginnings::kAscii> may_begin{};
    std::vector<Token> asked;
    for (const Token character : beginnings_.single) asked.push_back(std::max(character, 0));
    ask(*sampler_, asked, allowed);
    for (size_t c = 0; c < may_begin.size(); ++c) may_begin.at(c) = allowed[c];
    asked.clear();
    std::vector<size_t> at;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const uint8_t first = beginnings_.first[static_cast<size_t>(tokens[i])];
      if (first != 0 && !may_begin.at(first)) continue;
      asked.push_back(tokens[i]);
      at.push_back(i);
    }
    std::vector<bool> answers;
    ask(*sampler_, asked, answers);
    allowed.assign(tokens.size(), false);
    for (size_t i = 0; i < at.size(); ++i) allowed[at[i]] = answers[i];
  }

  Status accept(Token token) override {
    try {
      llama_sampler_accept(sampler_, token);
      return {};
    } catch (const std::exception& thrown) {
      return fail(ErrorCode::internal, fmt::format("grammar: {}", thrown.what()));
    }
  }

  // As long as one ASCII character alone may come. (Others might, too: they are not asked about.)
  std::string forced(size_t most) override {
    std::string text;
    std::unique_ptr<llama_sampler, Free> ahead;
    std::vector<Token> asked;
    std::string characters;  // of them
    for (size_t c = 0; c < Beginnings::kAscii; ++c) {
      if (beginnings_.single.at(c) < 0) continue;
      asked.push_back(beginnings_.single.at(c));
      characters.push_back(static_cast<char>(c));
    }
    std::vector<bool> allowed;
    while (text.size() < most) {
      ask(ahead ? *ahead : *sampler_, asked, allowed);
      if (std::count(allowed.begin(), allowed.end(), true) != 1) break;
      const auto only = static_cast<size_t>(std::find(allowed.begin(), allowed.end(), true) - allowed.begin());
      if (!ahead) ahead.reset(llama_sampler_clone(sampler_));
      try {
        llama_sampler_accept(ahead.get(), asked[only]);
      } catch (const std::exception&) {
        break;
      }
      text.push_back(characters[only]);
    }
    return text;
  }

 private:
  struct Free {
    void operator()(llama_sampler* sampler) const { llama_sampler_free(sampler); }
  };

  void ask(llama_sampler& sampler, std::span<const Token> tokens, std::vector<bool>& allowed) {
    candidates_.clear();
    for (const Token token : tokens) candidates_.push_back({token, 1.0F, 0.0F});
    llama_token_data_array array{candidates_.data(), candidates_.size(), -1, false};
    allowed.assign(tokens.size(), false);
    try {
      llama_sampler_apply(&sampler, &array);
    } catch (const std::exception&) {
      return;
    }
    for (size_t i = 0; i < tokens.size(); ++i) allowed[i] = !std::isinf(candidates_[i].logit);
  }

  llama_sampler* sampler_;
  const Beginnings& beginnings_;
  std::vector<llama_token_data> candidates_;
};

Result<std::string> apply_template(const std::string& text, std::span<const ChatMessage> messages) {
  std::vector<llama_chat_message> chat;
  size_t bytes = 256;
  for (const ChatMessage& m : messages) {
    chat.push_back({m.role.c_str(), m.content.c_str()});
    bytes += m.role.size() + m.content.size() + 64;
  }
  std::string out(bytes, '\0');
  int n = llama_chat_apply_template(text.c_str(), chat.data(), chat.size(), true, out.data(), static_cast<int>(bytes));
  if (n > static_cast<int>(bytes)) {
    out.resize(static_cast<size_t>(n));
    n = llama_chat_apply_template(text.c_str(), chat.data(), chat.size(), true, out.data(), n);
  }
  if (n < 0) return fail(ErrorCode::unsupported, "libllama does not know this chat template");
  out.resize(static_cast<size_t>(n));
  return out;
}

std::string known_templates() {
  std::vector<const char*> names(256);
  const int n = llama_chat_builtin_templates(names.data(), names.size());
  std::string text;
  for (int i = 0; i < std::min<int>(n, static_cast<int>(names.size())); ++i) {
    text += std::string(i == 0 ? "" : ", ") + names[static_cast<size_t>(i)];
  }
  return text;
}

}  // namespace

LlamaVocabulary::LlamaVocabulary(const llama_vocab* vocabulary) : vocabulary_(vocabulary) {
  const int size = llama_vocab_n_tokens(vocabulary);
  pieces_.reserve(static_cast<size_t>(size));
  for (Token t = 0; t < size; ++t) {
    pieces_.push_back(piece_of(vocabulary, t));
    if (llama_vocab_is_eog(vocabulary, t)) end_tokens_.push_back(t);
  }
  const auto first = [](const std::string& piece) { return piece.empty() ? '\0' : piece.front(); };
  const auto is_ascii = [](char c) { return c > 0; };
  for (Token t = 0; t < size; ++t) {
    const std::string& piece = pieces_[static_cast<size_t>(t)];
    if (piece.size() == 1 && is_ascii(piece[0])) beginnings_.single.at(static_cast<size_t>(piece[0])) = t;
  }
  for (const std::string& piece : pieces_) {
    const char c = first(piece);
    const bool known = is_ascii(c) && beginnings_.single.at(static_cast<size_t>(c)) >= 0;
    beginnings_.first.push_back(known ? static_cast<uint8_t>(c) : 0);
  }
}

Result<std::unique_ptr<LlamaVocabulary>> LlamaVocabulary::make(const LlamaModel& model) {
  const llama_vocab* vocabulary = llama_model_get_vocab(model.model());
  if (llama_vocab_type(vocabulary) == LLAMA_VOCAB_TYPE_NONE) {
    return fail(ErrorCode::unsupported, fmt::format("{}: the model has no vocabulary", model.options().path));
  }
  std::unique_ptr<LlamaVocabulary> made(new LlamaVocabulary(vocabulary));
  if (model.loaded().can_generate) SKEP_CHECK(made->choose_template(model));
  return made;
}

Status LlamaVocabulary::choose_template(const LlamaModel& model) {
  const std::string& chosen = model.options().chat_template;
  const char* own = llama_model_chat_template(model.model(), nullptr);
  if (chosen.empty() && own == nullptr) return {};
  template_ = chosen.empty() ? own : chosen;
  const ChatMessage probe[] = {{"user", "x"}};
  if (!apply_template(template_, probe)) {
    return fail(ErrorCode::unsupported,
                fmt::format("{}: libllama does not know {}", model.options().path,
                            chosen.empty() ? "the chat template of this model" : "the chat_template given"),
                "set chat_template for this model to one of: " + known_templates());
  }
  template_name_ = chosen.empty() ? "own" : chosen.find_first_of("{\n") == std::string::npos ? chosen : "override";
  return {};
}

Result<std::vector<Token>> LlamaVocabulary::tokenize(std::string_view text, bool add_special,
                                                     bool parse_special) const {
  if (text.size() > kTextBytes) return fail(ErrorCode::too_large, fmt::format("a text of {} bytes", text.size()));
  std::vector<Token> tokens(text.size() + 8);
  try {
    const auto call = [&] {
      return llama_tokenize(vocabulary_, text.data(), static_cast<int>(text.size()), tokens.data(),
                            static_cast<int>(tokens.size()), add_special, parse_special);
    };
    int n = call();
    if (n < 0 && n != INT32_MIN) {
      tokens.resize(static_cast<size_t>(-n));
      n = call();
    }
    if (n < 0) return fail(ErrorCode::internal, "the text could not be tokenized");
    tokens.resize(static_cast<size_t>(n));
    return tokens;
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::invalid_argument, fmt::format("the text could not be tokenized: {}", thrown.what()));
  }
}

bool LlamaVocabulary::ends_generation(Token token) const {
  return std::binary_search(end_tokens_.begin(), end_tokens_.end(), token);
}

bool LlamaVocabulary::is_control(Token token) const { return llama_vocab_is_control(vocabulary_, token); }

Result<std::string> LlamaVocabulary::render(std::span<const ChatMessage> messages) const {
  if (template_.empty()) {
    return fail(ErrorCode::invalid_argument, "this model has no chat template",
                "set chat_template for this model, or send a raw prompt");
  }
  for (const ChatMessage& m : messages) {
    if (m.content.find('\0') != std::string::npos || m.role.find('\0') != std::string::npos) {
      return fail(ErrorCode::invalid_argument, "a message contains a NUL character");
    }
  }
  return apply_template(template_, messages);
}

Result<std::unique_ptr<Grammar>> LlamaVocabulary::grammar(std::string_view gbnf) const {
  take_llama_errors();
  llama_sampler* sampler = nullptr;
  std::string why;
  try {
    sampler = llama_sampler_init_grammar(vocabulary_, std::string(gbnf).c_str(), "root");
  } catch (const std::exception& thrown) {
    why = thrown.what();
  }
  if (sampler == nullptr) {
    const std::string logged = take_llama_errors();
    return fail(ErrorCode::invalid_argument, "the grammar does not parse: " + (why.empty() ? logged : why));
  }
  return std::make_unique<LlamaGrammar>(sampler, beginnings_);
}

}  // namespace skep::engine
