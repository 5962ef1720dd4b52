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

// Pages for all cells, and for what rounding costs a sequence that grows: its last page, and one wherever it continues
// another's in the middle of a page (the preamble, a role, an earlier turn). What rounding costs beyond that, and all
// of what it costs the nodes of the prefix tree, comes out of the cells: free_cells() counts pages.
constexpr int kRoundingPages = 4;
int page_budget(const ForwardLimits& limits, int slots) {
  return (limits.cells + kernel::lm::kPageTokens - 1) / kernel::lm::kPageTokens + kRoundingPages * slots;
}

MemoryUse memory_of(const KvLayout& layout, const ForwardLimits& limits, int slots, Bytes weights, Bytes buffers) {
  MemoryUse use;
  use.weights = weights;
  use.kv = Bytes(page_budget(limits, slots) * layout.page_bytes());
  use.compute = buffers + Bytes(int64_t{4} * limits.output_rows * limits.vocabulary);
  return use;
}

ForwardLimits limits_for(const NativeOptions& options, const Architecture& a) {
  ForwardLimits limits;
  limits.sequences = options.sequences;
  limits.cells = options.cells;
  limits.context_tokens = a.context > 0 ? std::min(options.context_tokens, a.context) : options.context_tokens;
  limits.batch_tokens = options.batch_tokens;
  limits.output_rows = std::min(options.output_rows, options.batch_tokens);
  limits.vocabulary = a.vocabulary;
  limits.embedding_size = a.embedding;
  return limits;
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

int cells_for(const ModelHeader& header, const LoadOptions& options) {
  const auto architecture = describe(header);
  const int trained = architecture && architecture->context > 0 ? architecture->context : options.context_tokens;
  const int64_t context = std::min(options.context_tokens, trained);
  const int64_t cells = options.kv_tokens > 0 ? options.kv_tokens : options.sequences * context;
  return static_cast<int>(std::clamp<int64_t>(cells, context, 1 << 28));
}

Result<std::unique_ptr<NativeForward>> NativeForward::create(const NativeOptions& options,
                                                             const WeightProgress& progress) try {
  if (options.cells <= 0 || options.sequences <= 0 || options.batch_tokens <= 0 || options.context_tokens <= 0) {
    return fail(ErrorCode::invalid_argument, "the context needs cells, sequences and a batch");
  }
  const kernel::lm::Kernels& kernels = options.kernels != nullptr ? *options.kernels : kernel::lm::best_kernels();
  SKEP_TRY(Weights weights, Weights::load({options.path, options.cache_path, options.must_map, options.context_tokens,
                                           Packing{threads_for(options.threads), progress}}));
  SKEP_TRY(KvPages pages,
           KvPages::create(layout_of(weights.architecture(), options.kv_type), options.cells, options.sequences));
  return std::unique_ptr<NativeForward>(new NativeForward(options, std::move(weights), std::move(pages), kernels));
} catch (const std::bad_alloc&) {
  return fail(ErrorCode::out_of_memory, "no memory for the forward pass");
}

NativeForward::NativeForward(const NativeOptions& options, Weights weights, KvPages pages,
                             const kernel::lm::Kernels& kernels)
    : slots_(std::clamp(options.slots, 1, options.sequences)),
      streamed_(options.must_map),
      weights_(std::move(weights)),
      pages_(std::move(pages)),
      kernels_(kernels),
      team_(threads_for(options.threads)),
      pass_(weights_, pages_.layout(), kernels, team_, options.batch_tokens,
            std::min(options.output_rows, options.batch_tokens)) {
  limits_ = limits_for(options, weights_.architecture());
  members_ = team_.threads();
  logits_ = Buffer<float>(static_cast<size_t>(limits_.output_rows) * static_cast<size_t>(limits_.vocabulary));
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
  const bool done = pass_.run(work, members_, cancelled_, logits_.data());
  stalled_ += team_.stalled();
  if (!done) {
    cancelled_.store(false, std::memory_order_relaxed);
    take_back(slices.size());
    rows_ = 0;
    return fail(ErrorCode::cancelled, "the step was cancelled");
  }
  return {};
}

int NativeForward::free_cells() const {
  // A step takes at most one page more of each growing sequence than its tokens fill.
  const int64_t pages = page_budget(limits_, slots_) - slots_ - pages_.pages_in_use();
  return static_cast<int>(std::clamp<int64_t>(pages * kernel::lm::kPageTokens, 0, limits_.cells));
}

std::optional<Forward::Waits> NativeForward::waits() const {
  return Waits{stalled_, static_cast<int>(team_.spin_limit())};
}

void NativeForward::set_threads(int threads) { members_ = std::clamp(threads, 1, team_.threads()); }

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
  return memory_of(pages_.layout(), limits_, slots_, weights_.bytes(), pass_.bytes());
}

Result<MemoryUse> measure(const NativeOptions& options) {
  SKEP_TRY(const ModelHeader header, read_header(options.path));
  SKEP_TRY(const Architecture a, describe(header));
  const ForwardLimits limits = limits_for(options, a);
  const PackedSize packed = packed_size(a);
  const Bytes buffers = Pass::bytes_for(a, packed.any_quantized, packed.any_float, limits.batch_tokens,
                                        limits.output_rows, threads_for(options.threads));
  return memory_of(layout_of(a, options.kv_type), limits, std::clamp(options.slots, 1, options.sequences), packed.bytes,
                   buffers);
}

}  // namespace skep::engine::native
