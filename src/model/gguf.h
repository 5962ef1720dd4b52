#pragma once
// Reads what a GGUF file (versions 2 and 3) says about itself: its metadata and the list of its tensors, never the
// tensors. Made for files from anywhere: every count, length, offset and nesting is checked against the file's size and
// GgufLimits before anything is allocated, and the first contradiction ends the reading with its byte position. What is
// accepted here is what libggml accepts, as far as the header tells.
//
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
// Large arrays (vocabularies) are stepped over: only their first elements are kept.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "model/byte_source.h"

namespace skep::model {

enum class GgufType : uint32_t {
  uint8 = 0,
  int8 = 1,
  uint16 = 2,
  int16 = 3,
  uint32 = 4,
  int32 = 5,
  float32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  uint64 = 10,
  int64 = 11,
  float64 = 12,
};
const char* to_string(GgufType type);

struct GgufLimits {
  uint64_t values = 65'536;  // metadata pairs
  uint64_t tensors = 1 << 18;
  uint64_t key_bytes = 65'535;      // as the format says
  uint64_t tensor_name_bytes = 63;  // as libggml says
  Bytes string = 4_MiB;             // one kept string: chat templates are some 10 KiB
  Bytes kept = 32_MiB;              // all kept strings
  Bytes header = 512_MiB;           // metadata and tensor list together
  int nesting = 4;                  // arrays of arrays
  size_t kept_numbers = 1024;       // of an array: per-layer values fit
  size_t kept_strings = 8;
};

using GgufScalar = std::variant<uint64_t, int64_t, double, bool, std::string>;

struct GgufArray {
  GgufType element = GgufType::uint8;
  uint64_t count = 0;
  int64_t offset = 0;             // of the first element in the file
  int64_t bytes = 0;              // of all elements
  std::vector<GgufScalar> first;  // the first elements, none for nested arrays
};

struct GgufValue {
  std::string key;
  GgufType type = GgufType::uint8;
  std::variant<GgufScalar, GgufArray> value;
};

struct GgufTensor {
  std::string name;
  uint32_t type = 0;                          // ggml_type
  int dimensions = 1;                         // 1 to 4
  std::array<int64_t, 4> extent{1, 1, 1, 1};  // innermost first
  int64_t offset = 0;                         // from GgufFile::data_offset
  int64_t bytes = 0;                          // stored; of an unknown type: up to what follows

  [[nodiscard]] int64_t elements() const { return extent[0] * extent[1] * extent[2] * extent[3]; }
};

// How ggml stores `block` values in `bytes` bytes. Null for a type that this program does not know (yet).
struct TensorType {
  const char* name;
  int block;
  int bytes;
};
const TensorType* tensor_type(uint32_t type);
std::string tensor_type_name(uint32_t type);  // "Q4_K", "type 77"

struct GgufFile {
  uint32_t version = 3;
  int64_t file_size = 0;
  int64_t data_offset = 0;  // where the tensors begin
  uint32_t alignment = 32;
  std::vector<GgufValue> metadata;  // in file order, keys unique
  std::vector<GgufTensor> tensors;  // in file order, names unique, ranges disjoint and inside the file

  // Null if absent, or of another type.
  [[nodiscard]] const GgufValue* find(std::string_view key) const;
  [[nodiscard]] const std::string* text(std::string_view key) const;
  [[nodiscard]] std::optional<int64_t> integer(std::string_view key) const;  // any integer type that fits
  [[nodiscard]] std::optional<double> number(std::string_view key) const;
  [[nodiscard]] std::optional<bool> boolean(std::string_view key) const;
  [[nodiscard]] const GgufArray* array(std::string_view key) const;
};

// `what` names the file in errors. corrupt: no GGUF file, or one that contradicts itself; the message holds the byte
// position. Blocking; reads about as much as the header is long.
Result<GgufFile> parse_gguf(ByteSource& source, std::string_view what, const GgufLimits& limits = {});
Result<GgufFile> read_gguf(const std::string& path, const GgufLimits& limits = {});

}  // namespace skep::model
