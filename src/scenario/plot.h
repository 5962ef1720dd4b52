#pragma once
// The usual curves of a run as one SVG: reward, free energy, entropy and coalition size over time, a line per
// population. Self-contained, readable on light and dark backgrounds.

#include <string>

#include "scenario/frame.h"
#include "scenario/history.h"

namespace skep::scenario {

std::string plot_svg(const Stage& stage, const History& history);

}  // namespace skep::scenario
