#pragma once
// What an agent's export is made of: lines of words and base64, with a checksum over them at the end.

#include <optional>
#include <string>
#include <string_view>

namespace skep::agent {

std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);

// "sum …\n", the last line of what has the lines `text`.
std::string sum_line(std::string_view text);
// The lines before the sum, if it is right.
std::optional<std::string_view> summed_lines(std::string_view text);

}  // namespace skep::agent
