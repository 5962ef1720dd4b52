#pragma once
// Turns the bytes of tokens into whole UTF-8 characters: the beginning of one is held back until the rest arrives, and
// what can't become one is replaced by U+FFFD, one per maximal broken part (Unicode 15, 3.9, table 3-8). So is NUL,
// which ends texts in C and which no message may hold: a model that says one could not be told what it has said.

#include <string>
#include <string_view>

namespace skep::engine {

class Utf8Stream {
 public:
  // The characters that `bytes` complete.
  std::string feed(std::string_view bytes);
  // The end: what is still held back, as U+FFFD.
  std::string finish();

 private:
  std::string held_;  // at most 3 bytes, the beginning of a valid character
};

}  // namespace skep::engine
