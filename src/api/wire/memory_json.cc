#include "api/wire/memory_json.h"

#include <boost/json.hpp>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "api/wire/json_text.h"
#include "api/wire/ollama_time.h"

namespace skep::api::wire {
namespace {

namespace json = boost::json;
using memory::Block;
using memory::Fact;

// RFC 3339 in UTC or with an offset, or seconds since 1970.
std::optional<WallTime> parse_time(const std::string& text) {
  double seconds = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (wrong == std::errc() && end == text.data() + text.size()) {
    if (!(seconds > -9e9 && seconds < 9e9)) return std::nullopt;
    return WallTime(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds)));
  }
  std::tm tm{};
  int read = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
                  &tm.tm_min, &tm.tm_sec, &read) != 6) {
    return std::nullopt;
  }
  tm.tm_year -= 1900;
  --tm.tm_mon;
  int64_t nanoseconds = 0;
  size_t at = static_cast<size_t>(read);
  if (at < text.size() && text[at] == '.') {
    int64_t unit = 100'000'000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10)
      nanoseconds += unit * (text[at] - '0');
  }
  int64_t offset = 0;
  if (text.substr(at) != "Z" && text.substr(at) != "z") {
    int hours = 0, minutes = 0;
    if (at + 6 != text.size() || std::sscanf(text.c_str() + at + 1, "%2d:%2d", &hours, &minutes) != 2)
      return std::nullopt;
    offset = (text[at] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
  }
  if (tm.tm_year < -1000 || tm.tm_year > 300) return std::nullopt;  // what nanoseconds in 64 bits can say
  const int64_t since = static_cast<int64_t>(timegm(&tm)) - offset;
  if (since < -9'000'000'000 || since > 9'000'000'000) return std::nullopt;
  return WallTime(std::chrono::seconds(since) + Duration(nanoseconds));
}

std::optional<WallTime> read_time(Fields& body, std::string_view name) {
  const json::value* value = body.find(name);
  if (value == nullptr) return std::nullopt;
  std::optional<WallTime> time;
  if (value->is_string()) time = parse_time(std::string(value->as_string()));
  if (value->is_number()) time = parse_time(fmt::format("{}", value->to_number<double>()));
  if (!time) body.bad(name, "must be a time: 2026-11-21T09:30:00Z, or seconds since 1970");
  return time;
}

memory::NewFact read_fact(Fields& body, const std::optional<std::string>& agent) {
  memory::NewFact fact;
  fact.text = body.required_text("text");
  fact.agent = agent ? *agent : body.text_or("agent", "");
  if (agent && body.has("agent") && body.text_or("agent", "") != *agent) {
    body.bad("agent", fmt::format("the path says '{}'", *agent));
  }
  fact.source = body.text_or("source", "");
  fact.tags = body.texts("tags", memory::kMostTags);
  fact.time = read_time(body, "time").value_or(WallTime{});
  return fact;
}

json::object fact_object(const Fact& fact) {
  json::object object{{"id", fact.id}, {"agent", valid_utf8(fact.agent)}, {"text", valid_utf8(fact.text)}};
  object["source"] = valid_utf8(fact.source);
  json::array tags;
  for (const std::string& tag : fact.tags) tags.emplace_back(valid_utf8(tag));
  object["tags"] = std::move(tags);
  object["time"] = rfc3339(fact.time);
  return object;
}

json::object block_object(const Block& b) {
  return {{"owner", b.owner},
          {"label", b.label},
          {"value", valid_utf8(b.value)},
          {"description", valid_utf8(b.description)},
          {"limit", b.limit},
          {"read_only", b.read_only},
          {"version", b.version},
          {"changed", rfc3339(b.changed)}};
}

ApiError bad_url(std::string_view name, std::string message) {
  return {{ErrorCode::invalid_argument, fmt::format("{}: {}", name, message), ""}, std::string(name)};
}

}  // namespace

Parsed<std::vector<memory::NewFact>> parse_facts(const HttpRequest& request, std::optional<std::string> agent) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);
  std::vector<memory::NewFact> facts;
  if (body.has("facts")) {
    for (Fields& one : body.objects("facts", kMostFacts)) facts.push_back(read_fact(one, agent));
  } else {
    facts.push_back(read_fact(body, agent));
  }
  if (error) return tl::unexpected(*error);
  return facts;
}

