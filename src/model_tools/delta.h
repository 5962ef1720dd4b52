#pragma once
// What changed between two versions of a model, or of any file, and the new version from the old one and that.
//
// diff() finds chunks of the new file that the old one has anywhere (chunker.h) and writes what is left as differences
// to the bytes that stand in the same place of the same tensor (delta_coding.h), compressed by zstd. Memory: 40 bytes
// per chunk of the old file (64 KiB on average) and a few MiB.
//
// patch() can be interrupted at any point, also by a delta file that has not arrived whole: what is done stays beside
// the output as `<output>.part`, is checked and continued by the next call. The output appears by a rename once its
// SHA-256 is right; whoever has the old file open or mapped keeps it, so a model that is being served can be replaced.

#include <string>

#include "base/result.h"
#include "base/units.h"
#include "model_tools/progress.h"

namespace skep::model_tools {

struct DiffOptions {
  std::string old_path, new_path, output;
  int level = 3;  // zstd's
  bool overwrite = false;
};

struct DiffReport {
  Bytes old_size, new_size, delta;
  Bytes copied, differing, plain;  // of the new file, by how it is written
};

Result<DiffReport> diff(const DiffOptions& options, const ProgressFn& progress);

struct PatchOptions {
  std::string old_path, delta_path, output;  // output may be old_path: the model is then updated in place
  bool overwrite = false;
};

struct PatchReport {
  Bytes new_size;
  Bytes resumed;  // that an earlier call had done
};

// invalid_argument: the delta is for another file; corrupt: a damaged delta or old file; unavailable: the delta ends
// early, call again when there is more of it; cancelled, conflict, io.
Result<PatchReport> patch(const PatchOptions& options, const ProgressFn& progress);

}  // namespace skep::model_tools
