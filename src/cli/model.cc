#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <memory>
#include <optional>

#include "agent/roster.h"
#include "base/duration.h"
#include "cli/commands.h"
#include "cli/forward_choice.h"
#include "cli/model_commands.h"
#include "cli/model_need.h"
#include "cli/terminal.h"
#include "daemon/config.h"
#include "daemon/model_directory.h"
#include "engine/synth/synth.h"
#include "model/catalog.h"
#include "model/describe.h"
#include "model/inspect.h"

namespace skep::cli {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;
using Align = Table::Align;

// Where to look: what the command line says, else the configuration.
struct Places {
  std::string config;
  std::vector<std::string> folders;
};

void add_places(CLI::App& command, Places& places) {
  command.add_option("--config", places.config, "The configuration file (default: skep.yaml, where there is one)");
  command.add_option("--folder", places.folders, "Look here instead of in the configuration's model folders");
}

Result<model::Scan> scan(const Places& places) {
  model::ScanOptions options;
  options.folders = places.folders;
  if (options.folders.empty()) {
    SKEP_TRY(const daemon::Config config, daemon::load_config(places.config));
    options.folders = config.model_folders;
    for (const auto& [name, named] : config.models) {
      if (!named.path.empty()) options.named.emplace(name, named.path);
    }
  }
  model::ScanCache cache;
  return model::scan(options, cache);
}

// "7.62 B", "134.5 M".
std::string parameters_text(int64_t count) {
  const auto n = static_cast<double>(count);
  return count >= 999'500'000 ? fmt::format("{:.2f} B", n / 1e9) : fmt::format("{:.1f} M", n / 1e6);
}

json::object json_of(const model::ModelInfo& info) {
  return {{"name", info.name},
          {"path", model::presentable(info.path, 4096)},
          {"architecture", info.architecture},
          {"quantization", info.quantization},
          {"parameters", info.parameters},
          {"file_size", info.file_size.count},
          {"context_length", info.context_length},
          {"embedding_length", info.embedding_length},
          {"layers", info.layers},
          {"has_chat_template", info.has_chat_template},
          {"capabilities", json::value_from(info.capabilities)},
          {"hash", info.hash},
          {"broken", info.broken}};
}

int list(const Places& places, bool as_json) {
  const auto found = scan(places);
  if (!found) return report(found.error());
  for (const std::string& problem : found->problems)
    fmt::print(stderr, "{} {}\n", paint(Colour::yellow, "skep:", stderr), problem);
  if (as_json) {
    json::array models;
    for (const auto& info : found->models) models.push_back(json_of(info));
    fmt::print("{}\n", json::serialize(json::object{{"models", std::move(models)}}));
    return kOk;
  }
  Table table({{"model", Align::left},
               {"arch", Align::left},
               {"parameters", Align::right},
               {"type", Align::left},
               {"size", Align::right},
               {"context", Align::right},
               {"can", Align::left}});
  size_t broken = 0;
  for (const auto& info : found->models) {
    if (!info.broken.empty()) {
      ++broken;
      continue;
    }
    table.row({info.name, info.architecture, parameters_text(info.parameters), info.quantization,
               to_string(info.file_size), human_count(info.context_length),
               fmt::format("{}", fmt::join(info.capabilities, ", "))});
  }
  if (broken < found->models.size()) table.print();
  for (const auto& info : found->models) {
    if (!info.broken.empty())
      fmt::print("{} {}\n       {}\n", paint(Colour::red, "broken"), model::presentable(info.path, 4096), info.broken);
  }
  if (found->models.empty())
    fmt::print("no GGUF files in {}; `skep model synth` makes one\n", fmt::join(found->folders, ", "));
  return kOk;
}

// A file's path or the name of a model in the catalog.
Result<std::string> path_of(const std::string& name, const Places& places) {
  std::error_code ignored;
  if (fs::is_regular_file(name, ignored)) return name;
  SKEP_TRY(const model::Scan found, scan(places));
  const model::ModelInfo* info = model::find_model(found.models, name);
  if (info != nullptr) return info->path;
  return fail(ErrorCode::not_found, fmt::format("'{}' is neither a file nor a model", name),
              "`skep model list` shows the models");
}

struct Inspection {
  Places places;
  std::string name;
  bool tensors = false, json = false;
  std::optional<int> context, slots;  // either: say what it needs with them
};

Result<std::optional<ModelNeed>> need_of(const Inspection& asked, const std::string& path,
                                         const model::GgufFile& file) {
  if (!asked.context && !asked.slots) return std::nullopt;
  SKEP_TRY(const daemon::Config config, daemon::load_config(asked.places.config));
  return measure_need(path, config, asked.context.value_or(0), asked.slots.value_or(0),
                      model::describe(file).info.embeds);
}

// As the daemon of this configuration would load it, in what decides about the forward pass.
Result<engine::LoadOptions> load_options(const std::string& path, const Places& places) {
  SKEP_TRY(const daemon::Config config, daemon::load_config(places.config));
  SKEP_TRY(const model::Scan found, scan(places));
  engine::LoadOptions options;
  options.forward = config.engines.forward;
  options.kv_type = config.engines.kv_type;
  options.gpu_layers = config.engines.gpu_layers;
  std::error_code ignored;
  const auto model = std::find_if(found.models.begin(), found.models.end(),
                                  [&](const auto& info) { return fs::equivalent(info.path, path, ignored); });
  if (model == found.models.end()) return options;
  if (const auto named = config.models.find(model->name); named != config.models.end()) {
    options.gpu_layers = named->second.gpu_layers.value_or(options.gpu_layers);
    if (!named->second.kv_type.empty()) options.kv_type = named->second.kv_type;
  }
  std::vector<std::string> adapters = config.engines.adapters;
  if (!config.roster.empty()) {
    SKEP_TRY(const agent::Roster roster, agent::Roster::read(config.roster));
    for (const agent::AgentSpec& agent : roster.agents()) adapters.push_back(agent.adapter);
  }
  options.adapter_memory = daemon::adapter_bytes(found.models, adapters, *model, config.engines.adapter_memory);
  return options;
}

int inspect(const Inspection& asked) {
  const auto path = path_of(asked.name, asked.places);
  if (!path) return report(path.error());
  const auto file = model::read_gguf(*path);
  if (!file) return report(file.error());
  const auto options = load_options(*path, asked.places);
  if (!options) return report(options.error());
  const std::string forward = forward_choice(*file, *options);
  const auto need = need_of(asked, *path, *file);
  if (!need) return report(need.error());
  if (asked.json) {
    json::object said = json::parse(model::inspect_json(*file, *path, forward)).as_object();
    if (*need) said["need"] = need_json(**need);
    fmt::print("{}\n", json::serialize(said));
  } else {
    fmt::print("{}",
               model::inspect_text(*file, *path,
                                   {.tensors = asked.tensors, .columns = static_cast<size_t>(terminal_width(stdout))}));
    fmt::print("forward pass: {}\n", forward);
    if (*need) fmt::print("{}", need_text(**need));
  }
  return kOk;
}

struct SynthCommand {
  synth::SynthOptions options;
  std::string shape = "tiny", type = "Q4_0";
  std::optional<int> layers, embedding, heads, kv_heads, feed_forward, vocabulary, context;
  bool shapes = false, json = false;
};

int show_shapes(const SynthCommand& command) {
  const auto type = synth::weight_type_from(command.type).value_or(synth::WeightType::q4_0);
  json::array all;
  Table table({{"shape", Align::left},
               {"arch", Align::left},
               {"layers", Align::right},
               {"width", Align::right},
               {"heads", Align::right},
               {"tokens", Align::right},
               {"parameters", Align::right},
               {synth::to_string(type), Align::right}});
  for (const synth::Shape& shape : synth::shapes()) {
    const synth::Size size = synth::size_of(shape, type);
    table.row({shape.name, to_string(shape.architecture), std::to_string(shape.layers), std::to_string(shape.embedding),
               fmt::format("{}/{}", shape.heads, shape.kv_heads), human_count(shape.vocabulary),
               parameters_text(size.parameters), to_string(size.tensors)});
    all.push_back(json::object{{"name", shape.name},
                               {"architecture", to_string(shape.architecture)},
                               {"layers", shape.layers},
                               {"embedding", shape.embedding},
                               {"heads", shape.heads},
                               {"kv_heads", shape.kv_heads},
                               {"feed_forward", shape.feed_forward},
                               {"vocabulary", shape.vocabulary},
                               {"context", shape.context},
                               {"like", shape.like},
                               {"parameters", size.parameters},
                               {"bytes", size.tensors.count}});
  }
  if (command.json) {
    fmt::print("{}\n", json::serialize(json::object{{"type", synth::to_string(type)}, {"shapes", std::move(all)}}));
  } else {
    table.print();
  }
  return kOk;
}

Status prepare(SynthCommand& command) {
  const synth::Shape* shape = synth::find_shape(command.shape);
  if (shape == nullptr) {
    std::vector<std::string> names;
    for (const auto& known : synth::shapes()) names.push_back(known.name);
    return fail(ErrorCode::invalid_argument, fmt::format("there is no shape '{}'", command.shape),
                fmt::format("known: {}", fmt::join(names, ", ")));
  }
  const auto type = synth::weight_type_from(command.type);
  if (!type) {
    std::vector<std::string> names;
    for (const auto known : synth::weight_types()) names.emplace_back(synth::to_string(known));
    return fail(ErrorCode::invalid_argument, fmt::format("there is no type '{}'", command.type),
                fmt::format("known: {}", fmt::join(names, ", ")));
  }
  command.options.shape = *shape;
  command.options.type = *type;
  synth::Shape& wanted = command.options.shape;
  const auto change = [&](int& value, const std::optional<int>& given) {
    if (given && *given != value) value = *given, wanted.like = "nothing";
  };
  change(wanted.layers, command.layers);
  change(wanted.embedding, command.embedding);
  change(wanted.heads, command.heads);
  change(wanted.kv_heads, command.kv_heads);
  change(wanted.feed_forward, command.feed_forward);
  change(wanted.vocabulary, command.vocabulary);
  change(wanted.context, command.context);
  if (command.options.path.empty())
    command.options.path = fmt::format("{}.{}.gguf", command.shape, synth::to_string(*type));
  return synth::check(wanted);
}

int synthesize(SynthCommand& command) {
  if (command.shapes) return show_shapes(command);
  if (auto status = prepare(command); !status) return report(status.error());
  const auto began = std::chrono::steady_clock::now();
  Status made;
  {
    LiveLines live;
    made = synth::synthesize(command.options, [&](const synth::Progress& progress) {
      if (!live.due()) return true;
      const double fraction =
          static_cast<double>(progress.written.count) / static_cast<double>(std::max<int64_t>(1, progress.total.count));
      const Duration spent = std::chrono::steady_clock::now() - began;
      const Duration left =
          fraction > 0.01
              ? Duration(static_cast<int64_t>(static_cast<double>(spent.count()) * (1 - fraction) / fraction))
              : Duration{};
      live.show({fmt::format("{} {:3.0f} %  {} of {}  {} left", bar(fraction, 24), fraction * 100,
                             to_string(progress.written), to_string(progress.total), to_string(left))});
      return true;
    });
  }
  if (!made) return report(made.error());
  const synth::Size size = synth::size_of(command.options.shape, command.options.type);
  std::error_code ignored;
  const Bytes file_size(static_cast<int64_t>(fs::file_size(command.options.path, ignored)));
  if (command.json) {
    fmt::print("{}\n", json::serialize(json::object{{"path", command.options.path},
                                                    {"shape", command.options.shape.name},
                                                    {"type", synth::to_string(command.options.type)},
                                                    {"parameters", size.parameters},
                                                    {"file_size", file_size.count},
                                                    {"seed", command.options.seed}}));
  } else {
    fmt::print("{}  {} parameters, {}, {} in {}\n", command.options.path, parameters_text(size.parameters),
               synth::to_string(command.options.type), to_string(file_size),
               to_string(std::chrono::steady_clock::now() - began));
  }
  return kOk;
}

void add_list(CLI::App& model, int& exit_code) {
  struct Options {
    Places places;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* command = model.add_subcommand("list", "Every model in the model folders, the broken ones with the reason");
  add_places(*command, options->places);
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &exit_code] { exit_code = list(options->places, options->json); });
}

