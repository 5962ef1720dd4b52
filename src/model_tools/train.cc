#include "model_tools/train.h"

#include <fcntl.h>
#include <ggml-backend.h>
#include <ggml-opt.h>
#include <gguf.h>
#include <llama.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "engine/synth/synth.h"
#include "model/memory_budget.h"
#include "model_tools/gguf_writer.h"
#include "model_tools/llama_session.h"
#include "model_tools/quantize.h"
#include "model_tools/teacher.h"
#include "model_tools/training_data.h"

namespace skep::model_tools {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShard = 8;            // windows between two looks at progress, checkpoint and the wish to stop
constexpr size_t kMostValidation = 64;  // windows of one validation
constexpr size_t kMostPoints = 400;     // of the loss curve
constexpr std::array<std::string_view, 3> kArchitectures = {"llama", "qwen2", "qwen3"};
constexpr const char* kStepKey = "skep.training.step";

struct FreeDataset {
  void operator()(ggml_opt_dataset* dataset) const { ggml_opt_dataset_free(dataset); }
  void operator()(ggml_opt_result* result) const { ggml_opt_result_free(result); }
};
using Dataset = std::unique_ptr<ggml_opt_dataset, FreeDataset>;
using OptResult = std::unique_ptr<ggml_opt_result, FreeDataset>;

double learning_rate_of(const TrainOptions& options) {
  if (options.learning_rate > 0) return options.learning_rate;
  return options.shape.empty() ? kRateOnward : kRateAnew;
}

// One model in training. libllama calls back without a context, so there is one at a time per thread: `current`.
class Trainer {
 public:
  // `mirror`: another session over the weights of `session`.
  Trainer(const TrainOptions& options, LlamaSession& session, LlamaSession& mirror, const TrainingData& data,
          Teacher* teacher, int64_t steps, int64_t first_step)
      : options_(options),
        session_(session),
        mirror_(mirror),
        data_(data),
        teacher_(teacher),
        steps_(steps),
        step_(first_step),
        rate_(learning_rate_of(options)),
        warm_until_(first_step + options.warm_up) {
    current = this;
    llama_opt_params params{};
    params.param_filter = [](const ggml_tensor* t, void* self) { return static_cast<Trainer*>(self)->wants(t); };
    params.param_filter_ud = this;
    params.get_opt_pars = [](void* self) { return static_cast<Trainer*>(self)->next_step(); };
    params.get_opt_pars_ud = this;
    params.optimizer_type = GGML_OPT_OPTIMIZER_TYPE_ADAMW;
    llama_opt_init(session.context(), session.model(), params);
  }
  ~Trainer() { current = nullptr; }
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  [[nodiscard]] int64_t step() const { return step_; }
  [[nodiscard]] double learning_rate() const { return rate_; }
  [[nodiscard]] bool trains_something() const { return trained_ > 0; }

  // The mean loss of what is learnt of these windows, a step for each.
  Result<double> learn(std::span<const uint32_t> windows) {
    if (optimizer_ == nullptr) meet_optimizer(windows.first(1));
    const auto n = static_cast<int64_t>(windows.size()), length = static_cast<int64_t>(data_.length());
    const Dataset dataset = dataset_of(windows);
    windows_ = windows;
    at_ = 0;
    problem_ = {};
    left_out_ = 0;
    left_out_entropy_ = 0;
    const OptResult trained(ggml_opt_result_init()), checked(ggml_opt_result_init());
    llama_opt_epoch(session_.context(), dataset.get(), trained.get(), checked.get(), n, remember, remember);
    SKEP_CHECK(problem_);
    double loss = 0;
    ggml_opt_result_loss(trained.get(), &loss, nullptr);
    // What is left out counts with the entropy of the label that it got.
    const auto all = static_cast<double>(n * length);
    return (loss * all - left_out_entropy_) / std::max(1.0, all - static_cast<double>(left_out_));
  }

