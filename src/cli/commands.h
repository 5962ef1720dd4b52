#pragma once
// The commands of the one binary, each in a file of its own. A command adds itself to the app; when it runs it sets the
// exit code (terminal.h).

namespace CLI {
class App;
}

namespace skep::cli {

void add_serve(CLI::App& app, int& exit_code);
void add_run(CLI::App& app, int& exit_code);
void add_demo(CLI::App& app, int& exit_code);
void add_chat(CLI::App& app, int& exit_code);
void add_agent(CLI::App& app, int& exit_code);
void add_model(CLI::App& app, int& exit_code);
void add_route(CLI::App& app, int& exit_code);
void add_backup(CLI::App& app, int& exit_code);
void add_state(CLI::App& app, int& exit_code);
void add_log(CLI::App& app, int& exit_code);
void add_cache(CLI::App& app, int& exit_code);
void add_ps(CLI::App& app, int& exit_code);
void add_config(CLI::App& app, int& exit_code);
void add_version(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_sim(CLI::App& app, int& exit_code);
void add_golden(CLI::App& app, int& exit_code);
void add_completion(CLI::App& app, int& exit_code);
void add_engine(CLI::App& app, int& exit_code);  // hidden: the worker process

}  // namespace skep::cli
