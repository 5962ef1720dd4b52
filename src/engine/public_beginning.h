#pragma once
// How many tokens of a prompt say nothing but what is public (Generate::public_bytes). Which tokens these are depends
// on the public text alone: it is tokenized by itself, without its last few tokens, with which what follows might grow
// together. A prompt begins with all of them or has no public part, so that what is shared with others tells nothing of
// what stands behind it.

#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "engine/messages.h"
#include "engine/vocabulary.h"

namespace skep::engine {

class PublicBeginning {
 public:
  static constexpr size_t kRemembered = 64;  // texts; then all are forgotten

  // Not owned.
  explicit PublicBeginning(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  // `tokens`: of the whole prompt of `request`.
  int count(const Generate& request, std::span<const Token> tokens);

 private:
  // Role (of a chat; empty: raw), whether BOS and the like stand before it, text.
  using Key = std::tuple<std::string, bool, std::string>;
  [[nodiscard]] std::vector<Token> tokens_of(const Key& key) const;

  const Vocabulary& vocabulary_;
  std::map<Key, std::vector<Token>> known_;
};

}  // namespace skep::engine
