#include "memory/fact.h"

#include <algorithm>
#include <cmath>

namespace skep::memory {

bool Filter::matches(const Fact& fact) const {
  if (agent && fact.agent != *agent && !(with_shared && fact.agent.empty())) return false;
  if ((from && fact.time < *from) || (to && fact.time >= *to)) return false;
  return std::all_of(tags.begin(), tags.end(), [&](const std::string& tag) {
    return std::binary_search(fact.tags.begin(), fact.tags.end(), tag);
  });
}

Status check(NewFact& fact) {
  const auto invalid = [](std::string why) { return fail(ErrorCode::invalid_argument, std::move(why)); };
  if (fact.text.find_first_not_of(" \t\r\n") == std::string::npos) return invalid("a fact has no text");
  if (fact.text.size() > kMostFactText) {
    return fail(ErrorCode::too_large,
                fmt::format("a fact has {} bytes of text, at most {} are kept", fact.text.size(), kMostFactText),
                "keep a summary, or several facts");
  }
  if (fact.agent.size() > kMostName || fact.source.size() > kMostName) {
    return invalid(fmt::format("the name of an agent or a source has more than {} bytes", kMostName));
  }
  if (fact.tags.size() > kMostTags) return invalid(fmt::format("a fact has more than {} tags", kMostTags));
  for (const std::string& tag : fact.tags) {
    if (tag.empty() || tag.size() > kMostName) return invalid("a tag is empty or too long");
  }
  for (const float x : fact.vector) {
    if (!std::isfinite(x)) return invalid("a vector has an entry that is not finite");
  }
  std::sort(fact.tags.begin(), fact.tags.end());
  fact.tags.erase(std::unique(fact.tags.begin(), fact.tags.end()), fact.tags.end());
  return {};
}

}  // namespace skep::memory
