#include "mind/belief/golden.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "mind/belief/golden_case.h"

namespace skep::belief {
namespace {

Result<boost::json::value> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return fail(ErrorCode::io, path.string() + ": can't be read");
  return parse_json(text.str(), path.filename().string(), JsonLimits{.size = 256_MiB, .depth = 32});
}

GoldenCase run_case(const std::filesystem::path& path, const GoldenTolerance& tolerance,
                    std::map<std::string, GoldenQuantity>& quantities) {
  GoldenCase result;
  result.file = path.filename().string();
  const auto run = [&]() -> Status {
    SKEP_TRY(const auto value, read_file(path));
    SKEP_TRY(const GoldenInput input, read_golden(value));
    GoldenRecorder reference(quantities, "f64", tolerance.f64);
    SKEP_CHECK(check_agent(input, reference));
    GoldenRecorder batch64(quantities, "batch f64", tolerance.f64);
    SKEP_CHECK(check_population(input, false, batch64));
    GoldenRecorder batch32(quantities, "batch f32", tolerance.f32);
    SKEP_CHECK(check_population(input, true, batch32));
    for (const GoldenRecorder* r : {&reference, &batch64, &batch32}) {
      if (!r->failure().empty()) return fail(ErrorCode::corrupt, r->failure());
    }
    return {};
  };
  const Status status = run();
  result.passed = status.has_value();
  if (!status) result.failure = status.error().text();
  return result;
}

}  // namespace

std::string GoldenReport::text() const {
  std::string out = fmt::format("{:<28} {:>9}  {}\n", "quantity", "values", "maximal error");
  for (const auto& [name, q] : quantities) out += fmt::format("{:<28} {:>9}  {:.3g}\n", name, q.values, q.worst);
  for (const GoldenCase& c : cases) {
    if (!c.passed) out += fmt::format("FAILED {}: {}\n", c.file, c.failure);
  }
  return out + fmt::format("{} passed, {} failed\n", passed, failed);
}

Result<GoldenReport> run_goldens(const std::string& folder, const GoldenTolerance& tolerance) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".json") files.push_back(it->path());
  }
  if (error) return fail(ErrorCode::io, fmt::format("{}: {}", folder, error.message()));
  if (files.empty()) return fail(ErrorCode::not_found, folder + ": no *.json in it");
  std::sort(files.begin(), files.end());
  GoldenReport report;
  for (const auto& file : files) {
    report.cases.push_back(run_case(file, tolerance, report.quantities));
    ++(report.cases.back().passed ? report.passed : report.failed);
  }
  return report;
}

}  // namespace skep::belief
