// Any bytes as a GGUF file: read, described, fingerprinted and shown without a crash, in bounded memory, and whatever
// is accepted keeps what its header promises. The mutator starts from sound files, made here, so that the fuzzer gets
// behind the magic number.

#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "model/describe.h"
#include "model/fingerprint.h"
#include "model/gguf_builder.h"
#include "model/inspect.h"

using namespace skep::model;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

namespace {

std::string sound_file(unsigned seed) {
  GgufBuilder b;
  b.version = seed % 2 == 0 ? 3 : 2;
  b.model(seed % 3 == 0 ? "bert" : "llama").real("llama.rope.freq_base", 1e4F).boolean("llama.attention.causal", true);
  if (seed % 5 == 0) b.text("tokenizer.chat_template", "{% for m in messages %}{{ tools }}{% endfor %}");
  if (seed % 7 == 0) {
    b.entry("nested", GgufType::array,
            GgufBuilder::raw(GgufType::array) + GgufBuilder::raw(uint64_t{1}) + GgufBuilder::raw(GgufType::int16) +
                GgufBuilder::raw(uint64_t{2}) + GgufBuilder::raw(uint32_t{7}));
  }
  if (seed % 11 == 0) b.number("general.alignment", 32);
  return b.tensor("blk.0.attn_q.weight", {256, 2}, seed % 43).tensor("last.weight", {8}).bytes();
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  if (size < 24 || seed % 64 == 0) {
    const std::string fresh = sound_file(seed / 64);
    if (fresh.size() <= most) {
      std::memcpy(data, fresh.data(), fresh.size());
      size = fresh.size();
    }
  }
  return LLVMFuzzerMutate(data, size, most);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  MemorySource source(std::as_bytes(std::span(data, size)));
  const auto file = parse_gguf(source, "fuzz.gguf", {});
  if (!file) {
    if (file.error().message.empty()) std::abort();
    return 0;
  }
  for (const GgufTensor& tensor : file->tensors) {
    const int64_t end = file->data_offset + tensor.offset + tensor.bytes;
    if (tensor.bytes < 0 || tensor.offset < 0 || end > static_cast<int64_t>(size)) std::abort();
  }
  (void)describe(*file);
  (void)inspect_text(*file, "fuzz.gguf", {.tensors = true});
  (void)inspect_json(*file, "fuzz.gguf");
  if (!fingerprint(source, *file)) std::abort();
  return 0;
}
