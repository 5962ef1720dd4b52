#include "model_tools/gguf_writer.h"

#include <ggml.h>
#include <gguf.h>

#include <algorithm>
#include <cassert>
#include <cstring>

#include "base/temporary_file.h"

namespace skep::model_tools {
namespace {

constexpr int64_t kChunk = 4 << 20;  // bytes of a tensor that are in memory at once

struct GgmlDelete {
  void operator()(ggml_context* context) const { ggml_free(context); }
};
using GgmlPtr = std::unique_ptr<ggml_context, GgmlDelete>;

int64_t row_bytes(uint32_t type, int64_t columns) {
  return static_cast<int64_t>(ggml_row_size(static_cast<ggml_type>(type), columns));
}

int64_t rows_of(const std::vector<int64_t>& extent) {
  int64_t rows = 1;
  for (size_t i = 1; i < extent.size(); ++i) rows *= extent[i];
  return rows;
}

// The list of tensors in the header needs ggml's own structs.
GgmlPtr declare(gguf_context* metadata, const std::vector<OutputTensor>& tensors) {
  GgmlPtr context(
      ggml_init({.mem_size = ggml_tensor_overhead() * (tensors.size() + 1), .mem_buffer = nullptr, .no_alloc = true}));
  for (const OutputTensor& t : tensors) {
    ggml_tensor* declared = ggml_new_tensor(context.get(), static_cast<ggml_type>(t.type),
                                            static_cast<int>(t.extent.size()), t.extent.data());
    ggml_set_name(declared, t.name.c_str());
    gguf_add_tensor(metadata, declared);
  }
  return context;
}

}  // namespace

Result<std::unique_ptr<GgufInput>> GgufInput::open(const std::string& path) {
  std::unique_ptr<GgufInput> input(new GgufInput);
  input->path_ = path;
  SKEP_TRY(input->file_, model::read_gguf(path));
  SKEP_TRY(input->source_, model::FileSource::open(path));
  if (input->file_.integer("split.count").value_or(1) > 1) {
    return fail(ErrorCode::unsupported, path + ": a part of a split model", "join the parts with llama-gguf-split");
  }
  const std::string* architecture = input->file_.text("general.architecture");
  if (architecture == nullptr) return fail(ErrorCode::corrupt, path + ": it names no general.architecture");
  input->architecture_ = *architecture;
  for (const model::GgufTensor& t : input->file_.tensors) {
    if (model::tensor_type(t.type) == nullptr || t.type >= GGML_TYPE_COUNT) {
      return fail(ErrorCode::unsupported,
                  fmt::format("{}: {} has a type that we don't know: {}", path, t.name, t.type));
    }
  }
  return input;
}

const model::GgufTensor* GgufInput::find(std::string_view tensor) const {
  const auto at = std::find_if(file_.tensors.begin(), file_.tensors.end(),
                               [&](const model::GgufTensor& t) { return t.name == tensor; });
  return at == file_.tensors.end() ? nullptr : &*at;
}

int64_t GgufInput::number(std::string_view key) const {
  return file_.integer(fmt::format("{}.{}", architecture_, key)).value_or(0);
}

Status GgufInput::read(const model::GgufTensor& tensor, int64_t offset, void* out, size_t size) const {
  assert(offset >= 0 && offset + static_cast<int64_t>(size) <= tensor.bytes);
  return source_->read(file_.data_offset + tensor.offset + offset, {static_cast<std::byte*>(out), size});
}

Status GgufInput::read_rows(const model::GgufTensor& tensor, int64_t first, int64_t count, float* out) const {
  const int64_t columns = tensor.extent[0];
  const int64_t stride = row_bytes(tensor.type, columns);
  if (tensor.type == GGML_TYPE_F32) return read(tensor, first * stride, out, static_cast<size_t>(count * stride));
  const auto to_float = ggml_get_type_traits(static_cast<ggml_type>(tensor.type))->to_float;
  if (to_float == nullptr) {
    return fail(ErrorCode::unsupported, fmt::format("{}: {} can't be read as numbers", path_, tensor.name));
  }
  std::vector<char> stored(static_cast<size_t>(count * stride));
  SKEP_CHECK(read(tensor, first * stride, stored.data(), stored.size()));
  to_float(stored.data(), out, count * columns);
  return {};
}

OutputTensor copy_of(const GgufInput& from, const model::GgufTensor& tensor, std::string name) {
  OutputTensor out;
  out.name = name.empty() ? tensor.name : std::move(name);
  out.type = tensor.type;
  out.extent.assign(tensor.extent.begin(), tensor.extent.begin() + tensor.dimensions);
  out.rows = [&from, &tensor](int64_t first, int64_t count, char* bytes) {
    const int64_t stride = row_bytes(tensor.type, tensor.extent[0]);
    return from.read(tensor, first * stride, bytes, static_cast<size_t>(count * stride));
  };
  return out;
}

void MetadataDelete::operator()(gguf_context* metadata) const { gguf_free(metadata); }

Metadata empty_metadata() { return Metadata(gguf_init_empty()); }

Result<Metadata> metadata_of(const GgufInput& from) {
  const Metadata all(gguf_init_from_file(from.path().c_str(), {.no_alloc = true, .ctx = nullptr}));
  if (!all) return fail(ErrorCode::corrupt, from.path() + ": libggml can't read its header");
  Metadata copy(gguf_init_empty());
  gguf_set_kv(copy.get(), all.get());
  return copy;
}

Status write_gguf(const std::string& path, gguf_context* metadata, const std::vector<OutputTensor>& tensors,
                  bool overwrite, const std::string& stage, const ProgressFn& progress) {
  const GgmlPtr declared = declare(metadata, tensors);
  std::vector<char> header(gguf_get_meta_size(metadata));
  gguf_get_meta_data(metadata, header.data());
  const auto alignment = static_cast<int64_t>(gguf_get_alignment(metadata));
  int64_t total = 0;
  for (const OutputTensor& t : tensors) {
    const int64_t bytes = row_bytes(t.type, t.extent[0]) * rows_of(t.extent);
    total += (bytes + alignment - 1) / alignment * alignment;
  }
  SKEP_TRY(const std::unique_ptr<TemporaryFile> file, TemporaryFile::create(path));
  const auto start = static_cast<int64_t>(header.size());
  SKEP_CHECK(file->reserve(start + total));
  SKEP_CHECK(file->write(header.data(), header.size(), 0));
  if (total > 0) SKEP_CHECK(file->write("", 1, start + total - 1));  // the last one is padded, too

  std::vector<char> chunk;
  int64_t written = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const OutputTensor& t = tensors[i];
    const int64_t stride = row_bytes(t.type, t.extent[0]);
    const int64_t rows = rows_of(t.extent);
    const auto offset = start + static_cast<int64_t>(gguf_get_tensor_offset(metadata, static_cast<int64_t>(i)));
    const int64_t at_once = std::clamp<int64_t>(kChunk / std::max<int64_t>(1, stride), 1, std::max<int64_t>(1, rows));
    for (int64_t row = 0; row < rows; row += at_once) {
      const int64_t count = std::min(at_once, rows - row);
      chunk.resize(static_cast<size_t>(count * stride));
      SKEP_CHECK(t.rows(row, count, chunk.data()));
      SKEP_CHECK(file->write(chunk.data(), chunk.size(), offset + row * stride));
      written += count * stride;
      const double fraction = static_cast<double>(written) / static_cast<double>(std::max<int64_t>(1, total));
      if (!proceed(progress, {stage, fraction, t.name})) return fail(ErrorCode::cancelled, path + ": stopped");
    }
  }
  return file->publish(overwrite);
}

}  // namespace skep::model_tools
