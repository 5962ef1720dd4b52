#include "agent/export_lines.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <xxhash.h>

namespace skep::agent {

std::string to_base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                             reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(size));
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                             reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  if (static_cast<size_t>(size) < padding) return std::nullopt;
  bytes.resize(static_cast<size_t>(size) - padding);
  return bytes;
}

std::string sum_line(std::string_view text) {
  return fmt::format("sum {:016x}\n", XXH3_64bits(text.data(), text.size()));
}

std::optional<std::string_view> summed_lines(std::string_view text) {
  const size_t at = text.rfind("sum ");
  if (at == text.npos || text.substr(at) != sum_line(text.substr(0, at))) return std::nullopt;
  return text.substr(0, at);
}

}  // namespace skep::agent
