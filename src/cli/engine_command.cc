#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "engine/engine.h"

namespace skep::cli {

void add_engine(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("engine", "One loaded model on an inherited socket; started by the daemon");
  command->group("");  // hidden: nothing that people type
  auto fd = std::make_shared<int>(3);
  command->add_option("--fd", *fd, "The socket's descriptor")->check(CLI::Range(0, 1 << 20));
  command->callback([fd, &exit_code] { exit_code = engine::run_engine(*fd); });
}

}  // namespace skep::cli
