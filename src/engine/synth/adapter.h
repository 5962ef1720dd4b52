#pragma once
// LoRA adapters as GGUF files, in the layout that libllama reads (general.type = adapter, adapter.type = lora): beside
// the name of each matrix W of the base model, `W.lora_a` and `W.lora_b`, and with them W x becomes
// W x + scale · alpha / rank · B (A x)  (Hu et al., 2021). write_adapter() stores given matrices; synthesize_adapter()
// draws random ones for any shape, for tests, benchmarks and as the start of a training.
//
// Blocking: call it off the event loop. The file appears under its name only when it is complete.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/synth/shape.h"

namespace skep::synth {

// The pair that changes one matrix of `rows` × `columns` (outputs × inputs).
struct AdapterTensor {
  std::string base;  // its name in the base model: "blk.0.attn_q.weight"
  int64_t rows = 0, columns = 0;
  std::vector<float> a;  // rank × columns, row by row
  std::vector<float> b;  // rows × rank, row by row
};

struct AdapterFile {
  std::string path;          // folders on the way must exist
  std::string name;          // general.name
  std::string architecture;  // of the base model, as in its general.architecture
  int rank = 8;
  float alpha = 16;
  std::vector<AdapterTensor> tensors;
  bool overwrite = false;  // an existing file is a conflict otherwise
};

// Stored as F32. invalid_argument (a tensor's sizes, no tensors), conflict (file exists), io.
Status write_adapter(const AdapterFile& file);

struct AdapterOptions {
  Shape shape;  // of the base model
  std::string path;
  std::string name;  // empty: the shape's, with "adapter"
  int rank = 8;
  float alpha = 16;
  // How much it changes: the deviation of what it adds to each matrix's output, where the input's is 1. 0: B is zero,
  // the start of a training, and nothing changes.
  float strength = 0.5F;
  std::vector<std::string> targets;  // "attn_q", "ffn_up" …; empty: all matrices of every layer
  uint64_t seed = 1;
  bool overwrite = false;
};

// The same options give the same bytes. Fails as write_adapter(), and where the shape has none of the targets.
Status synthesize_adapter(const AdapterOptions& options);

}  // namespace skep::synth
