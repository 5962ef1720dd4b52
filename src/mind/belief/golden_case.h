#pragma once
// One golden case: its model and settings, and a recorder of how far we are off. Internal to golden.cc and its parts.

#include <boost/json.hpp>
#include <map>
#include <string>

#include "mind/belief/agent.h"
#include "mind/belief/golden.h"

namespace skep::belief {

class GoldenRecorder {
 public:
  GoldenRecorder(std::map<std::string, GoldenQuantity>& quantities, std::string engine, double tolerance)
      : quantities_(quantities), engine_(std::move(engine)), tolerance_(tolerance) {}

  // |ours - golden|, entry by entry; a difference in length is a failure too.
  void compare(const std::string& quantity, const std::string& where, std::span<const double> ours,
               const boost::json::value& golden);
  void compare(const std::string& quantity, const std::string& where, double ours, const boost::json::value& golden);
  void mismatch(const std::string& quantity, const std::string& where, const std::string& what);
  // The first failure, empty if none.
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  std::map<std::string, GoldenQuantity>& quantities_;
  std::string engine_;
  double tolerance_;
  std::string failure_;
};

struct GoldenInput {
  GenerativeModel model;
  AgentOptions options;
  bool messages = false;
  boost::json::array steps;
};

Result<GoldenInput> read_golden(const boost::json::value& value);

// One index per modality / factor.
Result<std::vector<int>> golden_ints(const boost::json::value& value, const char* name);

// The f64 reference agent against everything a case holds. An error: the case can't be understood.
Status check_agent(const GoldenInput& input, GoldenRecorder& recorder);
// The batch engine (f32 or f64) against what it computes: beliefs, free energy, policies.
Status check_population(const GoldenInput& input, bool f32, GoldenRecorder& recorder);

}  // namespace skep::belief
