#pragma once
// Memory as JSON: the bodies of /api/memory and /api/agents/{name}/memory, and the lines of an export.

#include <string>
#include <vector>

#include "api/api_error.h"
#include "api/wire/fields.h"
#include "memory/memory_service.h"

namespace skep::api::wire {

// A fact alone, or {"facts": [...]}, at most kMostFacts. A fact: text, and agent, source, tags, time (RFC 3339 or
// seconds since 1970). `agent` is whose they are where the path says so; a fact then names no other.
inline constexpr size_t kMostFacts = 1000;
Parsed<std::vector<memory::NewFact>> parse_facts(const HttpRequest& request, std::optional<std::string> agent);
// query, limit, least_score and a filter: agent, shared, tags, from, to.
Parsed<memory::Query> parse_memory_query(const HttpRequest& request);
// The filter of a URL's query: agent, shared, tag (several by commas), from, to.
Parsed<memory::Filter> filter_of_url(const HttpRequest& request, std::optional<std::string> agent);
// value, and description, limit, read_only, version.
Parsed<memory::Block> parse_block(const HttpRequest& request, std::string owner, std::string label);

std::string facts_added(const std::vector<memory::Added>& added);
std::string facts_found(const std::vector<memory::Hit>& hits);
std::string facts_listed(const std::vector<memory::Fact>& facts, size_t limit);
std::string memory_statistics(const memory::MemoryStatistics& statistics);
std::string blocks_listed(const std::vector<memory::Block>& blocks);
std::string block(const memory::Block& block);

}  // namespace skep::api::wire
