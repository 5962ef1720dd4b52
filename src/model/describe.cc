#include "model/describe.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <utility>

namespace skep::model {
namespace {

// llama_ftype, as libllama writes general.file_type.
constexpr std::array<std::pair<int, const char*>, 33> kFileTypes{{
    {0, "F32"},     {1, "F16"},     {2, "Q4_0"},     {3, "Q4_1"},    {7, "Q8_0"},    {8, "Q5_0"},    {9, "Q5_1"},
    {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},  {13, "Q3_K_L"}, {14, "Q4_K_S"}, {15, "Q4_K_M"}, {16, "Q5_K_S"},
    {17, "Q5_K_M"}, {18, "Q6_K"},   {19, "IQ2_XXS"}, {20, "IQ2_XS"}, {21, "Q2_K_S"}, {22, "IQ3_XS"}, {23, "IQ3_XXS"},
    {24, "IQ1_S"},  {25, "IQ4_NL"}, {26, "IQ3_S"},   {27, "IQ3_M"},  {28, "IQ2_S"},  {29, "IQ2_M"},  {30, "IQ4_XS"},
    {31, "IQ1_M"},  {32, "BF16"},   {36, "TQ1_0"},   {37, "TQ2_0"},  {38, "MXFP4"},
}};

// Architectures that only turn text into vectors.
constexpr std::array<std::string_view, 9> kEncoders{"bert",         "nomic-bert",   "nomic-bert-moe",
                                                    "jina-bert-v2", "jina-bert-v3", "modern-bert",
                                                    "neo-bert",     "t5encoder",    "gemma-embedding"};

int positive(const GgufFile& file, const std::string& key) {
  const auto value = file.integer(key);
  return value && *value > 0 && std::in_range<int>(*value) ? static_cast<int>(*value) : 0;
}

bool is_identifier(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

bool is_encoder(const GgufFile& file, const std::string& architecture) {
  if (std::find(kEncoders.begin(), kEncoders.end(), architecture) != kEncoders.end()) return true;
  // A decoder that was trained to embed pools its states; one that talks has no pooling.
  return file.boolean(architecture + ".attention.causal") == false ||
         file.integer(architecture + ".pooling_type").value_or(0) > 0;
}

std::string why_broken(const GgufFile& file, const ModelInfo& info) {
  const std::string* kind = file.text("general.type");
  if (kind != nullptr && *kind == "adapter") return "is a LoRA adapter, not a model";
  if (kind != nullptr && *kind == "mmproj") return "is a vision projector, not a model";
  if (kind != nullptr && *kind == "imatrix") return "is an importance matrix, not a model";
  if (info.architecture.empty()) return "names no architecture (general.architecture)";
  if (info.architecture == "clip") return "is a vision projector, not a model";
  if (file.tensors.empty()) return "holds no tensors, only a vocabulary";
  for (const char* key : {"context_length", "embedding_length", "block_count"}) {
    if (positive(file, info.architecture + "." + key) == 0) return fmt::format("lacks {}.{}", info.architecture, key);
  }
  if (file.array("tokenizer.ggml.tokens") == nullptr) return "has no vocabulary (tokenizer.ggml.tokens)";
  return {};
}

std::vector<std::string> capabilities_of(const ModelInfo& info, const std::string* chat_template) {
  if (info.embeds) return {"embedding"};
  std::vector<std::string> all{"completion"};
  if (chat_template == nullptr) return all;
  const auto mentions = [&](std::string_view word) { return chat_template->find(word) != std::string::npos; };
  if (mentions("tools") || mentions("tool_call")) all.emplace_back("tools");
  if (mentions("<think>") || mentions("reasoning_content") || mentions("enable_thinking")) all.emplace_back("thinking");
  return all;
}

// The width of the model that an adapter is for: the inputs of a matrix that reads the residual stream.
int width_of_base(const GgufFile& file) {
  for (const GgufTensor& tensor : file.tensors) {
    for (const std::string_view reader : {"attn_q.weight.lora_a", "attn_k.weight.lora_a", "attn_v.weight.lora_a",
                                          "ffn_gate.weight.lora_a", "ffn_up.weight.lora_a"}) {
      if (tensor.name.ends_with(reader)) return static_cast<int>(std::min<int64_t>(tensor.extent[0], INT32_MAX));
    }
  }
  return 0;
}

}  // namespace

std::string quantization_of(const GgufFile& file) {
  if (const auto type = file.integer("general.file_type")) {
    // Bit 10 marks a guess.
    const auto* found = std::find_if(kFileTypes.begin(), kFileTypes.end(),
                                     [&](const auto& t) { return t.first == (*type & ~int64_t{1024}); });
    if (found != kFileTypes.end()) return found->second;
  }
  std::map<uint32_t, int64_t> bytes;
  for (const GgufTensor& tensor : file.tensors) bytes[tensor.type] += tensor.bytes;
  const auto most =
      std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? "" : tensor_type_name(most->first);
}

FileSummary describe(const GgufFile& file) {
  FileSummary summary;
  ModelInfo& info = summary.info;
  if (const std::string* name = file.text("general.architecture"); name != nullptr && is_identifier(*name))
    info.architecture = *name;
  info.quantization = quantization_of(file);
  for (const GgufTensor& tensor : file.tensors) info.parameters += tensor.elements();
  info.file_size = Bytes(file.file_size);
  info.context_length = positive(file, info.architecture + ".context_length");
  info.embedding_length = positive(file, info.architecture + ".embedding_length");
  info.layers = positive(file, info.architecture + ".block_count");
  const std::string* chat_template = file.text("tokenizer.chat_template");
  info.has_chat_template = chat_template != nullptr;
  if (chat_template != nullptr) info.chat_template = *chat_template;
  const std::string* kind = file.text("general.type");
  info.adapter = kind != nullptr && *kind == "adapter";
  if (info.adapter) info.embedding_length = width_of_base(file);
  info.embeds = is_encoder(file, info.architecture);
  info.capabilities = capabilities_of(info, chat_template);
  summary.split_count = std::max(1, positive(file, "split.count"));
  summary.split_index = positive(file, "split.no");
  // Later parts of a split model hold tensors and nothing else.
  if (summary.split_index == 0) info.broken = why_broken(file, info);
  return summary;
}

std::string presentable(std::string_view text, size_t most_bytes) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const auto c = static_cast<unsigned char>(text[at]);
    const size_t length = c < 0x80                ? 1
                          : c >= 0xc2 && c < 0xe0 ? 2
                          : c >= 0xe0 && c < 0xf0 ? 3
                          : c >= 0xf0 && c < 0xf5 ? 4
                                                  : 0;
    bool valid = length > 0 && at + length <= text.size();
    for (size_t i = 1; valid && i < length; ++i) valid = (static_cast<unsigned char>(text[at + i]) & 0xc0) == 0x80;
    if (valid && length == 3) {  // no overlong forms, no surrogates
      const auto second = static_cast<unsigned char>(text[at + 1]);
      valid = !(c == 0xe0 && second < 0xa0) && !(c == 0xed && second >= 0xa0);
    } else if (valid && length == 4) {
      const auto second = static_cast<unsigned char>(text[at + 1]);
      valid = !(c == 0xf0 && second < 0x90) && !(c == 0xf4 && second >= 0x90);
    }
    const size_t taken = valid ? length : 1;
    const std::string_view piece = !valid ? "\xef\xbf\xbd" : c < 0x20 || c == 0x7f ? " " : text.substr(at, taken);
    if (out.size() + piece.size() > most_bytes) break;
    out += piece;
    at += taken;
  }
  return out;
}

}  // namespace skep::model
