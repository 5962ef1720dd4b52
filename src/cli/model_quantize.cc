#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <map>
#include <memory>

#include "base/duration.h"
#include "cli/model_commands.h"
#include "cli/terminal.h"
#include "cli/tool_progress.h"
#include "model/gguf.h"
#include "model_tools/llama_session.h"
#include "model_tools/quantize.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

struct Options {
  ToolOptions tool;
  model_tools::QuantizeOptions quantize;
  model_tools::ImportanceOptions importance;
  std::string importance_text, target_size;
  bool dry_run = false;
};

// How many tensors and bytes go to each type, most bytes first.
struct Use {
  std::string type;
  int64_t tensors = 0;
  Bytes bytes;
};
std::vector<Use> uses_of(const model_tools::QuantizePlan& plan) {
  std::map<uint32_t, Use> by_type;
  for (const auto& t : plan.tensors) {
    Use& use = by_type[t.to];
    use.type = model::tensor_type_name(t.to);
    ++use.tensors;
    use.bytes += t.after;
  }
  std::vector<Use> uses;
  for (auto& [type, use] : by_type) uses.push_back(std::move(use));
  std::sort(uses.begin(), uses.end(), [](const Use& a, const Use& b) { return a.bytes > b.bytes; });
  return uses;
}

void show(const Options& options, const model_tools::QuantizePlan& plan, Duration took, ToolProgress& progress) {
  if (options.tool.json) {
    json::array tensors, types;
    for (const auto& t : plan.tensors) {
      tensors.push_back(json::object{{"name", t.name},
                                     {"from", model::tensor_type_name(t.from)},
                                     {"to", model::tensor_type_name(t.to)},
                                     {"bytes", t.after.count}});
    }
    for (const Use& use : uses_of(plan))
      types.push_back(json::object{{"type", use.type}, {"tensors", use.tensors}, {"bytes", use.bytes.count}});
    json::object result{{"input", options.quantize.input},
                        {"output", options.dry_run ? json::value(nullptr) : json::value(options.quantize.output)},
                        {"type", plan.type},
                        {"bytes_before", plan.before.count},
                        {"bytes_after", plan.after.count},
                        {"bits_per_weight", plan.bits_per_weight},
                        {"importance", plan.importance},
                        {"seconds", std::chrono::duration<double>(took).count()},
                        {"types", std::move(types)},
                        {"tensors", std::move(tensors)}};
    if (options.quantize.target_size) result["error"] = plan.error;
    progress.result(result);
    return;
  }
  Table table({{"type", Table::Align::left}, {"tensors", Table::Align::right}, {"bytes", Table::Align::right}});
  for (const Use& use : uses_of(plan)) table.row({use.type, std::to_string(use.tensors), to_string(use.bytes)});
  table.print();
  fmt::print(
      "{} → {} ({:.1f} %), {:.2f} bits per weight{}{}\n", to_string(plan.before), to_string(plan.after),
      100.0 * static_cast<double>(plan.after.count) / static_cast<double>(plan.before.count), plan.bits_per_weight,
      plan.importance ? ", by importance" : "",
      options.quantize.target_size ? fmt::format(", {:.2f} % of the outputs' energy lost", plan.error * 100) : "");
  if (options.dry_run) {
    fmt::print("nothing was written (--dry-run)\n");
  } else {
    fmt::print("{} written in {}\n", options.quantize.output, to_string(took));
  }
}

int run(Options& options) {
  if (!options.dry_run && options.quantize.output.empty()) {
    return report({ErrorCode::invalid_argument, "no file to write to", "skep model quantize IN OUT"});
  }
  if (!options.target_size.empty()) {
    const auto size = parse_bytes(options.target_size);
    if (!size) return report(size.error());
    options.quantize.target_size = *size;
  }
  const auto began = std::chrono::steady_clock::now();
  ToolProgress progress(options.tool.progress_descriptor);
  model_tools::Importance importance;
  if (!options.importance_text.empty()) {
    const auto text = model_tools::read_text(options.importance_text);
    if (!text) return progress.failed(text.error());
    options.importance.threads = options.quantize.threads;
    auto measured =
        model_tools::measure_importance(options.quantize.input, *text, options.importance, progress.heard());
    if (!measured) return progress.failed(measured.error());
    importance = std::move(*measured);
    options.quantize.importance = &importance;
  }
  const auto plan = options.dry_run ? model_tools::plan_quantize(options.quantize, progress.heard())
                                    : model_tools::quantize(options.quantize, progress.heard());
  progress.done();
  if (!plan) return progress.failed(plan.error());
  show(options, *plan, std::chrono::steady_clock::now() - began, progress);
  return kOk;
}

std::string known_types() {
  std::string names;
  for (const auto& type : model_tools::quantization_types())
    names += (names.empty() ? "" : ", ") + std::string(type.name);
  return names;
}

}  // namespace

void add_model_quantize(CLI::App& model, int& exit_code) {
  auto options = std::make_shared<Options>();
  auto* command = model.add_subcommand("quantize", "Store a model's weights in fewer bits");
  command->add_option("input", options->quantize.input, "The GGUF file, best in F32, F16 or BF16")->required();
  command->add_option("output", options->quantize.output, "The file to write");
  command->add_option("--type", options->quantize.type, known_types())->capture_default_str();
  command->add_option("--target-size", options->target_size,
                      "Instead of --type: the types that lose least in a file of this size, as 800MB");
  command->add_option("--imatrix-text", options->importance_text,
                      "A text like what the model will see: what matters for it keeps its precision");
  command->add_option("--imatrix-windows", options->importance.most_windows, "Of 512 tokens; 0: the whole text")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command->add_option("--threads", options->quantize.threads, "0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_flag("--dry-run", options->dry_run, "Only say what it would be");
  command->add_flag("--requantize", options->quantize.requantize, "Accept input that is quantized already");
  command->add_flag("--force", options->quantize.overwrite, "Replace an existing file");
  add_tool_options(*command, options->tool);
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace skep::cli
