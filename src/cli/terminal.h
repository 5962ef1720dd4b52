#pragma once
// What commands show to people: tables that fit the terminal, a progress line, colours only where a terminal is.

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace skep::cli {

// Exit codes, documented in `skep --help` and doc/cli.md.
enum ExitCode : int {
  kOk = 0,
  kFailed = 1,         // the work was done and something in it failed
  kUsage = 2,          // the command line, the config or an input file is wrong
  kUnavailable = 3,    // the daemon or a model can't be reached or loaded
  kInterrupted = 130,  // Ctrl-C
};

enum class Colour { plain, bold, dim, red, green, yellow, blue, cyan };

// True when `stream` is a terminal and NO_COLOR is not set.
bool has_colours(std::FILE* stream);
std::string paint(Colour colour, std::string_view text, std::FILE* stream = stdout);
int terminal_width(std::FILE* stream);  // columns; 80 when unknown

// Prints "skep: message" and the hint to stderr; the exit code that fits the error.
int report(const Error& error);

// Columns are as wide as their longest cell. Where that is too wide for the terminal, left-aligned columns give way,
// the widest first; their text is cut, or goes on below.
class Table {
 public:
  enum class Align { left, right };
  enum class Long { cut, wrapped };
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  explicit Table(std::vector<Column> columns, Long text = Long::cut) : columns_(std::move(columns)), long_(text) {}
  void row(std::vector<std::string> cells);
  [[nodiscard]] std::string text(int width, bool colours) const;
  void print(std::FILE* out = stdout) const;

 private:
  [[nodiscard]] std::vector<size_t> widths(size_t width) const;

  std::vector<Column> columns_;
  Long long_;
  std::vector<std::vector<std::string>> rows_;
};

std::string human_count(int64_t n);  // 12,345

// [#####------] of `width` columns, `fraction` in 0..1; block characters on a UTF-8 terminal.
std::string bar(double fraction, int width);

// One or more lines at the bottom of the terminal that are drawn over in place; on a pipe, nothing but what finish()
// prints. Redraws at most ten times a second.
class LiveLines {
 public:
  explicit LiveLines(std::FILE* out = stderr);
  ~LiveLines();
  LiveLines(const LiveLines&) = delete;
  LiveLines& operator=(const LiveLines&) = delete;
  [[nodiscard]] bool due() const;                    // worth composing new lines now?
  void show(const std::vector<std::string>& lines);  // cut to the terminal's width
  void clear();
  [[nodiscard]] bool is_terminal() const { return terminal_; }

 private:
  std::FILE* out_;
  bool terminal_;
  size_t drawn_ = 0;
  TimePoint last_{};
};

}  // namespace skep::cli
