#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/terminal.h"

namespace skep::cli {

void add_version(CLI::App& app, int& exit_code) {
  static const std::string versions = fmt::format("skep {} (libllama {})", SKEP_VERSION, LLAMA_VERSION_TEXT);
  app.set_version_flag("--version", versions, "The same as the command version");
  auto* command = app.add_subcommand("version", "Versions of skep and of the engine library");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "As JSON");
  command->callback([json, &exit_code] {
    if (*json) {
      fmt::print("{}\n",
                 boost::json::serialize(boost::json::object{{"skep", SKEP_VERSION}, {"libllama", LLAMA_VERSION_TEXT}}));
    } else {
      fmt::print("{}\n", versions);
    }
    exit_code = kOk;
  });
}

}  // namespace skep::cli
