#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

struct Options {
  RemoteOptions remote;
  std::string since, until, kind, agent, model;
  int limit = 50;
};

// For a query: everything but letters, digits and -._~ as %XX.
std::string escaped(const std::string& text) {
  std::string out;
  for (unsigned char c : text) {
    if (std::isalnum(c) != 0 || std::string_view("-._~").find(static_cast<char>(c)) != std::string_view::npos) {
      out += static_cast<char>(c);
    } else {
      out += fmt::format("%{:02X}", c);
    }
  }
  return out;
}

std::string text_of(const json::value& event, const char* key) {
  const auto* found = event.as_object().if_contains(key);
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : "";
}

int log(const Options& options) {
  auto client = connect(options.remote);
  if (!client) return report(client.error());
  std::string target = fmt::format("/api/log?limit={}", options.limit);
  for (auto [name, value] :
       {std::pair{"since", &options.since}, std::pair{"until", &options.until}, std::pair{"kind", &options.kind},
        std::pair{"agent", &options.agent}, std::pair{"model", &options.model}}) {
    if (!value->empty()) target += fmt::format("&{}={}", name, escaped(*value));
  }
  auto answer = ask(*client, "GET", target);
  if (!answer) return report(answer.error());
  if (options.remote.json) {
    fmt::print("{}\n", json::serialize(*answer));
    return kOk;
  }
  using Align = Table::Align;
  Table table({{"at", Align::left},
               {"what", Align::left},
               {"agent", Align::left},
               {"model", Align::left},
               {"took", Align::right},
               {"tokens", Align::right},
               {"detail", Align::left}});
  const json::array& events = answer->at("events").as_array();
  for (auto it = events.rbegin(); it != events.rend(); ++it) {  // the newest last, as in a log
    const json::object& event = it->as_object();
    double took = event.contains("seconds") ? event.at("seconds").to_number<double>() : 0;
    int64_t tokens = event.contains("completion_tokens") ? event.at("completion_tokens").to_number<int64_t>() : 0;
    table.row({text_of(*it, "at").substr(0, 19), text_of(*it, "kind"), text_of(*it, "agent"), text_of(*it, "model"),
               took > 0 ? fmt::format("{:.3f} s", took) : "", tokens > 0 ? human_count(tokens) : "",
               text_of(*it, "detail")});
  }
  table.print();
  return kOk;
}

}  // namespace

void add_log(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("log", "What happened: tasks, models, agents, cache");
  command->add_option("--since", options->since, "A moment (2026-11-21T12:00:00Z) or a time ago (15m)");
  command->add_option("--until", options->until, "The same");
  command->add_option("--kind", options->kind, "task, task.failed, model, agent, cache, letter …");
  command->add_option("--agent", options->agent, "Of one agent");
  command->add_option("--model", options->model, "Of one model");
  command->add_option("--limit", options->limit, "At most so many, the newest")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  add_remote_options(*command, options->remote);
  command->footer("Examples:\n  skep log --since 15m\n  skep log --kind task.failed --agent log-triage --json");
  command->callback([options, &exit_code] { exit_code = log(*options); });
}

}  // namespace skep::cli
