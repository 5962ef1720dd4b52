#pragma once
// From GGUF's tensor types to our tiles (format.h), and back to floats. No bit of a weight is lost: codes and scales
// are moved, never requantized.
//
// The source layouts are those of the GGUF format: rows one after the other, a row as blocks of 32 or 256 columns.

#include <cstdint>
#include <optional>
#include <span>

#include "kernel/lm/format.h"

namespace skep::kernel::lm {

// The number that a GGUF file has for the type; nothing when we have no kernel for it.
std::optional<Format> format_of_gguf(uint32_t tensor_type);
// Bytes of one row in the file. `columns` is a multiple of column_multiple(format).
int64_t gguf_row_bytes(Format format, int columns);

// Packs 16 rows (fewer in the last tile) that start at `rows` into `tile`, tile_bytes() long, 64-byte aligned.
void pack_tile(Format format, int columns, const uint8_t* rows, int row_count, uint8_t* tile);

// One row of a packed matrix as floats; out.size() == columns. For embedding rows: not fast.
void unpack_row(const Matrix& matrix, int row, std::span<float> out);
// The same from the file's layout.
void dequantize_row(Format format, const uint8_t* row, std::span<float> out);

// The weight at row r of a tile and column k, by the definition in format.h. What the tests compare with.
float weight_at(Format format, int columns, const uint8_t* tile, int r, int k);

}  // namespace skep::kernel::lm
