#include "agent/agent_store.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "agent/export_lines.h"
#include "store/encoding.h"

namespace skep::agent {
namespace {

using Part = AgentState::Part;
using PartName = AgentState::PartName;

// Spaces of the store, and so the kinds that dictionaries are trained for.
constexpr const char* kAgents = "agent";  // agent, NUL, letter of the part, name → core, conversation, block, parked
constexpr const char* kMail = "mail";     // agent, NUL, id (sortable)
constexpr const char* kTalk = "talk";     // agent, NUL, conversation, NUL, chunk (sortable)
constexpr std::array kSpaces = {kAgents, kMail, kTalk};

constexpr char kEnd = '\0';
constexpr std::string_view kExportHeader = "skep-agent 1";
constexpr size_t kLargestExport = size_t{256} << 20;

char letter_of(Part part) {
  switch (part) {
    case Part::core:
      return 'c';
    case Part::conversation:
      return 't';
    case Part::block:
      return 'b';
    case Part::parked:
      return 'p';
    case Part::letter:
      return 'm';
    case Part::chunk:
      return 'k';
  }
  return '?';
}

struct Place {
  const char* space;
  std::string key;
};

Place place_of(const std::string& agent, const PartName& part) {
  std::string key = agent + kEnd;
  if (part.part == Part::letter) return {kMail, key + store::sortable(part.number)};
  if (part.part == Part::chunk) return {kTalk, key + part.name + kEnd + store::sortable(part.number)};
  key += letter_of(part.part);
  return {kAgents, key + part.name};
}

// The part that a key of the agent's stands for; nullopt: none that we know.
std::optional<PartName> part_at(std::string_view space, std::string_view rest) {
  if (space == kMail) {
    if (rest.size() != 8) return std::nullopt;
    return PartName{Part::letter, "", store::from_sortable(rest)};
  }
  if (space == kTalk) {
    if (rest.size() < 9 || rest[rest.size() - 9] != kEnd) return std::nullopt;
    return PartName{Part::chunk, std::string(rest.substr(0, rest.size() - 9)),
                    store::from_sortable(rest.substr(rest.size() - 8))};
  }
  if (rest.empty()) return std::nullopt;
  for (Part part : {Part::core, Part::conversation, Part::block, Part::parked}) {
    if (rest.front() == letter_of(part)) return PartName{part, std::string(rest.substr(1)), 0};
  }
  return std::nullopt;
}

// Calls `each` for every record of the agent.
Status for_each_record(const store::Store& store, const std::string& agent, bool keys_only,
                       const std::function<Status(const char* space, const store::Store::Entry&)>& each) {
  for (const char* space : kSpaces) {
    store::Store::Scan scan;
    scan.prefix = agent + kEnd;
    scan.keys_only = keys_only;
    for (;;) {
      SKEP_TRY(auto entries, store.scan(space, scan));
      for (const auto& entry : entries) SKEP_CHECK(each(space, entry));
      if (entries.size() < scan.limit) break;
      scan.after = entries.back().key;
    }
  }
  return {};
}

bool may_be_missing(const store::Store& store, const std::string& agent) {
  return std::any_of(kSpaces.begin(), kSpaces.end(),
                     [&](const char* space) { return store.may_be_missing(space, agent + kEnd); });
}

Error incomplete_error(const std::string& agent) {
  return {ErrorCode::corrupt,
          fmt::format("the state of '{}' is broken: a part of it may have been on a damaged page", agent),
          "import it from a backup, or let it be forgotten"};
}

void make_complete(store::Store::Update& update, const std::string& agent) {
  for (const char* space : kSpaces) update.complete(space, agent + kEnd);
}

}  // namespace

Result<AgentState> AgentStore::load(const std::string& agent) const {
  if (may_be_missing(*store_, agent)) return fail(incomplete_error(agent));
  AgentState state;
  Status walked =
      for_each_record(*store_, agent, false, [&](const char* space, const store::Store::Entry& entry) -> Status {
        auto named = [&](Error error) {
          error.message = fmt::format("the state of '{}' is broken: {}", agent, error.message);
          if (error.hint.empty()) error.hint = "import it from a backup, or let it be forgotten";
          return fail(std::move(error));
        };
        if (entry.broken) return named(*entry.broken);
        auto part = part_at(space, std::string_view(entry.key).substr(agent.size() + 1));
        if (!part) return {};  // a later version's
        if (Status decoded = state.decode(*part, entry.value); !decoded) return named(decoded.error());
        return {};
      });
  if (!walked) return fail(std::move(walked).error());
  return state;
}

Status AgentStore::save(const std::string& agent, AgentState& state, Safe safe) {
  if (state.dirty().empty()) {
    if (safe) safe({});
    return {};
  }
  Status updated = store_->update(
      [&](store::Store::Update& update) -> Status {
        for (const PartName& part : state.dirty()) {
          Place place = place_of(agent, part);
          if (auto bytes = state.encode(part)) {
            update.put(place.space, place.key, *bytes);
          } else {
            update.erase(place.space, place.key);
          }
        }
        return {};
      },
      std::move(safe));
  if (!updated) return fail(std::move(updated).error());
  state.clean();
  return {};
}

Status AgentStore::note_parked(const std::string& agent, std::map<std::string, ParkedCells> files) {
  AgentState noted;  // of its parts these alone
  std::vector<PartName> broken;
  store::Store::Scan scan;
  scan.prefix = agent + kEnd + letter_of(Part::parked);
  SKEP_TRY(const auto entries, store_->scan(kAgents, scan));
  for (const auto& entry : entries) {
    const PartName part{Part::parked, entry.key.substr(scan.prefix.size()), 0};
    if (entry.broken || !noted.decode(part, entry.value)) broken.push_back(part);
  }
  noted.note_parked(std::move(files));
  std::set<PartName> changed = noted.dirty();
  changed.insert(broken.begin(), broken.end());
  if (changed.empty()) return {};
  return store_->update([&](store::Store::Update& update) -> Status {
    SKEP_TRY(const auto core, update.get(kAgents, place_of(agent, {Part::core, "", 0}).key));
    if (!core) return {};  // it was forgotten meanwhile
    for (const PartName& part : changed) {
      const Place place = place_of(agent, part);
      if (const auto bytes = noted.encode(part)) {
        update.put(place.space, place.key, *bytes);
      } else {
        update.erase(place.space, place.key);
      }
    }
    return {};
  });
}

Status AgentStore::forget(const std::string& agent, Safe safe) {
  std::vector<Place> places;
  Status walked =
      for_each_record(*store_, agent, true, [&](const char* space, const store::Store::Entry& entry) -> Status {
        places.push_back({space, entry.key});
        return {};
      });
  if (!walked) return fail(std::move(walked).error());
  return store_->update(
      [&](store::Store::Update& update) -> Status {
        for (const Place& place : places) update.erase(place.space, place.key);
        make_complete(update, agent);
        return {};
      },
      std::move(safe));
}

namespace {

// The agents that have a record in the space: seeks from one to the next, whatever each has.
Result<std::vector<std::string>> agents_in(const store::Store& store, const char* space, const std::string& after,
                                           size_t limit) {
  std::vector<std::string> names;
  store::Store::Scan scan;
  scan.keys_only = true;
  scan.limit = 1;
  if (!after.empty()) scan.after = after + static_cast<char>(kEnd + 1);
  while (names.size() < limit) {
    SKEP_TRY(auto entries, store.scan(space, scan));
    if (entries.empty()) break;
    names.push_back(entries.front().key.substr(0, entries.front().key.find(kEnd)));
    scan.after = names.back() + static_cast<char>(kEnd + 1);
  }
  return names;
}

}  // namespace

Result<std::vector<std::string>> AgentStore::agents(const std::string& after, size_t limit) const {
  return agents_in(*store_, kAgents, after, limit);
}

Result<std::vector<std::string>> AgentStore::agents_with_mail() const {
  return agents_in(*store_, kMail, "", 1'000'000);
}

Result<std::vector<std::string>> AgentStore::incomplete() const {
  std::vector<std::string> names;
  if (!std::any_of(kSpaces.begin(), kSpaces.end(),
                   [&](const char* space) { return store_->may_be_missing(space, ""); })) {
    return names;
  }
  for (const char* space : kSpaces) {
    SKEP_TRY(const auto here, agents_in(*store_, space, "", 1'000'000));
    for (const std::string& name : here) {
      if (may_be_missing(*store_, name)) names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Result<std::string> AgentStore::export_agent(const std::string& agent) const {
  SKEP_TRY(AgentState state, load(agent));
  std::string text = fmt::format("{} {}\n", kExportHeader, agent);
  for (const PartName& part : state.all_parts()) {
    auto bytes = state.encode(part);
    if (!bytes || part.part == Part::parked) continue;  // those files stay where they are
    text += fmt::format("{} {} {} {}\n", letter_of(part.part), to_base64(part.name), part.number, to_base64(*bytes));
  }
  return text + sum_line(text);
}

Status AgentStore::import_agent(const std::string& agent, std::string_view text, Safe safe) {
  auto refuse = [](const std::string& why) {
    return fail(ErrorCode::invalid_argument, "this is no agent's export: " + why, "make one with skep agent export");
  };
  if (text.size() > kLargestExport) return refuse("it is too large");
  if (!text.starts_with(kExportHeader)) return refuse("its first line is another's");
  const auto lines = summed_lines(text);
  if (!lines) return refuse("its checksum is wrong: it was cut or changed");
  AgentState state;
  size_t at = text.find('\n') + 1;
  while (at < lines->size()) {
    std::string_view line = text.substr(at, text.find('\n', at) - at);
    at += line.size() + 1;
    std::array<std::string_view, 4> fields;
    for (size_t i = 0; i < fields.size(); ++i) {
      size_t end = i + 1 < fields.size() ? line.find(' ') : line.size();
      if (end == line.npos) return refuse("a line is cut short");
      fields.at(i) = line.substr(0, end);
      line.remove_prefix(std::min(end + 1, line.size()));
    }
    auto name = from_base64(fields[1]);
    auto bytes = from_base64(fields[3]);
    uint64_t number = 0;
    std::from_chars(fields[2].data(), fields[2].data() + fields[2].size(), number);
    std::optional<Part> kind;
    for (Part part : {Part::core, Part::letter, Part::chunk, Part::conversation, Part::block, Part::parked}) {
      if (fields[0] == std::string(1, letter_of(part))) kind = part;
    }
    if (!kind || !name || !bytes) return refuse("a line makes no sense");
    SKEP_CHECK(state.decode({*kind, *name, number}, *bytes));
  }
  std::vector<Place> old;
  Status walked =
      for_each_record(*store_, agent, true, [&](const char* space, const store::Store::Entry& entry) -> Status {
        old.push_back({space, entry.key});
        return {};
      });
  if (!walked) return fail(std::move(walked).error());
  return store_->update(
      [&](store::Store::Update& update) -> Status {
        for (const Place& place : old) update.erase(place.space, place.key);
        make_complete(update, agent);
        for (const PartName& part : state.all_parts()) {
          Place place = place_of(agent, part);
          if (auto bytes = state.encode(part)) update.put(place.space, place.key, *bytes);
        }
        return {};
      },
      std::move(safe));
}

Result<std::string> AgentStore::salvage(const std::string& agent) const {
  std::string text;
  Status walked =
      for_each_record(*store_, agent, false, [&](const char* space, const store::Store::Entry& entry) -> Status {
        SKEP_TRY(auto raw, store_->raw(space, entry.key));
        text += fmt::format("{} {} {} {}\n", space, to_base64(entry.key),
                            entry.broken ? entry.broken->message : "whole", to_base64(raw.value_or("")));
        return {};
      });
  if (!walked) return fail(std::move(walked).error());
  return text;
}

}  // namespace skep::agent
