#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "base/units.h"
#include "cli/agent_state_command.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

std::string text_at(const json::value& object, const char* key) { return object.at(key).as_string().c_str(); }

int list(const RemoteOptions& options, const std::string& tier) {
  auto client = connect(options);
  if (!client) return report(client.error());
  auto answer = ask(*client, "GET", "/api/agents");
  if (!answer) return report(answer.error());
  if (options.json) {
    fmt::print("{}\n", json::serialize(*answer));
    return kOk;
  }
  using Align = Table::Align;
  Table table({{"agent", Align::left},
               {"title", Align::left},
               {"tier", Align::left},
               {"state", Align::left},
               {"done", Align::right},
               {"failed", Align::right},
               {"tokens", Align::right}});
  size_t shown = 0;
  for (const json::value& agent : answer->at("agents").as_array()) {
    if (!tier.empty() && text_at(agent, "tier") != tier) continue;
    ++shown;
    table.row({text_at(agent, "name"), text_at(agent, "title"), text_at(agent, "tier"), text_at(agent, "state"),
               human_count(agent.at("tasks_done").to_number<int64_t>()),
               human_count(agent.at("tasks_failed").to_number<int64_t>()),
               human_count(agent.at("tokens").to_number<int64_t>())});
  }
  table.print();
  fmt::print("{} agents\n", shown);
  return kOk;
}

int show(const RemoteOptions& options, const std::string& name) {
  auto client = connect(options);
  if (!client) return report(client.error());
  auto agent = ask(*client, "GET", "/api/agents/" + name);
  if (!agent) return report(agent.error());
  if (options.json) {
    fmt::print("{}\n", json::serialize(*agent));
    return kOk;
  }
  fmt::print("{}  {}\n", paint(Colour::bold, text_at(*agent, "name")), text_at(*agent, "title"));
  std::string types;
  for (const json::value& type : agent->at("task_types").as_array())
    types += (types.empty() ? "" : ", ") + std::string(type.as_string());
  fmt::print("  tier {} (model {}), priority {}, {}\n", text_at(*agent, "tier"), text_at(*agent, "model"),
             text_at(*agent, "priority"), text_at(*agent, "state"));
  fmt::print("  tasks {} done, {} failed, {} tokens\n", agent->at("tasks_done").to_number<int64_t>(),
             agent->at("tasks_failed").to_number<int64_t>(), agent->at("tokens").to_number<int64_t>());
  if (!types.empty()) fmt::print("  task types {}\n", types);
  // A daemon without state has none of it.
  if (const auto memory = ask(*client, "GET", "/api/agents/" + name + "/messages")) {
    const Bytes parked(memory->at("parked_bytes").to_number<int64_t>());
    if (parked > Bytes()) {
      fmt::print("  context parked: {} in {} files\n", to_string(parked), memory->at("parked").as_array().size());
    }
  }
  fmt::print("\n{}\n", text_at(*agent, "system_prompt"));
  return kOk;
}

}  // namespace

void add_agent(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("agent", "The agents of a running daemon");
  command->require_subcommand(1);
  struct Options {
    RemoteOptions remote;
    std::string tier, name;
  };
  auto options = std::make_shared<Options>();
  auto* listing = command->add_subcommand("list", "Every agent, its tier and what it did");
  listing->add_option("--tier", options->tier, "Only those of one tier")
      ->check(CLI::IsMember({"fast", "balanced", "deep"}));
  add_remote_options(*listing, options->remote);
  listing->callback([options, &exit_code] { exit_code = list(options->remote, options->tier); });
  auto* showing = command->add_subcommand("show", "One agent, with its system prompt");
  showing->add_option("name", options->name, "The agent's name")->required();
  add_remote_options(*showing, options->remote);
  showing->callback([options, &exit_code] { exit_code = show(options->remote, options->name); });
  add_agent_state(*command, exit_code);
  command->footer(
      "Examples:\n  skep agent list --tier deep\n  skep agent show log-triage\n  skep agent post log-triage \"Look at "
      "pump 4.\"\n  skep agent export log-triage log-triage.skep");
}

}  // namespace skep::cli
