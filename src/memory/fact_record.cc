#include "memory/fact_record.h"

#include <algorithm>

#include "memory/byte_codec.h"

namespace skep::memory {
namespace {

int64_t stamp(WallTime time) { return time.time_since_epoch().count(); }
WallTime time_of(int64_t nanoseconds) { return WallTime(Duration(nanoseconds)); }

void put_tags(ByteWriter& out, const std::vector<std::string>& tags) {
  out.put(static_cast<uint32_t>(tags.size()));
  for (const std::string& tag : tags) out.put_text(tag);
}
// A tag takes four bytes at least, so a count alone allocates nothing.
std::vector<std::string> get_tags(ByteReader& in) {
  std::vector<std::string> tags;
  const auto count = in.get<uint32_t>();
  for (uint32_t i = 0; i < count && in.ok(); ++i) tags.emplace_back(in.get_text());
  return tags;
}

void put_vector(ByteWriter& out, const QuantizedVector& v) {
  out.put_text({reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size()});
}
QuantizedVector get_vector(ByteReader& in) {
  const std::string_view bytes = in.get_text();
  const auto* first = reinterpret_cast<const int8_t*>(bytes.data());
  QuantizedVector v;
  v.bytes.assign(first, first + bytes.size());
  return v;
}

void write(ByteWriter& out, const HeadRecord& r) {
  out.put(r.dimensions);
  out.put_text(r.embedder);
  out.put(r.next);
  out.put(r.sequence);
}
void read(ByteReader& in, HeadRecord& r) {
  r.dimensions = in.get<uint32_t>();
  r.embedder = in.get_text();
  r.next = in.get<uint64_t>();
  r.sequence = in.get<uint64_t>();
}
void write(ByteWriter& out, const AddRecord& r) {
  out.put(r.fact.id);
  out.put(stamp(r.fact.time));
  out.put_text(r.fact.agent);
  out.put_text(r.fact.source);
  put_tags(out, r.fact.tags);
  out.put_text(r.fact.text);
  put_vector(out, r.vector);
}
void read(ByteReader& in, AddRecord& r) {
  r.fact.id = in.get<uint64_t>();
  r.fact.time = time_of(in.get<int64_t>());
  r.fact.agent = in.get_text();
  r.fact.source = in.get_text();
  r.fact.tags = get_tags(in);
  r.fact.text = in.get_text();
  r.vector = get_vector(in);
}
void write(ByteWriter& out, const VectorRecord& r) {
  out.put(r.id);
  put_vector(out, r.vector);
}
void read(ByteReader& in, VectorRecord& r) {
  r.id = in.get<uint64_t>();
  r.vector = get_vector(in);
}
void write(ByteWriter& out, const RenewRecord& r) {
  out.put(r.id);
  out.put(stamp(r.time));
  put_tags(out, r.tags);
}
void read(ByteReader& in, RenewRecord& r) {
  r.id = in.get<uint64_t>();
  r.time = time_of(in.get<int64_t>());
  r.tags = get_tags(in);
}
void write(ByteWriter& out, const ForgetRecord& r) {
  out.put(static_cast<uint32_t>(r.ids.size()));
  for (const FactId id : r.ids) out.put(id);
}
void read(ByteReader& in, ForgetRecord& r) {
  const auto count = in.get<uint32_t>();
  for (uint32_t i = 0; i < count && in.ok(); ++i) r.ids.push_back(in.get<uint64_t>());
}
void write(ByteWriter& out, const EndRecord& r) { out.put(r.facts); }
void read(ByteReader& in, EndRecord& r) { r.facts = in.get<uint64_t>(); }
void write(ByteWriter& out, const EmbedderRecord& r) {
  out.put(r.dimensions);
  out.put_text(r.embedder);
}
void read(ByteReader& in, EmbedderRecord& r) {
  r.dimensions = in.get<uint32_t>();
  r.embedder = in.get_text();
}

// What no reader may trust although the bytes are all there. The norm isn't stored: it follows from the bytes.
bool sound(FactId id) { return id != 0 && id != ~FactId{0}; }
bool settle(QuantizedVector& v) {
  if (v.bytes.size() % kernel::kVectorStep != 0 || v.bytes.size() > kernel::kLongestVector) return false;
  // -128 is out of what the kernels take.
  if (std::find(v.bytes.begin(), v.bytes.end(), int8_t{-128}) != v.bytes.end()) return false;
  v.inverse_norm = inverse_norm(v.bytes);
  return true;
}
bool settle(AddRecord& r) { return sound(r.fact.id) && settle(r.vector); }
bool settle(VectorRecord& r) { return sound(r.id) && settle(r.vector); }
bool settle(EmbedderRecord& r) { return r.dimensions <= kernel::kLongestVector; }
bool settle(HeadRecord& r) { return r.dimensions <= kernel::kLongestVector && sound(r.next); }
template <typename T>
bool settle(T&) {
  return true;
}

template <size_t I = 0>
Result<FactRecord> read_as(uint32_t kind, std::string_view payload) {
  if constexpr (I < std::variant_size_v<FactRecord>) {
    if (kind != I) return read_as<I + 1>(kind, payload);
    ByteReader in(payload);
    std::variant_alternative_t<I, FactRecord> record;
    read(in, record);
    if (!in.whole() || !settle(record)) {
      return fail(ErrorCode::corrupt, fmt::format("a fact record of kind {} does not decode", kind));
    }
    return record;
  } else {
    return fail(ErrorCode::corrupt, fmt::format("fact record: unknown kind {}", kind));
  }
}

}  // namespace

std::string encode(const FactRecord& record) {
  ByteWriter out;
  std::visit([&](const auto& r) { write(out, r); }, record);
  return out.take();
}

Result<FactRecord> decode(uint32_t kind, std::string_view payload) { return read_as(kind, payload); }

}  // namespace skep::memory
