#include "cli/agent_state_command.h"

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <fstream>
#include <iostream>
#include <memory>

#include "base/units.h"
#include "cli/remote.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

struct Options {
  RemoteOptions remote;
  std::string name, conversation = "default", text, file;
};

std::string target(const Options& options, const char* what) {
  return fmt::format("/api/agents/{}/{}", options.name, what);
}

// An error status as an Error.
Result<std::string> call(const Options& options, const char* method, const std::string& where, std::string body = {}) {
  SKEP_TRY(HttpClient client, connect(options.remote));
  SKEP_TRY(HttpAnswer answer, client.call(method, where, std::move(body)));
  if (answer.status / 100 != 2) return fail(error_of(answer));
  return answer.body;
}

int messages(const Options& options) {
  auto client = connect(options.remote);
  if (!client) return report(client.error());
  auto memory = ask(*client, "GET", target(options, "messages?conversation=") + options.conversation);
  if (!memory) return report(memory.error());
  if (options.remote.json) {
    fmt::print("{}\n", json::serialize(*memory));
    return kOk;
  }
  for (const json::value& message : memory->at("messages").as_array()) {
    fmt::print("{} {}\n", paint(Colour::cyan, fmt::format("{}:", message.at("role").as_string().c_str())),
               message.at("content").as_string().c_str());
  }
  std::string talks;
  for (const json::value& talk : memory->at("conversations").as_array()) {
    talks += fmt::format("{}{} ({} turns)", talks.empty() ? "" : ", ", talk.at("name").as_string().c_str(),
                         talk.at("turns").to_number<int64_t>());
  }
  const auto parked = memory->at("parked_bytes").to_number<int64_t>();
  fmt::print("{} is {}; conversations: {}; {} letters wait{}\n", options.name, memory->at("phase").as_string().c_str(),
             talks.empty() ? "none" : talks, memory->at("mailbox").as_array().size(),
             parked > 0 ? fmt::format("; {} of context parked", to_string(Bytes(parked))) : "");
  return kOk;
}

int post(const Options& options) {
  json::object body{{"input", options.text}, {"conversation", options.conversation}, {"wait", false}};
  auto answer = call(options, "POST", target(options, "messages"), json::serialize(body));
  if (!answer) return report(answer.error());
  fmt::print("{}\n", *answer);
  return kOk;
}

int export_to(const Options& options) {
  auto text = call(options, "GET", target(options, "state"));
  if (!text) return report(text.error());
  if (options.file.empty() || options.file == "-") {
    fmt::print("{}", *text);
    return kOk;
  }
  std::ofstream out(options.file, std::ios::binary);
  out << *text;
  out.close();
  if (!out) return report({ErrorCode::io, fmt::format("{} can't be written", options.file), ""});
  return kOk;
}

int import_from(const Options& options) {
  std::ifstream in(options.file, std::ios::binary);
  if (!in) return report({ErrorCode::not_found, fmt::format("{} can't be read", options.file), ""});
  std::string text((std::istreambuf_iterator<char>(in)), {});
  auto done = call(options, "PUT", target(options, "state"), std::move(text));
  return done ? kOk : report(done.error());
}

int forget(const Options& options, bool all) {
  auto done = call(options, "DELETE",
                   all ? target(options, "state") : target(options, "messages?conversation=") + options.conversation);
  return done ? kOk : report(done.error());
}

}  // namespace

void add_agent_state(CLI::App& agent, int& exit_code) {
  auto options = std::make_shared<Options>();
  auto add = [&](const char* name, const char* help) {
    auto* command = agent.add_subcommand(name, help);
    command->add_option("name", options->name, "The agent's name")->required();
    add_remote_options(*command, options->remote);
    return command;
  };
  auto conversation = [&](CLI::App* command) {
    command->add_option("--conversation", options->conversation, "Which one")->capture_default_str();
  };
  auto* showing = add("messages", "What was said with it, and what waits in its mailbox");
  conversation(showing);
  showing->callback([options, &exit_code] { exit_code = messages(*options); });
  auto* posting = add("post", "Leave it a letter: it answers when it gets to it, also after a restart");
  posting->add_option("text", options->text, "The letter")->required();
  conversation(posting);
  posting->callback([options, &exit_code] { exit_code = post(*options); });
  auto* exporting = add("export", "Everything that it remembers, as a file");
  exporting->add_option("file", options->file, "Where to; without it, standard output");
  exporting->callback([options, &exit_code] { exit_code = export_to(*options); });
  auto* importing = add("import", "Replace what it remembers by an export");
  importing->add_option("file", options->file, "What skep agent export wrote")->required();
  importing->callback([options, &exit_code] { exit_code = import_from(*options); });
  auto* forgetting = add("forget", "A conversation, or everything");
  conversation(forgetting);
  auto all = std::make_shared<bool>(false);
  forgetting->add_flag("--all", *all, "Everything that it remembers");
  forgetting->callback([options, all, &exit_code] { exit_code = forget(*options, *all); });
}

}  // namespace skep::cli
