#include "api/wire/state_views.h"

#include <boost/json.hpp>
#include <ctime>

#include "api/wire/json_text.h"
#include "api/wire/ollama_time.h"
#include "base/duration.h"

namespace skep::api::wire {
namespace {

namespace json = boost::json;

std::string moment(WallTime time) { return time == WallTime{} ? "" : rfc3339(time); }

}  // namespace

std::string state_memory(const MemoryView& view) {
  json::array talks, turns, letters, files;
  int64_t parked_bytes = 0;
  for (const auto& talk : view.conversations) {
    talks.emplace_back(json::object{{"name", talk.name}, {"turns", talk.turns}, {"dropped", talk.dropped}});
  }
  for (const auto& turn : view.turns) {
    json::object one{{"role", turn.message.role}, {"content", turn.message.content}, {"at", moment(turn.at)}};
    if (!turn.message.reasoning.empty()) one["reasoning"] = turn.message.reasoning;
    if (!turn.message.tool_calls.empty()) {
      json::array calls;
      for (const auto& call : turn.message.tool_calls) {
        calls.emplace_back(json::object{{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
      }
      one["tool_calls"] = std::move(calls);
    }
    turns.emplace_back(std::move(one));
  }
  for (const auto& letter : view.mailbox) {
    json::object one{{"id", letter.id},
                     {"from", letter.from},
                     {"conversation", letter.conversation},
                     {"content", letter.text},
                     {"sent", moment(letter.sent)}};
    if (!letter.failure.empty()) one["failure"] = letter.failure;
    letters.emplace_back(std::move(one));
  }
  for (const auto& [file, cells] : view.parked) {
    parked_bytes += cells.bytes.count;
    files.emplace_back(json::object{{"file", file},
                                    {"model_hash", cells.model_hash},
                                    {"begin", cells.begin},
                                    {"tokens", cells.tokens},
                                    {"bytes", cells.bytes.count}});
  }
  return to_text(json::object{{"agent", view.agent},
                              {"phase", view.phase},
                              {"size_bytes", view.size.count},
                              {"born", moment(view.core.born)},
                              {"last_active", moment(view.core.last_active)},
                              {"conversation", view.shown},
                              {"messages", std::move(turns)},
                              {"conversations", std::move(talks)},
                              {"mailbox", std::move(letters)},
                              {"parked_bytes", parked_bytes},
                              {"parked", std::move(files)}});
}

std::string state_cache(const CacheView& view) {
  int64_t asked = view.hits + view.joined + view.misses;
  double rate = asked == 0 ? 0 : static_cast<double>(view.hits + view.joined) / static_cast<double>(asked);
  json::array levels;
  for (const CacheView::Level& level : view.levels) {
    json::object one{{"name", level.name}, {"hits", level.hits},         {"misses", level.misses},
                     {"late", level.late}, {"skipped", level.skipped},   {"written", level.written},
                     {"shed", level.shed}, {"failures", level.failures}, {"waiting_bytes", level.waiting.count}};
    if (!level.trouble.empty()) one["trouble"] = level.trouble;
    levels.emplace_back(std::move(one));
  }
  return to_text(json::object{{"enabled", view.enabled},
                              {"hit_rate", rate},
                              {"hits", view.hits},
                              {"joined", view.joined},
                              {"misses", view.misses},
                              {"similar", view.similar},
                              {"guarded", view.guarded},
                              {"bypassed", view.bypassed},
                              {"memory_hits", view.memory_hits},
                              {"stored", view.stored},
                              {"evicted", view.evicted},
                              {"expired", view.expired},
                              {"invalidated", view.invalidated},
                              {"memory_bytes", view.memory.count},
                              {"entries", view.entries},
                              {"levels", std::move(levels)}});
}

std::string state_backup(const BackupView& view) {
  return to_text(json::object{{"path", view.path}, {"size_bytes", view.size.count}});
}

std::string state_log(const std::vector<store::Event>& events) {
  json::array list;
  for (const auto& event : events) {
    json::object one{{"at", moment(event.at)}, {"kind", event.kind}};
    auto text = [&](const char* name, const std::string& value) {
      if (!value.empty()) one[name] = value;
    };
    text("agent", event.agent);
    text("model", event.model);
    text("tier", event.tier);
    text("caller", event.caller);
    if (event.task != 0) one["task"] = event.task;
    if (event.seconds != 0) one["seconds"] = event.seconds;
    if (event.prompt_tokens != 0) one["prompt_tokens"] = event.prompt_tokens;
    if (event.completion_tokens != 0) one["completion_tokens"] = event.completion_tokens;
    text("detail", event.detail);
    list.emplace_back(std::move(one));
  }
  return to_text(json::object{{"events", std::move(list)}});
}

Result<WallTime> parse_moment(std::string_view text, WallTime now) {
  std::tm utc{};
  std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  if (rest == nullptr) {
    utc = {};
    rest = ::strptime(copy.c_str(), "%Y-%m-%d", &utc);
  }
  if (rest != nullptr) {
    WallTime time{std::chrono::seconds(::timegm(&utc))};
    if (*rest == '.') {
      char* end = nullptr;
      time += std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::strtod(rest, &end)));
      rest = end;
    }
    if (*rest == 'Z') ++rest;
    if (*rest == '\0') return time;
  } else if (auto back = parse_duration(text)) {
    return now - *back;
  }
  return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no moment", text),
              "write it as 2026-11-21T12:00:00Z, 2026-11-21, or 15m (ago)");
}

}  // namespace skep::api::wire
