#include "scheduling/eviction.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdint>
#include <numeric>
#include <tuple>

namespace skep::scheduling {
namespace {

double loss(const Candidate& candidate) { return seconds(candidate.reload_cost) * candidate.chance; }

// Every subset: least loss, then fewest bytes taken, then fewest engines.
std::vector<size_t> exact(std::span<const Candidate> candidates, Bytes needed) {
  std::optional<std::tuple<double, int64_t, int>> best;
  uint32_t chosen = 0;
  for (uint32_t set = 1; set < 1U << candidates.size(); ++set) {
    double lost = 0;
    Bytes freed;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if ((set >> i & 1U) == 0) continue;
      lost += loss(candidates[i]);
      freed += candidates[i].bytes;
    }
    if (freed < needed) continue;
    const std::tuple price(lost, freed.count, std::popcount(set));
    if (!best || price < *best) {
      best = price;
      chosen = set;
    }
  }
  std::vector<size_t> victims;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if ((chosen >> i & 1U) != 0) victims.push_back(i);
  }
  return victims;
}

std::vector<size_t> greedy(std::span<const Candidate> candidates, Bytes needed) {
  std::vector<size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return value(candidates[a]) < value(candidates[b]); });
  std::vector<size_t> victims;
  Bytes freed;
  for (const size_t i : order) {
    if (freed >= needed) break;
    victims.push_back(i);
    freed += candidates[i].bytes;
  }
  // The most valuable first: keep what the others have made unnecessary.
  for (size_t at = victims.size(); at-- > 0;) {
    const Bytes without = freed - candidates[victims[at]].bytes;
    if (without < needed) continue;
    freed = without;
    victims.erase(victims.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return victims;
}

}  // namespace

double chance_of_use(double distance, std::optional<int> queued, int queue_visits) {
  assert(distance >= 1 && queue_visits >= 0);
  if (queued) return 1 / (1 + static_cast<double>(*queued));
  return 1 / (distance + queue_visits);
}

double value(const Candidate& candidate) {
  const double gib =
      std::max<double>(1, static_cast<double>(candidate.bytes.count)) / static_cast<double>((1_GiB).count);
  return loss(candidate) / gib;
}

std::optional<std::vector<size_t>> choose_victims(std::span<const Candidate> candidates, Bytes needed) {
  if (needed <= Bytes()) return std::vector<size_t>{};
  Bytes all;
  for (const Candidate& candidate : candidates) all += candidate.bytes;
  if (all < needed) return std::nullopt;
  auto victims = candidates.size() <= kExactCandidates ? exact(candidates, needed) : greedy(candidates, needed);
  std::stable_sort(victims.begin(), victims.end(),
                   [&](size_t a, size_t b) { return value(candidates[a]) < value(candidates[b]); });
  return victims;
}

}  // namespace skep::scheduling
