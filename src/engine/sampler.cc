#include "engine/sampler.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace skep::engine {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// A token this far below the best, in units of the temperature, has e^-30 of its chance: all of a vocabulary of such
// tokens together weigh less than a double's rounding of the sum.
constexpr float kNegligible = 30.0F;
constexpr int kSingleTries = 8;  // tokens that a grammar is asked about one by one
constexpr size_t kChunk = 256;   // then so many of the best at once, then all

// The first of the highest. Eight running maxima keep the loop free of a serial dependence (and vectorised).
size_t argmax(std::span<const float> values) {
  constexpr size_t kLanes = 8;
  float best[kLanes];
  std::fill(std::begin(best), std::end(best), kNever);
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t l = 0; l < kLanes; ++l) best[l] = values[i + l] > best[l] ? values[i + l] : best[l];
  }
  float highest = *std::max_element(std::begin(best), std::end(best));
  for (; i < values.size(); ++i) highest = std::max(highest, values[i]);
  const auto at = std::find(values.begin(), values.end(), highest);
  return at == values.end() ? 0 : static_cast<size_t>(at - values.begin());  // end: all are NaN
}

}  // namespace

Sampler::Sampler(Sampling sampling, uint32_t seed, std::span<const Token> suppressed)
    : sampling_(std::move(sampling)), seed_(seed), random_(seed), suppressed_(suppressed.begin(), suppressed.end()) {}

void Sampler::accept(Token token) {
  if (sampling_.penalty_last_n <= 0) return;
  recent_.push_back(token);
  ++counts_[token];
  if (recent_.size() <= static_cast<size_t>(sampling_.penalty_last_n)) return;
  const auto oldest = counts_.find(recent_.front());
  if (--oldest->second == 0) counts_.erase(oldest);
  recent_.pop_front();
}

void Sampler::replay(Token token) {
  accept(token);
  ++chosen_;
}

bool Sampler::adjusts() const {
  const bool penalties =
      (sampling_.repeat_penalty != 1 || sampling_.presence_penalty != 0 || sampling_.frequency_penalty != 0) &&
      !counts_.empty();
  return penalties || !sampling_.logit_bias.empty() || !suppressed_.empty();
}

std::span<const float> Sampler::adjusted(std::span<const float> logits) {
  scratch_.assign(logits.begin(), logits.end());
  const auto valid = [&](Token t) { return t >= 0 && static_cast<size_t>(t) < scratch_.size(); };
  for (const auto& [token, bias] : sampling_.logit_bias) {
    if (valid(token)) scratch_[static_cast<size_t>(token)] += bias;
  }
  for (const auto& [token, count] : counts_) {
    if (!valid(token)) continue;
    float& logit = scratch_[static_cast<size_t>(token)];
    logit = logit <= 0 ? logit * sampling_.repeat_penalty : logit / sampling_.repeat_penalty;  // Keskar et al. 2019
    logit -= static_cast<float>(count) * sampling_.frequency_penalty + sampling_.presence_penalty;
  }
  for (const Token token : suppressed_) {
    if (valid(token)) scratch_[static_cast<size_t>(token)] = kNever;
  }
  return scratch_;
}

std::optional<Token> Sampler::sample(std::span<const float> logits, Grammar* grammar) {
  assert(!logits.empty());
  if (sampling_.temperature > 0) random_ = Random(mix_bits(uint64_t{seed_} << 32U | (chosen_ & UINT32_MAX)));
  ++chosen_;
  if (adjusts()) logits = adjusted(logits);
  std::optional<Token> token = choose(logits);
  if (grammar == nullptr || !token) return token;
  std::vector<bool> allowed;
  for (int tries = 0; tries < kSingleTries && token; ++tries) {
    grammar->filter({&*token, 1}, allowed);
    if (allowed[0]) return token;
    if (logits.data() != scratch_.data()) {
      scratch_.assign(logits.begin(), logits.end());
      logits = scratch_;
    }
    scratch_[static_cast<size_t>(*token)] = kNever;
    token = choose(scratch_);
  }
  return choose_allowed(*grammar);
}

