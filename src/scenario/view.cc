#include "scenario/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace skep::scenario {
namespace {

constexpr int panel_columns = 46;  // of the right-hand side
constexpr std::array<const char*, 9> eighths{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array coalition_colours{34, 32, 33, 35, 36, 94, 92, 93, 95, 96};

// A line that knows how many columns it fills, whatever its bytes.
class Line {
 public:
  Line(int columns, bool colours) : left_(columns), colours_(colours) {}
  // One column per character of `text` unless `columns` says otherwise; cut where the line ends.
  Line& add(std::string_view text, int colour = 0, bool bold = false) {
    std::string piece;
    for (size_t i = 0; i < text.size() && left_ > 0;) {
      size_t next = i + 1;
      while (next < text.size() && (static_cast<unsigned char>(text[next]) & 0xc0) == 0x80) ++next;
      piece += text.substr(i, next - i);
      --left_;
      ++used_;
      i = next;
    }
    const bool blank = piece.find_first_not_of(' ') == std::string::npos;  // most of a map
    if (!colours_ || blank || (colour == 0 && !bold))
      text_ += piece;
    else
      text_ += fmt::format("\033[{}{}m{}\033[0m", bold ? "1;" : "", colour == 0 ? 39 : colour, piece);
    return *this;
  }
  Line& to(int column) {
    while (used_ < column && left_ > 0) add(" ");
    return *this;
  }
  [[nodiscard]] std::string text() const { return text_; }

 private:
  std::string text_;
  int left_;
  int used_ = 0;
  bool colours_;
};

struct Cell {
  int agents = 0;
  char mark = 0;
  bool strong = false;
  uint32_t coalition = 0;
};

// The map in `columns` × `rows` characters; each shows how many agents are there, or what.
class Map {
 public:
  Map(const Stage& stage, const Frame& frame, int columns, int rows)
      : columns_(columns), rows_(rows), width_(stage.scenario.world.width), height_(stage.scenario.world.height) {
    const WorldConfig& world = stage.scenario.world;
    cells_.resize(static_cast<size_t>(columns * rows));
    std::map<uint32_t, int> sizes;
    for (const AgentFrame& agent : frame.agents) ++sizes[agent.coalition];
    const auto at = [&](float x, float y) -> Cell& {
      const int column = std::clamp(static_cast<int>(x / static_cast<float>(world.width) * static_cast<float>(columns)),
                                    0, columns - 1);
      const int row =
          std::clamp(static_cast<int>(y / static_cast<float>(world.height) * static_cast<float>(rows)), 0, rows - 1);
      return cells_[static_cast<size_t>(row * columns + column)];
    };
    for (const AgentFrame& agent : frame.agents) {
      Cell& cell = at(agent.x, agent.y);
      // The colour of the largest coalition that is there; those who are alone have none.
      if (cell.agents++ == 0 || sizes[agent.coalition] > sizes[cell.coalition]) cell.coalition = agent.coalition;
    }
    for (Cell& cell : cells_)
      if (cell.agents > 0 && sizes[cell.coalition] < 2) cell.coalition = alone;
    for (const Mark& mark : frame.marks) {
      Cell& cell = at(mark.x, mark.y);
      cell.mark = mark.symbol;
      cell.strong = mark.strong;
    }
  }

  // One line of it. A place shows its mark, then how many agents are there, as far as the columns reach.
  void draw(int row, Line& line) const {
    for (int column = 0; column < columns_;) {
      const Cell& cell = cells_[static_cast<size_t>(row * columns_ + column)];
      int free = 1;
      while (column + free < columns_ && empty(row, column + free)) ++free;
      int used = 0;
      if (cell.mark != 0) {
        line.add(std::string(1, cell.mark), cell.strong ? 31 : 37, true);
        used = 1;
      }
      if (cell.agents > 0 && used < free) {
        std::string count = std::to_string(cell.agents);
        if (static_cast<int>(count.size()) > free - used) count = "+";
        line.add(count, cell.coalition == alone ? 37 : coalition_colours[cell.coalition % coalition_colours.size()]);
        used += static_cast<int>(count.size());
      }
      if (used == 0) {
        line.add(ground(row, column) ? "·" : " ", 90);
        used = 1;
      }
      column += used;
    }
  }

 private:
  static constexpr uint32_t alone = UINT32_MAX;
  [[nodiscard]] bool empty(int row, int column) const {
    const Cell& cell = cells_[static_cast<size_t>(row * columns_ + column)];
    return cell.agents == 0 && cell.mark == 0;
  }
  // Whether the middle of one of the world's squares falls here.
  [[nodiscard]] bool ground(int row, int column) const {
    const auto middle = [](int at, int size, int squares) {
      const int square = at * squares / size;
      return at == (2 * square + 1) * size / (2 * squares);
    };
    return middle(column, columns_, width_) && middle(row, rows_, height_);
  }

  int columns_, rows_;
  int width_, height_;  // of the world
  std::vector<Cell> cells_;
};

std::string bar(double share, int width) {
  std::string result;
  const int parts = std::clamp(static_cast<int>(std::lround(share * width * 8)), 0, width * 8);
  for (int i = 0; i < width; ++i) {
    const int here = std::clamp(parts - 8 * i, 0, 8);
    // Left eighths would be finer, but not every font has them.
    result += here >= 4 ? "█" : "·";
  }
  return result;
}

// The last part of a curve, one character per group of bins, scaled to its own range.
std::string sparkline(const std::vector<CurvePoint>& curve, double CurvePoint::*value, int width) {
  if (curve.empty()) return {};
  const size_t shown = std::min(curve.size(), static_cast<size_t>(width));
  std::vector<double> values(shown, 0);
  for (size_t i = 0; i < shown; ++i) {
    const size_t begin = i * curve.size() / shown, end = (i + 1) * curve.size() / shown;
    for (size_t j = begin; j < end; ++j) values[i] += curve[j].*value / static_cast<double>(end - begin);
  }
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double floor = *low, range = *high - *low;
  std::string result;
  for (const double v : values)
    result += eighths[1 + static_cast<size_t>(range > 0 ? std::lround(7 * (v - floor) / range) : 0)];
  return result;
}

// The right-hand side: a few lines for each population.
std::vector<std::string> panel(const Stage& stage, const Frame& frame, const History& history, int columns,
                               bool colours) {
  std::vector<std::string> lines;
  const auto line = [&] { return Line(columns, colours); };
  for (size_t p = 0; p < frame.populations.size(); ++p) {
    const PopulationConfig& config = stage.scenario.populations[p];
    const PopulationFrame& now = frame.populations[p];
    lines.push_back(line()
                        .add(config.name, 0, true)
                        .add(fmt::format("  {} agents, {}", config.agents, to_string(config.mind)), 90)
                        .text());
    lines.push_back(line()
                        .add(fmt::format("  reward {:6.3f}  mean {:6.3f}  ", now.reward, history.mean(p).reward))
                        .add(sparkline(history.curve(p), &CurvePoint::reward, columns - 31), 32)
                        .text());
    if (config.mind == Mind::random) continue;
    lines.push_back(line()
                        .add(fmt::format("  free energy    {:6.3f} nats  ", now.free_energy))
                        .add(sparkline(history.curve(p), &CurvePoint::free_energy, columns - 31), 36)
                        .text());
    // What they believe: the most probable states first, at most four.
    std::vector<size_t> order(now.hidden.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (order.size() > 4)
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return now.hidden[a] > now.hidden[b]; });
    order.resize(std::min<size_t>(order.size(), 4));
    for (const size_t state : order)
      lines.push_back(line()
                          .add(fmt::format("  {:<14.14} ", stage.hidden_names[state]))
                          .add(bar(now.hidden[state], 20), 34)
                          .add(fmt::format(" {:3.0f} %", 100 * now.hidden[state]))
                          .text());
    lines.push_back(
        line()
            .add(fmt::format("  agreement {:.2f}, {:.0f} % changed their mind", now.agreement, 100 * now.activity), 90)
            .text());
  }
  if (stage.scenario.coalitions.form) {
    std::map<uint32_t, int> sizes;
    for (const AgentFrame& agent : frame.agents) ++sizes[agent.coalition];
    int largest = 0;
    for (const auto& [coalition, size] : sizes) largest = std::max(largest, size);
    lines.push_back(
        line()
            .add("coalitions", 0, true)
            .add(fmt::format("  {}, largest {}, worth {:.1f}", frame.coalitions, largest, frame.coalition_value), 90)
            .text());
  }
  return lines;
}

}  // namespace

