#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <iostream>
#include <memory>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

struct Options {
  RemoteOptions remote;
  std::string agent;
  std::string conversation;  // that the agent remembers; empty: nothing is remembered
  std::string text;
  int max_tokens = 0;
  double temperature = -1;
};

struct Answer {
  std::string text, reasoning;
  int64_t tokens = 0;
  Duration took{};
};

// One turn: sends the conversation, prints the answer as it comes (not with --json), returns it.
Result<Answer> turn(HttpClient& client, const Options& options, const json::array& messages) {
  json::object body = {{"model", options.agent},
                       {"messages", messages},
                       {"stream", true},
                       {"stream_options", {{"include_usage", true}}}};
  if (!options.conversation.empty()) body["conversation"] = options.conversation;
  if (options.max_tokens > 0) body["max_tokens"] = options.max_tokens;
  if (options.temperature >= 0) body["temperature"] = options.temperature;
  Answer said;
  Error broken;
  bool failed = false;
  const auto add = [&](const json::object& delta, const char* field, std::string& text, Colour colour) {
    const auto* part = delta.if_contains(field);
    if (part == nullptr || !part->is_string()) return;
    if (!options.remote.json) fmt::print("{}", paint(colour, part->as_string().c_str()));
    text += part->as_string();
  };
  auto began = std::chrono::steady_clock::now();
  auto answer = client.stream("POST", "/v1/chat/completions", json::serialize(body), [&](std::string_view line) {
    if (!line.starts_with("data: ") || line == "data: [DONE]") return true;
    auto event = parse_json(line.substr(6), "the daemon's stream");
    if (!event || !event->is_object()) return true;
    const json::object& object = event->as_object();
    if (const auto* error = object.if_contains("error")) {
      failed = true;
      broken = error_of({500, json::serialize(json::object{{"error", *error}})});
      return false;
    }
    if (const auto* usage = object.if_contains("usage"); usage != nullptr && usage->is_object()) {
      said.tokens = usage->at("completion_tokens").to_number<int64_t>();
    }
    for (const json::value& choice : object.at("choices").as_array()) {
      const json::object& delta = choice.at("delta").as_object();
      add(delta, "reasoning_content", said.reasoning, Colour::dim);
      add(delta, "content", said.text, Colour::plain);
    }
    std::fflush(stdout);
    return true;
  });
  if (!answer) return fail(answer.error());
  if (answer->status != 200) return fail(error_of(*answer));
  if (failed) return fail(broken);
  said.took = std::chrono::steady_clock::now() - began;
  return said;
}

void print_end(const Options& options, const Answer& answer) {
  if (options.remote.json) {
    json::object line{{"agent", options.agent}, {"answer", answer.text}};
    if (!answer.reasoning.empty()) line["reasoning"] = answer.reasoning;
    line["completion_tokens"] = answer.tokens;
    line["total_s"] = seconds(answer.took);
    fmt::print("{}\n", json::serialize(line));
    std::fflush(stdout);
    return;
  }
  fmt::print("\n");
  if (has_colours(stdout)) {
    fmt::print("{}\n", paint(Colour::dim, fmt::format("{} tokens in {:.1f} s", answer.tokens, seconds(answer.took))));
  }
}

int chat(const Options& options) {
  auto client = connect(options.remote);
  if (!client) return report(client.error());
  json::array messages;
  bool asks = options.text.empty();
  bool people = isatty(STDIN_FILENO) != 0 && !options.remote.json;
  if (asks && people)
    fmt::print("{}\n",
               paint(Colour::dim, fmt::format("talking to {}; an empty line or Ctrl-D ends it", options.agent)));
  std::string line = options.text;
  for (;;) {
    if (asks) {
      if (people) {
        fmt::print("{} ", paint(Colour::cyan, ">"));
        std::fflush(stdout);
      }
      if (!std::getline(std::cin, line) || line.empty()) return kOk;
    }
    if (!options.conversation.empty()) messages.clear();  // the agent has what was said before
    messages.push_back({{"role", "user"}, {"content", line}});
    auto answer = turn(*client, options, messages);
    if (!answer) return report(answer.error());
    print_end(options, *answer);
    messages.push_back({{"role", "assistant"}, {"content", answer->text}});
    if (!asks) return kOk;
  }
}

}  // namespace

void add_chat(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("chat", "Talk to an agent, a tier or a model of a running daemon");
  auto options = std::make_shared<Options>();
  command->add_option("agent", options->agent, "An agent, a tier (fast, balanced, deep), a model, or auto")->required();
  command->add_option("text", options->text, "One question; without it, a conversation from the terminal or a pipe");
  command->add_option("--conversation", options->conversation,
                      "A name: the agent remembers what is said, and goes on from there the next time");
  command->add_option("--max-tokens", options->max_tokens, "Length of an answer at most")
      ->check(CLI::Range(1, 1000000));
  command->add_option("--temperature", options->temperature, "0: always the likeliest token")
      ->check(CLI::Range(0.0, 2.0));
  add_remote_options(*command, options->remote);
  command->footer(
      "Examples:\n  skep chat log-triage\n  skep chat log-triage --conversation pumps\n  skep chat fast \"Is 81 "
      "degrees too hot for a pump?\"");
  command->callback([options, &exit_code] { exit_code = chat(*options); });
}

}  // namespace skep::cli