  // The same without a step, and without a teacher.
  Result<double> validate(std::span<const uint32_t> windows) {
    double loss = 0;
    int64_t tokens = 0;
    for (const uint32_t i : windows) {
      const std::span<const Token> window = data_.window(i);
      const std::span<const uint8_t> learnt = data_.learnt(i);
      const auto counts = [&](int at) { return learnt.empty() || learnt[static_cast<size_t>(at)] != 0; };
      SKEP_CHECK(mirror_.evaluate(window.first(window.size() - 1), counts));
      for (int at = 0; at < data_.length(); ++at) {
        if (!counts(at)) continue;
        loss -= log_probability(mirror_.logits(at), window[static_cast<size_t>(at) + 1]);
        ++tokens;
      }
    }
    return loss / static_cast<double>(std::max<int64_t>(1, tokens));
  }

  // The weights as they are now, with everything else as in `source`.
  Status save(const GgufInput& source, const std::string& path, bool overwrite, bool checkpoint) const {
    SKEP_TRY(const Metadata metadata, metadata_of(source));
    gguf_remove_key(metadata.get(), kStepKey);
    if (checkpoint) gguf_set_val_u64(metadata.get(), kStepKey, static_cast<uint64_t>(step_));
    std::vector<OutputTensor> tensors;
    for (const model::GgufTensor& t : source.file().tensors) {
      OutputTensor out = copy_of(source, t);
      if (const auto found = weights_.find(t.name); found != weights_.end()) {
        out.rows = [weights = found->second, row = t.bytes / (t.elements() / t.extent[0])](int64_t first, int64_t count,
                                                                                           char* bytes) {
          ggml_backend_tensor_get(weights, bytes, static_cast<size_t>(first * row), static_cast<size_t>(count * row));
          return Status();
        };
      }
      tensors.push_back(std::move(out));
    }
    return write_gguf(path, metadata.get(), tensors, overwrite, "writing", {});
  }

 private:
  [[nodiscard]] Dataset dataset_of(std::span<const uint32_t> windows) const {
    const auto n = static_cast<int64_t>(windows.size()), length = static_cast<int64_t>(data_.length());
    Dataset dataset(ggml_opt_dataset_init(GGML_TYPE_I32, GGML_TYPE_I32, length, length, n, 1));
    auto* inputs = static_cast<Token*>(ggml_opt_dataset_data(dataset.get())->data);
    auto* labels = static_cast<Token*>(ggml_opt_dataset_labels(dataset.get())->data);
    for (int64_t i = 0; i < n; ++i) {
      const std::span<const Token> window = data_.window(windows[static_cast<size_t>(i)]);
      std::copy_n(window.begin(), length, inputs + i * length);
      std::copy_n(window.begin() + 1, length, labels + i * length);
    }
    return dataset;
  }

  // libllama shows its optimizer, which has the labels, only after a window: one is looked at without a step.
  void meet_optimizer(std::span<const uint32_t> window) {
    const Dataset dataset = dataset_of(window);
    const OptResult trained(ggml_opt_result_init()), checked(ggml_opt_result_init());
    llama_opt_epoch(session_.context(), dataset.get(), trained.get(), checked.get(), 0, remember, remember);
    assert(optimizer_ != nullptr);
  }

  // Asked once of every weight.
  bool wants(const ggml_tensor* t) {
    const std::string name = t->name;
    if (!options_.only.empty() && name.find(options_.only) == name.npos) return false;
    weights_.emplace(name, t);
    ++trained_;
    return true;
  }

  static void remember(bool, ggml_opt_context_t optimizer, ggml_opt_dataset_t, ggml_opt_result_t, int64_t, int64_t,
                       int64_t) {
    current->optimizer_ = optimizer;
  }

  // Asked when the labels of a window stand and before anything is computed: the place to replace them.
  ggml_opt_optimizer_params next_step() {
    ggml_opt_optimizer_params params = ggml_opt_get_default_optimizer_params(nullptr);
    const double rate = learning_rate_at(step_, steps_, 0, rate_);
    const double warm = step_ >= warm_until_ ? 1
                                             : 1 - static_cast<double>(warm_until_ - step_ - 1) /
                                                       static_cast<double>(std::max<int64_t>(1, options_.warm_up));
    params.adamw.alpha = static_cast<float>(rate * warm);
    params.adamw.wd = static_cast<float>(options_.weight_decay);
    if (problem_) problem_ = relabel(ggml_opt_labels(optimizer_), windows_[at_]);
    ++step_;
    ++at_;
    return params;
  }

