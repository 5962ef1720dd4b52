#pragma once
// "Did you mean …?"

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace skep {

// The known word with the fewest slips from `word` (a letter added, dropped, replaced, or two neighbours swapped: the
// restricted Damerau-Levenshtein distance, letter case ignored), if there are few enough for it to be a slip: a third
// of the longer word. Ties go to the first.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> known);

// "did you mean 'budget'?", or empty.
std::string did_you_mean(std::string_view word, std::span<const std::string> known);

}  // namespace skep
