#include "mind/language/conversation_window.h"

#include <algorithm>
#include <cassert>

#include "base/random.h"
#include "base/result.h"

namespace skep::language {
namespace {

// FNV-1a, mixed: not against malice, only to see whether a history was edited.
uint64_t hash_text(uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  return mix_bits(hash ^ text.size());
}

uint64_t hash_of(const std::vector<Message>& messages, size_t begin, size_t end) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (size_t i = begin; i < end; ++i) {
    const Message& m = messages[i];
    hash = hash_text(hash_text(hash, m.role), m.content);
    for (const ToolCall& call : m.tool_calls) hash = hash_text(hash_text(hash, call.name), call.arguments);
    hash = hash_text(hash, m.tool_call_id);
  }
  return hash;
}

bool is_result(const Message& m) { return m.role == "tool"; }

}  // namespace

size_t ConversationWindow::head_of(const std::vector<Message>& messages) {
  size_t head = 0;
  while (head < messages.size() && messages[head].role == "system") ++head;
  return head;
}

bool ConversationWindow::continues(const std::vector<Message>& messages) const {
  const size_t head = head_of(messages);
  if (messages.size() <= head + covered_) return covered_ == 0;
  return covered_ == 0 || hash_of(messages, head, head + covered_) == covered_hash_;
}

std::vector<Message> ConversationWindow::lay_out(const std::vector<Message>& messages,
                                                 const std::vector<std::string>& recalled) const {
  const size_t head = head_of(messages);
  assert(messages.size() >= head + covered_);
  std::vector<Message> out(messages.begin(), messages.begin() + static_cast<ptrdiff_t>(head));
  for (const std::string& summary : summaries_) {
    out.push_back({"system", "Summary of earlier parts of this conversation:\n" + summary, {}, {}, {}, {}});
  }
  out.insert(out.end(), messages.begin() + static_cast<ptrdiff_t>(head + covered_), messages.end());
  if (recalled.empty() || out.empty()) return out;
  std::string text = "Earlier messages of this conversation that may matter here:";
  for (const std::string& one : recalled) text += "\n- " + one;
  // Late, because it changes with every question; but never between a tool call and its results.
  auto at = out.end() - 1;
  while (at != out.begin() && is_result(*at)) --at;
  out.insert(at, {"system", std::move(text), {}, {}, {}, {}});
  return out;
}

std::optional<ConversationWindow::Range> ConversationWindow::next_cut(const std::vector<Message>& messages,
                                                                      const std::vector<int>& tokens) const {
  assert(messages.size() == tokens.size());
  const size_t begin = head_of(messages) + covered_;
  if (messages.size() <= begin + options_.keep_last) return std::nullopt;
  size_t limit = messages.size() - options_.keep_last;
  // A cut never stands before a tool's result: its call would be on the other side.
  while (limit > begin && limit < messages.size() && is_result(messages[limit])) --limit;
  int64_t all = 0;
  for (size_t i = begin; i < messages.size(); ++i) all += tokens[i];
  int64_t sum = 0;
  size_t end = begin;
  while (end < limit && (sum < all / 2 || is_result(messages[end]))) sum += tokens[end++];
  if (end == begin) return std::nullopt;
  return Range{begin, end};
}

void ConversationWindow::add_summary(const std::vector<Message>& messages, Range range, std::string summary) {
  const size_t head = head_of(messages);
  assert(range.begin == head + covered_ && range.end <= messages.size());
  summaries_.push_back(std::move(summary));
  covered_ = range.end - head;
  covered_hash_ = hash_of(messages, head, range.end);
}

std::vector<std::string> ConversationWindow::too_many_summaries(const std::vector<int>& tokens, int budget) const {
  assert(tokens.size() == summaries_.size());
  int64_t sum = 0;
  for (const int t : tokens) sum += t;
  if (summaries_.size() < 3 || static_cast<double>(sum) <= options_.summaries * budget) return {};
  return {summaries_.begin(), summaries_.end() - 1};
}

void ConversationWindow::merge_summaries(size_t count, std::string into) {
  assert(count <= summaries_.size() && count > 0);
  summaries_.erase(summaries_.begin(), summaries_.begin() + static_cast<ptrdiff_t>(count));
  summaries_.insert(summaries_.begin(), std::move(into));
}

std::string transcript(const std::vector<Message>& messages, ConversationWindow::Range range) {
  std::string text;
  for (size_t i = range.begin; i < range.end; ++i) {
    const Message& m = messages[i];
    text += m.role + ": " + m.content;
    for (const ToolCall& call : m.tool_calls) text += " [calls " + call.name + " " + call.arguments + "]";
    text += '\n';
  }
  return text;
}

std::string extract(const std::vector<Message>& messages, ConversationWindow::Range range, size_t bytes) {
  const size_t count = range.end - range.begin;
  const size_t each = std::max<size_t>(24, bytes / std::max<size_t>(1, count));
  std::string text;
  for (size_t i = range.begin; i < range.end && text.size() < bytes; ++i) {
    const Message& m = messages[i];
    std::string_view line = std::string_view(m.content).substr(0, m.content.find('\n'));
    if (line.size() > each) {
      line = line.substr(0, each);
      while (!line.empty() && (static_cast<uint8_t>(line.back()) & 0xC0U) == 0x80U) line.remove_suffix(1);
      if (!line.empty() && (static_cast<uint8_t>(line.back()) & 0x80U) != 0) line.remove_suffix(1);
    }
    if (line.empty()) continue;
    text += fmt::format("{}: {}{}\n", m.role, line, line.size() < m.content.size() ? " …" : "");
  }
  return text;
}

}  // namespace skep::language