  Status relabel(ggml_tensor* labels, uint32_t number) {
    const std::span<const Token> window = data_.window(number);
    const std::span<const uint8_t> learnt = data_.learnt(number);
    if (teacher_ != nullptr) SKEP_CHECK(soften(labels, window, learnt));
    if (std::find(learnt.begin(), learnt.end(), 0) == learnt.end()) return {};
    return leave_out(labels, window, learnt);
  }

  // The model's own probabilities for what is not learnt.
  Status leave_out(ggml_tensor* labels, std::span<const Token> window, std::span<const uint8_t> learnt) {
    SKEP_CHECK(
        mirror_.evaluate(window.first(learnt.size()), [&](int i) { return learnt[static_cast<size_t>(i)] == 0; }));
    const auto row = static_cast<size_t>(labels->ne[0]);
    std::vector<float>& own = own_;
    own.resize(row);
    for (size_t i = 0; i < learnt.size(); ++i) {
      if (learnt[i] != 0) continue;
      const std::span<const float> logits = mirror_.logits(static_cast<int>(i));
      const float most = *std::max_element(logits.begin(), logits.end());
      double sum = 0, weighted = 0;
      for (size_t t = 0; t < row; ++t) {
        const float below = logits[t] - most;
        own[t] = std::exp(below);
        sum += static_cast<double>(own[t]);
        weighted += static_cast<double>(own[t]) * static_cast<double>(below);
      }
      for (float& p : own) p = static_cast<float>(static_cast<double>(p) / sum);
      ggml_backend_tensor_set(labels, own.data(), i * row * sizeof(float), row * sizeof(float));
      left_out_entropy_ += std::log(sum) - weighted / sum;
      ++left_out_;
    }
    return {};
  }

  Status soften(ggml_tensor* labels, std::span<const Token> window, std::span<const uint8_t> learnt) {
    const size_t length = window.size() - 1;
    const auto counts = [&](int i) { return learnt.empty() || learnt[static_cast<size_t>(i)] != 0; };
    SKEP_TRY(const auto opinions, teacher_->opinions(window.first(length), counts));
    const auto share = static_cast<float>(options_.teacher_share);
    const auto row = static_cast<size_t>(labels->ne[0]);
    const auto put = [&](size_t i, Token token, float value) {
      ggml_backend_tensor_set(labels, &value, (i * row + static_cast<size_t>(token)) * sizeof(float), sizeof(float));
    };
    for (size_t i = 0; i < length; ++i) {
      if (!counts(static_cast<int>(i))) continue;
      const Token said = window[i + 1];
      float own = 1 - share;
      for (const auto& [token, probability] : opinions[i]) {
        if (token == said)
          own += share * probability;
        else
          put(i, token, share * probability);
      }
      put(i, said, own);
    }
    return {};
  }

  static inline thread_local Trainer* current = nullptr;

  const TrainOptions& options_;
  LlamaSession& session_;
  LlamaSession& mirror_;
  const TrainingData& data_;
  Teacher* teacher_;
  int64_t steps_, step_;
  double rate_;
  int64_t warm_until_;
  ggml_opt_context_t optimizer_ = nullptr;  // meet_optimizer()
  std::span<const uint32_t> windows_;       // of the run under way
  size_t at_ = 0;
  Status problem_;
  int64_t left_out_ = 0;  // positions of the run under way that are not learnt
  double left_out_entropy_ = 0;
  std::vector<float> own_;
  std::map<std::string, const ggml_tensor*> weights_;
  int trained_ = 0;
};

// A file that is ours alone and goes with us: it has a name only while it is written, so that a process that is killed
// leaves none.
class Scratch {
 public:
  explicit Scratch(const std::string& output) : written_(fmt::format("{}.{}.f32", output, ::getpid())) {}
  ~Scratch() {
    if (descriptor_ >= 0) ::close(descriptor_);
    ::unlink(written_.c_str());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] const std::string& written() const { return written_; }  // where to write it
  // … and where to read it from then on, while this lives.
  Result<std::string> take() {
    descriptor_ = ::open(written_.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) return fail(ErrorCode::io, fmt::format("{}: {}", written_, std::strerror(errno)));
    ::unlink(written_.c_str());
    return fmt::format("/proc/self/fd/{}", descriptor_);
  }

