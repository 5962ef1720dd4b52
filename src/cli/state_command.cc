#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/terminal.h"
#include "daemon/config.h"
#include "store/store.h"

namespace skep::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

// Where the daemon of this configuration has its state.
Result<std::string> state_of(const std::string& config_file) {
  SKEP_TRY(daemon::Config config, daemon::load_config(config_file));
  return config.state_folder + "/state";
}

int backup(const RemoteOptions& options, const std::string& file) {
  auto client = connect(options);
  if (!client) return report(client.error());
  std::string name = fs::path(file).filename().string();
  auto made = ask(*client, "POST", "/api/backup", json::serialize(json::object{{"name", name}}));
  if (!made) return report(made.error());
  std::string path = made->at("path").as_string().c_str();
  if (!file.empty()) {
    if (const Status copied = store::copy_whole(path, file); !copied) {
      return report({copied.error().code, copied.error().message, "the backup is at " + path});
    }
    std::error_code error;
    fs::remove(path, error);
    path = file;
  }
  if (options.json) {
    fmt::print("{}\n", json::serialize(json::object{{"path", path}, {"size_bytes", made->at("size_bytes")}}));
  } else {
    fmt::print("{}  {}\n", path, to_string(Bytes(made->at("size_bytes").to_number<int64_t>())));
  }
  return kOk;
}

int restore(const std::string& config, const std::string& file) {
  auto folder = state_of(config);
  if (!folder) return report(folder.error());
  if (Status done = store::restore(file, *folder); !done) return report(done.error());
  fmt::print("{} is now the state in {}\n", file, *folder);
  return kOk;
}

int check(const std::string& config, std::string file) {
  if (file.empty()) {
    auto folder = state_of(config);
    if (!folder) return report(folder.error());
    file = *folder + "/state.mdb";
  }
  auto found = store::check_file(file);
  if (!found) return report(found.error());
  for (const std::string& one : found->broken) fmt::print("{}\n", one);
  fmt::print("{}: {} records, {} broken\n", file, human_count(static_cast<int64_t>(found->records)),
             found->broken.size());
  return found->broken.empty() ? kOk : kFailed;
}

}  // namespace

void add_backup(CLI::App& app, int& exit_code) {
  struct Options {
    RemoteOptions remote;
    std::string file;
  };
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("backup", "A consistent copy of a running daemon's state");
  command->add_option("file", options->file, "Where to; without it, into the state folder's backups");
  add_remote_options(*command, options->remote);
  command->footer("Example:\n  skep backup /mnt/backup/skep.mdb");
  command->callback([options, &exit_code] { exit_code = backup(options->remote, options->file); });
}

void add_state(CLI::App& app, int& exit_code) {
  struct Options {
    std::string config, file;
  };
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("state", "The state on disk, with no daemon running on it");
  command->require_subcommand(1);
  auto* restoring = command->add_subcommand("restore", "Put a backup in the place of the state, after checking it");
  restoring->add_option("file", options->file, "A file that skep backup made")->required();
  restoring->add_option("-c,--config", options->config, "The daemon's configuration");
  restoring->callback([options, &exit_code] { exit_code = restore(options->config, options->file); });
  auto* checking = command->add_subcommand("check", "Read every record and name those that are broken");
  checking->add_option("file", options->file, "A backup; without it, the state itself");
  checking->add_option("-c,--config", options->config, "The daemon's configuration");
  checking->callback([options, &exit_code] { exit_code = check(options->config, options->file); });
  command->footer("Examples:\n  skep state check\n  skep state restore /mnt/backup/skep.mdb");
}

}  // namespace skep::cli
