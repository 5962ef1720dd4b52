#include "scenario/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace skep::scenario {
namespace {

constexpr int panel_width = 460, panel_height = 230, left = 56, right = 16, top = 34, bottom = 34, header = 58;
// Okabe and Ito's colours, told apart by colour-blind readers too.
constexpr std::array palette{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#000000"};

struct Panel {
  const char* title;
  double CurvePoint::*value;
  bool of_minds;  // means nothing for populations without
};
constexpr std::array panels{Panel{"reward per agent and step", &CurvePoint::reward, false},
                            Panel{"free energy, nats", &CurvePoint::free_energy, true},
                            Panel{"entropy of beliefs, nats", &CurvePoint::entropy, true},
                            Panel{"mean size of coalitions", &CurvePoint::coalition_size, false}};

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '&':
        result += "&amp;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

// 1, 2 or 5 times a power of ten, so that about five of them span the range.
double tick_step(double range) {
  const double rough = range / 6, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough) return factor * power;
  return 10 * power;
}

// A running mean, as wide as a fortieth of the run: single steps of small populations are noise.
std::vector<double> smooth(const std::vector<CurvePoint>& curve, double CurvePoint::*value) {
  const size_t half = curve.size() / 80;
  std::vector<double> result(curve.size());
  for (size_t i = 0; i < curve.size(); ++i) {
    const size_t begin = i < half ? 0 : i - half, end = std::min(curve.size(), i + half + 1);
    for (size_t j = begin; j < end; ++j) result[i] += curve[j].*value / static_cast<double>(end - begin);
  }
  return result;
}

void add_panel(std::string& svg, const Panel& panel, int x, int y, const Stage& stage, const History& history) {
  std::vector<std::vector<double>> curves;
  double low = 0, high = 1e-9;
  for (size_t p = 0; p < history.populations(); ++p) {
    const bool shown = !panel.of_minds || stage.scenario.populations[p].mind != Mind::random;
    curves.push_back(shown ? smooth(history.curve(p), panel.value) : std::vector<double>());
    for (const double value : curves.back()) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  high += (high - low) * 0.05;
  const int width = panel_width - left - right, height = panel_height - top - bottom;
  const auto at_y = [&](double value) { return y + top + height * (1 - (value - low) / (high - low)); };
  svg += fmt::format("<text x='{}' y='{}' class='title'>{}</text>\n", x + left, y + top - 12, panel.title);
  const double step = tick_step(high - low);
  for (double tick = std::ceil(low / step) * step; tick <= high; tick += step) {
    svg += fmt::format("<line x1='{}' x2='{}' y1='{:.1f}' y2='{:.1f}' class='grid'/>\n", x + left, x + left + width,
                       at_y(tick), at_y(tick));
    svg += fmt::format("<text x='{}' y='{:.1f}' class='tick' text-anchor='end'>{:.4g}</text>\n", x + left - 8,
                       at_y(tick) + 4, std::abs(tick) < step / 2 ? 0.0 : tick);
  }
  const auto steps = static_cast<double>(history.steps());
  const double time_step = tick_step(std::max(steps, 1.0));
  for (double tick = 0; tick <= steps; tick += time_step)
    svg += fmt::format("<text x='{:.1f}' y='{}' class='tick' text-anchor='middle'>{:g}</text>\n",
                       x + left + width * tick / std::max(steps, 1.0), y + top + height + 18, tick);
  for (size_t p = 0; p < curves.size(); ++p) {
    if (curves[p].empty()) continue;
    svg += fmt::format("<polyline fill='none' stroke='{}' stroke-width='1.8' points='", palette[p % palette.size()]);
    for (size_t i = 0; i < curves[p].size(); ++i)
      svg += fmt::format("{:.1f},{:.1f} ",
                         x + left + width * (static_cast<double>(i) + 0.5) / static_cast<double>(curves[p].size()),
                         at_y(curves[p][i]));
    svg += "'/>\n";
  }
}

}  // namespace

std::string plot_svg(const Stage& stage, const History& history) {
  const int width = 2 * panel_width, height = header + 2 * panel_height;
  std::string svg = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' width='{0}' height='{1}' viewBox='0 0 {0} {1}'>\n"
      "<style>text{{font-family:system-ui,sans-serif;font-size:12px;fill:#333}}.title{{font-size:13px;font-weight:600}}"
      ".tick{{fill:#777;font-size:11px}}.name{{font-size:16px;font-weight:600}}.grid{{stroke:#ddd;stroke-width:1}}</"
      "style>\n"
      "<rect width='100%' height='100%' fill='#fff'/>\n",
      width, height);
  svg += fmt::format("<text x='{}' y='26' class='name'>{}</text>\n", left, escaped(stage.scenario.name));
  svg += fmt::format("<text x='{}' y='26' text-anchor='end' class='tick'>seed {}, {} steps</text>\n", width - right,
                     stage.seed, history.steps());
  int x = left;
  for (size_t p = 0; p < stage.scenario.populations.size(); ++p) {
    const std::string& name = stage.scenario.populations[p].name;
    svg += fmt::format("<line x1='{}' x2='{}' y1='46' y2='46' stroke='{}' stroke-width='3'/>\n", x, x + 20,
                       palette[p % palette.size()]);
    svg += fmt::format("<text x='{}' y='50'>{}</text>\n", x + 26, escaped(name));
    x += 46 + 8 * static_cast<int>(name.size());
  }
  for (size_t i = 0; i < panels.size(); ++i)
    add_panel(svg, panels[i], static_cast<int>(i % 2) * panel_width, header + static_cast<int>(i / 2) * panel_height,
              stage, history);
  return svg + "</svg>\n";
}

}  // namespace skep::scenario
