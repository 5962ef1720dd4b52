#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

struct Command {
  std::string path;                // "skep model list"
  std::vector<std::string> words;  // subcommands and long options
};

void collect(const CLI::App& app, const std::string& path, std::vector<Command>& all) {
  Command command{path, {}};
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (sub->get_group().empty()) continue;  // hidden
    command.words.push_back(sub->get_name());
    collect(*sub, path + " " + sub->get_name(), all);
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) command.words.push_back("--" + name);
  }
  all.push_back(std::move(command));
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

// The longest command that the words before the cursor name decides what can follow; files otherwise.
std::string bash(const std::vector<Command>& all) {
  std::string out =
      "# skep completion for bash: source <(skep completion bash)\n_skep() {\n  local path=skep word words\n";
  out += "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    case \"$path $word\" in\n";
  for (const Command& command : all) {
    if (command.path != "skep") out += fmt::format("      '{}') path=$path' '$word ;;\n", command.path);
  }
  out += "    esac\n  done\n  case $path in\n";
  for (const Command& command : all)
    out += fmt::format("    '{}') words='{}' ;;\n", command.path, joined(command.words));
  out +=
      "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
      "  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
      "complete -o filenames -F _skep skep\n";
  return out;
}

std::string fish(const std::vector<Command>& all) {
  std::string out = "# skep completion for fish: skep completion fish | source\n";
  for (const Command& command : all) {
    std::string condition = "__fish_use_subcommand";
    if (command.path != "skep") condition = "__fish_seen_subcommand_from " + command.path.substr(5);
    for (const std::string& word : command.words) {
      if (word.starts_with("--")) {
        out += fmt::format("complete -c skep -n '{}' -l {}\n", condition, word.substr(2));
      } else {
        out += fmt::format("complete -c skep -n '{}' -a {}\n", condition, word);
      }
    }
  }
  return out;
}

}  // namespace

void add_completion(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("completion", "Print a completion script for bash, zsh or fish");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer("Examples:\n  source <(skep completion bash)\n  skep completion fish | source");
  command->callback([shell, &app, &exit_code] {
    std::vector<Command> all;
    collect(app, "skep", all);
    std::sort(all.begin(), all.end(), [](const Command& a, const Command& b) { return a.path < b.path; });
    if (*shell == "zsh") fmt::print("autoload -U +X bashcompinit && bashcompinit\n");
    fmt::print("{}", *shell == "fish" ? fish(all) : bash(all));
    exit_code = kOk;
  });
}

}  // namespace skep::cli
