#include "engine/native/native_forward.h"

#include <sched.h>

#include <algorithm>
#include <cassert>
#include <new>
#include <set>

namespace skep::engine::native {
namespace {

int threads_for(int wanted) {
  if (wanted > 0) return std::min(wanted, Team::kMostThreads);
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const int cpus = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
  return std::clamp(cpus, 1, Team::kMostThreads);
}

KvLayout layout_of(const Architecture& a, kernel::lm::KvType type) {
  return {type, static_cast<int>(a.layers.size()), a.kv_heads, a.head_size};
}

}  // namespace

std::optional<kernel::lm::KvType> kv_type_from(std::string_view name) {
  for (const auto type : {kernel::lm::KvType::f16, kernel::lm::KvType::bf16, kernel::lm::KvType::q8}) {
    if (name == kernel::lm::to_string(type)) return type;
  }
  return std::nullopt;
}

Status supports(const ModelHeader& header, const LoadOptions& options) {
  if (options.gpu_layers != 0) return fail(ErrorCode::unsupported, "layers on a GPU");
  if (options.embeddings) return fail(ErrorCode::unsupported, "embeddings");
  if (!kv_type_from(options.kv_type)) return fail(ErrorCode::unsupported, "a KV cache of type " + options.kv_type);
  auto architecture = describe(header);
  if (!architecture) return fail(std::move(architecture).error());
  return {};
}

Result<std::unique_ptr<NativeForward>> NativeForward::create(const NativeOptions& options,
                                                             const WeightProgress& progress) try {
  if (options.cells <= 0 || options.sequences <= 0 || options.batch_tokens <= 0 || options.context_tokens <= 0) {
    return fail(ErrorCode::invalid_argument, "the context needs cells, sequences and a batch");
  }
  const kernel::lm::Kernels& kernels = options.kernels != nullptr ? *options.kernels : kernel::lm::best_kernels();
  SKEP_TRY(Weights weights, Weights::load(options.path, options.cache_path, progress));
  SKEP_TRY(KvPages pages,
           KvPages::create(layout_of(weights.architecture(), options.kv_type), options.cells, options.sequences));
  return std::unique_ptr<NativeForward>(new NativeForward(options, std::move(weights), std::move(pages), kernels));
} catch (const std::bad_alloc&) {
  return fail(ErrorCode::out_of_memory, "no memory for the forward pass");
}

NativeForward::NativeForward(const NativeOptions& options, Weights weights, KvPages pages,
                             const kernel::lm::Kernels& kernels)
    : weights_(std::move(weights)),
      pages_(std::move(pages)),
      kernels_(kernels),
      team_(threads_for(options.threads)),
      pass_(weights_, pages_.layout(), kernels, team_, options.batch_tokens,
            std::min(options.output_rows, options.batch_tokens)) {
  const Architecture& a = weights_.architecture();
  limits_.sequences = options.sequences;
  limits_.cells = options.cells;
  limits_.context_tokens = a.context > 0 ? std::min(options.context_tokens, a.context) : options.context_tokens;
  limits_.batch_tokens = options.batch_tokens;
  limits_.output_rows = std::min(options.output_rows, options.batch_tokens);
  limits_.vocabulary = a.vocabulary;
  limits_.embedding_size = a.embedding;
  logits_ = Buffer<float>(static_cast<size_t>(limits_.output_rows) * static_cast<size_t>(a.vocabulary));
}

Status NativeForward::check(std::span<const Slice> slices) const {
  const auto wrong = [](std::string why) { return fail(ErrorCode::internal, std::move(why)); };
  size_t tokens = 0;
  int outputs = 0;
  std::set<SequenceId> seen;
  for (const Slice& s : slices) {
    if (s.sequence < 0 || s.sequence >= limits_.sequences || !seen.insert(s.sequence).second) {
      return wrong("a step names a sequence that is not there, or twice");
    }
    if (s.tokens.empty() || s.outputs < 0 || s.outputs > static_cast<int>(s.tokens.size())) {
      return wrong("a slice without tokens, or with more outputs than tokens");
    }
    if (s.position < 0 || s.position + static_cast<int>(s.tokens.size()) > limits_.context_tokens) {
      return wrong("a slice reaches past the context");
    }
    for (const Token t : s.tokens) {
      if (t < 0 || t >= limits_.vocabulary) return wrong(fmt::format("token {} is not in the vocabulary", t));
    }
    if (!pages_.holds(s.sequence, 0, s.position)) {
      return wrong(fmt::format("sequence {} lacks cells before position {}", s.sequence, s.position));
    }
    tokens += s.tokens.size();
    outputs += s.outputs;
  }
  if (tokens > static_cast<size_t>(limits_.batch_tokens)) return wrong("the step is over the batch limit");
  if (outputs > limits_.output_rows) return wrong("the step wants more logits than there is room for");
  return {};
}

Status NativeForward::step(std::span<const Slice> slices) {
  if (cancelled_.exchange(false, std::memory_order_relaxed))
    return fail(ErrorCode::cancelled, "the step was cancelled");
  SKEP_CHECK(check(slices));
  if (slices.empty()) return {};
  const auto take_back = [&](size_t count) {
    for (const Slice& s : slices.first(count)) {
      pages_.drop(s.sequence, s.position, s.position + static_cast<int>(s.tokens.size()));
    }
  };
  std::vector<PassSlice> work;
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& s = slices[i];
    if (auto extended = pages_.extend(s.sequence, s.position, s.position + static_cast<int>(s.tokens.size()));
        !extended) {
      take_back(i);
      return extended;
    }
  }
  rows_ = 0;
  for (const Slice& s : slices) {
    work.push_back({s.tokens, s.position, pages_.pages(s.sequence), s.outputs});
    rows_ += s.outputs;
  }
  if (!pass_.run(work, team_.threads(), cancelled_, logits_.data())) {
    cancelled_.store(false, std::memory_order_relaxed);
    take_back(slices.size());
    rows_ = 0;
    return fail(ErrorCode::cancelled, "the step was cancelled");
  }
  return {};
}

std::span<const float> NativeForward::logits(int row) const {
  assert(row >= 0 && row < rows_);
  const auto width = static_cast<size_t>(limits_.vocabulary);
  return {logits_.data() + static_cast<size_t>(row) * width, width};
}

void NativeForward::share(SequenceId from, SequenceId to, int begin, int end) { pages_.share(from, to, begin, end); }
void NativeForward::drop(SequenceId sequence, int begin, int end) { pages_.drop(sequence, begin, end); }

Result<std::string> NativeForward::save(SequenceId sequence, int begin, int end) {
  return pages_.save(sequence, begin, end, weights_.fingerprint());
}

Status NativeForward::load(SequenceId sequence, int begin, int end, std::string_view bytes) {
  return pages_.load(sequence, begin, end, weights_.fingerprint(), bytes);
}

Result<std::vector<std::vector<float>>> NativeForward::embed(std::span<const std::vector<Token>>) {
  return fail(ErrorCode::unsupported, "embeddings are libllama's");
}

MemoryUse NativeForward::memory() const {
  MemoryUse use;
  use.weights = weights_.bytes();
  const int64_t cells = int64_t{(limits_.cells + kernel::lm::kPageTokens - 1) / kernel::lm::kPageTokens};
  use.kv = Bytes(cells * pages_.layout().page_bytes());
  use.compute = pass_.bytes() + Bytes(static_cast<int64_t>(logits_.bytes()));
  return use;
}

}  // namespace skep::engine::native
