#include "model_tools/file_hash.h"

#include <openssl/evp.h>

#include <cassert>

namespace skep::model_tools {

struct FileHash::State {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
};

FileHash::FileHash() : state_(std::make_unique<State>()) {
  [[maybe_unused]] const int begun = EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr);
  assert(begun == 1);
}
FileHash::~FileHash() = default;

void FileHash::add(std::span<const uint8_t> bytes) {
  EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size());
}

Sha256 FileHash::finish() {
  Sha256 hash{};
  unsigned length = 0;
  EVP_DigestFinal_ex(state_->context.get(), hash.data(), &length);
  assert(length == hash.size());
  return hash;
}

}  // namespace skep::model_tools
