#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "mind/belief/golden.h"

namespace skep::cli {
namespace {

int golden_belief(const std::string& folder, bool as_json) {
  auto golden = belief::run_goldens(folder);
  if (!golden) return report(golden.error());
  if (as_json) {
    boost::json::object worst;
    for (const auto& [name, quantity] : golden->quantities) worst[name] = quantity.worst;
    boost::json::array failures;
    for (const auto& one : golden->cases) {
      if (!one.passed) failures.push_back({{"file", one.file}, {"failure", one.failure}});
    }
    fmt::print("{}\n",
               boost::json::serialize(boost::json::object{
                   {"passed", golden->passed}, {"failed", golden->failed}, {"worst", worst}, {"failures", failures}}));
  } else {
    fmt::print("{}", golden->text());
  }
  return golden->failed == 0 ? kOk : kFailed;
}

}  // namespace

void add_golden(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("golden", "Check the mathematics against golden vectors");
  command->require_subcommand(1);
  struct Options {
    std::string folder;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto* belief = command->add_subcommand("belief", "Active inference, in the format of test/data/golden/belief");
  belief->add_option("folder", options->folder, "A folder of case_NN.json files")->required();
  belief->add_flag("--json", options->json, "As JSON");
  belief->footer("Example:\n  skep golden belief test/data/golden/belief");
  belief->callback([options, &exit_code] { exit_code = golden_belief(options->folder, options->json); });
}

}  // namespace skep::cli
