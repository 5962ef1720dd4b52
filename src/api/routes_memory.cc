// /api/memory and /api/agents/{name}/memory: long-term facts, core blocks, short-term values. doc/api.md has them.

#include "api/routes_memory.h"

#include <boost/json.hpp>
#include <charconv>

#include "api/routes.h"
#include "api/wire/json_text.h"
#include "api/wire/memory_json.h"

namespace skep::api {
namespace {

using ExchangePtr = std::shared_ptr<Exchange>;
using memory::Blocks;
using memory::MemoryService;
using store::KeyValue;
namespace json = boost::json;

constexpr size_t kPage = 1000;

void refuse(Exchange& exchange, const ApiError& error) { exchange.respond(error_response(error, ErrorStyle::control)); }
void refuse(Exchange& exchange, const Error& error) { refuse(exchange, ApiError{error, ""}); }

// Where the daemon keeps no memory: answered already.
bool none(const MemoryService* memory, const ExchangePtr& exchange) {
  if (memory != nullptr) return false;
  refuse(*exchange, Error{ErrorCode::unsupported, "this daemon keeps no memory", "set long_term.store in skep.yaml"});
  return true;
}

// What a Result becomes: its JSON, or the error.
template <typename T, typename Show>
auto answer(const ExchangePtr& exchange, Show show) {
  return [exchange, show](Result<T> result) {
    if (!result) return refuse(*exchange, result.error());
    exchange->respond(json_response(show(*result)));
  };
}

std::optional<std::string> agent_of(const ExchangePtr& exchange) {
  const std::string_view name = exchange->request().capture("name");
  return name.empty() ? std::nullopt : std::optional<std::string>(name);
}

std::optional<uint64_t> number_of(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

void add(MemoryService* memory, const ExchangePtr& exchange) {
  auto facts = wire::parse_facts(exchange->request(), agent_of(exchange));
  if (!facts) return refuse(*exchange, facts.error());
  memory->add(std::move(*facts), answer<std::vector<memory::Added>>(exchange, wire::facts_added));
}

void search(MemoryService* memory, const ExchangePtr& exchange) {
  auto query = wire::parse_memory_query(exchange->request());
  if (!query) return refuse(*exchange, query.error());
  memory->search(std::move(*query), answer<std::vector<memory::Hit>>(exchange, wire::facts_found));
}

void list(MemoryService* memory, const ExchangePtr& exchange) {
  const HttpRequest& request = exchange->request();
  auto filter = wire::filter_of_url(request, agent_of(exchange));
  if (!filter) return refuse(*exchange, filter.error());
  const std::string after = request.query_value("after"), limit = request.query_value("limit");
  const auto from = after.empty() ? std::optional<uint64_t>(0) : number_of(after);
  const auto most = limit.empty() ? std::optional<uint64_t>(100) : number_of(limit);
  if (!from || !most || *most == 0 || *most > kPage) {
    return refuse(*exchange,
                  Error{ErrorCode::invalid_argument, fmt::format("after is a fact's id, limit 1 to {}", kPage), ""});
  }
  memory->list(std::move(*filter), *from, *most,
               answer<std::vector<memory::Fact>>(
                   exchange, [most = *most](const auto& facts) { return wire::facts_listed(facts, most); }));
}

std::string forgotten(size_t count) { return wire::to_text(json::object{{"forgotten", count}}); }

// By ids (?id=3,4), by a filter, or, for an agent's whole path, everything about it.
void forget(MemoryService* memory, const ExchangePtr& exchange) {
  const HttpRequest& request = exchange->request();
  const auto agent = agent_of(exchange);
  if (const std::string ids = request.query_value("id"); !ids.empty()) {
    std::vector<memory::FactId> all;
    for (size_t begin = 0; begin <= ids.size();) {
      const size_t end = std::min(ids.find(',', begin), ids.size());
      const auto id = number_of(std::string_view(ids).substr(begin, end - begin));
      if (!id) return refuse(*exchange, Error{ErrorCode::invalid_argument, "id: numbers, separated by commas", ""});
      all.push_back(*id);
      begin = end + 1;
    }
    return memory->forget(std::move(all), answer<size_t>(exchange, forgotten));
  }
  auto filter = wire::filter_of_url(request, agent);
  if (!filter) return refuse(*exchange, filter.error());
  const bool narrowed = !filter->tags.empty() || filter->from || filter->to;
  if (agent && !narrowed) {
    return memory->forget_agent(*agent, answer<memory::Forgotten>(exchange, [](const memory::Forgotten& f) {
      return wire::to_text(json::object{{"forgotten", f.facts}, {"blocks", f.blocks}, {"values", f.values}});
    }));
  }
  if (!filter->agent && !narrowed && request.query_value("all") != "true") {
    return refuse(*exchange,
                  Error{ErrorCode::invalid_argument, "this would forget everything", "say what, or ?all=true"});
  }
  memory->forget(std::move(*filter), answer<size_t>(exchange, forgotten));
}

void statistics(MemoryService* memory, const ExchangePtr& exchange) {
  memory->statistics(answer<memory::MemoryStatistics>(exchange, wire::memory_statistics));
}

// --- core blocks ---

void blocks_of(MemoryService* memory, const ExchangePtr& exchange) {
  memory->with_values([agent = agent_of(exchange).value_or("")](KeyValue&, Blocks& blocks) { return blocks.of(agent); },
                      answer<std::vector<memory::Block>>(exchange, wire::blocks_listed));
}

void get_block(MemoryService* memory, const ExchangePtr& exchange) {
  memory->with_values(
      [agent = agent_of(exchange).value_or(""), label = std::string(exchange->request().capture("label"))](
          KeyValue&, Blocks& blocks) -> Result<memory::Block> {
        SKEP_TRY(std::optional<memory::Block> found, blocks.get(agent, label));
        if (!found) return fail(ErrorCode::not_found, fmt::format("there is no block '{}'", label));
        return std::move(*found);
      },
      answer<memory::Block>(exchange, wire::block));
}

void put_block(MemoryService* memory, const ExchangePtr& exchange) {
  const HttpRequest& request = exchange->request();
  auto block = wire::parse_block(request, agent_of(exchange).value_or(""), std::string(request.capture("label")));
  if (!block) return refuse(*exchange, block.error());
  memory->with_values(
      [block = std::move(*block)](KeyValue&, Blocks& blocks) { return blocks.put(block, memory::Writer::person); },
      answer<memory::Block>(exchange, wire::block));
}

void erase_block(MemoryService* memory, const ExchangePtr& exchange) {
  memory->with_values(
      [agent = agent_of(exchange).value_or(""), label = std::string(exchange->request().capture("label"))](
          KeyValue&, Blocks& blocks) { return blocks.erase(agent, label); },
      answer<bool>(exchange, [](bool there) {
        return wire::to_text(json::object{{"erased", there}});
      }));
}

// --- short-term values ---

struct Place {
  std::string space, key;
};
Place place_of(const ExchangePtr& exchange) {
  return {MemoryService::space_of(agent_of(exchange).value_or("")), std::string(exchange->request().capture("key"))};
}

void list_values(MemoryService* memory, const ExchangePtr& exchange) {
  memory->with_values([place = place_of(exchange), prefix = exchange->request().query_value("prefix"),
                       after = exchange->request().query_value("after")](
                          KeyValue& values, Blocks&) { return values.keys(place.space, prefix, after, kPage); },
                      answer<std::vector<std::string>>(exchange, [](const std::vector<std::string>& keys) {
                        json::array all;
                        for (const std::string& key : keys) all.emplace_back(wire::valid_utf8(key));
                        return wire::to_text(json::object{{"keys", std::move(all)}});
                      }));
}

// A value or counter as {"value"}, a list as {"items"}.
void get_value(MemoryService* memory, const ExchangePtr& exchange) {
  memory->with_values(
      [place = place_of(exchange)](KeyValue& values, Blocks&) -> Result<std::string> {
        json::object object;
        auto value = values.get(place.space, place.key);
        if (value) {
          if (!*value) return fail(ErrorCode::not_found, fmt::format("there is no value '{}'", place.key));
          object["value"] = wire::valid_utf8(**value);
        } else {
          if (value.error().code != ErrorCode::invalid_argument) return fail(value.error());
          SKEP_TRY(const std::vector<std::string> items, values.items(place.space, place.key));
          json::array all;
          for (const std::string& item : items) all.emplace_back(wire::valid_utf8(item));
          object["items"] = std::move(all);
        }
        if (auto ttl = values.ttl(place.space, place.key); ttl && *ttl) object["ttl"] = seconds(**ttl);
        return wire::to_text(object);
      },
      answer<std::string>(exchange, [](const std::string& text) { return text; }));
}

std::optional<Duration> read_ttl(wire::Fields& body) {
  const auto ttl = body.number("ttl", 0.001, 3e8);
  if (!ttl) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*ttl));
}

// {"value"} sets, {"add"} counts, {"push", "most"} appends; each with "ttl" in seconds.
void put_value(MemoryService* memory, const ExchangePtr& exchange) {
  auto object = wire::parse_body(exchange->request().body);
  if (!object) return refuse(*exchange, object.error());
  std::optional<ApiError> error;
  wire::Fields body(*object, error);
  const auto value = body.text("value");
  const auto by = body.integer("add", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  const auto item = body.text("push");
  const auto most = static_cast<size_t>(body.integer("most", 1, 10'000).value_or(1000));
  const auto ttl = read_ttl(body);
  if (!error && (value ? 1 : 0) + (by ? 1 : 0) + (item ? 1 : 0) != 1) body.bad("value", "one of value, add and push");
  if (error) return refuse(*exchange, *error);
  memory->with_values(
      [place = place_of(exchange), value, by, item, most, ttl](KeyValue& values, Blocks&) -> Result<std::string> {
        json::object done;
        if (value) {
          SKEP_CHECK(values.put(place.space, place.key, *value, ttl));
          done["value"] = wire::valid_utf8(*value);
        } else if (by) {
          SKEP_TRY(done["value"], values.add(place.space, place.key, *by, ttl));
        } else {
          SKEP_TRY(done["length"], values.push(place.space, place.key, *item, most, ttl));
        }
        return wire::to_text(done);
      },
      answer<std::string>(exchange, [](const std::string& text) { return text; }));
}

void erase_value(MemoryService* memory, const ExchangePtr& exchange) {
  memory->with_values(
      [place = place_of(exchange)](KeyValue& values, Blocks&) { return values.erase(place.space, place.key); },
      answer<bool>(exchange, [](bool there) {
        return wire::to_text(json::object{{"erased", there}});
      }));
}

}  // namespace

void add_memory_routes(Router& router, MemoryService* memory) {
  const auto route = [&](const char* method, const std::string& pattern, Role role, auto handler) {
    router.add({method, pattern, role, ErrorStyle::control, [memory, handler](const ExchangePtr& exchange) {
                  if (!none(memory, exchange)) handler(memory, exchange);
                }});
  };
  route("POST", "/api/memory/search", Role::read, search);
  for (const std::string base : {"/api/memory", "/api/agents/{name}/memory"}) {
    route("GET", base + "/blocks", Role::read, blocks_of);
    route("GET", base + "/blocks/{label}", Role::read, get_block);
    route("PUT", base + "/blocks/{label}", Role::user, put_block);
    route("DELETE", base + "/blocks/{label}", Role::user, erase_block);
    route("GET", base + "/values", Role::read, list_values);
    route("GET", base + "/values/{key*}", Role::read, get_value);
    route("PUT", base + "/values/{key*}", Role::user, put_value);
    route("DELETE", base + "/values/{key*}", Role::user, erase_value);
    route("GET", base + "/facts", Role::read, list);
    route("POST", base + "/facts", Role::user, add);
    route("DELETE", base + "/facts", Role::user, forget);
    route("POST", base, Role::user, add);
    route("DELETE", base, Role::user, forget);
  }
  route("GET", "/api/memory", Role::read, statistics);
  route("GET", "/api/agents/{name}/memory", Role::read, list);
}

}  // namespace skep::api
