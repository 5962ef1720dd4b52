#include "daemon/job_memory.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>

#include "engine/synth/synth.h"
#include "model/gguf.h"

namespace skep::daemon {
namespace {

constexpr Bytes kProcess = 256_MiB;  // code, allocator, tokenizer, libllama's buffers for one small batch
constexpr int64_t kBatch = 512;      // tokens that are evaluated at once
constexpr int64_t kTextFactor = 6;   // a text, and its tokens of 4 bytes: one for each byte at worst
constexpr int64_t kTrained = 16;     // bytes of a weight: itself, its gradient, two moments
constexpr int64_t kNarrowest = 3;    // weights in a byte of a file whose header can't be read: Q2_K has as many

// Of a model, as far as its memory goes.
struct Shape {
  int64_t file = 0;                     // bytes
  int64_t parameters = 0, largest = 0;  // weights: all, of one tensor
  int64_t vocabulary = 0, layers = 0, width = 0, inner = 0, heads = 0;
  int64_t cell = 0;             // bytes of a token's keys and values in F16
  int64_t context = INT64_MAX;  // trained for
};

int64_t file_size(const std::string& path) {
  std::error_code unknown;
  const auto size = std::filesystem::file_size(path, unknown);
  return unknown ? 0 : static_cast<int64_t>(size);
}

Shape shape_of(const std::string& path) {
  Shape shape{.file = file_size(path)};
  const auto file = model::read_gguf(path);
  if (!file) {  // the tool will say what is wrong with it
    shape.parameters = shape.largest = kNarrowest * shape.file;
    return shape;
  }
  const std::string* architecture = file->text("general.architecture");
  const auto number = [&](const char* key, int64_t otherwise) {
    if (architecture == nullptr) return otherwise;
    return std::clamp<int64_t>(file->integer(fmt::format("{}.{}", *architecture, key)).value_or(otherwise), 0, 1 << 24);
  };
  for (const model::GgufTensor& tensor : file->tensors) {
    shape.parameters += tensor.elements();
    shape.largest = std::max(shape.largest, tensor.elements());
    if (tensor.name == "token_embd.weight") shape.vocabulary = tensor.extent[1];
  }
  shape.layers = number("block_count", 0);
  shape.width = number("embedding_length", 0);
  shape.inner = number("feed_forward_length", 4 * shape.width);
  shape.heads = std::max<int64_t>(1, number("attention.head_count", 1));
  shape.context = std::max<int64_t>(1, number("context_length", 1 << 24));
  const int64_t head = shape.width / shape.heads;
  shape.cell = shape.layers * number("attention.head_count_kv", shape.heads) * 2 *
               (number("attention.key_length", head) + number("attention.value_length", head));
  return shape;
}

Result<Shape> shape_named(const std::string& name) {
  const synth::Shape* known = synth::find_shape(name);
  if (known == nullptr) {
    return fail(ErrorCode::invalid_argument, fmt::format("there is no shape '{}'", name),
                "`skep model synth --shapes` lists them");
  }
  Shape shape;
  shape.parameters = synth::size_of(*known, synth::WeightType::f32).parameters;
  shape.vocabulary = known->vocabulary;
  shape.layers = known->layers;
  shape.width = known->embedding;
  shape.inner = known->feed_forward;
  shape.heads = known->heads;
  shape.largest = shape.vocabulary * shape.width;
  shape.cell = shape.layers * known->kv_heads * 2 * 2 * known->head_width();
  return shape;
}

class Estimate {
 public:
  Estimate(std::string_view tool, const JobParameters& parameters) : tool_(tool), in_(parameters) {}

  Result<Bytes> bytes() {
    if (tool_ == "diff") return Bytes(diff());
    if (tool_ == "patch") return kProcess;
    if (tool_ == "train" || tool_ == "distill") return training();
    if (tool_ == "adapter extract" || tool_ == "adapter merge") return kProcess + Bytes(adapter());
    if (tool_ == "quantize") return kProcess + Bytes(quantizing());
    if (tool_ == "eval") return kProcess + Bytes(answering(shape_of(text("model")), "file"));
    return kProcess + Bytes(evaluating(shape_of(text("input")), number("context", 512), "text"));  // prune
  }

 private:
  [[nodiscard]] std::string text(const char* name) const {
    const auto found = in_.find(name);
    return found == in_.end() ? std::string() : found->second;
  }
  // Values that are no numbers were refused before.
  [[nodiscard]] int64_t number(const char* name, int64_t otherwise) const {
    const std::string value = text(name);
    double parsed = static_cast<double>(otherwise);
    std::from_chars(value.data(), value.data() + value.size(), parsed);
    return static_cast<int64_t>(parsed);
  }

  // A chunk of the old file takes a hash, an offset and what the table adds: some 64 bytes for 16 KiB at least.
  [[nodiscard]] int64_t diff() const { return kProcess.count + file_size(text("old")) / 256; }

  // Rows of the largest matrix in F32: before, after, their change and its factors.
  [[nodiscard]] int64_t adapter() const {
    return 16 * std::max(shape_of(text("base")).largest, shape_of(text("model")).largest);
  }

  [[nodiscard]] int64_t quantizing() const {
    const Shape shape = shape_of(text("input"));
    const int64_t tensor = 8 * shape.largest;  // as F32, and in its old and new type
    return tensor + (text("imatrix-text").empty() ? 0 : evaluating(shape, kBatch, "imatrix-text"));
  }

  // A session of libllama over windows of a text.
  [[nodiscard]] int64_t evaluating(const Shape& shape, int64_t context, const char* text_name) const {
    context = std::min(context, shape.context);
    const int64_t batch = std::min(context, kBatch);
    const int64_t weights = shape.file + shape.file / 8;
    const int64_t compute = batch * 4 * (3 * shape.vocabulary + 8 * shape.width + 3 * shape.inner + 2 * context);
    return weights + context * shape.cell + compute + kTextFactor * file_size(text(text_name));
  }

  // A worker with so many slots, or a session, whichever takes more.
  [[nodiscard]] int64_t answering(const Shape& shape, const char* text_name) const {
    const int64_t cells = number("slots", 8) * std::min(number("task-context", 2048), shape.context);
    return cells * shape.cell + evaluating(shape, number("context", 512), text_name);
  }

  [[nodiscard]] Result<Bytes> training() const {
    Shape shape;
    if (!text("shape").empty()) {
      SKEP_TRY(shape, shape_named(text("shape")));
    } else {
      shape = shape_of(text("model"));
    }
    const int64_t context = number("context", 256);
    // What the way back needs of each token: logits with their gradient and labels, and of each layer the inputs of its
    // matrices, the attention weights and their gradients.
    const int64_t layer = 24 * shape.width + 10 * shape.inner + 4 * shape.heads * context;
    const int64_t activations = context * 4 * (6 * shape.vocabulary + shape.layers * layer);
    int64_t bytes = kTrained * shape.parameters + activations + kTextFactor * file_size(text("data"));
    // The weights as they are read: from a file of F32, which is mapped.
    bytes += 4 * shape.parameters + 2 * context * shape.cell;
    if (!text("teacher").empty()) bytes += answering(shape_of(text("teacher")), "data");
    return kProcess + Bytes(bytes);
  }

  std::string_view tool_;
  const JobParameters& in_;
};

}  // namespace

Result<Bytes> job_memory(std::string_view tool, const JobParameters& parameters) {
  return Estimate(tool, parameters).bytes();
}

}  // namespace skep::daemon
