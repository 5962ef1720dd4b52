// skep memory: what agents remember, on a running daemon.

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>

#include "base/json.h"
#include "base/units.h"
#include "cli/memory_commands.h"
#include "cli/remote.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

constexpr size_t kBatch = 100;  // facts of one request
constexpr size_t kMostLine = 256U << 10U;

struct Options {
  RemoteOptions remote;
  std::string agent, text, source, file, from, to;
  std::vector<std::string> tags;
  std::vector<uint64_t> ids;
  int limit = 10;
  bool everything = false, yes = false, own = false;
};

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
  return out;
}

std::string join(const std::vector<std::string>& parts) {
  std::string all;
  for (const std::string& part : parts) all += (all.empty() ? "" : ",") + part;
  return all;
}

// ?agent=…&tag=…&from=…&to=…, as far as they are given.
std::string filter_of(const Options& o) {
  std::string query;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) query += fmt::format("{}{}={}", query.empty() ? "?" : "&", name, escape(value));
  };
  add("agent", o.agent);
  add("tag", join(o.tags));
  add("from", o.from);
  add("to", o.to);
  if (!o.own && !o.agent.empty()) add("shared", "true");
  return query;
}

json::array tag_array(const Options& o) {
  json::array tags;
  for (const std::string& tag : o.tags) tags.emplace_back(tag);
  return tags;
}

std::string joined_tags(const json::value& fact) {
  std::vector<std::string> tags;
  for (const json::value& tag : fact.at("tags").as_array()) tags.emplace_back(tag.as_string());
  return join(tags);
}

std::string one_line(const json::value& text) {
  std::string line(text.as_string());
  for (char& c : line) c = c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
  return line;
}

int add(const Options& o) {
  auto client = connect(o.remote);
  if (!client) return report(client.error());
  json::object fact{{"agent", o.agent}, {"text", o.text}, {"source", o.source}, {"tags", tag_array(o)}};
  auto answer = ask(*client, "POST", "/api/memory", json::serialize(fact));
  if (!answer) return report(answer.error());
  if (o.remote.json) {
    fmt::print("{}\n", json::serialize(*answer));
    return kOk;
  }
  const json::value& added = answer->at("added").at(0);
  fmt::print("{} {}\n", added.at("known").as_bool() ? "known already as" : "fact",
             added.at("id").to_number<uint64_t>());
  return kOk;
}

int search(const Options& o) {
  auto client = connect(o.remote);
  if (!client) return report(client.error());
  json::object query{{"query", o.text}, {"limit", o.limit}, {"tags", tag_array(o)}, {"shared", !o.own}};
  if (!o.agent.empty()) query["agent"] = o.agent;
  if (!o.from.empty()) query["from"] = o.from;
  if (!o.to.empty()) query["to"] = o.to;
  auto answer = ask(*client, "POST", "/api/memory/search", json::serialize(query));
  if (!answer) return report(answer.error());
  if (o.remote.json) {
    fmt::print("{}\n", json::serialize(*answer));
    return kOk;
  }
  using Align = Table::Align;
  Table table({{"score", Align::right}, {"id", Align::right}, {"agent", Align::left}, {"text", Align::left}});
  for (const json::value& hit : answer->at("hits").as_array()) {
    table.row({fmt::format("{:.3f}", hit.at("score").to_number<double>()),
               std::to_string(hit.at("id").to_number<uint64_t>()), std::string(hit.at("agent").as_string()),
               one_line(hit.at("text"))});
  }
  table.print();
  return kOk;
}

// Each fact that the filter lets through, page by page; `visit` returns false to stop.
template <typename Visit>
Status each_fact(HttpClient& client, const Options& o, Visit visit) {
  uint64_t after = 0;
  for (;;) {
    const std::string filter = filter_of(o);
    SKEP_TRY(const json::value page,
             ask(client, "GET",
                 fmt::format("/api/memory/facts{}{}limit=500&after={}", filter, filter.empty() ? "?" : "&", after)));
    const json::array& facts = page.at("facts").as_array();
    for (const json::value& fact : facts) {
      if (!visit(fact)) return {};
    }
    if (page.as_object().if_contains("next") == nullptr) return {};
    after = page.at("next").to_number<uint64_t>();
  }
}

