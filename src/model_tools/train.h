#pragma once
// Training on CPUs through libllama's optimizer: AdamW over whole windows, in F32, from a model or from random weights
// of a shape. What libllama can't, this can't: token embeddings stay as they are, gradients are not clipped, and only
// decoders of the llama, qwen2 and qwen3 kinds are let in.
//
// Of tasks the answers are learnt and not the questions (training_data.h). libllama has no weights of positions, and a
// label of zeros is no absence of one: the gradient of a position is softmax(logits) - label. What is not to be learnt
// gets the model's own probabilities as its label, computed just before the step, and its gradient is 0.
//
// With a teacher (a model of the same vocabulary) each step's labels are a blend of the text's next token and the
// teacher's k most probable ones: distillation by soft labels (Hinton, Vinyals, Dean 2015), at temperature 1.
//
// A checkpoint is a GGUF file beside the output, `<output>.checkpoint`, that holds the weights and the step; written
// atomically every few minutes and whenever the training is stopped. Going on from it repeats the data's order exactly;
// AdamW's moments are not in it (libllama does not show them), so the rate warms up again.

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model_tools/progress.h"

namespace skep::model_tools {

// With one window a step, what a model knows comes apart at the rate that random weights need (bench/RESULTS.md).
inline constexpr double kRateAnew = 2e-4, kRateOnward = 6e-5;

struct TrainOptions {
  std::string model;         // the GGUF file to go on from; quantized ones are widened to F32 first
  std::string shape;         // … or a shape of `skep model synth`, with random weights
  std::string data;          // a text, or a task file (.jsonl)
  std::string output;        // in F32; `skep model quantize` comes after
  int context_tokens = 256;  // of a window: one step each; a multiple of 256, as libllama's caches are
  int epochs = 1;
  int64_t most_steps = 0;    // 0: as many as the epochs have
  double learning_rate = 0;  // the highest; 0: kRateOnward from a model, kRateAnew from random weights
  int64_t warm_up = 50;      // steps
  double weight_decay = 0.01;
  double validation = 0.05;  // of the windows, held out
  std::string only;          // train tensors whose name contains this; empty: all
  std::string teacher;       // a GGUF file; empty: none
  double teacher_share = 0.7;
  int teacher_top = 16;
  uint64_t seed = 1;
  int threads = 0;
  Duration checkpoint_every = std::chrono::minutes(5);
  bool resume = false;  // from the checkpoint, where there is one
  bool overwrite = false;
};

struct TrainReport {
  int64_t steps = 0, first_step = 0, tokens = 0;  // tokens: trained on in this call
  double learning_rate = 0;                       // the highest
  Duration took{};
  double validation_before = 0, validation_after = 0;  // mean loss of a token that is learnt, in nats
  struct Point {
    int64_t step = 0;
    double loss = 0;
  };
  std::vector<Point> curve;  // at most a few hundred
};

// invalid_argument, unsupported (another architecture), out_of_memory (16 bytes per parameter are needed), conflict,
// io, cancelled (a checkpoint is left).
Result<TrainReport> train(const TrainOptions& options, const ProgressFn& progress);

}  // namespace skep::model_tools