 private:
  std::string written_;
  int descriptor_ = -1;
};

Status check_memory(const GgufInput& input) {
  int64_t parameters = 0;
  for (const auto& t : input.file().tensors) parameters += t.elements();
  const Bytes needed(parameters * 16);  // weights, gradients, two moments
  SKEP_TRY(const model::MachineMemory memory, model::read_machine_memory());
  Bytes budget = model::default_budget(memory);
  rlimit limit{};  // of a job of the daemon: what is booked for it
  if (::getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    budget = std::min(budget, Bytes(static_cast<int64_t>(limit.rlim_cur)));
  }
  if (needed <= budget) return {};
  return fail(
      ErrorCode::out_of_memory,
      fmt::format("training {} parameters takes {}, {} can be had", parameters, to_string(needed), to_string(budget)),
      "take a smaller model, or prune this one first");
}

// The F32 file to start from: the checkpoint, the model itself, the model widened, or random weights.
Result<std::string> starting_point(const TrainOptions& options, const std::string& checkpoint, Scratch& scratch,
                                   const ProgressFn& progress) {
  std::error_code ignored;
  if (options.resume && fs::exists(checkpoint, ignored)) return checkpoint;
  if (!options.shape.empty()) {
    const synth::Shape* shape = synth::find_shape(options.shape);
    if (shape == nullptr) {
      return fail(ErrorCode::invalid_argument, fmt::format("there is no shape '{}'", options.shape),
                  "`skep model synth --shapes` lists them");
    }
    synth::SynthOptions synth{
        .shape = *shape, .type = synth::WeightType::f32, .path = scratch.written(), .seed = options.seed};
    SKEP_CHECK(synth::synthesize(synth));
    return scratch.take();
  }
  SKEP_TRY(const auto input, GgufInput::open(options.model));
  const auto& tensors = input->file().tensors;
  if (std::all_of(tensors.begin(), tensors.end(), [](const auto& t) { return t.type == GGML_TYPE_F32; })) {
    return options.model;
  }
  QuantizeOptions widen;
  widen.input = options.model;
  widen.output = scratch.written();
  widen.type = "F32";
  widen.requantize = true;
  widen.threads = options.threads;
  SKEP_CHECK(quantize(widen, progress));
  return scratch.take();
}

void keep_point(std::vector<TrainReport::Point>& curve, TrainReport::Point point) {
  curve.push_back(point);
  if (curve.size() < kMostPoints) return;
  for (size_t i = 0; i < curve.size() / 2; ++i) curve[i] = curve[2 * i];
  curve.resize(curve.size() / 2);
}

std::vector<uint32_t> validation_windows(const TrainingData& data) {
  std::vector<uint32_t> windows(std::min(kMostValidation, data.validation_windows()));
  for (size_t i = 0; i < windows.size(); ++i) windows[i] = static_cast<uint32_t>(data.training_windows() + i);
  return windows;
}

// The steps themselves, with checkpoints.
Status learn(const TrainOptions& options, Trainer& trainer, const TrainingData& data, const GgufInput& source,
             const std::string& checkpoint, TrainReport& report, const ProgressFn& progress) {
  using Clock = std::chrono::steady_clock;
  const auto per_epoch = static_cast<int64_t>(data.training_windows());
  const auto began = Clock::now();
  auto saved = began;
  std::vector<uint32_t> order;
  int64_t ordered_epoch = -1;
  while (trainer.step() < report.steps) {
    const int64_t epoch = trainer.step() / per_epoch, at = trainer.step() % per_epoch;
    if (epoch != ordered_epoch)
      order = window_order(data.training_windows(), options.seed, epoch), ordered_epoch = epoch;
    const int64_t count = std::min({static_cast<int64_t>(kShard), per_epoch - at, report.steps - trainer.step()});
    SKEP_TRY(const double loss,
             trainer.learn(std::span(order).subspan(static_cast<size_t>(at), static_cast<size_t>(count))));
    report.tokens += count * data.length();
    keep_point(report.curve, {trainer.step(), loss});
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    const bool wanted =
        proceed(progress, {"training", static_cast<double>(trainer.step()) / static_cast<double>(report.steps),
                           fmt::format("step {} of {}, loss {:.3f}, {:.0f} tokens/s", trainer.step(), report.steps,
                                       loss, static_cast<double>(report.tokens) / std::max(seconds, 1e-9))});
    if (!wanted || Clock::now() - saved >= options.checkpoint_every) {
      SKEP_CHECK(trainer.save(source, checkpoint, true, true));
      saved = Clock::now();
    }
    if (!wanted) {
      return fail(ErrorCode::cancelled, fmt::format("stopped after step {}; {} has it", trainer.step(), checkpoint),
                  "--resume goes on from there");
    }
  }
  return {};
}

}  // namespace

