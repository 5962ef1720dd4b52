#pragma once
// The words that the 131 agents hear: made from a seed, the same for every server.

#include <string>

namespace skep::bench {

std::string preamble();                  // about 220 words, common to all
std::string role(int agent);             // about 40 words
std::string task(int agent, int round);  // about 25 words

}  // namespace skep::bench
