#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

struct Options {
  std::string config, listen, roster, budget;
  bool log_requests = false;
};

int serve(const Options& options) {
  auto config = daemon::load_config(options.config);
  if (!config) return report(config.error());
  if (!options.listen.empty()) config->listen = options.listen;
  if (!options.roster.empty()) config->roster = options.roster;
  if (!options.budget.empty()) {
    auto budget = parse_bytes(options.budget);
    if (!budget) return report(budget.error());
    config->memory.budget = *budget;
  }
  Session session({std::move(*config), "", true, options.log_requests});
  if (auto started = session.start(); !started) return report(started.error());
  auto& backend = session.backend();
  size_t usable = 0;
  for (const auto& model : backend.models()) usable += model.broken.empty() ? 1 : 0;
  fmt::print("skep serves on port {}: {} agents, {} models, budget {}\n", session.daemon().port(),
             backend.agents().size(), usable, to_string(session.daemon().budget()));
  std::fflush(stdout);
  session.on_interrupt([&] {
    fmt::print(stderr, "skep: finishing what runs; once more ends it at once\n");
    session.finish();
  });
  session.run();
  return kOk;
}

}  // namespace

void add_serve(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("serve", "Run the daemon: OpenAI, Ollama and control API on one port");
  auto options = std::make_shared<Options>();
  command->add_option("-c,--config", options->config,
                      "The configuration file (default: skep.yaml, where there is one)");
  command->add_option("--listen", options->listen,
                      "Address and port, instead of the configured ones (default 127.0.0.1:8051)");
  command->add_option("--roster", options->roster, "The agents, a YAML file");
  command->add_option("--budget", options->budget, "Memory that models may take, e.g. 4GiB");
  command->add_flag("--log-requests", options->log_requests, "A line on stderr for every request");
  command->footer(
      "Examples:\n  skep serve --roster rosters/edge-131.yaml --budget 4GiB\n  skep serve --config /etc/skep.yaml");
  command->callback([options, &exit_code] { exit_code = serve(*options); });
}

}  // namespace skep::cli