int list(const Options& o) {
  auto client = connect(o.remote);
  if (!client) return report(client.error());
  using Align = Table::Align;
  Table table({{"id", Align::right},
               {"agent", Align::left},
               {"time", Align::left},
               {"tags", Align::left},
               {"text", Align::left}});
  json::array all;
  int shown = 0;
  const Status done = each_fact(*client, o, [&](const json::value& fact) {
    if (o.remote.json) {
      all.push_back(fact);
    } else {
      table.row({std::to_string(fact.at("id").to_number<uint64_t>()), std::string(fact.at("agent").as_string()),
                 std::string(fact.at("time").as_string().subview(0, 16)), joined_tags(fact),
                 one_line(fact.at("text"))});
    }
    return ++shown < o.limit;
  });
  if (!done) return report(done.error());
  if (o.remote.json) {
    fmt::print("{}\n", json::serialize(json::object{{"facts", std::move(all)}}));
  } else {
    table.print();
  }
  return kOk;
}

int forget(const Options& o) {
  if (o.ids.empty() && o.agent.empty() && o.tags.empty() && o.from.empty() && o.to.empty() && !o.everything) {
    return report(
        {ErrorCode::invalid_argument, "what is to be forgotten?", "ids, --agent, --tag, --from, --to or --all"});
  }
  auto client = connect(o.remote);
  if (!client) return report(client.error());
  std::string target;
  const bool whole_agent = !o.agent.empty() && o.ids.empty() && o.tags.empty() && o.from.empty() && o.to.empty();
  if (!o.ids.empty()) {
    std::vector<std::string> ids;
    for (const uint64_t id : o.ids) ids.push_back(std::to_string(id));
    target = "/api/memory?id=" + join(ids);
  } else if (whole_agent) {
    target = "/api/agents/" + escape(o.agent) + "/memory";
  } else {
    Options own = o;
    own.own = true;  // everybody's facts stay
    target = "/api/memory" + filter_of(own);
    if (o.everything) target += (target.find('?') == target.npos ? "?all=true" : "&all=true");
  }
  auto answer = ask(*client, "DELETE", target);
  if (!answer) return report(answer.error());
  if (o.remote.json) {
    fmt::print("{}\n", json::serialize(*answer));
  } else {
    fmt::print("{} facts forgotten\n", human_count(answer->at("forgotten").to_number<int64_t>()));
  }
  return kOk;
}

int export_facts(const Options& o) {
  auto client = connect(o.remote);
  if (!client) return report(client.error());
  std::ofstream file;
  if (!o.file.empty() && o.file != "-") {
    file.open(o.file);
    if (!file) return report({ErrorCode::io, "cannot write " + o.file, {}});
  }
  std::ostream& out = file.is_open() ? file : std::cout;
  int64_t count = 0;
  const Status done = each_fact(*client, o, [&](const json::value& fact) {
    out << json::serialize(fact) << '\n';
    ++count;
    return static_cast<bool>(out);
  });
  out.flush();
  if (!done) return report(done.error());
  if (!out) return report({ErrorCode::io, "cannot write " + o.file, {}});
  fmt::print(stderr, "{} facts\n", human_count(count));
  return kOk;
}

// Ids are given anew; what is there already is not added twice, so an import can be repeated.
int import_facts(const Options& o) {
  auto client = connect(o.remote);
  if (!client) return report(client.error());
  std::ifstream file;
  if (o.file != "-") {
    file.open(o.file);
    if (!file) return report({ErrorCode::not_found, "cannot read " + o.file, {}});
  }
  std::istream& in = o.file == "-" ? std::cin : file;
  json::array batch;
  int64_t added = 0, known = 0, line_number = 0;
  const auto send = [&]() -> Status {
    if (batch.empty()) return {};
    SKEP_TRY(const json::value answer,
             ask(*client, "POST", "/api/memory", json::serialize(json::object{{"facts", std::exchange(batch, {})}})));
    for (const json::value& one : answer.at("added").as_array()) ++(one.at("known").as_bool() ? known : added);
    return {};
  };
  const auto read = [&]() -> Status {
    std::string line;
    while (std::getline(in, line)) {
      ++line_number;
      const std::string place = fmt::format("{}:{}", o.file, line_number);
      if (line.find_first_not_of(" \t\r") == line.npos) continue;
      if (line.size() > kMostLine) return fail(ErrorCode::too_large, place + ": the line is too long");
      SKEP_TRY(json::value fact, parse_json(line, place));
      if (!fact.is_object()) return fail(ErrorCode::invalid_argument, place + ": not a JSON object");
      if (!o.agent.empty()) fact.as_object()["agent"] = o.agent;
      batch.push_back(std::move(fact));
      if (batch.size() == kBatch) SKEP_CHECK(send());
    }
    return send();
  };
  const Status done = read();
  if (!done) {
    Error error = done.error();
    if (error.message.find(o.file) == error.message.npos)
      error.message = fmt::format("{}: up to line {}: {}", o.file, line_number, error.message);
    return report(error);
  }
  fmt::print("{} facts added, {} known already\n", human_count(added), human_count(known));
  return kOk;
}

