#pragma once
// Text cut into the words that full text searches by: runs of letters and digits of any script, in lower case, so that
// "Wörld" and "WÖRLD" are one word. What is no UTF-8 separates words. Pure.

#include <string>
#include <string_view>
#include <vector>

namespace skep::memory {

std::vector<std::string> words_of(std::string_view text);

}  // namespace skep::memory
