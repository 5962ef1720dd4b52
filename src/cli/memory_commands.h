#pragma once
// Commands about memory and prompts, as in commands.h.

namespace CLI {
class App;
}

namespace skep::cli {

void add_memory(CLI::App& app, int& exit_code);
void add_compress(CLI::App& app, int& exit_code);

}  // namespace skep::cli
