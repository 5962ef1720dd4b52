#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <fstream>
#include <memory>

#include "base/units.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

constexpr size_t kPart = 4 << 20;  // bytes of a warming request, about

int show(const RemoteOptions& options) {
  auto client = connect(options);
  if (!client) return report(client.error());
  auto cache = ask(*client, "GET", "/api/cache");
  if (!cache) return report(cache.error());
  if (options.json) {
    fmt::print("{}\n", json::serialize(*cache));
    return kOk;
  }
  auto count = [&](const char* key) { return cache->at(key).to_number<int64_t>(); };
  fmt::print("{} answers in memory, {}\n", human_count(count("entries")), to_string(Bytes(count("memory_bytes"))));
  std::string below;
  for (const json::value& level : cache->at("levels").as_array()) {
    below += fmt::format(", {} from {}", human_count(level.at("hits").to_number<int64_t>()),
                         std::string_view(level.at("name").as_string()));
  }
  fmt::print("hit rate {:.0f} %: {} hits ({} from memory{}), {} joined, {} misses, {} not looked up\n",
             cache->at("hit_rate").to_number<double>() * 100, human_count(count("hits")),
             human_count(count("memory_hits")), below, human_count(count("joined")), human_count(count("misses")),
             human_count(count("bypassed")));
  for (const json::value& level : cache->at("levels").as_array()) {
    if (const json::value* trouble = level.as_object().if_contains("trouble")) {
      fmt::print("{}: {}\n", std::string_view(level.at("name").as_string()), std::string_view(trouble->as_string()));
    }
  }
  return kOk;
}

int clear(const RemoteOptions& options, const std::string& tag) {
  auto client = connect(options);
  if (!client) return report(client.error());
  auto answer = client->call("DELETE", tag.empty() ? "/api/cache" : "/api/cache?tag=" + tag);
  if (!answer) return report(answer.error());
  return answer->status / 100 == 2 ? kOk : report(error_of(*answer));
}

int warm(const RemoteOptions& options, const std::string& file) {
  std::ifstream in(file);
  if (!in) return report({ErrorCode::not_found, fmt::format("{} can't be read", file), ""});
  auto client = connect(options);
  if (!client) return report(client.error());
  int64_t warmed = 0;
  std::string line, part;
  auto send = [&]() -> Status {
    SKEP_TRY(json::value answer, ask(*client, "POST", "/api/cache/warm", std::move(part)));
    warmed += answer.at("warmed").to_number<int64_t>();
    part.clear();
    return {};
  };
  while (std::getline(in, line)) {
    part += line + "\n";
    if (part.size() < kPart) continue;
    if (Status sent = send(); !sent) return report(sent.error());
  }
  if (!part.empty()) {
    if (Status sent = send(); !sent) return report(sent.error());
  }
  fmt::print("{} answers are in the cache\n", human_count(warmed));
  return kOk;
}

}  // namespace

void add_cache(CLI::App& app, int& exit_code) {
  struct Options {
    RemoteOptions remote;
    std::string tag, file;
  };
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("cache", "The response cache of a running daemon");
  command->require_subcommand(1);
  auto* showing = command->add_subcommand("show", "Hit rate, entries, bytes");
  add_remote_options(*showing, options->remote);
  showing->callback([options, &exit_code] { exit_code = show(options->remote); });
  auto* clearing = command->add_subcommand("clear", "Forget answers: all, or those with a tag");
  clearing->add_option("tag", options->tag, "agent:NAME, model:NAME, or a tag of your own");
  add_remote_options(*clearing, options->remote);
  clearing->callback([options, &exit_code] { exit_code = clear(options->remote, options->tag); });
  auto* warming = command->add_subcommand("warm", "Put known answers in, from a JSONL file");
  warming->add_option("file", options->file, R"(Lines of {"task": …, "answer": "…"})")->required();
  add_remote_options(*warming, options->remote);
  warming->callback([options, &exit_code] { exit_code = warm(options->remote, options->file); });
  command->footer("Examples:\n  skep cache show\n  skep cache clear agent:log-triage\n  skep cache warm answers.jsonl");
}

}  // namespace skep::cli
