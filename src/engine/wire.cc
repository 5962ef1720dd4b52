#include "engine/wire.h"

#include <array>
#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

namespace skep::engine {
namespace {

static_assert(std::endian::native == std::endian::little, "floats and headers are written as they lie in memory");

// fields(archive, message) names the fields of a message once, in wire order, for the writer and the reader.
template <typename A>
void fields(A& a, Hello& m) {
  a(m.version, m.process);
}
template <typename A>
void fields(A& a, LoadOptions& m) {
  a(m.path, m.model_hash, m.chat_template, m.context_tokens, m.sequences, m.kv_tokens, m.batch_tokens, m.threads,
    m.gpu_layers, m.embeddings, m.kv_type, m.mmap, m.measure_only, m.forward, m.park_memory, m.park_directory,
    m.park_disk, m.adapter_memory, m.cpu_limit);
}
template <typename A>
void fields(A& a, ChatMessage& m) {
  a(m.role, m.content);
}
template <typename A>
void fields(A& a, Sampling& m) {
  a(m.temperature, m.top_k, m.top_p, m.min_p, m.repeat_penalty, m.presence_penalty, m.frequency_penalty,
    m.penalty_last_n, m.seed, m.logit_bias);
}
template <typename A>
void fields(A& a, Generate& m) {
  a(m.messages, m.prompt, m.assistant_prefix, m.add_special, m.sampling, m.max_tokens, m.stop, m.grammar, m.json_schema,
    m.ignore_eos, m.logprobs, m.top_logprobs, m.share_scope, m.public_bytes, m.adapter, m.adapter_scale, m.sequence_key,
    m.priority, m.answered);
}
template <typename A>
void fields(A&, Cancel&) {}
template <typename A>
void fields(A& a, Embed& m) {
  a(m.inputs, m.token_inputs, m.truncate);
}
template <typename A>
void fields(A& a, Tokenize& m) {
  a(m.messages, m.text, m.add_special);
}
template <typename A>
void fields(A&, HeartbeatRequest&) {}
template <typename A>
void fields(A&, Shutdown&) {}
template <typename A>
void fields(A& a, Progress& m) {
  a(m.fraction);
}
template <typename A>
void fields(A& a, MemoryUse& m) {
  a(m.device, m.weights, m.kv, m.compute);
}
template <typename A>
void fields(A& a, StreamedWeights& m) {
  a(m.all, m.resident, m.disk_bytes_per_second, m.tokens_per_second);
}
template <typename A>
void fields(A& a, Loaded& m) {
  a(m.memory, m.context_tokens, m.vocabulary, m.embedding_size, m.can_generate, m.chat_template, m.forward, m.streamed);
}
template <typename A>
void fields(A& a, TokenLogprob& m) {
  a(m.text, m.logprob, m.top);
}
template <typename A>
void fields(A& a, Piece& m) {
  a(m.text, m.tokens, m.ids, m.logprobs);
}
template <typename A>
void fields(A& a, Usage& m) {
  a(m.prompt_tokens, m.cached_tokens, m.completion_tokens);
}
template <typename A>
void fields(A& a, Finished& m) {
  a(m.reason, m.usage, m.waited, m.prefill, m.decode, m.seed);
}
template <typename A>
void fields(A& a, Error& m) {
  a(m.code, m.message, m.hint);
}
template <typename A>
void fields(A& a, Failed& m) {
  a(m.error);
}
template <typename A>
void fields(A& a, Embeddings& m) {
  a(m.vectors, m.prompt_tokens, m.truncated);
}
template <typename A>
void fields(A& a, Tokens& m) {
  a(m.tokens);
}
template <typename A>
void fields(A& a, Score& m) {
  a(m.text, m.add_special, m.priority);
}
template <typename A>
void fields(A& a, Scores& m) {
  a(m.tokens);
}
template <typename A>
void fields(A& a, PolicyChange& m) {
  a(m.setting, m.to, m.why, m.when);
}
template <typename A>
void fields(A& a, Heartbeat& m) {
  a(m.generating, m.waiting, m.kv_cells_used, m.prompt_tokens, m.generated_tokens, m.step_seconds, m.threads, m.cpus,
    m.niceness, m.policy_changes, m.changes, m.parked_memory, m.parked_disk, m.draft_tokens, m.draft_accepted,
    m.preemptions, m.adapters, m.adapter_bytes, m.cpu_cores, m.cpu_allowed, m.cpu_rested);
}
template <typename A, typename F, typename S>
void fields(A& a, std::pair<F, S>& m) {
  a(m.first, m.second);
}

// The largest value of each enum, for the reader.
constexpr auto last_of(FinishReason) { return FinishReason::cancelled; }
constexpr auto last_of(ErrorCode) { return ErrorCode::internal; }

uint64_t zigzag(int64_t v) { return (static_cast<uint64_t>(v) << 1U) ^ static_cast<uint64_t>(v >> 63U); }
int64_t unzigzag(uint64_t v) { return static_cast<int64_t>(v >> 1U) ^ -static_cast<int64_t>(v & 1U); }

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  template <typename... T>
  void operator()(T&... values) {
    (put(values), ...);
  }

