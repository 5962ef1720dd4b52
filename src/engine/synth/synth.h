#pragma once
// GGUF files with random weights in any shape: what tests, benchmarks and a first start run on before there are trained
// models. They load in every program built on libggml, carry a tokenizer that works and a chat template, and cost what
// a trained model of that shape costs; only what they say is noise.
//
// The same options give the same bytes, whatever the number of threads. Blocking: call it off the event loop. Memory
// stays under a few MiB per thread, whatever the shape. The file appears under its name only when it is complete.

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "engine/synth/shape.h"

namespace skep::synth {

struct SynthOptions {
  Shape shape;
  WeightType type = WeightType::q4_0;
  std::string path;  // folders on the way must exist
  std::string name;  // general.name; empty: the shape's
  uint64_t seed = 1;
  int threads = 0;         // 0: one per CPU
  bool overwrite = false;  // an existing file is a conflict otherwise
};

struct Progress {
  Bytes written;  // of tensor data
  Bytes total;
};
// Called on the calling thread, after every few MiB. Returning false stops: the error is `cancelled`, no file is left.
using ProgressFn = std::function<bool(const Progress&)>;

// Fails with invalid_argument (shape), conflict (file exists), io (disk full, no such folder) or cancelled.
Status synthesize(const SynthOptions& options, const ProgressFn& progress = {});

// What synthesize() would write, known beforehand.
struct Size {
  int64_t parameters = 0;
  Bytes tensors;  // the file is this and its metadata, mostly the vocabulary
};
Size size_of(const Shape& shape, WeightType type);

}  // namespace skep::synth
