#include "cli/demo_models.h"

#include <array>
#include <filesystem>

#include "cli/shipped_files.h"
#include "cli/terminal.h"
#include "engine/synth/synth.h"

namespace skep::cli {

namespace fs = std::filesystem;

namespace {

// Stand-ins with random weights: real shapes where one is small enough, so that the demo costs what such a model costs.
synth::Shape shape_of(const std::string& tier) {
  if (tier == "balanced") return *synth::find_shape("smollm-135m");
  if (tier == "deep") return *synth::find_shape("smollm-360m");
  return {.name = "demo-fast",
          .layers = 12,
          .embedding = 384,
          .heads = 6,
          .kv_heads = 2,
          .feed_forward = 1024,
          .vocabulary = 16384,
          .context = 8192,
          .tied = true,
          .like = "nothing: a third of smollm-135m's width"};
}
constexpr std::array kTiers = {"fast", "balanced", "deep"};

Status synthesize(const std::string& tier, const std::string& path) {
  synth::SynthOptions options;
  options.shape = shape_of(tier);
  options.path = path;
  options.name = tier;
  LiveLines live;
  return synth::synthesize(options, [&](const synth::Progress& progress) {
    if (live.due()) {
      double fraction = static_cast<double>(progress.written.count) / static_cast<double>(progress.total.count);
      live.show({fmt::format("making a model for the {} tier  {} {:.0f} %", tier, bar(fraction, 24), fraction * 100)});
    }
    return true;
  });
}

}  // namespace

Result<DemoModels> prepare_demo_models(daemon::Config& config, const std::string& folder) {
  if (!config.file.empty()) return DemoModels{};  // a config names its own models
  std::string models = shipped_file("models");
  std::error_code error;
  bool shipped = fs::exists(models + "/fast.gguf", error) && fs::exists(models + "/balanced.gguf", error) &&
                 fs::exists(models + "/deep.gguf", error);
  config.model_folders = {shipped ? models : folder};
  if (shipped) {
    // Tasks in the small language are a line or two, which is next to nothing on the scale that the defaults are made
    // for. Among themselves they are told apart: of examples/tasks-demo.jsonl, what takes one step scores 0.022 to
    // 0.027, two steps 0.023 to 0.032, three steps 0.028 to 0.038.
    config.routing.balanced_above = 0.0235;
    config.routing.deep_above = 0.0275;
    return DemoModels{};
  }
  bool made = false;
  for (const std::string tier : kTiers) {
    std::string path = fmt::format("{}/{}.gguf", folder, tier);
    if (fs::exists(path, error)) continue;
    SKEP_CHECK(synthesize(tier, path));
    made = true;
  }
  fmt::print(
      stderr, "{}\n",
      paint(
          Colour::dim,
          made ? "no trained models yet: made three with random weights; what they say is noise, what they cost is real"
               : "the models have random weights: what they say is noise, what they cost is real",
          stderr));
  return DemoModels{true};
}

}  // namespace skep::cli