int show(const Options& o) {
  auto client = connect(o.remote);
  if (!client) return report(client.error());
  auto answer = ask(*client, "GET", "/api/memory");
  if (!answer) return report(answer.error());
  if (o.remote.json) {
    fmt::print("{}\n", json::serialize(*answer));
    return kOk;
  }
  const auto number = [&](const char* key) { return answer->at(key).to_number<int64_t>(); };
  fmt::print("{} facts, {} with vectors of {} dimensions ({})\n", human_count(number("facts")),
             human_count(number("vectors")), number("dimensions"), std::string(answer->at("vectors_made").as_string()));
  fmt::print("{} on disk, {} in memory\n", to_string(Bytes(number("disk_bytes"))),
             to_string(Bytes(number("memory_bytes"))));
  for (const json::value& problem : answer->at("problems").as_array()) {
    fmt::print("{}\n", paint(Colour::yellow, std::string(problem.as_string())));
  }
  return kOk;
}

}  // namespace

void add_memory(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("memory", "What agents remember");
  command->require_subcommand(1);
  auto options = std::make_shared<Options>();
  const auto subcommand = [&](const char* name, const char* what, auto run) {
    auto* sub = command->add_subcommand(name, what);
    add_remote_options(*sub, options->remote);
    sub->callback([options, run, &exit_code] { exit_code = run(*options); });
    return sub;
  };
  const auto filter = [&](CLI::App* sub) {
    sub->add_option("--agent", options->agent, "Of this agent, and everybody's");
    sub->add_option("--tag", options->tags, "With this tag; several: with all of them");
    sub->add_option("--from", options->from, "Learned at this time or later: 2026-11-21T09:30:00Z");
    sub->add_option("--to", options->to, "Learned before this time");
    return sub;
  };
  auto* adding = subcommand("add", "Remember a fact", add);
  adding->add_option("text", options->text, "The fact")->required();
  adding->add_option("--agent", options->agent, "Whose; without it, everybody's");
  adding->add_option("--tag", options->tags, "May be repeated");
  adding->add_option("--source", options->source, "Where it was learned");
  auto* searching = filter(subcommand("search", "Facts that answer a question, the best first", search));
  searching->add_option("query", options->text, "The question")->required();
  searching->add_option("--limit", options->limit, "At most so many")->check(CLI::Range(1, 200))->capture_default_str();
  searching->add_flag("--own", options->own, "Not everybody's, with --agent");
  auto* listing = filter(subcommand("list", "Facts in the order they were learned", list));
  listing->add_option("--limit", options->limit, "At most so many")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  listing->add_flag("--own", options->own, "Not everybody's, with --agent");
  auto* forgetting = filter(subcommand("forget", "Erase facts, from every file", forget));
  forgetting->add_option("id", options->ids, "Their ids");
  forgetting->add_flag("--all", options->everything, "Everything of everybody");
  auto* exporting = filter(subcommand("export", "Facts as JSON lines", export_facts));
  exporting->add_option("file", options->file, "Else to standard output");
  exporting->add_flag("--own", options->own, "Not everybody's, with --agent");
  auto* importing = subcommand("import", "Facts from JSON lines", import_facts);
  importing->add_option("file", options->file, "- for standard input")->required();
  importing->add_option("--agent", options->agent, "Give them all to this agent");
  subcommand("show", "How many there are, and what they take", show);
  command->footer(
      "Examples:\n  skep memory add --agent log-triage 'disk sda of host 7 was replaced'\n"
      "  skep memory search --agent log-triage 'which disks are new?'\n"
      "  skep memory forget --agent log-triage   # everything about it");
}

}  // namespace skep::cli
