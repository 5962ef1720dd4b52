#include "engine/drafts.h"

#include <xxhash.h>

#include <algorithm>

namespace skep::engine {
namespace {

constexpr Token kEndOfAnswer = -1;
constexpr double kWeight = 0.15;        // of the newest draft in a moving average
constexpr int kTryAgainAfter = 24;      // steps
constexpr size_t kLookBack = 4096;      // tokens of the own text that are searched
constexpr size_t kMostMatching = 16;    // tokens that are compared for a longer match
constexpr double kNewest = 1.0 / 32;    // weight of the newest token in a ground's chance
constexpr double kForgive = 1.0 / 512;  // of what a ground lacks to certainty, each time that it was not worth trying

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

Ground Drafts::matching(size_t tokens) {
  const int kind = tokens <= 3 ? 0 : tokens == 4 ? 1 : tokens <= 6 ? 2 : tokens <= 9 ? 3 : 4;
  return static_cast<Ground>(kAgreed + 1 + kind);
}

Drafts::Guess Drafts::from_others(uint64_t scope, std::span<const Token> last, int most) const {
  Guess guess;
  std::vector<Token> text(last.begin(), last.end());
  while (static_cast<int>(guess.tokens.size()) < most) {
    const uint64_t key = key_of(scope, std::span(text).last(kKey));
    auto found = following_.find(key);
    if (found == following_.end()) {
      found = earlier_.find(key);
      if (found == earlier_.end()) break;
    }
    if (found->second.agreed < 0 || found->second.token == kEndOfAnswer) break;
    guess.tokens.push_back(found->second.token);
    guess.grounds.push_back(static_cast<Ground>(found->second.agreed));
    text.push_back(found->second.token);
  }
  return guess;
}

Drafts::Guess Drafts::from_own(std::span<const Token> tokens, int most) {
  const auto last = tokens.last(kKey);
  const size_t from = tokens.size() > kLookBack ? tokens.size() - kLookBack : 0;
  size_t best = 0, longest = 0;
  for (size_t at = tokens.size() - kKey; at-- > from;) {
    if (!std::equal(last.begin(), last.end(), tokens.begin() + static_cast<std::ptrdiff_t>(at))) continue;
    size_t matching = kKey;
    while (matching < at + kKey - from && matching < kMostMatching &&
           tokens[at + kKey - 1 - matching] == tokens[tokens.size() - 1 - matching]) {
      ++matching;
    }
    if (matching <= longest) continue;
    longest = matching;
    best = at + kKey;
    if (longest == kMostMatching) break;
  }
  Guess guess;
  if (longest == 0) return guess;
  const auto followed = tokens.subspan(best);
  const auto n = std::min(followed.size(), static_cast<size_t>(most));
  guess.tokens.assign(followed.begin(), followed.begin() + static_cast<std::ptrdiff_t>(n));
  for (size_t i = 0; i < n; ++i) guess.grounds.push_back(matching(longest + i));
  return guess;
}

void Drafts::cut(Guess& guess, double cost) {
  double right = 1;  // the chance that all up to here are
  size_t worth = 0;
  while (worth < guess.tokens.size() && (right *= chance_[guess.grounds[worth]]) > cost) ++worth;
  if (worth == 0 && !guess.grounds.empty()) {
    double& chance = chance_[guess.grounds.front()];
    chance += kForgive * (1 - chance);
  }
  guess.tokens.resize(worth);
  guess.grounds.resize(worth);
}

Drafts::Guess Drafts::guess(const std::string& scope, std::span<const Token> tokens, std::span<const Token> forced,
                            int most, double cost) {
  most = std::min(most, kLongest);
  if (most < 1 || tokens.size() <= kKey) return {};
  std::array<Guess, 3> guesses;
  guesses[0] = from_own(tokens, most);
  guesses[1] = from_others(XXH3_64bits(scope.data(), scope.size()), tokens.last(kKey), most);
  for (size_t i = 0; i < forced.size() && static_cast<int>(i) < most; ++i) {
    guesses[2].tokens.push_back(forced[i]);
    guesses[2].grounds.push_back(i + 1 < forced.size() ? kForced : kForcedLast);
  }
  const auto chance = [&](const Guess& guess) { return guess.grounds.empty() ? -1 : chance_[guess.grounds.front()]; };
  Guess& best = *std::max_element(guesses.begin(), guesses.end(),
                                  [&](const Guess& a, const Guess& b) { return chance(a) < chance(b); });
  cut(best, cost);
  return std::move(best);
}

void Drafts::settle(std::span<const Ground> grounds, int accepted) {
  drafted_ += static_cast<int64_t>(grounds.size());
  accepted_ += accepted;
  for (size_t i = 0; i < grounds.size() && static_cast<int>(i) <= accepted; ++i) {
    const double right = static_cast<int>(i) < accepted ? 1 : 0;
    chance_[grounds[i]] += kNewest * (right - chance_[grounds[i]]);
  }
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
