#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "api/wire/control_views.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

struct Options {
  RemoteOptions remote;
  std::string input, agent, model = "auto", config;
  bool explain = false;
};

// The running daemon decides, with what it has loaded now; where none runs, one that is made for the question.
Result<json::value> decide(const Options& options) {
  SKEP_TRY(auto client, connect(options.remote));
  json::object body = {{"input", options.input}, {"model", options.model}};
  if (!options.agent.empty()) body["agent"] = options.agent;
  auto answer = ask(client, "POST", "/api/route", json::serialize(body));
  if (answer || answer.error().code != ErrorCode::unavailable || !options.remote.url.empty()) return answer;

  SKEP_TRY(auto config, daemon::load_config(options.config));
  config.state.enabled = false;  // a look at a decision remembers nothing
  Session session({std::move(config), "", false, false});
  SKEP_CHECK(session.start());
  agent::TaskRequest request;
  request.agent = options.agent;
  request.model = options.model;
  language::Message message;
  message.role = "user";
  message.content = options.input;
  request.input.messages.push_back(std::move(message));
  auto route = session.backend().route(request);
  session.finish();
  session.run();
  if (!route) return fail(route.error());
  return parse_json(api::wire::control_route(*route), "route");
}

int route(const Options& options) {
  auto decision = decide(options);
  if (!decision) return report(decision.error());
  if (options.remote.json) {
    fmt::print("{}\n", json::serialize(*decision));
    return kOk;
  }
  fmt::print(
      "{} {}  {}\n", paint(Colour::bold, decision->at("model").as_string().c_str()),
      decision->at("tier").as_string().empty() ? "" : fmt::format("({})", decision->at("tier").as_string().c_str()),
      decision->at("reason").as_string().c_str());
  if (!options.explain) return kOk;
  fmt::print("\n{}\n", decision->at("explanation").as_string().c_str());
  return kOk;
}

}  // namespace

void add_route(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("route", "Which model would answer a task, and why");
  auto options = std::make_shared<Options>();
  command->add_option("input", options->input, "The task's text")->required();
  command->add_option("--agent", options->agent, "The agent that would get it");
  command->add_option("--model", options->model, "A model, a tier or auto")->capture_default_str();
  command->add_option("-c,--config", options->config, "The configuration to use where no daemon runs");
  command->add_flag("--explain", options->explain, "Every factor, its weight, and what tipped the scale");
  add_remote_options(*command, options->remote);
  command->footer("Example:\n  skep route --explain \"Design a failover plan for two data centres, step by step\"");
  command->callback([options, &exit_code] { exit_code = route(*options); });
}

}  // namespace skep::cli
