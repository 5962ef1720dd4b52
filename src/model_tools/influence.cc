#include "model_tools/influence.h"

#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "model_tools/llama_session.h"

namespace skep::model_tools {
namespace {

struct Hidden {
  std::vector<float> values;
  int64_t width = 0, rows = 0;

  void take(const ggml_tensor* t) {
    width = t->ne[0], rows = t->ne[1];
    values.resize(static_cast<size_t>(width * rows));
    for (int64_t r = 0; r < rows; ++r) {
      ggml_backend_tensor_get(t, values.data() + r * width, static_cast<size_t>(r) * t->nb[1],
                              static_cast<size_t>(width) * sizeof(float));
    }
  }
};

double cosine(const float* a, const float* b, int64_t width) {
  double ab = 0, aa = 0, bb = 0;
  for (int64_t i = 0; i < width; ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return ab / std::max(std::sqrt(aa * bb), 1e-30);
}

// libllama names the output of layer n "l_out-n"; the first input is the row of the embedding matrix.
class Observer {
 public:
  explicit Observer(size_t layers) : sums_(layers, 0), counts_(layers, 0) {}

  static int layer_of(const ggml_tensor* t) {
    const std::string_view name = t->name;
    int layer = -1;
    if (name.starts_with("l_out-")) std::from_chars(name.data() + 6, name.data() + name.size(), layer);
    return layer;
  }
  static bool is_embedding(const ggml_tensor* t) {
    return t->op == GGML_OP_GET_ROWS && std::string_view(t->src[0]->name).find("token_embd") != std::string_view::npos;
  }

  bool observe(const ggml_tensor* t, bool ask) {
    if (t->type != GGML_TYPE_F32) return false;
    const int layer = layer_of(t);
    const bool known = is_embedding(t) || (layer >= 0 && layer < static_cast<int>(sums_.size()));
    if (ask || !known) return known;
    Hidden now;
    now.take(t);
    if (layer >= 0) compare(static_cast<size_t>(layer), now);
    before_ = std::move(now);
    return true;
  }

  [[nodiscard]] Result<std::vector<double>> influence() const {
    std::vector<double> values;
    for (size_t i = 0; i < sums_.size(); ++i) {
      if (counts_[i] == 0) {
        return fail(ErrorCode::unsupported, fmt::format("the output of layer {} can't be seen in this model", i),
                    "name the layers with --layers");
      }
      values.push_back(1 - sums_[i] / static_cast<double>(counts_[i]));
    }
    return values;
  }

 private:
  void compare(size_t layer, const Hidden& now) {
    if (before_.width != now.width || before_.rows < now.rows) return;
    const int64_t every = before_.rows == now.rows ? 1 : kLogitsEvery;  // the last layer drops who needs no logits
    for (int64_t r = 0; r < now.rows && r * every < before_.rows; ++r) {
      sums_[layer] +=
          cosine(before_.values.data() + r * every * now.width, now.values.data() + r * now.width, now.width);
      ++counts_[layer];
    }
  }

  std::vector<double> sums_;
  std::vector<int64_t> counts_;
  Hidden before_;
};

}  // namespace

Result<std::vector<double>> measure_influence(const std::string& model, std::string_view text,
                                              const InfluenceOptions& options, const ProgressFn& progress) {
  std::unique_ptr<Observer> observer;
  SessionOptions session_options;
  session_options.context_tokens = session_options.batch_tokens = options.context_tokens;
  session_options.threads = options.threads;
  session_options.observe = [&](ggml_tensor* t, bool ask) { return observer != nullptr && observer->observe(t, ask); };
  SKEP_TRY(const auto session, LlamaSession::open(model, session_options));
  observer = std::make_unique<Observer>(static_cast<size_t>(session->layers()));
  SKEP_CHECK(observe_text(*session, text, options.most_windows, "measuring layers", progress));
  return observer->influence();
}

std::vector<int> least_influential(const std::vector<double>& influence, int count) {
  std::vector<int> order(influence.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return influence[static_cast<size_t>(a)] < influence[static_cast<size_t>(b)]; });
  order.resize(static_cast<size_t>(std::clamp(count, 0, static_cast<int>(influence.size()) - 1)));
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace skep::model_tools
