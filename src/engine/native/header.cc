#include "engine/native/header.h"

#include <ggml.h>
#include <gguf.h>

#include <filesystem>
#include <memory>

namespace skep::engine::native {
namespace {

struct Free {
  void operator()(gguf_context* g) const { gguf_free(g); }
  void operator()(ggml_context* c) const { ggml_free(c); }
};

double number_at(const gguf_context* g, int64_t key) {
  switch (gguf_get_kv_type(g, key)) {
    case GGUF_TYPE_UINT8:
      return gguf_get_val_u8(g, key);
    case GGUF_TYPE_INT8:
      return gguf_get_val_i8(g, key);
    case GGUF_TYPE_UINT16:
      return gguf_get_val_u16(g, key);
    case GGUF_TYPE_INT16:
      return gguf_get_val_i16(g, key);
    case GGUF_TYPE_UINT32:
      return gguf_get_val_u32(g, key);
    case GGUF_TYPE_INT32:
      return gguf_get_val_i32(g, key);
    case GGUF_TYPE_UINT64:
      return static_cast<double>(gguf_get_val_u64(g, key));
    case GGUF_TYPE_INT64:
      return static_cast<double>(gguf_get_val_i64(g, key));
    case GGUF_TYPE_FLOAT32:
      return static_cast<double>(gguf_get_val_f32(g, key));
    case GGUF_TYPE_FLOAT64:
      return gguf_get_val_f64(g, key);
    case GGUF_TYPE_BOOL:
      return gguf_get_val_bool(g, key) ? 1 : 0;
    default:
      return 0;
  }
}

void read_metadata(const gguf_context* g, ModelHeader& header) {
  for (int64_t key = 0; key < gguf_get_n_kv(g); ++key) {
    const char* name = gguf_get_key(g, key);
    const gguf_type type = gguf_get_kv_type(g, key);
    if (type == GGUF_TYPE_STRING) {
      header.texts[name] = gguf_get_val_str(g, key);
    } else if (type == GGUF_TYPE_ARRAY) {
      header.arrays[name] = static_cast<int64_t>(gguf_get_arr_n(g, key));
    } else {
      header.numbers[name] = number_at(g, key);
    }
  }
}

}  // namespace

const TensorInfo* ModelHeader::tensor(std::string_view name) const {
  for (const TensorInfo& t : tensors) {
    if (t.name == name) return &t;
  }
  return nullptr;
}

Result<ModelHeader> read_header(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return fail(ErrorCode::io, fmt::format("{}: {}", path, error.message()));
  ggml_context* shapes = nullptr;
  const std::unique_ptr<gguf_context, Free> file(gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = &shapes}));
  const std::unique_ptr<ggml_context, Free> owner(shapes);
  if (!file) return fail(ErrorCode::corrupt, fmt::format("{}: not a GGUF file that can be read", path));
  ModelHeader header;
  header.file_size = static_cast<int64_t>(size);
  read_metadata(file.get(), header);
  const auto data = static_cast<int64_t>(gguf_get_data_offset(file.get()));
  for (int64_t i = 0; i < gguf_get_n_tensors(file.get()); ++i) {
    TensorInfo t;
    t.name = gguf_get_tensor_name(file.get(), i);
    t.type = static_cast<uint32_t>(gguf_get_tensor_type(file.get(), i));
    const ggml_tensor* shape = ggml_get_tensor(shapes, t.name.c_str());
    if (shape == nullptr) return fail(ErrorCode::corrupt, fmt::format("{}: tensor {} has no shape", path, t.name));
    std::copy(shape->ne, shape->ne + 4, t.extent.begin());
    t.offset = data + static_cast<int64_t>(gguf_get_tensor_offset(file.get(), i));
    t.bytes = static_cast<int64_t>(gguf_get_tensor_size(file.get(), i));
    if (t.offset < data || t.bytes < 0 || t.offset > header.file_size || t.bytes > header.file_size - t.offset) {
      return fail(ErrorCode::corrupt, fmt::format("{}: tensor {} is not inside the file", path, t.name));
    }
    header.tensors.push_back(std::move(t));
  }
  return header;
}

}  // namespace skep::engine::native
