#include "model_bench.h"

#include <filesystem>

namespace skep::bench {

Result<Report> run_model_bench(const ModelBenchOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  Report report{.bench = "model", .rows = {}, .notes = {}};
  const auto wanted = [&](const char* name) { return options.only.empty() || options.only == name; };
  if (wanted("quantize")) SKEP_CHECK(bench_quantize(options, report));
  if (wanted("delta")) SKEP_CHECK(bench_delta(options, report));
  if (wanted("sizes")) SKEP_CHECK(bench_sizes(options, report));
  if (options.only == "curves") SKEP_CHECK(bench_curves(options, report));
  if (options.only == "distill") SKEP_CHECK(bench_distill(options, report));
  if (report.rows.empty()) {
    return fail(ErrorCode::invalid_argument, fmt::format("there is no part '{}'", options.only),
                "quantize, delta, sizes, curves, distill");
  }
  return report;
}

}  // namespace skep::bench
