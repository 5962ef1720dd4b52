#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <cmath>
#include <memory>
#include <optional>

#include "cli/model_commands.h"
#include "cli/terminal.h"
#include "cli/tool_progress.h"
#include "model_tools/influence.h"
#include "model_tools/llama_session.h"
#include "model_tools/perplexity.h"
#include "model_tools/prune.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

struct Options {
  ToolOptions tool;
  model_tools::PruneOptions prune;
  model_tools::InfluenceOptions influence;
  std::string text;
  int count = 0;
  double ratio = 0;
};

// What is known once it is done.
struct Outcome {
  std::vector<double> influence;  // empty: the layers were named
  model_tools::PruneReport report;
  std::optional<model_tools::Perplexity> before, after;  // unset: no text
};

Result<model_tools::Perplexity> measure(const std::string& model, const std::string& text, const Options& options,
                                        const model_tools::ProgressFn& progress) {
  model_tools::SessionOptions session_options;
  session_options.context_tokens = options.influence.context_tokens;
  session_options.threads = options.influence.threads;
  SKEP_TRY(const auto session, model_tools::LlamaSession::open(model, session_options));
  return model_tools::perplexity(*session, text, options.influence.most_windows, progress);
}

Result<Outcome> work(Options& options, const model_tools::ProgressFn& progress) {
  Outcome outcome;
  std::string text;
  if (!options.text.empty()) {
    SKEP_TRY(text, model_tools::read_text(options.text));
  }
  if (options.prune.layers.empty()) {
    if (text.empty() || (options.count == 0 && options.ratio == 0)) {
      return fail(ErrorCode::invalid_argument, "nothing says which layers to remove",
                  "--count or --ratio with --text ranks them; --layers names them");
    }
    SKEP_TRY(outcome.influence, model_tools::measure_influence(options.prune.input, text, options.influence, progress));
    const auto layers = static_cast<double>(outcome.influence.size());
    const int count = options.count > 0 ? options.count : static_cast<int>(std::lround(layers * options.ratio));
    if (count < 1 || count >= static_cast<int>(layers)) {
      return fail(ErrorCode::invalid_argument, fmt::format("{} of {} layers can't be removed", count, layers));
    }
    options.prune.layers = model_tools::least_influential(outcome.influence, count);
  }
  // Before there is an output: a text that can't be measured on must leave none.
  if (!text.empty()) {
    SKEP_TRY(outcome.before, measure(options.prune.input, text, options, progress));
  }
  SKEP_TRY(outcome.report, model_tools::prune(options.prune, progress));
  if (!text.empty()) {
    SKEP_TRY(outcome.after, measure(options.prune.output, text, options, progress));
  }
  return outcome;
}

void show(const Options& options, const Outcome& outcome, ToolProgress& progress) {
  const auto& report = outcome.report;
  if (options.tool.json) {
    json::object result{{"input", options.prune.input},
                        {"output", options.prune.output},
                        {"removed", json::array(options.prune.layers.begin(), options.prune.layers.end())},
                        {"layers_before", report.layers_before},
                        {"layers_after", report.layers_after},
                        {"bytes_before", report.before.count},
                        {"bytes_after", report.after.count},
                        {"influence", json::array(outcome.influence.begin(), outcome.influence.end())}};
    if (outcome.before) {
      result["perplexity_before"] = outcome.before->value;
      result["perplexity_after"] = outcome.after->value;
    }
    progress.result(result);
    return;
  }
  if (!outcome.influence.empty()) {
    Table table({{"layer", Table::Align::right}, {"influence", Table::Align::right}, {"", Table::Align::left}});
    for (size_t i = 0; i < outcome.influence.size(); ++i) {
      const bool gone = std::count(options.prune.layers.begin(), options.prune.layers.end(), static_cast<int>(i)) > 0;
      table.row({std::to_string(i), fmt::format("{:.4f}", outcome.influence[i]), gone ? "removed" : ""});
    }
    table.print();
  }
  fmt::print("{}: {} layers instead of {}, {} instead of {}\n", options.prune.output, report.layers_after,
             report.layers_before, to_string(report.after), to_string(report.before));
  if (outcome.before) {
    fmt::print("perplexity {:.3f} → {:.3f}\n", outcome.before->value, outcome.after->value);
  }
}

int run(Options& options) {
  ToolProgress progress(options.tool.progress_descriptor);
  const auto outcome = work(options, progress.heard());
  progress.done();
  if (!outcome) return progress.failed(outcome.error());
  show(options, *outcome, progress);
  return kOk;
}

}  // namespace

void add_model_prune(CLI::App& model, int& exit_code) {
  auto options = std::make_shared<Options>();
  auto* command = model.add_subcommand("prune", "Leave out the layers that do least");
  command->add_option("input", options->prune.input, "The GGUF file")->required();
  command->add_option("output", options->prune.output, "The file to write")->required();
  command->add_option("--text", options->text,
                      "A text like what the model will see: ranks the layers, measures perplexity before and after");
  command->add_option("--count", options->count, "How many layers to remove")->check(CLI::Range(1, 10'000));
  command->add_option("--ratio", options->ratio, "What part of the layers to remove")->check(CLI::Range(0.0, 1.0));
  command->add_option("--layers", options->prune.layers, "These layers: 7,8,9")->delimiter(',');
  command->add_option("--context", options->influence.context_tokens, "Tokens of a window of text")
      ->check(CLI::Range(16, 1'000'000))
      ->capture_default_str();
  command->add_option("--windows", options->influence.most_windows, "The first so many windows; 0: the whole text")
      ->check(CLI::Range(0, 100'000'000))
      ->capture_default_str();
  command->add_option("--threads", options->influence.threads, "0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_flag("--force", options->prune.overwrite, "Replace an existing file");
  add_tool_options(*command, options->tool);
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace skep::cli
