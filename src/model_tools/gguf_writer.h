#pragma once
// Writes GGUF files whose metadata is somebody's else, edited, and whose tensors are copied, computed or both: what
// prune, merge, train and adapter have in common. Memory stays under a few MiB beside the header, whatever the model.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/byte_source.h"
#include "model/gguf.h"
#include "model_tools/progress.h"

struct gguf_context;
struct ggml_context;

namespace skep::model_tools {

// A GGUF file that tools read tensors from.
class GgufInput {
 public:
  // not_found, io, corrupt (our own strict reader has the first word), unsupported: one part of several.
  static Result<std::unique_ptr<GgufInput>> open(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const model::GgufFile& file() const { return file_; }
  [[nodiscard]] const model::GgufTensor* find(std::string_view tensor) const;
  [[nodiscard]] const std::string& architecture() const { return architecture_; }
  // "<architecture>.<key>"; 0 when it is absent.
  [[nodiscard]] int64_t number(std::string_view key) const;

  // The stored bytes [offset, offset + size) of a tensor.
  Status read(const model::GgufTensor& tensor, int64_t offset, void* out, size_t size) const;
  // Rows [first, first + count) as floats, whatever their type; out holds count · extent[0] values.
  Status read_rows(const model::GgufTensor& tensor, int64_t first, int64_t count, float* out) const;

 private:
  GgufInput() = default;
  std::string path_, architecture_;
  model::GgufFile file_;
  std::unique_ptr<model::FileSource> source_;
};

// One tensor of the file to write.
struct OutputTensor {
  std::string name;
  uint32_t type = 0;  // ggml_type
  std::vector<int64_t> extent;
  // Fills rows [first, first + count), as stored. Called in ascending order, a few MiB at a time.
  std::function<Status(int64_t first, int64_t count, char* out)> rows;
};
// `tensor` of `from` as it is, under another name perhaps. `from` must live until the file is written.
OutputTensor copy_of(const GgufInput& from, const model::GgufTensor& tensor, std::string name = {});

// The metadata of a file, to be edited with gguf_set_… and handed to write_gguf().
struct MetadataDelete {
  void operator()(gguf_context* metadata) const;
};
using Metadata = std::unique_ptr<gguf_context, MetadataDelete>;
Result<Metadata> metadata_of(const GgufInput& from);  // every key, no tensors
Metadata empty_metadata();

// Fails with conflict (it exists, without `overwrite`), io, cancelled. `stage` names the work to `progress`.
Status write_gguf(const std::string& path, gguf_context* metadata, const std::vector<OutputTensor>& tensors,
                  bool overwrite, const std::string& stage, const ProgressFn& progress);

}  // namespace skep::model_tools