 private:
  void varint(uint64_t v) {
    for (; v >= 0x80; v >>= 7U) out_.push_back(static_cast<char>(v | 0x80U));
    out_.push_back(static_cast<char>(v));
  }
  template <typename T>
  void put(T& v) {
    if constexpr (std::is_same_v<T, bool>)
      out_.push_back(v ? 1 : 0);
    else if constexpr (std::is_enum_v<T>)
      out_.push_back(static_cast<char>(v));
    else if constexpr (std::is_floating_point_v<T>)
      out_.append(reinterpret_cast<const char*>(&v), sizeof v);
    else if constexpr (std::is_signed_v<T>)
      varint(zigzag(v));
    else if constexpr (std::is_unsigned_v<T>)
      varint(v);
    else
      fields(*this, v);
  }
  void put(Bytes& v) { varint(zigzag(v.count)); }
  void put(Duration& v) { varint(zigzag(v.count())); }
  void put(std::string& v) {
    varint(v.size());
    out_.append(v);
  }
  template <typename T>
  void put(std::vector<T>& v) {
    varint(v.size());
    if constexpr (std::is_same_v<T, float>)
      out_.append(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(float));
    else
      for (T& item : v) put(item);
  }

  std::string& out_;
};

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  template <typename... T>
  void operator()(T&... values) {
    (get(values), ...);
  }

  [[nodiscard]] bool whole() const { return ok_ && in_.empty(); }

 private:
  uint8_t byte() {
    if (in_.empty()) return ok_ = false, 0;
    const auto b = static_cast<uint8_t>(in_.front());
    in_.remove_prefix(1);
    return b;
  }
  uint64_t varint() {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const uint8_t b = byte();
      if (shift == 63 && b > 1) break;  // over 64 bits
      v |= static_cast<uint64_t>(b & 0x7FU) << shift;
      if (b < 0x80) return v;
    }
    return ok_ = false, 0;
  }
  template <typename T>
  T narrow(auto wide) {
    if (!std::in_range<T>(wide)) ok_ = false;
    return ok_ ? static_cast<T>(wide) : T{};
  }
  std::string_view take(uint64_t count) {
    if (count > in_.size()) return ok_ = false, std::string_view{};
    const std::string_view taken = in_.substr(0, count);
    in_.remove_prefix(count);
    return taken;
  }
  template <typename T>
  void get(T& v) {
    if constexpr (std::is_same_v<T, bool>) {
      const uint8_t b = byte();
      if (b > 1) ok_ = false;
      v = b == 1;
    } else if constexpr (std::is_enum_v<T>) {
      const uint8_t b = byte();
      if (b > static_cast<uint8_t>(last_of(T{}))) ok_ = false;
      v = ok_ ? static_cast<T>(b) : T{};
    } else if constexpr (std::is_floating_point_v<T>) {
      const std::string_view raw = take(sizeof v);
      if (ok_) std::memcpy(&v, raw.data(), sizeof v);
    } else if constexpr (std::is_signed_v<T>) {
      v = narrow<T>(unzigzag(varint()));
    } else if constexpr (std::is_unsigned_v<T>) {
      v = narrow<T>(varint());
    } else {
      fields(*this, v);
    }
  }
  void get(Bytes& v) { v = Bytes(unzigzag(varint())); }
  void get(Duration& v) { v = Duration(unzigzag(varint())); }
  void get(std::string& v) { v = take(varint()); }
  void get(std::vector<float>& v) {
    const uint64_t count = varint();
    if (count > kMaxListItems) ok_ = false;
    const std::string_view raw = take(ok_ ? count * sizeof(float) : 0);
    if (!ok_ || raw.empty()) return;
    v.resize(count);
    std::memcpy(v.data(), raw.data(), raw.size());
  }
  // Grows with what is really there: a count alone allocates nothing.
  template <typename T>
  void get(std::vector<T>& v) {
    const uint64_t count = varint();
    if (count > kMaxListItems || count > in_.size()) ok_ = false;  // every item takes a byte at least
    for (uint64_t i = 0; i < count && ok_; ++i) get(v.emplace_back());
  }

  std::string_view in_;
  bool ok_ = true;
};

