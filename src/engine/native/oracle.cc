#include "engine/native/oracle.h"

#include <ggml-backend.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

namespace skep::engine::native {

Oracle::Oracle(const std::string& path, int context) {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    if (std::strlen(SKEP_GGML_BACKENDS) > 0) {
      ggml_backend_load_all_from_path(SKEP_GGML_BACKENDS);
    } else {
      ggml_backend_load_all();
    }
    llama_backend_init();
  });
  auto model_params = llama_model_default_params();
  model_params.n_gpu_layers = 0;
  model_.reset(llama_model_load_from_file(path.c_str(), model_params));
  if (!model_) return;
  auto params = llama_context_default_params();
  params.n_ctx = params.n_batch = params.n_ubatch = static_cast<uint32_t>(context);
  params.n_threads = params.n_threads_batch = 1;
  context_.reset(llama_init_from_model(model_.get(), params));
}

std::vector<Token> Oracle::tokenize(const std::string& text) {
  std::vector<Token> tokens(text.size() + 8);
  const int count = llama_tokenize(llama_model_get_vocab(model_.get()), text.data(), static_cast<int32_t>(text.size()),
                                   tokens.data(), static_cast<int32_t>(tokens.size()), true, false);
  tokens.resize(static_cast<size_t>(std::max(count, 0)));
  return tokens;
}

std::vector<std::vector<float>> Oracle::logits(std::span<const Token> tokens) {
  llama_memory_clear(llama_get_memory(context_.get()), true);
  llama_batch batch = llama_batch_init(static_cast<int32_t>(tokens.size()), 0, 1);
  for (size_t i = 0; i < tokens.size(); ++i) {
    batch.token[i] = tokens[i];
    batch.pos[i] = static_cast<llama_pos>(i);
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  batch.n_tokens = static_cast<int32_t>(tokens.size());
  std::vector<std::vector<float>> rows;
  if (llama_decode(context_.get(), batch) == 0) {
    const auto width = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model_.get())));
    for (size_t i = 0; i < tokens.size(); ++i) {
      const float* row = llama_get_logits_ith(context_.get(), static_cast<int32_t>(i));
      rows.emplace_back(row, row + width);
    }
  }
  llama_batch_free(batch);
  return rows;
}

double relative_error(std::span<const float> a, std::span<const float> b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    size += static_cast<double>(b[i]) * b[i];
  }
  return std::sqrt(difference / size);
}

}  // namespace skep::engine::native
