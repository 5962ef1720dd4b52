#pragma once
// The tools of `skep model`, each in a file of its own; model.cc puts them together.

namespace CLI {
class App;
}

namespace skep::cli {

void add_model_quantize(CLI::App& model, int& exit_code);
void add_model_eval(CLI::App& model, int& exit_code);
void add_model_prune(CLI::App& model, int& exit_code);
void add_model_train(CLI::App& model, int& exit_code);
void add_model_distill(CLI::App& model, int& exit_code);
void add_model_adapter(CLI::App& model, int& exit_code);
void add_model_diff(CLI::App& model, int& exit_code);
void add_model_patch(CLI::App& model, int& exit_code);

}  // namespace skep::cli
