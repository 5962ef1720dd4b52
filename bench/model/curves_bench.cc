#include <filesystem>
#include <functional>

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

// One model and what it takes to take layers from it.
struct Subject {
  std::string path, name;
  std::vector<double> influence;  // of each layer
};

std::string without(const Subject& model, int count) {
  return fmt::format("{} without {} of {} layers", model.name, count, model.influence.size());
}

Status prune_least(const Subject& model, int count, const std::string& output) {
  SKEP_CHECK(model_tools::prune({.input = model.path,
                                 .output = output,
                                 .layers = model_tools::least_influential(model.influence, count),
                                 .overwrite = true},
                                {}));
  return {};
}

// What so many steps of learning from the whole model make of the pruned one.
Status distil(const ModelBenchOptions& options, const Subject& model, const std::string& pruned, int steps,
              const std::string& what, const Exam& exam, Report& report) {
  model_tools::TrainOptions train;
  train.model = pruned;
  train.data = options.data;
  train.output = pruned + "-distilled.gguf";
  train.teacher = model.path;
  train.most_steps = steps;
  train.epochs = 1000;
  train.overwrite = true;
  SKEP_TRY(const auto trained, model_tools::train(train, {}));
  SKEP_CHECK(score(fmt::format("{}, {} steps of distillation", what, trained.steps), train.output, exam, report));
  report.notes.push_back(fmt::format("{}: {} tokens of distillation took {:.1f} s, loss {:.2f} → {:.2f} nats", what,
                                     trained.tokens, seconds(trained.took), trained.validation_before,
                                     trained.validation_after));
  std::error_code ignored;
  fs::remove(train.output, ignored);
  return {};
}

// Calls `use` with each model that is to be measured.
Status each_subject(const ModelBenchOptions& options,
                    const std::function<Status(const Subject& model, int most, const Exam& exam)>& use) {
  if (options.models.empty() || options.text.empty() || options.tasks.empty()) {
    return fail(ErrorCode::invalid_argument, "curves need a model, a text and tasks to score it on",
                "--model, --text, --tasks; --data as well to distil");
  }
  Exam exam{.text = {}, .tasks = {}, .skep = options.skep};
  SKEP_TRY(exam.text, model_tools::read_text(options.text));
  SKEP_TRY(exam.tasks, model_tools::read_tasks(options.tasks));
  for (const std::string& path : options.models) {
    Subject model{.path = path, .name = fs::path(path).stem().string(), .influence = {}};
    SKEP_TRY(model.influence,
             model_tools::measure_influence(path, exam.text, {.context_tokens = 256, .most_windows = kWindows}, {}));
    const int most = std::min(options.most_removed, static_cast<int>(model.influence.size()) - 1);
    const Status used = use(model, most, exam);
    std::error_code ignored;
    fs::remove_all(options.folder + "/.skep", ignored);  // packed weights of what was pruned
    SKEP_CHECK(used);
  }
  return {};
}

}  // namespace

Status bench_curves(const ModelBenchOptions& options, Report& report) {
  return each_subject(options, [&](const Subject& model, int most, const Exam& exam) -> Status {
    SKEP_CHECK(score(fmt::format("{} whole", model.name), model.path, exam, report));
    for (int count = 1; count <= most; ++count) {
      const std::string pruned = fmt::format("{}/{}-{}.gguf", options.folder, model.name, count);
      SKEP_CHECK(prune_least(model, count, pruned));
      SKEP_CHECK(score(without(model, count), pruned, exam, report));
      std::error_code ignored;
      fs::remove(pruned, ignored);
    }
    return {};
  });
}

Status bench_distill(const ModelBenchOptions& options, Report& report) {
  if (options.data.empty()) return fail(ErrorCode::invalid_argument, "distilling needs tasks to learn from", "--data");
  return each_subject(options, [&](const Subject& model, int most, const Exam& exam) -> Status {
    const std::string pruned = fmt::format("{}/{}-{}.gguf", options.folder, model.name, most);
    const std::string what = without(model, most);
    SKEP_CHECK(prune_least(model, most, pruned));
    SKEP_CHECK(score(what, pruned, exam, report));
    for (const int steps : options.steps) SKEP_CHECK(distil(options, model, pruned, steps, what, exam, report));
    std::error_code ignored;
    fs::remove(pruned, ignored);
    return {};
  });
}

}  // namespace skep::bench
