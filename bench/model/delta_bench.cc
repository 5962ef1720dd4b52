#include <algorithm>
#include <filesystem>

#include "engine/synth/synth.h"
#include "measured_process.h"
#include "model_bench.h"
#include "tuned_variant.h"

namespace skep::bench {
namespace {

namespace fs = std::filesystem;

struct Variant {
  const char* name;
  Tuning tuning;
};
constexpr Variant kVariants[] = {{"last 2 of 28 layers tuned", {.relative = 1e-2, .last_layers = 2}},
                                 {"all weights tuned by 0.1 %", {.relative = 1e-3}}};

double mebibytes(const std::string& path) {
  std::error_code error;
  return static_cast<double>(fs::file_size(path, error)) / (1 << 20);
}

Row row(std::string name, double value, const char* unit, double peer) {
  return {.name = std::move(name),
          .value = value,
          .unit = unit,
          .peer = "zstd --patch-from",
          .peer_value = peer,
          .ratio = peer / value};
}

// One variant, made and applied by both; times once each, since they are tens of seconds.
Status compare(const ModelBenchOptions& options, const std::string& base, const Variant& variant, Report& report) {
  const std::string tuned = options.folder + "/tuned.gguf", delta = options.folder + "/ours.delta",
                    theirs = options.folder + "/theirs.zst", out = options.folder + "/patched.gguf";
  SKEP_CHECK(write_tuned(base, tuned, variant.tuning));
  SKEP_TRY(const Measured diffed, run_measured({options.skep, "model", "diff", base, tuned, "-o", delta, "--force"}));
  SKEP_TRY(const Measured patched, run_measured({options.skep, "model", "patch", base, delta, "-o", out, "--force"}));
  SKEP_TRY(const Measured copied, run_measured({"cp", tuned, out}));
  SKEP_TRY(const Measured zstd_made,
           run_measured({"zstd", "-q", "-f", "--long=30", "--patch-from=" + base, tuned, "-o", theirs}));
  SKEP_TRY(const Measured zstd_applied, run_measured({"zstd", "-q", "-f", "-d", "--long=30", "--memory=2048MB",
                                                      "--patch-from=" + base, theirs, "-o", out}));
  const std::string name = variant.name;
  report.rows.push_back(row(name + ": delta size", mebibytes(delta), "MiB", mebibytes(theirs)));
  report.rows.push_back(row(name + ": diff", diffed.seconds, "s", zstd_made.seconds));
  report.rows.push_back(row(name + ": diff, peak memory", static_cast<double>(diffed.peak.count) / (1 << 20), "MiB",
                            static_cast<double>(zstd_made.peak.count) / (1 << 20)));
  report.rows.push_back(row(name + ": patch", patched.seconds, "s", zstd_applied.seconds));
  report.notes.push_back(fmt::format("{}: the whole file is {:.0f} MiB, copying it took {:.1f} s", name,
                                     mebibytes(tuned), copied.seconds));
  std::error_code error;
  for (const std::string& path : {tuned, delta, theirs, out}) fs::remove(path, error);
  return {};
}

}  // namespace

Status bench_delta(const ModelBenchOptions& options, Report& report) {
  std::error_code error;
  synth::SynthOptions synth;
  synth.shape = *synth::find_shape("qwen3-0.6b");
  synth.type = synth::WeightType::q8_0;
  synth.path = options.folder + "/qwen3-0.6b-Q8_0.gguf";
  if (!fs::exists(synth.path, error)) SKEP_CHECK(synth::synthesize(synth));
  for (const Variant& variant : kVariants) SKEP_CHECK(compare(options, synth.path, variant, report));
  report.notes.emplace_back("tuned versions are simulated: weights changed at random by so much (bench/model)");
  return {};
}

}  // namespace skep::bench