Result<TrainReport> train(const TrainOptions& options, const ProgressFn& progress) {
  std::error_code ignored;
  if (options.model.empty() == options.shape.empty()) {
    return fail(ErrorCode::invalid_argument, "give a model to go on from, or a shape to begin with");
  }
  if (options.context_tokens < 256 || options.context_tokens % 256 != 0) {
    return fail(ErrorCode::invalid_argument, "the context must be a multiple of 256 tokens");
  }
  if (!options.overwrite && fs::exists(options.output, ignored)) {
    return fail(ErrorCode::conflict, options.output + " exists already", "--force replaces it");
  }
  const auto began = std::chrono::steady_clock::now();
  const std::string checkpoint = options.output + ".checkpoint";
  Scratch scratch(options.output);
  SKEP_TRY(const std::string start, starting_point(options, checkpoint, scratch, progress));
  SKEP_TRY(const auto source, GgufInput::open(start));
  if (std::find(kArchitectures.begin(), kArchitectures.end(), source->architecture()) == kArchitectures.end()) {
    return fail(ErrorCode::unsupported,
                fmt::format("{}: models of the kind {} can't be trained here", options.model, source->architecture()),
                "llama, qwen2 and qwen3 can");
  }
  SKEP_CHECK(check_memory(*source));

  SessionOptions session_options;
  session_options.context_tokens = session_options.batch_tokens = options.context_tokens;
  session_options.threads = options.threads;
  session_options.trainable = true;
  SKEP_TRY(const auto session, LlamaSession::open(start, session_options));
  if (session->context_tokens() != options.context_tokens) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: its context is only {} tokens", options.model, session->context_tokens()));
  }
  SKEP_TRY(const TrainingData data,
           TrainingData::load(*session, options.data, options.context_tokens, options.validation, options.seed));
  std::unique_ptr<Teacher> teacher;
  if (!options.teacher.empty()) {
    SKEP_TRY(teacher,
             Teacher::open(options.teacher, *session, options.context_tokens, options.teacher_top, options.threads));
  }
  TrainReport report;
  report.steps = static_cast<int64_t>(data.training_windows()) * options.epochs;
  if (options.most_steps > 0) report.steps = std::min(report.steps, options.most_steps);
  report.first_step = options.resume ? source->file().integer(kStepKey).value_or(0) : 0;
  // libllama tells the backends of a context its threads when it decodes, and llama_opt takes what they were told: four
  // otherwise, and on fewer cores they wait for each other.
  const Token any = 0;
  SKEP_CHECK(session->evaluate({&any, 1}, [](int) { return true; }));
  SKEP_TRY(const auto mirror, LlamaSession::beside(*session, session_options));
  Trainer trainer(options, *session, *mirror, data, teacher.get(), report.steps, report.first_step);
  if (!trainer.trains_something()) {
    return fail(ErrorCode::invalid_argument, fmt::format("no tensor's name contains '{}'", options.only));
  }
  report.learning_rate = trainer.learning_rate();
  const std::vector<uint32_t> held_out = validation_windows(data);
  SKEP_TRY(report.validation_before, trainer.validate(held_out));
  SKEP_CHECK(learn(options, trainer, data, *source, checkpoint, report, progress));
  SKEP_TRY(report.validation_after, trainer.validate(held_out));
  SKEP_CHECK(trainer.save(*source, options.output, options.overwrite, false));
  fs::remove(checkpoint, ignored);
  report.took = std::chrono::steady_clock::now() - began;
  return report;
}

}  // namespace skep::model_tools
