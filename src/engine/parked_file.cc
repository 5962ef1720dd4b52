#include "engine/parked_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <xxhash.h>

#include <cstring>
#include <istream>

namespace skep::engine {
namespace {

constexpr char kMagic[8] = {'S', 'K', 'E', 'P', 'K', 'V', '0', '2'};
constexpr size_t kHeaderLimit = 16U << 20U;

template <typename T>
void put_number(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_text(std::string& out, std::string_view text) {
  put_number(out, static_cast<uint32_t>(text.size()));
  out.append(text);
}
void put_tokens(std::string& out, const std::vector<Token>& tokens) {
  out.append(reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(Token));
}

template <typename T>
bool take_number(std::string_view& in, T& value) {
  if (in.size() < sizeof value) return false;
  std::memcpy(&value, in.data(), sizeof value);
  in.remove_prefix(sizeof value);
  return true;
}
bool take_text(std::string_view& in, std::string& text) {
  uint32_t size = 0;
  if (!take_number(in, size) || size > in.size()) return false;
  text = in.substr(0, size);
  in.remove_prefix(size);
  return true;
}
bool take_tokens(std::string_view& in, std::vector<Token>& tokens) {
  uint32_t count = 0;
  if (!take_number(in, count) || static_cast<uint64_t>(count) * sizeof(Token) > in.size()) return false;
  tokens.resize(count);
  std::memcpy(tokens.data(), in.data(), count * sizeof(Token));
  in.remove_prefix(count * sizeof(Token));
  return true;
}

}  // namespace

uint64_t parked_checksum(std::string_view cells) { return XXH3_64bits(cells.data(), cells.size()); }

std::string parked_header(ParkedHeader header, std::string_view cells) {
  std::string body;
  put_text(body, header.identity);
  put_text(body, header.scope);
  put_text(body, header.owner);
  put_number(body, static_cast<uint32_t>(header.prefix.size()));
  put_tokens(body, header.prefix);
  put_number(body, header.begin);
  put_number(body, static_cast<uint64_t>(cells.size()));
  put_number(body, parked_checksum(cells));
  std::string out(kMagic, sizeof kMagic);
  put_number(out, static_cast<uint32_t>(body.size()));
  put_number(out, static_cast<uint64_t>(XXH3_64bits(body.data(), body.size())));
  return out + body;
}

std::optional<ParkedHeader> read_parked_header(std::istream& file) {
  char start[sizeof kMagic + 12];
  if (!file.read(start, sizeof start) || std::memcmp(start, kMagic, sizeof kMagic) != 0) return std::nullopt;
  uint32_t size = 0;
  uint64_t sum = 0;
  std::memcpy(&size, start + sizeof kMagic, sizeof size);
  std::memcpy(&sum, start + sizeof kMagic + sizeof size, sizeof sum);
  if (size > kHeaderLimit) return std::nullopt;
  std::string body(size, '\0');
  if (!file.read(body.data(), size) || XXH3_64bits(body.data(), body.size()) != sum) return std::nullopt;
  std::string_view in = body;
  ParkedHeader h;
  if (!take_text(in, h.identity) || !take_text(in, h.scope) || !take_text(in, h.owner)) return std::nullopt;
  if (!take_tokens(in, h.prefix)) return std::nullopt;
  if (!take_number(in, h.begin) || !take_number(in, h.bytes) || !take_number(in, h.checksum) || !in.empty()) {
    return std::nullopt;
  }
  if (h.begin < 0 || static_cast<size_t>(h.begin) >= h.prefix.size()) return std::nullopt;
  return h;
}

std::string parked_file_name(const ParkedHeader& header) {
  std::string key;
  put_text(key, header.identity);
  put_text(key, header.scope);
  put_number(key, header.begin);
  put_tokens(key, header.prefix);
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  return fmt::format("{:016x}{:016x}.kv", hash.high64, hash.low64);
}

bool read_ahead(const std::filesystem::path& file) {
  // Of one call Linux reads what a request to the disk may hold, or its read-ahead window, and forgets the rest.
  constexpr off_t kPart = 512 << 10;
  const int opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (opened < 0) return false;
  const off_t size = ::lseek(opened, 0, SEEK_END);
  bool asked = size > 0;
  for (off_t at = 0; at < size && asked; at += kPart) {
    asked = ::posix_fadvise(opened, at, kPart, POSIX_FADV_WILLNEED) == 0;
  }
  ::close(opened);
  return asked;
}

}  // namespace skep::engine
