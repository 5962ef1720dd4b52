#pragma once
// Runs a folder of golden vectors (test/data/golden/belief describes the format) against the f64 reference agent, and
// single-factor cases against the vector kernels in f32 and f64 too. `skep golden belief DIR`.

#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace skep::belief {

struct GoldenTolerance {
  double f64 = 1e-6;
  double f32 = 1e-4;
};

struct GoldenCase {
  std::string file;
  bool passed = false;
  std::string failure;  // the first quantity out of tolerance, where and by how much; or why the file is unreadable
};

// What was compared under one name, over all cases.
struct GoldenQuantity {
  double worst = 0;   // maximal absolute error
  size_t values = 0;  // numbers compared
};

struct GoldenReport {
  std::vector<GoldenCase> cases;
  std::map<std::string, GoldenQuantity> quantities;  // "f64 q_pi", "batch f32 qs" …
  int passed = 0;
  int failed = 0;

  // A table of what was compared and the worst errors, the failures, and last "N passed, M failed".
  [[nodiscard]] std::string text() const;
};

// Every *.json of the folder, in order of name. A case passes only if every step of it holds what its kind of case is
// about, beliefs, free energies, G and q_pi, so that a misspelt or missing member is no agreement. An error only if the
// folder can't be read or holds no case.
Result<GoldenReport> run_goldens(const std::string& folder, const GoldenTolerance& tolerance = {});

}  // namespace skep::belief
