#include "engine/drafts.h"

#include <xxhash.h>

#include <algorithm>

namespace skep::engine {
namespace {

constexpr Token kEndOfAnswer = -1;
constexpr double kWeight = 0.15;    // of the newest draft in a moving average
constexpr int kTryAgainAfter = 24;  // steps
constexpr size_t kLookBack = 4096;  // tokens of the own text that are searched

}  // namespace

void DraftLuck::record(int drafted, int accepted) {
  if (drafted == 0) return;
  acceptance_ += kWeight * (static_cast<double>(accepted) / drafted - acceptance_);
}

bool DraftLuck::pays(double cost) {
  if (acceptance_ > cost) return true;
  if (++refused_ < kTryAgainAfter) return false;
  refused_ = 0;
  return true;
}

uint64_t Drafts::key_of(uint64_t scope, std::span<const Token> last) {
  return XXH3_64bits_withSeed(last.data(), last.size_bytes(), scope);
}

std::vector<Token> Drafts::from_others(uint64_t scope, std::span<const Token> last, int most, int& agreed) const {
  std::vector<Token> text(last.begin(), last.end());
  while (static_cast<int>(text.size()) < kKey + most) {
    const uint64_t key = key_of(scope, std::span(text).last(kKey));
    auto found = following_.find(key);
    if (found == following_.end()) {
      found = earlier_.find(key);
      if (found == earlier_.end()) break;
    }
    if (found->second.agreed < 0 || found->second.token == kEndOfAnswer) break;
    if (text.size() == kKey) agreed = found->second.agreed;
    text.push_back(found->second.token);
  }
  return {text.begin() + kKey, text.end()};
}

std::vector<Token> Drafts::guess(const std::string& scope, std::span<const Token> tokens, int most) {
  most = std::min(most, kLongest);
  if (most < 1 || tokens.size() <= kKey) return {};
  const auto last = tokens.last(kKey);
  int agreed = 0;
  auto others = from_others(XXH3_64bits(scope.data(), scope.size()), last, most, agreed);
  if (agreed > 0) return others;
  // The latest place in the own text where the same tokens stood.
  const size_t from = tokens.size() > kLookBack ? tokens.size() - kLookBack : 0;
  for (size_t at = tokens.size() - kKey; at-- > from;) {
    if (!std::equal(last.begin(), last.end(), tokens.begin() + static_cast<std::ptrdiff_t>(at))) continue;
    const auto followed = tokens.subspan(at + kKey);
    const auto n = std::min(followed.size(), static_cast<size_t>(most));
    return {followed.begin(), followed.begin() + static_cast<std::ptrdiff_t>(n)};
  }
  return others;
}

void Drafts::learn(const std::string& scope, std::span<const Token> answer) {
  const uint64_t hash = XXH3_64bits(scope.data(), scope.size());
  for (size_t i = kKey; i <= answer.size(); ++i) {
    const uint64_t key = key_of(hash, answer.subspan(i - kKey, kKey));
    const Token next = i < answer.size() ? answer[i] : kEndOfAnswer;
    if (following_.size() >= kKnown) {
      earlier_ = std::move(following_);
      following_.clear();
    }
    auto [at, fresh] = following_.try_emplace(key, Following{next, 0});
    if (fresh) {
      const auto old = earlier_.find(key);
      if (old == earlier_.end()) continue;
      at->second = old->second;
    }
    Following& known = at->second;
    known.agreed = known.token == next ? std::min(known.agreed + 1, kAgreed) : kParted;
    known.token = next;
  }
}

}  // namespace skep::engine