// The grammar is narrow here: everything that it forbids is removed. Greedy needs only the best that is allowed, which
// stands among the few best almost always.
std::optional<Token> Sampler::choose_allowed(Grammar& grammar) {
  std::vector<Token> order;
  order.reserve(scratch_.size());
  for (size_t t = 0; t < scratch_.size(); ++t) {
    if (scratch_[t] > kNever) order.push_back(static_cast<Token>(t));
  }
  std::vector<bool> allowed;
  if (sampling_.temperature <= 0 && order.size() > kChunk) {
    const auto better = [this](Token a, Token b) {
      const float x = scratch_[static_cast<size_t>(a)];
      const float y = scratch_[static_cast<size_t>(b)];
      return x != y ? x > y : a < b;
    };
    std::partial_sort(order.begin(), order.begin() + kChunk, order.end(), better);
    grammar.filter({order.data(), kChunk}, allowed);
    for (size_t i = 0; i < kChunk; ++i) {
      if (allowed[i]) return order[i];
    }
  }
  grammar.filter(order, allowed);
  for (size_t i = 0; i < order.size(); ++i) {
    if (!allowed[i]) scratch_[static_cast<size_t>(order[i])] = kNever;
  }
  return choose(scratch_);
}

std::optional<Token> Sampler::choose(std::span<const float> logits) {
  const size_t best = argmax(logits);
  if (!(logits[best] > kNever)) return std::nullopt;  // nothing is left, or all is NaN
  if (sampling_.temperature <= 0) return static_cast<Token>(best);
  return draw(logits, logits[best]);
}

// Fills candidates_ with what can still be drawn, best first as far as the settings need it.
void Sampler::collect(std::span<const float> logits, float highest) {
  float floor = highest - kNegligible * std::max(1.0F, sampling_.temperature);
  candidates_.clear();
  for (size_t t = 0; t < logits.size(); ++t) {
    if (logits[t] >= floor) candidates_.push_back({logits[t], static_cast<Token>(t)});
  }
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  const bool cuts_k = sampling_.top_k > 0 && static_cast<size_t>(sampling_.top_k) < candidates_.size();
  if (cuts_k) {
    const auto kept = candidates_.begin() + sampling_.top_k;
    std::nth_element(candidates_.begin(), kept, candidates_.end(), better);
    candidates_.erase(kept, candidates_.end());
  }
  if (sampling_.top_p < 1) {
    double total = 0;
    for (const Candidate& c : candidates_) total += std::exp(static_cast<double>(c.logit - highest));
    // Sorted in growing parts: the nucleus is most often a small one.
    double sum = 0;
    size_t sorted = 0;
    size_t kept = 0;
    const double wanted = total * std::max(0.0, static_cast<double>(sampling_.top_p));
    while (kept < candidates_.size() && (kept == 0 || sum < wanted)) {
      if (kept == sorted) {
        sorted = std::min(candidates_.size(), std::max<size_t>(64, sorted * 4));
        std::partial_sort(candidates_.begin() + static_cast<std::ptrdiff_t>(kept),
                          candidates_.begin() + static_cast<std::ptrdiff_t>(sorted), candidates_.end(), better);
      }
      sum += std::exp(static_cast<double>(candidates_[kept++].logit - highest));
    }
    candidates_.resize(kept);
  }
  if (sampling_.min_p > 0) {
    floor = highest + std::log(sampling_.min_p);
    std::erase_if(candidates_, [floor](const Candidate& c) { return c.logit < floor; });
  }
}

Token Sampler::draw(std::span<const float> logits, float highest) {
  collect(logits, highest);
  assert(!candidates_.empty());
  weights_.clear();
  double total = 0;
  for (const Candidate& c : candidates_) {
    total += std::exp(static_cast<double>((c.logit - highest) / sampling_.temperature));
    weights_.push_back(total);
  }
  const double point = random_.uniform() * total;
  const auto at = std::upper_bound(weights_.begin(), weights_.end(), point);
  const auto index = std::min(static_cast<size_t>(at - weights_.begin()), candidates_.size() - 1);
  return candidates_[index].token;
}

Logprobs logprobs_of(std::span<const float> logits, Token token, int top) {
  const float highest = logits[argmax(logits)];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - highest));
  const double base = static_cast<double>(highest) + std::log(sum);
  const auto logprob = [&](Token t) {
    return static_cast<float>(static_cast<double>(logits[static_cast<size_t>(t)]) - base);
  };
  Logprobs result{logprob(token), {}};
  std::vector<Token> order(logits.size());
  for (size_t t = 0; t < order.size() && top > 0; ++t) order[t] = static_cast<Token>(t);
  const auto kept = static_cast<std::ptrdiff_t>(std::min(logits.size(), static_cast<size_t>(std::max(0, top))));
  std::partial_sort(order.begin(), order.begin() + kept, order.end(), [&](Token a, Token b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  for (std::ptrdiff_t i = 0; i < kept; ++i)
    result.top.emplace_back(order[static_cast<size_t>(i)], logprob(order[static_cast<size_t>(i)]));
  return result;
}

}  // namespace skep::engine
