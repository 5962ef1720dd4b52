#include "mind/language/string_format.h"

#include <fmt/format.h>

#include <array>
#include <vector>

namespace skep::language {
namespace {

constexpr std::string_view kDate =
    R"([0-9]{4} "-" ("0" [13578] "-" {day31} | "1" [02] "-" {day31} | ("0" [469] | "11") "-" {day30} | "02-" {day28}))";
constexpr std::string_view kTime = R"(([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})?)";
constexpr std::string_view kZone = R"(("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]))";
constexpr std::string_view kByte = R"((([1-9]? [0-9]) | "1" [0-9] [0-9] | "2" [0-4] [0-9] | "25" [0-5]))";
constexpr std::string_view kLabel = R"([a-zA-Z0-9] ([-a-zA-Z0-9]{0,61} [a-zA-Z0-9])?)";
constexpr std::string_view kUuid = R"([0-9a-f]{8} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{12})";
constexpr std::string_view kUri = R"([a-z] [-a-z0-9+.]{0,20} ":" [-a-zA-Z0-9._~:/?#@!$&'()*+,;=%]+)";
constexpr std::string_view kDuration = R"("P" ([0-9]{1,4} "W" | [0-9]{1,4} "D" ("T" {clock})? | "T" {clock}))";
constexpr std::string_view kClock =
    R"(([0-9]{1,4} "H" ([0-9]{1,4} "M")? | [0-9]{1,4} "M" ([0-9]{1,4} "S")? | [0-9]{1,4} "S"))";

struct Format {
  std::string_view name;
  std::string (*body)(Gbnf&);
};

std::string replaced(std::string text, std::string_view what, const std::string& with) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

std::string date(Gbnf& grammar) {
  std::string body(kDate);
  body = replaced(body, "{day31}", grammar.rule("day31", R"("0" [1-9] | [12] [0-9] | "3" [01])"));
  body = replaced(body, "{day30}", grammar.rule("day30", R"("0" [1-9] | [12] [0-9] | "30")"));
  return replaced(body, "{day28}", grammar.rule("day28", R"("0" [1-9] | "1" [0-9] | "2" [0-8])"));
}
std::string time(Gbnf& grammar) { return grammar.rule("clock", std::string(kTime)) + " " + std::string(kZone); }
std::string date_time(Gbnf& grammar) { return grammar.rule("date", date(grammar)) + " \"T\" " + time(grammar); }
std::string hostname(Gbnf& grammar) {
  const std::string label = grammar.rule("label", std::string(kLabel));
  return fmt::format("{0} (\".\" {0}){{0,8}}", label);
}
std::string email(Gbnf& grammar) {
  const std::string label = grammar.rule("label", std::string(kLabel));
  return fmt::format(R"([a-zA-Z0-9_+]{{1,32}} ("." [a-zA-Z0-9_+]{{1,32}}){{0,2}} "@" {0} ("." {0}){{1,5}})", label);
}
std::string ipv4(Gbnf& grammar) {
  const std::string byte = grammar.rule("byte", std::string(kByte));
  return fmt::format("{0} (\".\" {0}){{3}}", byte);
}
std::string ipv6(Gbnf&) { return R"([0-9a-f]{1,4} (":" [0-9a-f]{1,4}){7})"; }
std::string uuid(Gbnf&) { return std::string(kUuid); }
std::string uri(Gbnf&) { return std::string(kUri); }
std::string duration(Gbnf& grammar) {
  return replaced(std::string(kDuration), "{clock}", grammar.rule("period", std::string(kClock)));
}

constexpr std::array kFormats = {Format{"date", date},         Format{"date-time", date_time},
                                 Format{"time", time},         Format{"duration", duration},
                                 Format{"uuid", uuid},         Format{"email", email},
                                 Format{"hostname", hostname}, Format{"ipv4", ipv4},
                                 Format{"ipv6", ipv6},         Format{"uri", uri}};

}  // namespace

std::optional<std::string> format_rule(std::string_view format, Gbnf& grammar) {
  for (const Format& known : kFormats) {
    if (known.name == format) return grammar.rule(std::string(format), known.body(grammar));
  }
  return std::nullopt;
}

std::string known_formats() {
  std::vector<std::string_view> names;
  for (const Format& known : kFormats) names.push_back(known.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace skep::language
