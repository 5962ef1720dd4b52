#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json.hpp>
#include <memory>

#include "cli/model_commands.h"
#include "cli/terminal.h"
#include "cli/tool_progress.h"
#include "model/gguf.h"
#include "model_tools/adapter.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

struct Extract {
  ToolOptions tool;
  model_tools::ExtractOptions options;
};

int extract(const Extract& command) {
  ToolProgress progress(command.tool.progress_descriptor);
  const auto done = model_tools::extract_adapter(command.options, progress.heard());
  progress.done();
  if (!done) return progress.failed(done.error());
  if (command.tool.json) {
    json::array matrices;
    for (const auto& m : done->matrices)
      matrices.push_back(json::object{{"name", m.name}, {"change", m.change}, {"kept", m.kept}});
    progress.result({{"output", command.options.output},
                     {"rank", command.options.rank},
                     {"bytes", done->bytes.count},
                     {"kept", done->kept},
                     {"matrices", std::move(matrices)},
                     {"left_out", json::value_from(done->left_out)}});
    return kOk;
  }
  fmt::print("{}: {} matrices at rank {}, {}; {:.1f} % of the change is kept\n", command.options.output,
             done->matrices.size(), command.options.rank, to_string(done->bytes), done->kept * 100);
  if (!done->left_out.empty()) {
    fmt::print("{} tensors changed that an adapter can't hold, {} among them\n", done->left_out.size(),
               done->left_out.front());
  }
  return kOk;
}

struct Merge {
  ToolOptions tool;
  model_tools::MergeOptions options;
  std::string type;
};

int merge(Merge& command) {
  for (uint32_t t = 0; !command.type.empty() && t < 64; ++t) {
    if (model::tensor_type(t) != nullptr && command.type == model::tensor_type(t)->name) command.options.type = t;
  }
  if (!command.type.empty() && !command.options.type) {
    return report({ErrorCode::invalid_argument, fmt::format("there is no type '{}'", command.type), "F16, Q8_0 …"});
  }
  ToolProgress progress(command.tool.progress_descriptor);
  const auto done = model_tools::merge_adapter(command.options, progress.heard());
  progress.done();
  if (!done) return progress.failed(done.error());
  if (command.tool.json) {
    progress.result({{"output", command.options.output},
                     {"matrices", done->matrices},
                     {"rank", done->rank},
                     {"bytes", done->bytes.count}});
  } else {
    fmt::print("{}: {} matrices changed, {}\n", command.options.output, done->matrices, to_string(done->bytes));
  }
  return kOk;
}

}  // namespace

void add_model_adapter(CLI::App& model, int& exit_code) {
  auto* adapter = model.add_subcommand("adapter", "LoRA adapters: make one, merge one into a model");
  adapter->require_subcommand(1);

  auto extraction = std::make_shared<Extract>();
  auto* command = adapter->add_subcommand("extract", "What turns one model into another, as an adapter");
  command->add_option("base", extraction->options.base, "The model that the adapter is for")->required();
  command->add_option("tuned", extraction->options.tuned, "The model that base + adapter should be")->required();
  command->add_option("output", extraction->options.output, "The adapter to write")->required();
  command->add_option("--rank", extraction->options.rank, "Of each matrix's change")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_flag("--force", extraction->options.overwrite, "Replace an existing file");
  add_tool_options(*command, extraction->tool);
  command->callback([extraction, &exit_code] { exit_code = extract(*extraction); });

  auto merging = std::make_shared<Merge>();
  command = adapter->add_subcommand("merge", "A model that needs the adapter no more");
  command->add_option("model", merging->options.model, "The model that the adapter was made for")->required();
  command->add_option("adapter", merging->options.adapter, "The adapter")->required();
  command->add_option("output", merging->options.output, "The file to write")->required();
  command->add_option("--scale", merging->options.scale, "Times the adapter's own strength")->capture_default_str();
  command->add_option("--type", merging->type, "Of the changed matrices: F16, Q8_0 … (default: as they were)");
  command->add_flag("--force", merging->options.overwrite, "Replace an existing file");
  add_tool_options(*command, merging->tool);
  command->callback([merging, &exit_code] { exit_code = merge(*merging); });
}

}  // namespace skep::cli
