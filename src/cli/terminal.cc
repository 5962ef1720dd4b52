#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace skep::cli {
namespace {

// Columns that `text` takes: code points, not bytes (the tables hold no wide characters).
size_t columns_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string cut(std::string_view text, size_t columns) {
  if (columns_of(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::string out;
  size_t taken = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    bool starts = (text[i] & 0xC0) != 0x80;
    if (starts && taken + 1 == columns) break;
    taken += starts ? 1 : 0;
    out += text[i];
  }
  return out + "…";
}

size_t longest_word(std::string_view text) {
  size_t longest = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    longest = std::max(longest, columns_of(word));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return longest;
}

// Takes as many words off the front of `text` as fit; a word that is too long is cut.
std::string cut_words(std::string& text, size_t columns) {
  size_t end = 0;
  for (size_t at = 0; at <= text.size(); ++at) {
    if (at < text.size() && text[at] != ' ') continue;
    if (end > 0 && columns_of(std::string_view(text).substr(0, at)) > columns) break;
    end = at;
  }
  const std::string taken = cut(std::string_view(text).substr(0, end), columns);
  text.erase(0, std::min(text.size(), end + 1));
  return taken;
}

bool utf8_terminal() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string_view text = value;
    return text.find("UTF-8") != text.npos || text.find("utf8") != text.npos || text.find("UTF8") != text.npos;
  }
  return false;
}

const char* code_of(Colour colour) {
  switch (colour) {
    case Colour::plain:
      return "";
    case Colour::bold:
      return "\033[1m";
    case Colour::dim:
      return "\033[2m";
    case Colour::red:
      return "\033[31m";
    case Colour::green:
      return "\033[32m";
    case Colour::yellow:
      return "\033[33m";
    case Colour::blue:
      return "\033[34m";
    case Colour::cyan:
      return "\033[36m";
  }
  return "";
}

}  // namespace

bool has_colours(std::FILE* stream) {
  const char* no = std::getenv("NO_COLOR");
  return (no == nullptr || *no == '\0') && isatty(fileno(stream)) != 0;
}

std::string paint(Colour colour, std::string_view text, std::FILE* stream) {
  if (!has_colours(stream) || colour == Colour::plain) return std::string(text);
  return fmt::format("{}{}\033[0m", code_of(colour), text);
}

int terminal_width(std::FILE* stream) {
  winsize size{};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  int width = columns != nullptr ? std::atoi(columns) : 0;
  return width >= 20 ? width : 80;
}

int report(const Error& error) {
  fmt::print(stderr, "{} {}\n", paint(Colour::red, "skep:", stderr), error.message);
  if (!error.hint.empty()) fmt::print(stderr, "      {}\n", error.hint);
  switch (error.code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::context_overflow:
    case ErrorCode::unsupported:
    case ErrorCode::not_found:
    case ErrorCode::corrupt:
      return kUsage;
    case ErrorCode::unavailable:
    case ErrorCode::overloaded:
    case ErrorCode::out_of_memory:
      return kUnavailable;
    case ErrorCode::cancelled:
      return kInterrupted;
    default:
      return kFailed;
  }
}

void Table::row(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

// The widest left-aligned column gives way until a row fits; the first, which names the row, only when no other can;
// numbers never.
std::vector<size_t> Table::widths(size_t width) const {
  std::vector<size_t> widths, narrowest;
  size_t total = 2 * (columns_.size() - 1);
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t widest = columns_of(columns_[c].title), word = 8;
    for (const auto& row : rows_) {
      widest = std::max(widest, columns_of(row[c]));
      if (long_ == Long::wrapped) word = std::max(word, longest_word(row[c]));
    }
    widths.push_back(widest);
    narrowest.push_back(word);
    total += widest;
  }
  for (; total > width; --total) {
    size_t widest = 0;
    for (size_t c = 1; c < columns_.size(); ++c) {
      if (columns_[c].align == Align::left && widths[c] > narrowest[c] && (widest == 0 || widths[c] > widths[widest]))
        widest = c;
    }
    if (widest == 0 && (columns_[0].align != Align::left || widths[0] <= narrowest[0])) break;
    --widths[widest];
  }
  return widths;
}

std::string Table::text(int width, bool colours) const {
  const std::vector<size_t> widths = this->widths(static_cast<size_t>(width));
  std::string out;
  auto line = [&](const std::vector<std::string>& cells, bool head) {
    std::string one;
    for (size_t c = 0; c < columns_.size(); ++c) {
      const std::string gap(widths[c] - columns_of(cells[c]), ' ');
      if (c > 0) one += "  ";
      one += columns_[c].align == Align::right ? gap + cells[c] : cells[c] + gap;
    }
    one.erase(one.find_last_not_of(' ') + 1);
    out += head && colours ? fmt::format("\033[1m{}\033[0m\n", one) : one + "\n";
  };
  auto lines = [&](std::vector<std::string> cells, bool head) {
    for (bool more = true; more;) {
      std::vector<std::string> now;
      more = false;
      for (size_t c = 0; c < columns_.size(); ++c) {
        now.push_back(long_ == Long::wrapped ? cut_words(cells[c], widths[c]) : cut(cells[c], widths[c]));
        more = more || (long_ == Long::wrapped && !cells[c].empty());
      }
      line(now, head);
    }
  };
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  lines(titles, true);
  for (const auto& row : rows_) lines(row, false);
  return out;
}

void Table::print(std::FILE* out) const { fmt::print(out, "{}", text(terminal_width(out), has_colours(out))); }

std::string human_count(int64_t n) {
  std::string digits = fmt::format("{}", n < 0 ? -n : n);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), ",");
  return n < 0 ? "-" + digits : digits;
}

std::string bar(double fraction, int width) {
  static const bool kUtf8 = utf8_terminal();
  double clamped = std::clamp(std::isfinite(fraction) ? fraction : 0.0, 0.0, 1.0);
  auto full = static_cast<int>(std::lround(clamped * width));
  std::string out;
  for (int i = 0; i < width; ++i) out += kUtf8 ? (i < full ? "█" : "░") : (i < full ? "#" : "-");
  return out;
}

LiveLines::LiveLines(std::FILE* out) : out_(out), terminal_(isatty(fileno(out)) != 0) {}
LiveLines::~LiveLines() { clear(); }

bool LiveLines::due() const {
  return terminal_ && std::chrono::steady_clock::now() - last_ >= std::chrono::milliseconds(100);
}

void LiveLines::show(const std::vector<std::string>& lines) {
  if (!terminal_) return;
  clear();
  auto width = static_cast<size_t>(terminal_width(out_)) - 1;
  for (const std::string& line : lines) fmt::print(out_, "{}\n", cut(line, width));
  std::fflush(out_);
  drawn_ = lines.size();
  last_ = std::chrono::steady_clock::now();
}

void LiveLines::clear() {
  if (drawn_ > 0) fmt::print(out_, "\033[{}A\033[J", drawn_);
  drawn_ = 0;
}

}  // namespace skep::cli
