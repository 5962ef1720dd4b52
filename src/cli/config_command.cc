#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "base/yaml.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "daemon/config.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

struct Options {
  std::string file;
  bool json = false;
};

// Sizes and durations stay the texts that they are in YAML.
json::value to_json(const YamlNode& node) {
  if (node.is_map()) {
    json::object object;
    for (size_t i = 0; i < node.size(); ++i) object[node.at(i).key()] = to_json(node.at(i));
    return object;
  }
  if (node.is_list()) {
    json::array array;
    for (size_t i = 0; i < node.size(); ++i) array.push_back(to_json(node.at(i)));
    return array;
  }
  if (node.is_null()) return nullptr;
  if (auto flag = node.boolean()) return *flag;
  if (auto integer = node.integer()) return *integer;
  if (auto number = node.number(-1e300, 1e300)) return *number;
  return json::value(node.text(1 << 20).value_or(""));
}

int check(const Options& options) {
  auto config = daemon::load_config(options.file);
  if (options.json) {
    json::object answer{{"file", config ? config->file : options.file}, {"ok", config.has_value()}};
    if (!config) answer["error"] = config.error().text();
    fmt::print("{}\n", json::serialize(answer));
    return config ? kOk : kUsage;
  }
  if (!config) return report(config.error());
  fmt::print("{} {}\n", config->file.empty() ? "defaults and environment" : config->file, paint(Colour::green, "ok"));
  return kOk;
}

int show(const Options& options) {
  auto config = daemon::load_config(options.file);
  if (!config) return report(config.error());
  const std::string text = daemon::to_yaml(*config);
  if (!options.json) {
    fmt::print("{}", text);
    return kOk;
  }
  auto document = parse_yaml(text, "the configuration");
  if (!document) return report(document.error());
  fmt::print("{}\n", json::serialize(to_json(document->root())));
  return kOk;
}

}  // namespace

void add_config(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("config", "Check the configuration, or show it with every default");
  command->require_subcommand(1);
  auto options = std::make_shared<Options>();
  auto add = [&](const char* name, const char* purpose, int (*work)(const Options&)) {
    auto* sub = command->add_subcommand(name, purpose);
    sub->add_option("file", options->file, "The configuration file (default: skep.yaml, where there is one)");
    sub->add_flag("--json", options->json, "As JSON");
    sub->callback([options, work, &exit_code] { exit_code = work(*options); });
  };
  add("check", "Say whether skep.yaml can be used; errors name the line and the key", check);
  add("show", "Print the whole configuration as YAML, defaults and environment included", show);
  command->footer(
      "Examples:\n  skep config check skep.yaml\n  skep config show > skep.yaml\n"
      "  skep config show --json | jq .engines");
}

}  // namespace skep::cli
