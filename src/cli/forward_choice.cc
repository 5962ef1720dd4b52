#include "cli/forward_choice.h"

#include "engine/llama_library.h"
#include "engine/native/native_forward.h"

namespace skep::cli {
namespace {

engine::native::ModelHeader header_of(const model::GgufFile& file) {
  engine::native::ModelHeader header;
  header.file_size = file.file_size;
  for (const model::GgufValue& v : file.metadata) {
    if (const std::string* text = file.text(v.key)) {
      header.texts[v.key] = *text;
    } else if (const model::GgufArray* array = file.array(v.key)) {
      header.arrays[v.key] = static_cast<int64_t>(array->count);
    } else if (const auto flag = file.boolean(v.key)) {
      header.numbers[v.key] = *flag ? 1 : 0;
    } else if (const auto number = file.number(v.key)) {
      header.numbers[v.key] = *number;
    }
  }
  for (const model::GgufTensor& t : file.tensors) {
    header.tensors.push_back({t.name, t.type, t.extent, file.data_offset + t.offset, t.bytes});
  }
  return header;
}

}  // namespace

std::string forward_choice(const model::GgufFile& file, engine::LoadOptions options) {
  if (options.forward == "llama") return "libllama";
  if (engine::start_llama() && !engine::has_gpu()) options.gpu_layers = 0;
  if (options.adapter_memory > Bytes(0)) return "libllama: LoRA adapters";
  const Status supported = engine::native::supports(header_of(file), options);
  return supported ? "native" : "libllama: " + supported.error().message;
}

}  // namespace skep::cli
