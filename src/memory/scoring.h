#pragma once
// How search results of long-term memory are ordered, and when two facts are one. Pure.
//
//     score = (w · text + (1 - w) · max(0, cosine)) · (floor + (1 - floor) · 2^(-age / half_life))
//
// text is BM25 divided by the best of the search. Without a vector on either side w is 1, without text in the query 0.
// The floor keeps an old fact that fits from sinking below a new one that does not.
//
// Blend::ranks is reciprocal rank fusion (Cormack, Clarke and Büttcher 2009) with a small constant: for each of the two
// lists 1 / place, places from 1, their mean. Age counts for nothing.

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "memory/fact.h"

namespace skep::memory {

struct Scoring {
  double text_weight = 0.3;
  Duration half_life = std::chrono::hours(24 * 30);
  double floor = 0.7;
  float same = 0.97F;  // cosine from which two facts of an agent may be one
};

inline double decay(const Scoring& s, Duration age) {
  if (age <= Duration::zero()) return 1;
  return s.floor + (1 - s.floor) * std::exp2(-seconds(age) / seconds(s.half_life));
}

// Sets the scores of what vectors (by_vector) and words (by_text) found, orders it, and cuts it to what was asked for.
void rank(std::vector<Hit>& hits, const Scoring& scoring, const Query& query, bool by_vector, bool by_text);

// Text as it is compared word for word: ASCII case, space and final punctuation make no difference.
std::string normalized(std::string_view text);

// Whether two texts of nearly the same vector may still say different things: other numbers, words in quotes or names
// (capitalised words after the first), or these in another order, or a negation in one alone. Vectors barely tell these
// apart.
bool differ_in_detail(std::string_view a, std::string_view b);

}  // namespace skep::memory
