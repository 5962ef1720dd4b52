#include <algorithm>
#include <filesystem>

#include "engine/synth/synth.h"
#include "measured_process.h"
#include "model_bench.h"

namespace skep::bench {
namespace {

constexpr const char* kShape = "smollm-135m";
constexpr const char* kTypes[] = {"Q4_K_M", "Q8_0"};

}  // namespace

Status bench_quantize(const ModelBenchOptions& options, Report& report) {
  std::error_code error;
  synth::SynthOptions synth;
  synth.shape = *synth::find_shape(kShape);
  synth.type = synth::WeightType::f16;
  synth.path = fmt::format("{}/{}-F16.gguf", options.folder, kShape);
  if (!std::filesystem::exists(synth.path, error)) SKEP_CHECK(synth::synthesize(synth));
  const std::string ours = options.folder + "/ours.gguf", theirs = options.folder + "/theirs.gguf";
  for (const char* type : kTypes) {
    std::vector<double> our_seconds, their_seconds, our_peak, their_peak;
    for (int round = 0; round < options.rounds; ++round) {
      SKEP_TRY(const Measured us,
               run_measured({options.skep, "model", "quantize", synth.path, ours, "--type", type, "--force"}));
      our_seconds.push_back(us.seconds);
      our_peak.push_back(static_cast<double>(us.peak.count) / (1 << 20));
      if (options.llama_quantize.empty()) continue;
      SKEP_TRY(const Measured them, run_measured({options.llama_quantize, synth.path, theirs, type}));
      their_seconds.push_back(them.seconds);
      their_peak.push_back(static_cast<double>(them.peak.count) / (1 << 20));
    }
    Row time{
        .name = fmt::format("quantize {} F16 → {}: time", kShape, type), .value = median(our_seconds), .unit = "s"};
    Row peak{.name = fmt::format("quantize {} F16 → {}: peak memory", kShape, type),
             .value = median(our_peak),
             .unit = "MiB"};
    if (!their_seconds.empty()) {
      for (auto [row, peer] : {std::pair(&time, median(their_seconds)), std::pair(&peak, median(their_peak))}) {
        row->peer = "llama-quantize";
        row->peer_value = peer;
        row->ratio = peer / row->value;
        row->bar = "<= 1.1 x the peer's";
        row->met = row->value <= 1.1 * peer;
      }
    }
    report.rows.push_back(time);
    report.rows.push_back(peak);
  }
  std::filesystem::remove(ours, error);
  std::filesystem::remove(theirs, error);
  return {};
}

}  // namespace skep::bench
