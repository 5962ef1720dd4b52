// skep compress: a prompt made shorter. The rules need nothing; --ratio asks a daemon's model how likely each word is.

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>

#include "cli/memory_commands.h"
#include "cli/remote.h"
#include "cli/terminal.h"
#include "mind/language/compression.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

struct Options {
  RemoteOptions remote;
  std::string file, tier = "fast", model = "fast";
  double ratio = 0;  // 0: the rules alone
  bool explain = false;
};

constexpr size_t kMostText = 4U << 20U;

Result<std::string> read_text(const std::string& name) {
  std::ifstream file;
  if (name != "-") {
    file.open(name, std::ios::binary);
    if (!file) return fail(ErrorCode::not_found, "cannot read " + name);
  }
  std::istream& in = name == "-" ? std::cin : file;
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (text.size() > kMostText)
    return fail(ErrorCode::too_large, fmt::format("{} has more than {} bytes", name, kMostText));
  return text;
}

// What went, in red on a terminal and in [-…-] elsewhere; then how much of it for which reason.
void explain(const json::array& pieces) {
  std::map<std::string, size_t> bytes;
  std::string out;
  for (const json::value& piece : pieces) {
    const std::string text(piece.at("text").as_string());
    const json::value* cut = piece.as_object().if_contains("cut");
    if (cut == nullptr) {
      out += text;
      continue;
    }
    bytes[std::string(cut->as_string())] += text.size();
    out += has_colours(stdout) ? paint(Colour::red, text) : "[-" + text + "-]";
  }
  fmt::print("{}{}", out, out.ends_with('\n') ? "" : "\n");
  for (const auto& [why, count] : bytes)
    fmt::print(stderr, "{:>12}  {} bytes\n", why, human_count(static_cast<int64_t>(count)));
}

Result<json::value> compress(const Options& o, const std::string& text) {
  if (o.ratio == 0) {
    const language::Compressed c = language::compress_by_rules(text, *language::tier_from(o.tier));
    json::array pieces;
    for (const auto& piece : c.pieces) {
      json::object one{{"text", piece.text}};
      if (piece.cut != nullptr) one["cut"] = piece.cut;
      pieces.push_back(std::move(one));
    }
    return json::value(json::object{{"text", c.text()},
                                    {"method", "rules"},
                                    {"tokens_before", c.tokens_before},
                                    {"tokens_after", c.tokens_after},
                                    {"reached", true},
                                    {"pieces", std::move(pieces)}});
  }
  SKEP_TRY(HttpClient client, connect(o.remote));
  return ask(client, "POST", "/api/compress",
             json::serialize(json::object{{"text", text}, {"tier", o.tier}, {"model", o.model}, {"ratio", o.ratio}}));
}

int run(const Options& o) {
  auto text = read_text(o.file);
  if (!text) return report(text.error());
  auto answer = compress(o, *text);
  if (!answer) return report(answer.error());
  if (o.remote.json) {
    fmt::print("{}\n", json::serialize(*answer));
    return kOk;
  }
  if (o.explain) {
    explain(answer->at("pieces").as_array());
  } else {
    fmt::print("{}", std::string(answer->at("text").as_string()));
  }
  const auto before = answer->at("tokens_before").to_number<int64_t>(),
             after = answer->at("tokens_after").to_number<int64_t>();
  fmt::print(stderr, "{} of {} tokens stay ({:.0f} %){}{}\n", human_count(after), human_count(before),
             before == 0 ? 100.0 : 100.0 * static_cast<double>(after) / static_cast<double>(before),
             o.ratio == 0 ? ", estimated" : "",
             answer->at("reached").as_bool() ? "" : "; what must not be touched is more than was asked for");
  return kOk;
}

}  // namespace

void add_compress(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("compress", "Make a prompt shorter");
  command->add_option("file", options->file, "The prompt; - for standard input")->required();
  command->add_option("--ratio", options->ratio, "Share of the tokens that may stay: a model's probabilities choose")
      ->check(CLI::Range(0.05, 1.0));
  command->add_option("--tier", options->tier, "Whose rules: fewer words stay for smaller models")
      ->check(CLI::IsMember({"fast", "balanced", "deep"}))
      ->capture_default_str();
  command->add_option("--model", options->model, "That judges, on a running daemon")->capture_default_str();
  command->add_flag("--explain", options->explain, "Show what went, and why");
  add_remote_options(*command, options->remote);
  command->callback([options, &exit_code] { exit_code = run(*options); });
  command->footer(
      "Examples:\n  skep compress prompt.txt --explain\n  skep compress prompt.txt --ratio 0.5 > short.txt");
}

}  // namespace skep::cli
