#pragma once
// What `skep agent` does with an agent's memory: messages, export, import, forget.

namespace CLI {
class App;
}

namespace skep::cli {

void add_agent_state(CLI::App& agent, int& exit_code);

}  // namespace skep::cli
