#include "model_tools/importance.h"

#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <cstring>

#include "model_tools/llama_session.h"

namespace skep::model_tools {
namespace {

struct Collector {
  struct Sums {
    std::vector<double> squares;
    int64_t rows = 0;
  };
  std::map<std::string, Sums> sums;
  std::vector<float> copied;

  // The name of the weights, without what a backend puts around it ("CPU#blk.0.attn_q.weight#0").
  static std::string name_of(const ggml_tensor* weights) {
    const std::string name = weights->name;
    const size_t first = name.find('#');
    if (first == name.npos) return name;
    return name.substr(first + 1, name.find('#', first + 1) - first - 1);
  }

  static bool wants(const ggml_tensor* t) {
    return t->op == GGML_OP_MUL_MAT && t->src[1]->type == GGML_TYPE_F32 && t->src[1]->ne[2] == 1 &&
           name_of(t->src[0]).ends_with(".weight");
  }

  void add(const ggml_tensor* t) {
    const ggml_tensor* input = t->src[1];
    Sums& s = sums[name_of(t->src[0])];
    const int64_t columns = input->ne[0], rows = input->ne[1];
    s.squares.resize(static_cast<size_t>(columns));
    copied.resize(static_cast<size_t>(columns));
    for (int64_t r = 0; r < rows; ++r) {
      ggml_backend_tensor_get(input, copied.data(), static_cast<size_t>(r) * input->nb[1],
                              static_cast<size_t>(columns) * sizeof(float));
      for (size_t c = 0; c < copied.size(); ++c) s.squares[c] += static_cast<double>(copied[c]) * copied[c];
    }
    s.rows += rows;
  }
};

}  // namespace

Result<Importance> measure_importance(const std::string& model, std::string_view text, const ImportanceOptions& options,
                                      const ProgressFn& progress) {
  Collector collector;
  SessionOptions session_options;
  session_options.context_tokens = options.context_tokens;
  session_options.threads = options.threads;
  session_options.observe = [&](ggml_tensor* t, bool ask) {
    if (!Collector::wants(t)) return false;
    if (!ask) collector.add(t);
    return true;
  };
  SKEP_TRY(const auto session, LlamaSession::open(model, session_options));
  SKEP_CHECK(observe_text(*session, text, options.most_windows, "measuring importance", progress));
  Importance importance;
  for (const auto& [name, s] : collector.sums) {
    std::vector<float>& mean = importance[name];
    for (const double square : s.squares) mean.push_back(static_cast<float>(square / static_cast<double>(s.rows)));
  }
  return importance;
}

}  // namespace skep::model_tools