template <size_t I = 0>
Result<Message> read_as(uint8_t kind, std::string_view payload) {
  if constexpr (I < std::variant_size_v<Message>) {
    if (kind != I) return read_as<I + 1>(kind, payload);
    Reader reader(payload);
    Message message(std::in_place_index<I>);
    fields(reader, std::get<I>(message));
    if (!reader.whole()) {
      return fail(ErrorCode::corrupt, fmt::format("wire: kind {} with {} bytes does not decode", kind, payload.size()));
    }
    return message;
  } else {
    return fail(ErrorCode::corrupt, fmt::format("wire: unknown kind {}", kind));
  }
}

}  // namespace

Result<std::string> encode(RequestId request, const Message& message) {
  std::string out(kFrameHeader, '\0');
  Writer writer(out);
  // The writer only reads; fields() is shared with the reader and so takes its message as mutable.
  std::visit([&](const auto& m) { fields(writer, const_cast<std::remove_cvref_t<decltype(m)>&>(m)); }, message);
  const size_t payload = out.size() - kFrameHeader;
  if (payload > kMaxPayload) {
    return fail(ErrorCode::too_large,
                fmt::format("wire: a message of {} bytes is over the limit of {}", payload, kMaxPayload));
  }
  const auto length = static_cast<uint32_t>(payload);
  std::memcpy(out.data(), &length, sizeof length);
  out[4] = static_cast<char>(message.index());
  std::memcpy(out.data() + 5, &request, sizeof request);
  return out;
}

Result<Message> decode(const Frame& frame) { return read_as(frame.kind, frame.payload); }

Result<std::optional<Frame>> FrameDecoder::next() {
  const auto lost = [this](std::string why) {
    broken_ = true;
    buffer_.clear();
    return fail(ErrorCode::corrupt, std::move(why));
  };
  if (broken_) return lost("wire: the stream was lost earlier");
  const std::string_view rest = std::string_view(buffer_).substr(read_);
  uint32_t length = 0;
  if (rest.size() >= sizeof length) std::memcpy(&length, rest.data(), sizeof length);
  if (length > kMaxPayload) return lost(fmt::format("wire: a frame of {} bytes is over the limit", length));
  if (rest.size() < kFrameHeader || rest.size() - kFrameHeader < length) {
    buffer_.erase(0, read_);  // once per feed, not per frame
    read_ = 0;
    return std::optional<Frame>();
  }
  Frame frame;
  frame.kind = static_cast<uint8_t>(rest[4]);
  std::memcpy(&frame.request, rest.data() + 5, sizeof frame.request);
  frame.payload = rest.substr(kFrameHeader, length);
  read_ += kFrameHeader + length;
  return std::optional<Frame>(std::move(frame));
}

}  // namespace skep::engine
