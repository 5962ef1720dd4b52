#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "cli/memory_commands.h"
#include "cli/terminal.h"

int main(int argc, char** argv) {
  using namespace skep::cli;
  CLI::App app{"skep: a home for hundreds of agents on a small machine. It owns the memory, the models and the queue.",
               "skep"};
  app.require_subcommand(1);
  app.fallthrough(false);
  app.footer(
      "Examples:\n"
      "  skep demo                             131 agents at work, nothing else needed\n"
      "  skep serve --config skep.yaml         the daemon, on http://127.0.0.1:8051\n"
      "  skep run tasks.jsonl -o results.jsonl  a file of tasks, in constant memory\n"
      "  skep chat log-triage                  talk to an agent\n"
      "  skep model list                       the GGUF files it knows\n\n"
      "Exit codes: 0 done, 1 something failed, 2 wrong usage, config or input, 3 daemon or model not available,\n"
      "130 interrupted. Every command that prints a table takes --json. Colours only on a terminal; NO_COLOR turns "
      "them off.");
  int exit_code = kOk;
  add_demo(app, exit_code);
  add_serve(app, exit_code);
  add_run(app, exit_code);
  add_chat(app, exit_code);
  add_agent(app, exit_code);
  add_model(app, exit_code);
  add_compress(app, exit_code);
  add_memory(app, exit_code);
  add_route(app, exit_code);
  add_ps(app, exit_code);
  add_log(app, exit_code);
  add_cache(app, exit_code);
  add_backup(app, exit_code);
  add_state(app, exit_code);
  add_config(app, exit_code);
  add_sim(app, exit_code);
  add_golden(app, exit_code);
  add_bench(app, exit_code);
  add_completion(app, exit_code);
  add_version(app, exit_code);
  add_engine(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    const CLI::App* innermost = &app;
    while (!innermost->get_subcommands().empty()) innermost = innermost->get_subcommands().front();
    if (innermost->get_require_subcommand_min() == 0) {
      app.exit(error);
    } else {
      std::cerr << innermost->help();  // what there is to choose from
    }
    return kUsage;
  } catch (const CLI::ParseError& error) {
    int code = app.exit(error);
    return code == 0 ? kOk : kUsage;
  }
  return exit_code;
}
