#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "base/duration.h"
#include "cli/model_commands.h"
#include "cli/terminal.h"
#include "cli/tool_progress.h"
#include "model_tools/distill.h"
#include "model_tools/train.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

void add_training_options(CLI::App& command, model_tools::TrainOptions& options) {
  const char* group = "Training";
  command.add_option("--epochs", options.epochs, "Times through the data")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str()
      ->group(group);
  command.add_option("--steps", options.most_steps, "At most so many; 0: all epochs")
      ->capture_default_str()
      ->group(group);
  command.add_option("--context", options.context_tokens, "Tokens of a step, a multiple of 256")
      ->check(CLI::Range(256, 65'536))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--learning-rate", options.learning_rate,
                  fmt::format("The highest (default {:.0e} from a model, {:.0e} from random weights)",
                              model_tools::kRateOnward, model_tools::kRateAnew))
      ->check(CLI::Range(1e-8, 1.0))
      ->group(group);
  command.add_option("--warm-up", options.warm_up, "Steps")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str()
      ->group(group);
  command.add_option("--weight-decay", options.weight_decay)
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->group(group);
  command.add_option("--validation", options.validation, "Part of the data that is held out")
      ->check(CLI::Range(0.0, 0.5))
      ->capture_default_str()
      ->group(group);
  command.add_option("--only", options.only, "Only tensors whose name contains this: blk.21., ffn, output")
      ->group(group);
  command.add_option("--seed", options.seed)->capture_default_str()->group(group);
  command.add_option("--threads", options.threads, "0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str()
      ->group(group);
  command.add_flag("--resume", options.resume, "Go on from OUT.checkpoint, where there is one")->group(group);
  command.add_flag("--force", options.overwrite, "Replace an existing file")->group(group);
}

json::object json_of(const model_tools::TrainOptions& options, const model_tools::TrainReport& report) {
  json::array curve;
  for (const auto& point : report.curve) curve.push_back(json::array{point.step, point.loss});
  const double seconds = std::chrono::duration<double>(report.took).count();
  return {{"output", options.output},
          {"steps", report.steps},
          {"learning_rate", report.learning_rate},
          {"first_step", report.first_step},
          {"tokens", report.tokens},
          {"seconds", seconds},
          {"tokens_per_second", static_cast<double>(report.tokens) / std::max(seconds, 1e-9)},
          {"validation_before", report.validation_before},
          {"validation_after", report.validation_after},
          {"curve", std::move(curve)}};
}

void print(const model_tools::TrainOptions& options, const model_tools::TrainReport& report) {
  const double seconds = std::chrono::duration<double>(report.took).count();
  fmt::print("{}: {} steps, {} tokens in {} ({:.0f} tokens/s)\n", options.output, report.steps - report.first_step,
             human_count(report.tokens), to_string(report.took),
             static_cast<double>(report.tokens) / std::max(seconds, 1e-9));
  fmt::print("loss of a held-out token {:.3f} → {:.3f} nats\n", report.validation_before, report.validation_after);
  if (report.validation_after > report.validation_before) {
    fmt::print("{}\n",
               paint(Colour::yellow, fmt::format("it learnt nothing that holds: try a --learning-rate below {:.0e}",
                                                 report.learning_rate)));
  }
}

struct Train {
  ToolOptions tool;
  model_tools::TrainOptions options;
};

int run_training(const Train& command) {
  ToolProgress progress(command.tool.progress_descriptor);
  const auto done = model_tools::train(command.options, progress.heard());
  progress.done();
  if (!done) return progress.failed(done.error());
  if (command.tool.json) {
    progress.result(json_of(command.options, *done));
  } else {
    print(command.options, *done);
  }
  return kOk;
}

struct Distill {
  ToolOptions tool;
  model_tools::CollectOptions collect;
  model_tools::TrainOptions train;
  bool soft = false;
};

int run_distillation(Distill& command) {
  ToolProgress progress(command.tool.progress_descriptor);
  model_tools::CollectReport asked;
  if (command.soft) {
    if (!command.collect.teacher.url.empty()) {
      return progress.failed({ErrorCode::unsupported, "servers don't give the probabilities that --soft learns from",
                              "leave out --soft, or name a GGUF file"});
    }
    command.train.teacher = command.collect.teacher.model;
    command.train.data = command.collect.questions;
  } else {
    command.collect.output = command.train.output + ".answers.jsonl";
    const auto collected = model_tools::collect_answers(command.collect, progress.heard());
    if (!collected) return progress.failed(collected.error());
    asked = *collected;
    command.train.data = command.collect.output;
  }
  const auto done = model_tools::train(command.train, progress.heard());
  progress.done();
  if (!done) return progress.failed(done.error());
  if (command.tool.json) {
    json::object result = json_of(command.train, *done);
    if (!command.soft) {
      result["answers"] = json::object{{"questions", asked.questions},
                                       {"known", asked.known},
                                       {"kept", asked.kept},
                                       {"wrong", asked.wrong},
                                       {"failed", asked.failed}};
    }
    progress.result(result);
    return kOk;
  }
  if (!command.soft) {
    fmt::print("{} questions: {} answers kept, {} wrong, {} without an answer, {} known before; all in {}\n",
               human_count(asked.questions), human_count(asked.kept), human_count(asked.wrong),
               human_count(asked.failed), human_count(asked.known), command.collect.output);
  }
  print(command.train, *done);
  return kOk;
}

void add_model_or_shape(CLI::App& command, model_tools::TrainOptions& options, const char* what) {
  command.add_option("--model", options.model, what);
  command.add_option("--shape", options.shape, "… or random weights of a shape of `skep model synth`");
}

}  // namespace

void add_model_train(CLI::App& model, int& exit_code) {
  auto training = std::make_shared<Train>();
  auto* command = model.add_subcommand("train", "Train a small model on a text or a task file, on CPUs");
  command->add_option("data", training->options.data, "A text, or tasks with answers as JSON lines")->required();
  command->add_option("-o,--output", training->options.output, "The file to write, in F32")->required();
  add_model_or_shape(*command, training->options, "The GGUF file to go on from");
  add_training_options(*command, training->options);
  add_tool_options(*command, training->tool);
  command->callback([training, &exit_code] { exit_code = run_training(*training); });
}

void add_model_distill(CLI::App& model, int& exit_code) {
  auto distillation = std::make_shared<Distill>();
  auto* command = model.add_subcommand("distill", "Train a small model on what a larger one says");
  auto& teacher = distillation->collect.teacher;
  command->add_option("data", distillation->collect.questions, "Questions as JSON lines; with --soft also a text")
      ->required();
  command->add_option("-o,--output", distillation->train.output, "The student to write, in F32")->required();
  command->add_option("--teacher", teacher.model, "A GGUF file; with --url, the model's name there")->required();
  command->add_option("--url", teacher.url, "A server that speaks the OpenAI or the Ollama API");
  command->add_option("--api-key-env", teacher.api_key_env, "The variable with that server's key");
  command->add_option("--slots", teacher.slots, "Questions at once")->check(CLI::Range(1, 256))->capture_default_str();
  command->add_option("--max-tokens", distillation->collect.max_tokens, "Of an answer")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command->add_flag("--only-right", distillation->collect.only_right, "Learn only answers that the data confirms");
  command->add_flag("--soft", distillation->soft, "Learn the teacher's probabilities; both need one vocabulary");
  command->add_option("--teacher-share", distillation->train.teacher_share, "Of a soft label; the rest is the data's")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  add_model_or_shape(*command, distillation->train, "The student: the GGUF file to go on from");
  add_training_options(*command, distillation->train);
  add_tool_options(*command, distillation->tool);
  command->callback([distillation, &exit_code] { exit_code = run_distillation(*distillation); });
}

}  // namespace skep::cli