void add_inspect(CLI::App& model, int& exit_code) {
  auto options = std::make_shared<Inspection>();
  auto* command = model.add_subcommand("inspect", "What a GGUF file says about itself, without loading it");
  command->add_option("model", options->name, "A file, or a model's name")->required();
  command->add_flag("--tensors", options->tensors, "Every tensor, not only the sums");
  command->add_option("--context", options->context, "Say what it needs for contexts of so many tokens")
      ->check(CLI::Range(1, 100'000'000));
  command->add_option("--slots", options->slots, "… and so many at once (default: as the config says)")
      ->check(CLI::Range(1, 256));
  add_places(*command, options->places);
  command->add_flag("--json", options->json, "As JSON, with every tensor");
  command->callback([options, &exit_code] { exit_code = inspect(*options); });
}

void add_synth(CLI::App& model, int& exit_code) {
  auto options = std::make_shared<SynthCommand>();
  auto* command = model.add_subcommand(
      "synth", "Make a GGUF file with random weights: it costs what a real one costs and says nothing");
  command->add_option("--shape", options->shape, "A named shape; --shapes lists them")->capture_default_str();
  command->add_option("--type", options->type, "F32, F16, BF16, Q4_0, Q8_0, Q4_K_M, Q5_K_M, Q6_K")
      ->capture_default_str();
  command->add_option("-o,--output", options->options.path, "The file to write (default: SHAPE.TYPE.gguf)");
  command->add_option("--name", options->options.name, "The model's name in the file");
  command->add_option("--seed", options->options.seed, "The same seed gives the same bytes")->capture_default_str();
  command->add_option("--threads", options->options.threads, "0: one per core")
      ->check(CLI::Range(0, 64))
      ->capture_default_str();
  command->add_flag("--force", options->options.overwrite, "Replace an existing file");
  command->add_flag("--shapes", options->shapes, "List the named shapes with their sizes in --type");
  command->add_flag("--json", options->json, "As JSON");
  const char* group = "Other dimensions than the shape's";
  command->add_option("--layers", options->layers)->group(group);
  command->add_option("--embedding", options->embedding, "Width of the residual stream")->group(group);
  command->add_option("--heads", options->heads)->group(group);
  command->add_option("--kv-heads", options->kv_heads)->group(group);
  command->add_option("--feed-forward", options->feed_forward)->group(group);
  command->add_option("--vocabulary", options->vocabulary, "Tokens")->group(group);
  command->add_option("--context", options->context, "Tokens")->group(group);
  command->callback([options, &exit_code] { exit_code = synthesize(*options); });
}

}  // namespace

void add_model(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("model", "GGUF files: list them, look into them, make and change some");
  command->require_subcommand(1);
  add_list(*command, exit_code);
  add_inspect(*command, exit_code);
  add_synth(*command, exit_code);
  add_model_quantize(*command, exit_code);
  add_model_eval(*command, exit_code);
  add_model_prune(*command, exit_code);
  add_model_train(*command, exit_code);
  add_model_distill(*command, exit_code);
  add_model_adapter(*command, exit_code);
  add_model_diff(*command, exit_code);
  add_model_patch(*command, exit_code);
  command->footer(
      "Examples:\n"
      "  skep model list --folder ~/models\n"
      "  skep model inspect tinyllama --tensors\n"
      "  skep model synth --shapes --type Q4_K_M\n"
      "  skep model synth --shape smollm-135m --type Q4_0 -o models/small.gguf\n"
      "  skep model quantize model.F16.gguf model.Q4_K_M.gguf --type Q4_K_M --imatrix-text sample.txt\n"
      "  skep model eval model.Q4_K_M.gguf sample.txt");
}

}  // namespace skep::cli
