#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "base/duration.h"
#include "cli/model_commands.h"
#include "cli/terminal.h"
#include "cli/tool_progress.h"
#include "model_tools/llama_session.h"
#include "model_tools/perplexity.h"
#include "model_tools/task_eval.h"

namespace skep::cli {
namespace {

namespace json = boost::json;
using Align = Table::Align;

struct Options {
  ToolOptions tool;
  model_tools::TaskEvalOptions tasks;
  std::string file;
  int context = 512, windows = 0;
  size_t limit = 0;
  bool show_wrong = false;
};

json::object json_of(const model_tools::Score& score) {
  const auto [low, high] = model_tools::confidence(score);
  return {{"tasks", score.tasks},
          {"right", score.right},
          {"failed", score.failed},
          {"accuracy", score.accuracy()},
          {"low", low},
          {"high", high},
          {"prompt_tokens", score.prompt_tokens},
          {"completion_tokens", score.completion_tokens}};
}

json::object json_of(const Options& options, const model_tools::TaskEval& eval) {
  json::array rows, wrong;
  for (const auto& [key, score] : eval.by_kind_and_steps) {
    json::object row{{"kind", key.first}, {"steps", key.second}};
    for (auto& each : json_of(score)) row[each.key()] = each.value();
    rows.push_back(std::move(row));
  }
  json::object steps;
  for (const auto& [n, score] : eval.by_steps()) steps[std::to_string(n)] = json_of(score);
  for (const auto& each : eval.wrong) {
    wrong.push_back(json::object{
        {"kind", each.kind}, {"question", each.question}, {"expected", each.expected}, {"given", each.given}});
  }
  return {{"model", options.tasks.answerer.model},
          {"file", options.file},
          {"forward", eval.forward},
          {"seconds", std::chrono::duration<double>(eval.took).count()},
          {"total", json_of(eval.total())},
          {"by_steps", std::move(steps)},
          {"rows", std::move(rows)},
          {"wrong", std::move(wrong)}};
}

void print_table(const Options& options, const model_tools::TaskEval& eval) {
  Table table({{"kind", Align::left},
               {"steps", Align::right},
               {"tasks", Align::right},
               {"right", Align::right},
               {"accuracy", Align::right},
               {"95 %", Align::left}});
  const auto row = [&](const std::string& kind, const std::string& steps, const model_tools::Score& score) {
    const auto [low, high] = model_tools::confidence(score);
    table.row({kind, steps, human_count(score.tasks), human_count(score.right),
               fmt::format("{:.1f} %", score.accuracy() * 100), fmt::format("{:.1f}–{:.1f}", low * 100, high * 100)});
  };
  for (const auto& [key, score] : eval.by_kind_and_steps) row(key.first, std::to_string(key.second), score);
  for (const auto& [n, score] : eval.by_steps()) row("every kind", std::to_string(n), score);
  const model_tools::Score total = eval.total();
  row("all", "", total);
  table.print();
  const double seconds = std::chrono::duration<double>(eval.took).count();
  fmt::print("{} tasks in {}: {} prompt and {} answer tokens, {:.0f} tokens/s ({})\n", human_count(total.tasks),
             to_string(eval.took), human_count(total.prompt_tokens), human_count(total.completion_tokens),
             static_cast<double>(total.prompt_tokens + total.completion_tokens) / std::max(seconds, 1e-9),
             eval.forward);
  if (total.failed > 0) fmt::print("{} tasks got no answer at all\n", human_count(total.failed));
  if (!options.show_wrong) return;
  for (const auto& each : eval.wrong) {
    fmt::print("\n{}\n{}\n{} {}\n{} {}\n", paint(Colour::bold, each.kind), each.question,
               paint(Colour::green, "expected"), each.expected, paint(Colour::red, "given"), each.given);
  }
}

int score_tasks(Options& options) {
  ToolProgress progress(options.tool.progress_descriptor);
  const auto tasks = model_tools::read_tasks(options.file, options.limit);
  if (!tasks) return progress.failed(tasks.error());
  const auto eval = model_tools::evaluate_tasks(*tasks, options.tasks, progress.heard());
  progress.done();
  if (!eval) return progress.failed(eval.error());
  if (options.tool.json) {
    progress.result(json_of(options, *eval));
  } else {
    print_table(options, *eval);
  }
  return kOk;
}

int measure_perplexity(Options& options) {
  ToolProgress progress(options.tool.progress_descriptor);
  if (!options.tasks.answerer.url.empty()) {
    return progress.failed({ErrorCode::unsupported, "perplexity needs the model's logits, which servers don't give",
                            "name a GGUF file, or score a task file"});
  }
  const auto text = model_tools::read_text(options.file);
  if (!text) return progress.failed(text.error());
  model_tools::SessionOptions session_options;
  session_options.context_tokens = options.context;
  session_options.threads = options.tasks.answerer.threads;
  const auto began = std::chrono::steady_clock::now();
  const auto session = model_tools::LlamaSession::open(options.tasks.answerer.model, session_options);
  if (!session) return progress.failed(session.error());
  const auto measured = model_tools::perplexity(**session, *text, options.windows, progress.heard());
  progress.done();
  if (!measured) return progress.failed(measured.error());
  const Duration took = std::chrono::steady_clock::now() - began;
  const int window = (*session)->context_tokens();
  if (options.tool.json) {
    progress.result({{"model", options.tasks.answerer.model},
                     {"file", options.file},
                     {"perplexity", measured->value},
                     {"error", measured->error},
                     {"tokens", measured->tokens},
                     {"windows", measured->windows},
                     {"context", window},
                     {"seconds", std::chrono::duration<double>(took).count()}});
  } else {
    fmt::print("perplexity {:.4f} ± {:.4f} over {} tokens ({} windows of {}, the second half of each), in {}\n",
               measured->value, measured->error, human_count(measured->tokens), measured->windows, window,
               to_string(took));
  }
  return kOk;
}

}  // namespace

void add_model_eval(CLI::App& model, int& exit_code) {
  auto options = std::make_shared<Options>();
  auto* command =
      model.add_subcommand("eval", "Score a model: perplexity on a text, or accuracy on a task file (.jsonl)");
  command->add_option("model", options->tasks.answerer.model, "A GGUF file; with --url, the model's name there")
      ->required();
  command->add_option("file", options->file, "A text, or tasks with answers as JSON lines (doc/model-tools.md)")
      ->required();
  command->add_option("--context", options->context, "Tokens of a window of text")
      ->check(CLI::Range(16, 1'000'000))
      ->capture_default_str();
  command->add_option("--windows", options->windows, "The first so many windows; 0: the whole text")
      ->check(CLI::Range(0, 100'000'000))
      ->capture_default_str();
  const char* group = "Task files";
  command->add_option("--limit", options->limit, "The first so many tasks; 0: all")
      ->capture_default_str()
      ->group(group);
  command->add_option("--max-tokens", options->tasks.max_tokens, "Of an answer, where the task names none")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str()
      ->group(group);
  command->add_option("--slots", options->tasks.answerer.slots, "Tasks at once")
      ->check(CLI::Range(1, 256))
      ->capture_default_str()
      ->group(group);
  command->add_option("--task-context", options->tasks.answerer.context_tokens, "Tokens of one task and its answer")
      ->check(CLI::Range(32, 1'000'000))
      ->capture_default_str()
      ->group(group);
  command->add_option("--forward", options->tasks.answerer.forward, "The forward pass")
      ->check(CLI::IsMember({"auto", "native", "llama"}))
      ->capture_default_str()
      ->group(group);
  command->add_option("--url", options->tasks.answerer.url, "A server that speaks the OpenAI or the Ollama API")
      ->group(group);
  command->add_option("--api-key-env", options->tasks.answerer.api_key_env, "The variable with that server's key")
      ->group(group);
  command->add_option("--wrong", options->tasks.keep_wrong, "Wrong answers to keep for --show-wrong and --json")
      ->check(CLI::Range(0, 10'000))
      ->capture_default_str()
      ->group(group);
  command->add_flag("--show-wrong", options->show_wrong, "Print wrong answers below the table")->group(group);
  command->add_option("--threads", options->tasks.answerer.threads, "0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  add_tool_options(*command, options->tool);
  command->callback([options, &exit_code] {
    exit_code = options->file.ends_with(".jsonl") ? score_tasks(*options) : measure_perplexity(*options);
  });
}

}  // namespace skep::cli
