#pragma once
// A frame for the terminal: the map with agents coloured by coalition, what each population believes about what is
// hidden, free energy and reward over time, and the coalitions. Composes text and draws nothing.

#include <string>
#include <vector>

#include "scenario/frame.h"
#include "scenario/history.h"

namespace skep::scenario {

struct ViewSize {
  int columns = 80;
  int rows = 24;
  bool colours = true;
};

// At most `rows` lines of at most `columns` characters.
std::vector<std::string> compose_view(const Stage& stage, const Frame& frame, const History& history,
                                      const ViewSize& size);

}  // namespace skep::scenario
