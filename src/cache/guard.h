#pragma once
// The guard before a semantic hit: two questions may mean nearly the same to an embedding and ask for different things.
// "Is 81 degrees too hot?" is no answer to "Is 18 degrees too hot?", and neither is a yes to a no.
//
// Compared are, in their order: numbers (also written out, "eighty-one"), units, dates and times, signs and brackets,
// quoted text and code, names (capitalised words, but for those that sentences begin with), identifiers (pump-4,
// log_2); and, in any order: negations with what they are about ("tabs, not spaces"), and the words that turn a
// question round (min/max, before/after, when/where, this/next …). Any difference refuses: it refuses too often rather
// than too seldom. Its words are English, with the negations of some other languages; elsewhere numbers, quotes, names
// and identifiers still count. Pure.

#include <string>
#include <string_view>

namespace skep::cache {

struct GuardVerdict {
  bool same = true;
  std::string difference;  // "number: 81", for people
};

GuardVerdict compare_questions(std::string_view asked, std::string_view cached);

}  // namespace skep::cache
