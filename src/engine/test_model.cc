#include "engine/test_model.h"

#include <fmt/format.h>
#include <ggml.h>
#include <gguf.h>
#include <unistd.h>

#include <cassert>
#include <cmath>
#include <filesystem>
#include <memory>
#include <random>
#include <set>
#include <vector>

namespace skep::engine {
namespace {

constexpr const char* kChatml =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

struct Words {
  std::vector<std::string> text;
  std::vector<float> score;
  std::vector<int32_t> type;  // 1 normal, 2 unknown, 3 control, 6 byte
  void add(std::string t, float s, int32_t kind) {
    text.push_back(std::move(t));
    score.push_back(s);
    type.push_back(kind);
  }
};

Words make_words(int count, std::mt19937& random) {
  Words words;
  words.add("<unk>", 0, 2);
  words.add("<s>", 0, 3);
  words.add("</s>", 0, 3);
  words.add("<|im_start|>", 0, 3);
  words.add("<|im_end|>", 0, 3);
  for (int b = 0; b < 256; ++b) words.add(fmt::format("<0x{:02X}>", b), 0, 6);
  for (char c = 'a'; c <= 'z'; ++c) {
    words.add(std::string(1, c), -50, 1);
    words.add("\xE2\x96\x81" + std::string(1, c), -20, 1);
  }
  words.add("\xE2\x96\x81", -60, 1);
  std::set<std::string> seen(words.text.begin(), words.text.end());
  for (int i = 0; i < count;) {
    std::string word = random() % 2 != 0 ? "\xE2\x96\x81" : "";
    for (unsigned n = 2 + random() % 6; n > 0; --n) word += static_cast<char>('a' + random() % 26);
    if (seen.insert(word).second) words.add(std::move(word), -1.0F - static_cast<float>(i++ % 17), 1);
  }
  return words;
}

class File {
 public:
  explicit File(size_t bytes) {
    context_ = ggml_init({bytes + (1U << 20U), nullptr, false});
    assert(context_ != nullptr);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    ggml_free(context_);
    gguf_free(gguf);
  }
  void tensor(const std::string& name, int64_t columns, int64_t rows, float deviation, float mean,
              std::mt19937& random) {
    ggml_tensor* t = rows > 0 ? ggml_new_tensor_2d(context_, GGML_TYPE_F32, columns, rows)
                              : ggml_new_tensor_1d(context_, GGML_TYPE_F32, columns);
    ggml_set_name(t, name.c_str());
    std::normal_distribution<float> normal(mean, deviation);
    auto* data = static_cast<float*>(t->data);
    for (int64_t i = 0; i < ggml_nelements(t); ++i) data[i] = normal(random);
    gguf_add_tensor(gguf, t);
  }
  gguf_context* gguf = gguf_init_empty();

 private:
  ggml_context* context_ = nullptr;
};

// Removes what this process wrote when it ends.
struct Written {
  std::set<std::string> paths;
  ~Written() {
    std::error_code ignored;
    for (const std::string& path : paths) std::filesystem::remove(path, ignored);
  }
};

}  // namespace

std::string write_test_model(const TestModel& m) {
  const auto path =
      std::filesystem::temp_directory_path() / fmt::format("skep-test-{}-{}-{}-{}-{}-{}-{}-{}.gguf", getpid(), m.words,
                                                           m.embedding, m.layers, m.context, m.spread, m.seed,
                                                           m.template_text   ? "other"
                                                           : m.chat_template ? "ml"
                                                                             : "no");
  static Written written_files;
  if (!written_files.paths.insert(path).second) return path;
  std::mt19937 random(m.seed);
  const Words words = make_words(m.words, random);
  const auto vocabulary = static_cast<int64_t>(words.text.size());
  const int64_t head = m.embedding / m.heads;
  const int64_t kv = head * m.kv_heads;
  const int64_t per_layer = 2 * m.embedding * m.embedding + 2 * m.embedding * kv + 3 * m.embedding * m.feed_forward;
  File file(static_cast<size_t>((per_layer + 4096) * m.layers + 2 * vocabulary * m.embedding) * sizeof(float));

  gguf_context* g = file.gguf;
  gguf_set_val_str(g, "general.architecture", "llama");
  gguf_set_val_str(g, "general.name", "test");
  const auto set = [&](const char* key, int value) { gguf_set_val_u32(g, key, static_cast<uint32_t>(value)); };
  set("llama.context_length", m.context);
  set("llama.embedding_length", m.embedding);
  set("llama.block_count", m.layers);
  set("llama.feed_forward_length", m.feed_forward);
  set("llama.attention.head_count", m.heads);
  set("llama.attention.head_count_kv", m.kv_heads);
  set("llama.rope.dimension_count", static_cast<int>(head));
  gguf_set_val_f32(g, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
  gguf_set_val_str(g, "tokenizer.ggml.model", "llama");
  std::vector<const char*> texts;
  for (const std::string& t : words.text) texts.push_back(t.c_str());
  gguf_set_arr_str(g, "tokenizer.ggml.tokens", texts.data(), texts.size());
  gguf_set_arr_data(g, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, words.score.data(), words.score.size());
  gguf_set_arr_data(g, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, words.type.data(), words.type.size());
  set("tokenizer.ggml.bos_token_id", 1);
  set("tokenizer.ggml.eos_token_id", 2);
  set("tokenizer.ggml.eot_token_id", 4);
  gguf_set_val_bool(g, "tokenizer.ggml.add_bos_token", true);
  if (m.chat_template) {
    gguf_set_val_str(g, "tokenizer.chat_template", m.template_text ? m.template_text : kChatml);
  }

  const float deviation = m.spread / std::sqrt(static_cast<float>(m.embedding));
  const auto matrix = [&](const std::string& name, int64_t columns, int64_t rows) {
    file.tensor(name, columns, rows, deviation, 0, random);
  };
  const auto norm = [&](const std::string& name) { file.tensor(name, m.embedding, 0, 0.1F, 1, random); };
  file.tensor("token_embd.weight", m.embedding, vocabulary, 1, 0, random);
  norm("output_norm.weight");
  file.tensor("output.weight", m.embedding, vocabulary, 3 * deviation, 0, random);
  for (int i = 0; i < m.layers; ++i) {
    const std::string block = fmt::format("blk.{}.", i);
    norm(block + "attn_norm.weight");
    matrix(block + "attn_q.weight", m.embedding, m.embedding);
    matrix(block + "attn_k.weight", m.embedding, kv);
    matrix(block + "attn_v.weight", m.embedding, kv);
    matrix(block + "attn_output.weight", m.embedding, m.embedding);
    norm(block + "ffn_norm.weight");
    matrix(block + "ffn_gate.weight", m.embedding, m.feed_forward);
    matrix(block + "ffn_up.weight", m.embedding, m.feed_forward);
    matrix(block + "ffn_down.weight", m.feed_forward, m.embedding);
  }
  const bool written = gguf_write_to_file(g, path.c_str(), false);
  assert(written);
  (void)written;
  return path;
}

}  // namespace skep::engine
