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

uint64_t Drafts::key_of(const std::string& scope, std::span<const Token> last) {
  return XXH3_64bits_withSeed(last.data(), last.size_bytes(), XXH3_64bits(scope.data(), scope.size()));
}

std::vector<Token> Drafts::guess(const std::string& scope, std::span<const Token> tokens, int most) {
  most = std::min(most, kLongest);
  if (most < 1 || tokens.size() <= kKey) return {};
  const auto last = tokens.last(kKey);
  // The latest place in the own text where the same tokens stood.
  const size_t from = tokens.size() > kLookBack ? tokens.size() - kLookBack : 0;
  for (size_t at = tokens.size() - kKey; at-- > from;) {
    if (!std::equal(last.begin(), last.end(), tokens.begin() + static_cast<std::ptrdiff_t>(at))) continue;
    const auto followed = tokens.subspan(at + kKey);
    const auto n = std::min(followed.size(), static_cast<size_t>(most));
    return {followed.begin(), followed.begin() + static_cast<std::ptrdiff_t>(n)};
  }
  const auto found = following_.find(key_of(scope, last));
  if (found == following_.end()) return {};
  std::vector<Token> draft;
  for (size_t at = found->second; at < written_ && draft.size() < static_cast<size_t>(most); ++at) {
    if (written_ - at > kTokens) break;  // overwritten
    const Token token = text_[at % kTokens];
    if (token == kEndOfAnswer) break;
    draft.push_back(token);
  }
  return draft;
}

void Drafts::learn(const std::string& scope, std::span<const Token> answer) {
  if (text_.empty()) text_.resize(kTokens);
  answer = answer.first(std::min(answer.size(), kTokens / 4));
  if (following_.size() > 2 * kTokens) following_.clear();  // most point to what is overwritten
  for (size_t i = 0; i < answer.size(); ++i) {
    if (i >= kKey) following_[key_of(scope, answer.subspan(i - kKey, kKey))] = written_;
    text_[written_++ % kTokens] = answer[i];
  }
  text_[written_++ % kTokens] = kEndOfAnswer;
}

}  // namespace skep::engine
