#include <filesystem>

#include "model_bench.h"
#include "model_tools/influence.h"
#include "model_tools/llama_session.h"
#include "model_tools/perplexity.h"
#include "model_tools/prune.h"
#include "model_tools/task_eval.h"
#include "model_tools/train.h"

namespace skep::bench {
namespace {

namespace fs = std::filesystem;
using model_tools::TaskExample;

constexpr int kWindows = 60;

struct Exam {
  std::string text;
  std::vector<TaskExample> tasks;
  std::string skep;
};

// Perplexity and accuracy of one point of a curve.
Status score(const std::string& name, const std::string& path, const Exam& exam, Report& report) {
  SKEP_TRY(const auto session, model_tools::LlamaSession::open(path, {.context_tokens = 256}));
  SKEP_TRY(const auto perplexity, model_tools::perplexity(*session, exam.text, kWindows, {}));
  model_tools::TaskEvalOptions eval;
  eval.answerer.model = path;
  eval.answerer.executable = exam.skep;
  SKEP_TRY(const auto result, model_tools::evaluate_tasks(exam.tasks, eval, {}));
  report.rows.push_back({.name = name + ": perplexity", .value = perplexity.value, .unit = ""});
  report.rows.push_back({.name = name + ": accuracy", .value = result.total().accuracy() * 100, .unit = "%"});
  return {};
}

// One model without its `count` least layers, and what distilling from the whole one brings back.
Status point(const ModelBenchOptions& options, const std::string& model, const std::vector<double>& influence,
             int count, const Exam& exam, Report& report) {
  const std::string name = fs::path(model).stem().string();
  const std::string pruned = fmt::format("{}/{}-{}.gguf", options.folder, name, count);
  const std::string healed = fmt::format("{}/{}-{}-distilled.gguf", options.folder, name, count);
  SKEP_CHECK(model_tools::prune(
      {.input = model, .output = pruned, .layers = model_tools::least_influential(influence, count), .overwrite = true},
      {}));
  const std::string what = fmt::format("{} without {} of {} layers", name, count, influence.size());
  SKEP_CHECK(score(what, pruned, exam, report));
  if (!options.data.empty()) {
    model_tools::TrainOptions train;
    train.model = pruned;
    train.data = options.data;
    train.output = healed;
    train.teacher = model;
    train.most_steps = options.steps;
    train.epochs = 100;
    train.overwrite = true;
    SKEP_TRY(const auto trained, model_tools::train(train, {}));
    SKEP_CHECK(score(fmt::format("{}, {} steps of distillation", what, trained.steps), healed, exam, report));
    report.notes.push_back(
        fmt::format("{}: {} tokens of distillation took {:.1f} s", what, trained.tokens, seconds(trained.took)));
  }
  std::error_code ignored;
  for (const std::string& path : {pruned, healed, healed + ".checkpoint"}) fs::remove(path, ignored);
  fs::remove_all(options.folder + "/.skep", ignored);
  return {};
}

}  // namespace

Status bench_curves(const ModelBenchOptions& options, Report& report) {
  if (options.models.empty() || options.text.empty() || options.tasks.empty()) {
    return fail(ErrorCode::invalid_argument, "curves need a model, a text and tasks to score it on",
                "--model, --text, --tasks; --data as well to distil");
  }
  Exam exam{.text = {}, .tasks = {}, .skep = options.skep};
  SKEP_TRY(exam.text, model_tools::read_text(options.text));
  SKEP_TRY(exam.tasks, model_tools::read_tasks(options.tasks));
  for (const std::string& model : options.models) {
    const std::string name = fs::path(model).stem().string();
    SKEP_TRY(const auto influence,
             model_tools::measure_influence(model, exam.text, {.context_tokens = 256, .most_windows = kWindows}, {}));
    SKEP_CHECK(score(fmt::format("{} whole", name), model, exam, report));
    const int most = std::min(options.most_removed, static_cast<int>(influence.size()) - 1);
    for (int count = 1; count <= most; ++count) {
      SKEP_CHECK(point(options, model, influence, count, exam, report));
    }
  }
  return {};
}

}  // namespace skep::bench
