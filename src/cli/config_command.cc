#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "daemon/config.h"

namespace skep::cli {

void add_config(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("config", "Check the configuration, or show it with every default");
  command->require_subcommand(1);
  auto file = std::make_shared<std::string>();
  auto* check = command->add_subcommand("check", "Say whether skep.yaml can be used; errors name the line and the key");
  auto* show =
      command->add_subcommand("show", "Print the whole configuration as YAML, defaults and environment included");
  for (auto* sub : {check, show})
    sub->add_option("file", *file, "The configuration file (default: skep.yaml, where there is one)");
  check->callback([file, &exit_code] {
    auto config = daemon::load_config(*file);
    if (!config) {
      exit_code = report(config.error());
      return;
    }
    fmt::print("{} {}\n", config->file.empty() ? "defaults and environment" : config->file, paint(Colour::green, "ok"));
  });
  show->callback([file, &exit_code] {
    auto config = daemon::load_config(*file);
    if (!config) {
      exit_code = report(config.error());
      return;
    }
    fmt::print("{}", daemon::to_yaml(*config));
  });
  command->footer("Examples:\n  skep config check skep.yaml\n  skep config show > skep.yaml");
}

}  // namespace skep::cli