Parsed<memory::Query> parse_memory_query(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);
  memory::Query query;
  query.text = body.required_text("query");
  query.limit = static_cast<size_t>(body.integer("limit", 1, memory::kMostHits).value_or(5));
  query.least_score = static_cast<double>(body.number("least_score", 0, 1).value_or(0));
  query.filter.agent = body.text("agent");
  query.filter.with_shared = body.boolean("shared").value_or(true);
  query.filter.tags = body.texts("tags", memory::kMostTags);
  query.filter.from = read_time(body, "from");
  query.filter.to = read_time(body, "to");
  if (const auto blend = body.text("blend")) {
    if (*blend != "weighted" && *blend != "ranks") return tl::unexpected(bad_url("blend", "must be weighted or ranks"));
    query.blend = *blend == "ranks" ? memory::Blend::ranks : memory::Blend::weighted;
  }
  if (error) return tl::unexpected(*error);
  return query;
}

Parsed<memory::Filter> filter_of_url(const HttpRequest& request, std::optional<std::string> agent) {
  memory::Filter filter;
  filter.agent = std::move(agent);
  if (!filter.agent) {
    if (const std::string named = request.query_value("agent"); !named.empty()) filter.agent = named;
  }
  filter.with_shared = request.query_value("shared") == "true";
  const std::string tags = request.query_value("tag");
  for (size_t begin = 0; begin < tags.size();) {
    const size_t end = std::min(tags.find(',', begin), tags.size());
    if (end > begin) filter.tags.push_back(tags.substr(begin, end - begin));
    begin = end + 1;
  }
  for (auto* bound : {&filter.from, &filter.to}) {
    const char* name = bound == &filter.from ? "from" : "to";
    const std::string text = request.query_value(name);
    if (text.empty()) continue;
    *bound = parse_time(text);
    if (!*bound) return tl::unexpected(bad_url(name, "must be a time: 2026-11-21T09:30:00Z, or seconds since 1970"));
  }
  return filter;
}

Parsed<Block> parse_block(const HttpRequest& request, std::string owner, std::string label) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);
  Block b;
  b.owner = std::move(owner);
  b.label = std::move(label);
  b.value = body.text("value").value_or("");
  if (!body.has("value")) body.bad("value", "is missing");
  b.description = body.text_or("description", "");
  b.limit = static_cast<size_t>(body.integer("limit", 1, static_cast<int64_t>(memory::Blocks::kMostBytes))
                                    .value_or(static_cast<int64_t>(b.limit)));
  b.read_only = body.boolean("read_only").value_or(false);
  b.version = static_cast<uint64_t>(body.integer("version", 0, int64_t{1} << 53).value_or(0));
  if (error) return tl::unexpected(*error);
  return b;
}

std::string facts_added(const std::vector<memory::Added>& added) {
  json::array all;
  for (const memory::Added& one : added) all.push_back({{"id", one.id}, {"known", one.known}});
  return to_text(json::object{{"added", std::move(all)}});
}

std::string facts_found(const std::vector<memory::Hit>& hits) {
  json::array all;
  for (const memory::Hit& hit : hits) {
    json::object one = fact_object(hit.fact);
    one["score"] = hit.score;
    one["similarity"] = hit.similarity;
    one["text_score"] = hit.text_score;
    all.push_back(std::move(one));
  }
  return to_text(json::object{{"hits", std::move(all)}});
}

std::string facts_listed(const std::vector<Fact>& facts, size_t limit) {
  json::array all;
  for (const Fact& fact : facts) all.push_back(fact_object(fact));
  json::object page{{"facts", std::move(all)}};
  if (facts.size() == limit && !facts.empty()) page["next"] = facts.back().id;
  return to_text(page);
}

std::string memory_statistics(const memory::MemoryStatistics& s) {
  json::array problems;
  for (const std::string& problem : s.long_term.problems) problems.emplace_back(valid_utf8(problem));
  return to_text(json::object{{"facts", s.long_term.facts},
                              {"vectors", s.long_term.vectors},
                              {"dimensions", s.long_term.dimensions},
                              {"vectors_made", valid_utf8(s.vectors)},
                              {"unindexed", s.long_term.unindexed},
                              {"disk_bytes", s.long_term.disk.count},
                              {"memory_bytes", s.long_term.memory.count},
                              {"texts_embedded", s.embedder.embedded},
                              {"texts_remembered", s.embedder.remembered},
                              {"problems", std::move(problems)}});
}

std::string blocks_listed(const std::vector<Block>& blocks) {
  json::array all;
  for (const Block& b : blocks) all.push_back(block_object(b));
  return to_text(json::object{{"blocks", std::move(all)}});
}

std::string block(const Block& b) { return to_text(block_object(b)); }

}  // namespace skep::api::wire
