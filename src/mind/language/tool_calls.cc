#include "mind/language/tool_calls.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cassert>
#include <utility>

#include "base/json.h"

namespace skep::language {
namespace {

constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";
constexpr std::string_view kCall = "<tool_call>", kCallEnd = "</tool_call>";
constexpr std::string_view kPython = "<|python_tag|>";
constexpr std::array kCallMarks = {kCall, kPython};

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

size_t skip_space(std::string_view text, size_t at = 0) {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}

bool is_prefix_of(std::string_view text, std::string_view mark) {
  return text.size() < mark.size() && mark.starts_with(text);
}

// The length of the longest suffix of `text` that the mark begins with, less than all of the mark.
size_t partial(std::string_view text, std::string_view mark) {
  for (size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length) {
    if (text.ends_with(mark.substr(0, length))) return length;
  }
  return 0;
}

size_t trailing_space(std::string_view text) {
  size_t length = 0;
  while (length < text.size() && is_space(text[text.size() - 1 - length])) ++length;
  return length;
}

enum class Match { no, more, yes };

// Reads `literal`, then white space, at `at`.
Match expect(std::string_view text, size_t& at, std::string_view literal) {
  if (is_prefix_of(text.substr(at), literal)) return Match::more;
  if (!text.substr(at).starts_with(literal)) return Match::no;
  at = skip_space(text, at + literal.size());
  return Match::yes;
}

// {"name": "…", "arguments": up to the object. The name holds no escapes: it is one of the tools' names.
Match call_header(std::string_view text, std::string& name, size_t& at) {
  at = skip_space(text);
  for (const std::string_view literal : {"{", "\"name\"", ":"}) {
    if (const Match match = expect(text, at, literal); match != Match::yes) return match;
  }
  if (at >= text.size()) return Match::more;
  if (text[at] != '"') return Match::no;
  const size_t end = text.find('"', at + 1);
  if (end == std::string_view::npos) return Match::more;
  name = text.substr(at + 1, end - at - 1);
  at = skip_space(text, end + 1);
  for (const std::string_view literal : {",", "\"arguments\"", ":"}) {
    if (const Match match = expect(text, at, literal); match != Match::yes) return match;
  }
  if (at >= text.size()) return Match::more;
  return text[at] == '{' ? Match::yes : Match::no;
}

struct Call {
  std::string name, arguments;
};

// What the families agree on: a name and an object, under either key, maybe inside "function" or as JSON in a string.
std::optional<Call> read_call(std::string_view text) {
  auto parsed = parse_json(text, "tool call", {.size = Bytes(AnswerParser::kLongestMarkup)});
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const boost::json::object* object = &parsed->get_object();
  if (const auto* inner = object->if_contains("function"); inner != nullptr && inner->is_object()) {
    object = &inner->get_object();
  }
  const auto* name = object->if_contains("name");
  if (name == nullptr || !name->is_string() || name->get_string().empty() || name->get_string().size() > 256) {
    return std::nullopt;
  }
  Call call{std::string(name->get_string()), "{}"};
  const auto* arguments = object->if_contains("arguments");
  if (arguments == nullptr) arguments = object->if_contains("parameters");
  if (arguments == nullptr || arguments->is_null()) return call;
  if (arguments->is_object()) {
    call.arguments = boost::json::serialize(*arguments);
    return call;
  }
  if (!arguments->is_string()) return std::nullopt;
  auto unwrapped = parse_json(arguments->get_string(), "arguments", {});
  if (!unwrapped || !unwrapped->is_object()) return std::nullopt;
  call.arguments = boost::json::serialize(*unwrapped);
  return call;
}

}  // namespace

AnswerParser::AnswerParser(AnswerFormat format) : format_(std::move(format)) {
  if (format_.starts_in_reasoning) {
    state_ = State::reasoning;
  } else if (format_.call_only) {
    state_ = State::only_call;
  } else if (!format_.tools.empty() || format_.reasons) {
    state_ = State::start;
  } else {
    state_ = State::plain;
  }
}

Delta AnswerParser::feed(std::string_view text) {
  Delta out;
  pending_ += text;
  while (step(out, false)) {
  }
  return out;
}

Delta AnswerParser::finish() {
  Delta out;
  while (step(out, true)) {
  }
  assert(pending_.empty());
  return out;
}

bool AnswerParser::step(Delta& out, bool last) {
  if (pending_.empty() && !(last && !opening_.empty())) return false;
  switch (state_) {
    case State::start:
      return step_start(out, last);
    case State::reasoning:
      return step_reasoning(out, last);
    case State::content:
      return step_content(out, last);
    case State::call:
      return step_call(out, last);
    case State::only_call:
      return step_only_call(out, last);
    case State::arguments:
      return step_arguments(out);
    case State::after:
      pending_.clear();
      return false;
    case State::plain:
      out.content += std::exchange(pending_, {});
      return false;
  }
  return false;
}

bool AnswerParser::step_start(Delta& out, bool last) {
  const size_t at = skip_space(pending_);
  const std::string_view rest = std::string_view(pending_).substr(at);
  const bool tools = !format_.tools.empty();
  if (rest.empty()) {
    if (!last) return false;
    if (!after_markup_) out.content += pending_;
    pending_.clear();
    return true;
  }
  const bool may_think = format_.reasons && !reasoning_began_ && calls_ == 0;
  if (may_think && rest.starts_with(kThink)) {
    pending_.erase(0, at + kThink.size());
    state_ = State::reasoning;
    return true;
  }
  if (calls_ > 0 && (rest.starts_with(kCallEnd) || rest.front() == ';')) {
    pending_.erase(0, at + (rest.front() == ';' ? 1 : kCallEnd.size()));
    return true;
  }
  if (tools && rest.front() == '{') {
    enter_call(pending_.substr(0, at));
    pending_.erase(0, at);
    return true;
  }
  for (const std::string_view mark : kCallMarks) {
    if (!tools || !rest.starts_with(mark)) continue;
    enter_call(pending_.substr(0, at + mark.size()));
    pending_.erase(0, at + mark.size());
    return true;
  }
  const bool undecided = (may_think && is_prefix_of(rest, kThink)) || (calls_ > 0 && is_prefix_of(rest, kCallEnd)) ||
                         (tools && (is_prefix_of(rest, kCall) || is_prefix_of(rest, kPython)));
  if (undecided && !last) return false;
  if (after_markup_) pending_.erase(0, at);
  state_ = tools ? State::content : State::plain;
  return true;
}

bool AnswerParser::step_reasoning(Delta& out, bool last) {
  if (!reasoning_began_) {
    pending_.erase(0, skip_space(pending_));
    if (pending_.empty()) return false;
    reasoning_began_ = true;
  }
  const size_t end = pending_.find(kThinkEnd);
  const std::string_view before = std::string_view(pending_).substr(0, end);
  if (end != std::string::npos) {
    out.reasoning += before.substr(0, before.size() - trailing_space(before));
    pending_.erase(0, end + kThinkEnd.size());
    after_markup_ = true;
    state_ = format_.call_only ? State::only_call : State::start;
    return true;
  }
  size_t hold = last ? 0 : partial(before, kThinkEnd);
  hold += trailing_space(before.substr(0, before.size() - hold));
  const size_t certain = before.size() - hold;
  out.reasoning += before.substr(0, certain);
  pending_.erase(0, last ? pending_.size() : certain);
  return false;
}

bool AnswerParser::step_content(Delta& out, bool last) {
  size_t found = std::string::npos;
  std::string_view mark;
  for (const std::string_view each : kCallMarks) {
    const size_t at = pending_.find(each);
    if (at < found) {
      found = at;
      mark = each;
    }
  }
  if (found != std::string::npos) {
    const size_t content = found - trailing_space(std::string_view(pending_).substr(0, found));
    out.content += pending_.substr(0, content);
    enter_call(pending_.substr(content, found + mark.size() - content));
    pending_.erase(0, found + mark.size());
    return true;
  }
  size_t certain = pending_.size();
  if (!last) {
    certain -= std::max(partial(pending_, kCall), partial(pending_, kPython));
    certain -= trailing_space(std::string_view(pending_).substr(0, certain));
  }
  out.content += pending_.substr(0, certain);
  pending_.erase(0, certain);
  return false;
}

void AnswerParser::enter_call(std::string opening) {
  opening_ = std::move(opening);
  scanner_ = {};
  state_ = State::call;
}

bool AnswerParser::step_call(Delta& out, bool last) {
  const bool bare = skip_space(opening_) == opening_.size();
  // White space between the mark and the object belongs to the opening.
  if (const size_t at = skip_space(pending_); at > 0) {
    opening_ += pending_.substr(0, at);
    pending_.erase(0, at);
  }
  if (pending_.empty()) {
    if (last) give_up_call(out, 0);
    return last;
  }
  if (pending_.front() != '{' || (bare && !may_begin_bare_call())) {
    give_up_call(out, 0);
    return true;
  }
  const auto length = scanner_.scan(pending_);
  if (!length) {
    if (!last && pending_.size() <= kLongestMarkup) return false;
    give_up_call(out, pending_.size());
    return true;
  }
  if (!take_call(out, std::string_view(pending_).substr(0, *length))) {
    give_up_call(out, *length);
    return true;
  }
  pending_.erase(0, *length);
  opening_.clear();
  after_markup_ = true;
  state_ = State::start;
  return true;
}

// It was no call: the mark and the first `bytes` after it are content as they stand.
void AnswerParser::give_up_call(Delta& out, size_t bytes) {
  if (after_markup_ && calls_ > 0) opening_.erase(0, skip_space(opening_));
  out.content += std::exchange(opening_, {});
  out.content += pending_.substr(0, bytes);
  pending_.erase(0, bytes);
  state_ = State::content;
}

// A bare object is a call only if its first key is one that a call begins with; other JSON is let through at once.
bool AnswerParser::may_begin_bare_call() const {
  const size_t at = skip_space(pending_, 1);
  if (at == pending_.size()) return true;
  const std::string_view key = std::string_view(pending_).substr(at);
  for (const std::string_view begin : {"\"name\"", "\"type\"", "\"function\"", "\"parameters\"", "\"arguments\""}) {
    if (key.starts_with(begin) || is_prefix_of(key, begin)) return true;
  }
  return false;
}

bool AnswerParser::take_call(Delta& out, std::string_view json) {
  if (calls_ >= kMostCalls) return false;
  auto call = read_call(json);
  if (!call) return false;
  // A mark says that a call is meant; a bare object could be an answer.
  const bool bare = skip_space(opening_) == opening_.size();
  if (bare && std::find(format_.tools.begin(), format_.tools.end(), call->name) == format_.tools.end()) return false;
  out.tool_calls.push_back(
      {.index = calls_, .id = call_id(calls_), .name = std::move(call->name), .arguments = std::move(call->arguments)});
  ++calls_;
  return true;
}

bool AnswerParser::step_only_call(Delta& out, bool last) {
  std::string name;
  size_t at = 0;
  const Match match = call_header(pending_, name, at);
  if (match == Match::no || (match == Match::more && (last || pending_.size() > kLongestMarkup))) {
    state_ = State::plain;
    return true;
  }
  if (match == Match::more) return false;
  pending_.erase(0, at);
  out.tool_calls.push_back({.index = calls_, .id = call_id(calls_), .name = std::move(name), .arguments = ""});
  ++calls_;
  scanner_ = {};
  state_ = State::arguments;
  return true;
}

bool AnswerParser::step_arguments(Delta& out) {
  const auto length = scanner_.scan(pending_);
  const size_t certain = length.value_or(pending_.size());
  if (out.tool_calls.empty()) out.tool_calls.push_back({.index = calls_ - 1, .id = "", .name = "", .arguments = ""});
  out.tool_calls.back().arguments += pending_.substr(0, certain);
  pending_.erase(0, certain);
  scanner_.dropped(certain);
  if (length) state_ = State::after;
  return length.has_value();
}

// 16 letters and digits that a splitmix64 of the seed and the index gives.
std::string AnswerParser::call_id(int index) const {
  constexpr std::string_view digits = "0123456789abcdefghijklmnopqrstuvwxyz";
  uint64_t x = format_.id_seed + 0x9e3779b97f4a7c15ULL * (static_cast<uint64_t>(index) + 1);
  std::string id = "call_";
  for (int i = 0; i < 2; ++i) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    uint64_t rest = x ^ (x >> 31);
    for (int digit = 0; digit < 8; ++digit, rest /= 36) id += digits[rest % 36];
    x += 0x9e3779b97f4a7c15ULL;
  }
  return id;
}

}  // namespace skep::language
