#pragma once
// Writes GGUF headers into memory, right or wrong ones, for tests and the fuzzer.

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"

namespace skep::model {

class GgufBuilder {
 public:
  uint32_t version = 3;
  uint32_t alignment = 32;
  std::string magic = "GGUF";

  GgufBuilder& text(std::string_view key, std::string_view value) { return entry(key, GgufType::string, sized(value)); }
  GgufBuilder& number(std::string_view key, uint32_t value) { return entry(key, GgufType::uint32, raw(value)); }
  GgufBuilder& real(std::string_view key, float value) { return entry(key, GgufType::float32, raw(value)); }
  GgufBuilder& boolean(std::string_view key, bool value) { return entry(key, GgufType::boolean, raw(value)); }
  GgufBuilder& texts(std::string_view key, const std::vector<std::string>& values) {
    std::string body = raw(GgufType::string) + raw(uint64_t{values.size()});
    for (const auto& value : values) body += sized(value);
    return entry(key, GgufType::array, body);
  }
  // A value as it stands in the file, for wrong ones.
  GgufBuilder& entry(std::string_view key, GgufType type, const std::string& body) {
    metadata_ += sized(key) + raw(type) + body;
    ++values_;
    return *this;
  }

  // Tensors of zeros, one behind the other.
  GgufBuilder& tensor(std::string_view name, std::vector<uint64_t> extent, uint32_t type = 0) {
    uint64_t elements = 1;
    for (uint64_t e : extent) elements *= e;
    const TensorType* known = tensor_type(type);
    const uint64_t bytes = known == nullptr
                               ? elements
                               : elements / static_cast<uint64_t>(known->block) * static_cast<uint64_t>(known->bytes);
    tensor_at(name, extent, type, data_);
    data_ = (data_ + bytes + alignment - 1) / alignment * alignment;
    return *this;
  }
  GgufBuilder& tensor_at(std::string_view name, const std::vector<uint64_t>& extent, uint32_t type, uint64_t offset) {
    tensors_ += sized(name) + raw(static_cast<uint32_t>(extent.size()));
    for (uint64_t e : extent) tensors_ += raw(e);
    tensors_ += raw(type) + raw(offset);
    ++count_;
    return *this;
  }

  // What a small model needs to be taken for one.
  GgufBuilder& model(std::string_view architecture = "llama") {
    const std::string prefix(architecture);
    text("general.architecture", architecture).number("general.file_type", 2);
    number(prefix + ".context_length", 2048)
        .number(prefix + ".embedding_length", 64)
        .number(prefix + ".block_count", 2);
    texts("tokenizer.ggml.tokens", {"a", "b", "c"});
    return tensor("token_embd.weight", {64, 3}, 2).tensor("output_norm.weight", {64});
  }

  [[nodiscard]] std::string header() const {
    return magic + raw(version) + raw(count_) + raw(values_) + metadata_ + tensors_;
  }
  [[nodiscard]] std::string bytes() const {
    std::string file = header();
    file.resize((file.size() + alignment - 1) / alignment * alignment + data_);
    return file;
  }

  template <typename T>
  static std::string raw(T value) {
    std::string out(sizeof(T), '\0');
    std::memcpy(out.data(), &value, sizeof(T));
    return out;
  }
  static std::string sized(std::string_view text) { return raw(uint64_t{text.size()}) + std::string(text); }

 private:
  std::string metadata_, tensors_;
  uint64_t values_ = 0, count_ = 0, data_ = 0;
};

}  // namespace skep::model
