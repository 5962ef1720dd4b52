#include "engine/public_beginning.h"

#include <algorithm>
#include <array>

namespace skep::engine {
namespace {

// A tokenizer joins within a word, and line breaks; this is more than it takes.
constexpr size_t kMayJoin = 4;

}  // namespace

int PublicBeginning::count(const Generate& request, std::span<const Token> tokens) {
  if (request.public_bytes <= 0) return 0;
  const bool chat = !request.messages.empty();
  const std::string& whole = chat ? request.messages.front().content : request.prompt;
  const auto size = static_cast<size_t>(request.public_bytes);
  if (size > whole.size()) return 0;
  const Key key(chat ? request.messages.front().role : "", chat || request.add_special, whole.substr(0, size));
  auto found = known_.find(key);
  if (found == known_.end()) {
    if (known_.size() >= kRemembered) known_.clear();
    found = known_.emplace(key, tokens_of(key)).first;
  }
  const std::vector<Token>& open = found->second;
  const bool begins = open.size() < tokens.size() && std::equal(open.begin(), open.end(), tokens.begin());
  return begins ? static_cast<int>(open.size()) : 0;
}

// With what the chat template puts before it. A template that changes the text, or moves it, has no public part.
std::vector<Token> PublicBeginning::tokens_of(const Key& key) const {
  const auto& [role, special, text] = key;
  std::string before = text;
  if (!role.empty()) {
    const std::array<ChatMessage, 1> alone = {{{role, text}}};
    const auto rendered = vocabulary_.render(alone);
    const size_t at = rendered ? rendered->find(text) : std::string::npos;
    if (at == std::string::npos) return {};
    before = rendered->substr(0, at + text.size());
  }
  auto tokens = vocabulary_.tokenize(before, special, true);
  if (!tokens || tokens->size() <= kMayJoin) return {};
  tokens->resize(tokens->size() - kMayJoin);
  return std::move(*tokens);
}

}  // namespace skep::engine
