#pragma once
// How hard a request looks, 0 to 1, from four factors that are read off the text. Deterministic, no model is asked;
// well under a millisecond (only the ends of long texts are read, see words.h).
//
//     score = 1 - prod_i (1 - factor_i)^(1.8 * weight_i)          (weights scaled to sum 1)
//
// and not the weighted mean: a short prompt may be hard, so a factor that is absent must not dilute the others. With
// 1.8 a request that is at 0.6 in every factor has the score 0.8.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "mind/language/request.h"

namespace skep::language {

constexpr int kFactors = 4;
constexpr std::array<const char*, kFactors> kFactorNames = {"reasoning depth", "context size", "expected output",
                                                            "domain expertise"};
using FactorWeights = std::array<double, kFactors>;

struct Complexity {
  std::array<double, kFactors> factors{};  // each 0..1, in the order of kFactorNames
  double score = 0;
  std::vector<std::string> reasons;  // what was seen, the weightiest first: "asks for a proof"
};

Complexity complexity_of(const Request& request, const FactorWeights& weights);

// Tokens that the request's text will take, by its length: about four bytes each, fewer for other scripts.
int estimate_tokens(const Request& request);
int estimate_tokens(std::string_view text);

}  // namespace skep::language