std::vector<std::string> compose_view(const Stage& stage, const Frame& frame, const History& history,
                                      const ViewSize& size) {
  std::vector<std::string> lines;
  const auto line = [&] { return Line(size.columns, size.colours); };
  lines.push_back(line()
                      .add(stage.scenario.name, 0, true)
                      .add(fmt::format("  step {} of {}, seed {}  ", frame.step, stage.scenario.steps, stage.seed))
                      .add(bar(static_cast<double>(frame.step) / static_cast<double>(stage.scenario.steps), 20), 32)
                      .text());
  lines.push_back("");

  const bool beside = size.columns >= panel_columns + 22;
  const int free_columns = beside ? size.columns - panel_columns - 2 : size.columns;
  const int free_rows = std::max(3, size.rows - 3);
  // A character is about twice as high as it is wide.
  const WorldConfig& world = stage.scenario.world;
  const double scale = std::min(
      {static_cast<double>(free_columns) / (2.0 * world.width), static_cast<double>(free_rows) / world.height, 4.0});
  const int columns = std::max(3, static_cast<int>(2 * world.width * scale)),
            rows = std::max(2, static_cast<int>(world.height * scale));
  const Map map(stage, frame, std::min(columns, free_columns), std::min(rows, free_rows));
  const auto side = panel(stage, frame, history, beside ? panel_columns : size.columns, size.colours);
  const int map_rows = std::min(rows, free_rows);
  if (beside) {
    for (int row = 0; row < std::max(map_rows, static_cast<int>(side.size())) && row < free_rows; ++row) {
      Line left(size.columns, size.colours);
      if (row < map_rows) map.draw(row, left);
      left.to(free_columns + 2);
      lines.push_back(left.text() + (row < static_cast<int>(side.size()) ? side[static_cast<size_t>(row)] : ""));
    }
  } else {
    for (const std::string& text : side) lines.push_back(text);
    for (int row = 0; row < map_rows; ++row) {
      Line left(size.columns, size.colours);
      map.draw(row, left);
      lines.push_back(left.text());
    }
  }
  if (lines.size() > static_cast<size_t>(size.rows)) lines.resize(static_cast<size_t>(size.rows));
  return lines;
}

}  // namespace skep::scenario
