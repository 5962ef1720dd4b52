#include "prompts.h"

#include <array>
#include <cstdint>

#include "base/random.h"

namespace skep::bench {
namespace {

constexpr std::array kWords = {
    "sensor",  "reading",  "pressure", "valve",    "pump",   "north",  "warehouse", "door",    "line",     "four",
    "report",  "the",      "status",   "of",       "every",  "unit",   "and",       "name",    "any",      "that",
    "is",      "above",    "its",      "limit",    "answer", "in",     "short",     "plain",   "words",    "before",
    "you",     "suggest",  "a",        "change",   "say",    "what",   "would",     "happen",  "if",       "nothing",
    "were",    "done",     "compare",  "with",     "last",   "week",   "keep",      "numbers", "as",       "they",
    "are",     "given",    "never",    "invent",   "value",  "when",   "data",      "missing", "so",       "ask",
    "another", "agent",    "for",      "help",     "only",   "after",  "own",       "tools",   "failed",   "log",
    "request", "client",   "server",   "timeout",  "memory", "budget", "queue",     "length",  "priority", "deploy",
    "version", "rollback", "service",  "database",
};

std::string words(uint64_t seed, int count) {
  Random random(seed);
  std::string text;
  for (int i = 0; i < count; ++i) {
    std::string word = kWords[random.next() % kWords.size()];
    bool starts = text.empty() || text.ends_with(". ");
    if (starts) word[0] = static_cast<char>(word[0] - 'a' + 'A');
    text += word;
    text += i + 1 == count ? "." : (i % 11 == 10 ? ". " : " ");
  }
  return text;
}

}  // namespace

std::string preamble() { return words(7, 220); }
std::string role(int agent) { return words(1000 + static_cast<uint64_t>(agent), 40); }
std::string task(int agent, int round) {
  return words(100'000 * (1 + static_cast<uint64_t>(round)) + static_cast<uint64_t>(agent), 25);
}

}  // namespace skep::bench
