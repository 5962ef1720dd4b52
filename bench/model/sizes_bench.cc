#include <algorithm>
#include <filesystem>

#include "engine/synth/synth.h"
#include "model_bench.h"
#include "model_tools/answers.h"
#include "model_tools/importance.h"
#include "model_tools/llama_session.h"
#include "model_tools/perplexity.h"
#include "model_tools/quantize.h"
#include "model_tools/task_eval.h"

namespace skep::bench {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTypes[] = {"F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K"};
constexpr int kTokens = 48;
constexpr int kTokensOfSmall = 384;  // else a few milliseconds decide
constexpr uintmax_t kSmall = 64 << 20;

// Tokens per second of one sequence; the median of some.
Result<double> decode_rate(const std::string& model, const std::string& skep) {
  model_tools::AnswererOptions options;
  options.model = model;
  options.slots = 1;
  options.context_tokens = 512;
  options.executable = skep;
  std::vector<double> rates;
  model_tools::Interview talk;
  talk.questions = 4;
  std::error_code error;
  const int tokens = fs::file_size(model, error) < kSmall ? kTokensOfSmall : kTokens;
  talk.ask = [tokens](size_t i, const engine::Loaded&) {
    engine::Generate request;
    request.prompt = fmt::format("Question {}: what is going on?", i);
    request.max_tokens = tokens;
    request.ignore_eos = true;
    request.share_scope = "bench";
    return request;
  };
  talk.heard = [&](size_t i, const Result<model_tools::GivenAnswer>& answer) {
    if (i > 0 && answer) rates.push_back(tokens / seconds(answer->finished.decode));  // the first warms up
    return true;
  };
  SKEP_CHECK(model_tools::interview(options, talk));
  if (rates.empty()) return fail(ErrorCode::internal, model + ": it answered nothing");
  return median(rates);
}

Status measure(const ModelBenchOptions& options, const std::string& name, const std::string& path, bool scored,
               const std::string& text, const std::vector<model_tools::TaskExample>& tasks, Report& report) {
  std::error_code error;
  report.rows.push_back(
      {.name = name + ": size", .value = static_cast<double>(fs::file_size(path, error)) / (1 << 20), .unit = "MiB"});
  SKEP_TRY(const double rate, decode_rate(path, options.skep));
  report.rows.push_back({.name = name + ": decode", .value = rate, .unit = "tokens/s"});
  if (scored && !text.empty()) {
    SKEP_TRY(const auto session, model_tools::LlamaSession::open(path, {.context_tokens = 256}));
    SKEP_TRY(const auto perplexity, model_tools::perplexity(*session, text, 40, {}));
    report.rows.push_back({.name = name + ": perplexity", .value = perplexity.value, .unit = ""});
  }
  if (scored && !tasks.empty()) {
    model_tools::TaskEvalOptions eval;
    eval.answerer.model = path;
    eval.answerer.executable = options.skep;
    SKEP_TRY(const auto result, model_tools::evaluate_tasks(tasks, eval, {}));
    for (const auto& [steps, score] : result.by_steps()) {
      report.rows.push_back({.name = fmt::format("{}: accuracy, {} step{}", name, steps, steps == 1 ? "" : "s"),
                             .value = score.accuracy() * 100,
                             .unit = "%"});
    }
  }
  return {};
}

Status every_type(const ModelBenchOptions& options, const std::string& model, const std::string& name, bool scored,
                  const std::string& text, const std::vector<model_tools::TaskExample>& tasks, Report& report) {
  for (const char* type : kTypes) {
    if (!options.type.empty() && options.type != type) continue;
    model_tools::QuantizeOptions quantize;
    quantize.input = model;
    quantize.output = fmt::format("{}/{}-{}.gguf", options.folder, name, type);
    quantize.type = type;
    quantize.requantize = true;
    std::error_code error;
    if (!fs::exists(quantize.output, error)) {
      SKEP_TRY([[maybe_unused]] const auto plan, model_tools::quantize(quantize, {}));
    }
    SKEP_CHECK(measure(options, fmt::format("{} {}", name, type), quantize.output, scored, text, tasks, report));
  }
  return {};
}

// The shape of tinyllama says nothing worth scoring. Its files are made as each type at once; those that the maker of
// random weights does not know are quantized from F16.
Status tinyllama(const ModelBenchOptions& options, Report& report) {
  std::error_code error;
  const std::string wide = options.folder + "/tinyllama-F16.gguf";
  for (const char* type : kTypes) {
    if (!options.type.empty() && options.type != type) continue;
    const std::string path = fmt::format("{}/tinyllama-{}.gguf", options.folder, type);
    synth::SynthOptions synth;
    synth.shape = *synth::find_shape("tinyllama");
    const auto known = synth::weight_type_from(type);
    synth.type = known.value_or(synth::WeightType::f16);
    synth.path = known ? path : wide;
    if (!fs::exists(synth.path, error)) SKEP_CHECK(synth::synthesize(synth));
    if (!known && !fs::exists(path, error)) {
      model_tools::QuantizeOptions quantize;
      quantize.input = wide;
      quantize.output = path;
      quantize.type = type;
      SKEP_TRY([[maybe_unused]] const auto plan, model_tools::quantize(quantize, {}));
    }
    SKEP_CHECK(measure(options, fmt::format("tinyllama {}", type), path, false, {}, {}, report));
    if (path != wide) fs::remove(path, error);
    fs::remove_all(options.folder + "/.skep", error);
  }
  return {};
}

}  // namespace

Status bench_sizes(const ModelBenchOptions& options, Report& report) {
  std::string text;
  std::vector<model_tools::TaskExample> tasks;
  if (!options.text.empty()) {
    SKEP_TRY(text, model_tools::read_text(options.text));
  }
  if (!options.tasks.empty()) {
    SKEP_TRY(tasks, model_tools::read_tasks(options.tasks));
  }
  for (const std::string& model : options.models) {
    SKEP_CHECK(every_type(options, model, fs::path(model).stem().string(), true, text, tasks, report));
  }
  return options.models.empty() ? tinyllama(options, report) : Status();
}

}  // namespace skep::bench
