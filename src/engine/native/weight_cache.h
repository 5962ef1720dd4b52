#pragma once
// Weights repacked once per model and kept in a file (doc/weight-cache.md): loading is mapping it. Several workers map
// the same file, and a model larger than memory is paged by the system.
//
// The file is written under a temporary name, synchronized and renamed, so under its own name there is either nothing
// or all of it; two that write at once write the same bytes. Its header carries a checksum that every opening checks,
// and one per matrix, checked in idle moments (verify_some()): reading all of it first would cost what the mapping
// saves.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "engine/native/architecture.h"
#include "engine/native/mapped_file.h"
#include "kernel/lm/format.h"

namespace skep::engine::native {

// Called on the thread that packs first, with the share that is done. False: give up, the error is `cancelled`.
using WeightProgress = std::function<bool(float fraction)>;
// How to pack: whole matrices go to so many threads.
struct Packing {
  int threads = 1;
  WeightProgress progress;  // may be empty
  // Called on any of the threads when a part of the GGUF file was read for the last time; may be empty.
  std::function<void(int64_t offset, int64_t bytes)> was_read = {};
  Bytes keep_free = 1_GiB;                                         // of the disk, whatever is packed
  std::function<Bytes(const std::string& folder)> disk_free = {};  // empty: as the system says
};

// The matrices of a model, in the order in which they were asked for.
class PackedTensors {
 public:
  virtual ~PackedTensors() = default;
  [[nodiscard]] virtual kernel::lm::Matrix matrix(size_t index) const = 0;
  [[nodiscard]] virtual Bytes bytes() const = 0;
  // Compares the next few MiB with their checksums. True: there is more. corrupt: what lies in the cache is not what
  // was written; the file is removed, so that the next load makes it anew.
  virtual Result<bool> verify_some() { return false; }
};

// Which model a cache file belongs to: size of the GGUF file, a hash of its header and of samples of its tensors, and,
// as a change in place may miss the samples, which file it is and when it was written to last.
struct SourceIdentity {
  uint64_t size = 0;
  uint64_t fingerprint = 0;
  int64_t modified = 0;  // ns since the epoch
  uint64_t inode = 0;
  friend bool operator==(const SourceIdentity&, const SourceIdentity&) = default;
};
// Size and fingerprint alone. `header_bytes`: how much of the file stands before the tensors.
SourceIdentity identify(std::span<const uint8_t> file, int64_t header_bytes);
SourceIdentity identify(const MappedFile& file, int64_t header_bytes);  // all of it

// Packs into memory.
Result<std::unique_ptr<PackedTensors>> pack_tensors(std::span<const uint8_t> file, std::span<const MatrixInfo> matrices,
                                                    const Packing& packing = {});

// not_found: no such file. corrupt: it is damaged. conflict: it is of another version or another model.
Result<std::unique_ptr<PackedTensors>> open_cache(const std::string& path, const SourceIdentity& source,
                                                  std::span<const MatrixInfo> matrices);
// Writes it, in place of what is there, and removes what lies beside it for nothing: the packed weights of models that
// are gone, and what a process left that died while it wrote; where the disk would have less than `keep_free` left,
// also those that were opened longest ago. io: the disk is full, the folder is not writable; nothing is left then.
Status write_cache(const std::string& path, const SourceIdentity& source, std::span<const uint8_t> file,
                   std::span<const MatrixInfo> matrices, const Packing& packing = {});
// Where a model's cache file lies: <folder of the model>/.skep/<file name>.weights.
std::string cache_path_for(const std::string& model_path);

}  // namespace skep::engine::native
