#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "base/duration.h"
#include "cli/model_commands.h"
#include "cli/terminal.h"
#include "cli/tool_progress.h"
#include "model_tools/delta.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

struct Diff {
  ToolOptions tool;
  model_tools::DiffOptions options;
};

int make_diff(const Diff& command) {
  const auto began = std::chrono::steady_clock::now();
  ToolProgress progress(command.tool.progress_descriptor);
  const auto done = model_tools::diff(command.options, progress.heard());
  progress.done();
  if (!done) return progress.failed(done.error());
  const Duration took = std::chrono::steady_clock::now() - began;
  if (command.tool.json) {
    progress.result({{"output", command.options.output},
                     {"old_bytes", done->old_size.count},
                     {"new_bytes", done->new_size.count},
                     {"delta_bytes", done->delta.count},
                     {"copied_bytes", done->copied.count},
                     {"differing_bytes", done->differing.count},
                     {"plain_bytes", done->plain.count},
                     {"seconds", std::chrono::duration<double>(took).count()}});
  } else {
    fmt::print("{}: {}, {:.1f} % of the new version, in {}\n", command.options.output, to_string(done->delta),
               100.0 * static_cast<double>(done->delta.count) /
                   static_cast<double>(std::max<int64_t>(1, done->new_size.count)),
               to_string(took));
    fmt::print("of the new version {} are in the old one, {} like it, {} new\n", to_string(done->copied),
               to_string(done->differing), to_string(done->plain));
  }
  return kOk;
}

struct Patch {
  ToolOptions tool;
  model_tools::PatchOptions options;
};

int apply_patch(const Patch& command) {
  const auto began = std::chrono::steady_clock::now();
  ToolProgress progress(command.tool.progress_descriptor);
  const auto done = model_tools::patch(command.options, progress.heard());
  progress.done();
  if (!done) return progress.failed(done.error());
  const Duration took = std::chrono::steady_clock::now() - began;
  if (command.tool.json) {
    progress.result({{"output", command.options.output},
                     {"new_bytes", done->new_size.count},
                     {"resumed_bytes", done->resumed.count},
                     {"seconds", std::chrono::duration<double>(took).count()}});
  } else {
    fmt::print("{}: {} in {}, verified{}\n", command.options.output, to_string(done->new_size), to_string(took),
               done->resumed > Bytes(0) ? fmt::format("; {} were there already", to_string(done->resumed)) : "");
  }
  return kOk;
}

}  // namespace

void add_model_diff(CLI::App& model, int& exit_code) {
  auto options = std::make_shared<Diff>();
  auto* command = model.add_subcommand("diff", "What changed between two versions of a model, as a file");
  command->add_option("old", options->options.old_path, "The version that others have")->required();
  command->add_option("new", options->options.new_path, "The version that they want")->required();
  command->add_option("-o,--output", options->options.output, "The delta to write")->required();
  command->add_option("--level", options->options.level, "zstd's")->check(CLI::Range(1, 19))->capture_default_str();
  command->add_flag("--force", options->options.overwrite, "Replace an existing file");
  add_tool_options(*command, options->tool);
  command->callback([options, &exit_code] { exit_code = make_diff(*options); });
}

void add_model_patch(CLI::App& model, int& exit_code) {
  auto options = std::make_shared<Patch>();
  auto* command = model.add_subcommand("patch", "The new version of a model from the old one and a delta");
  command->add_option("old", options->options.old_path, "The version that is here")->required();
  command->add_option("delta", options->options.delta_path, "What `skep model diff` made")->required();
  command->add_option("-o,--output", options->options.output, "The file to write; may be OLD itself")->required();
  command->add_flag("--force", options->options.overwrite, "Replace an existing file");
  add_tool_options(*command, options->tool);
  command->callback([options, &exit_code] { exit_code = apply_patch(*options); });
}

}  // namespace skep::cli
