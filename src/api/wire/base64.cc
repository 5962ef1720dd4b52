#include "api/wire/base64.h"

#include <openssl/evp.h>

namespace skep::api::wire {

std::string base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3), '\0');
  // Also writes a terminating zero, where std::string keeps its own.
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()));
  return text;
}

}  // namespace skep::api::wire
