#include "engine/adapter_shelf.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace skep::engine {

const std::string& AdapterShelf::Hold::key() const {
  static const std::string none;
  return adapter_ == nullptr ? none : adapter_->key;
}

Result<AdapterShelf::Hold> AdapterShelf::take(const std::string& path) {
  if (path.empty()) return Hold();
  std::error_code missing;
  const auto size = std::filesystem::file_size(path, missing);
  if (missing) return fail(ErrorCode::not_found, fmt::format("adapter {}: {}", path, missing.message()));
  const auto changed = std::filesystem::last_write_time(path, missing).time_since_epoch().count();
  const std::string key = fmt::format("{}|{}|{}", path, size, changed);
  const auto known = std::find_if(adapters_.begin(), adapters_.end(), [&](const Adapter& a) { return a.key == key; });
  if (known != adapters_.end()) {
    adapters_.splice(adapters_.end(), adapters_, known);
    return Hold(*known);
  }
  const Bytes bytes(static_cast<int64_t>(size));
  if (bytes > room_) {
    return fail(
        ErrorCode::out_of_memory,
        fmt::format("adapter {} has {}, this engine has {} for adapters", path, to_string(bytes), to_string(room_)),
        "raise engines.adapter_memory");
  }
  if (!make_room(bytes)) {
    return fail(ErrorCode::overloaded,
                fmt::format("the adapters in use leave no room for {} ({} of {} are free)", path,
                            to_string(room_ - bytes_), to_string(room_)),
                "raise engines.adapter_memory");
  }
  SKEP_TRY(const AdapterId id, forward_.load_adapter(path));
  bytes_ += bytes;
  return Hold(adapters_.emplace_back(Adapter{path, key, bytes, id, 0}));
}

bool AdapterShelf::make_room(Bytes bytes) {
  for (auto it = adapters_.begin(); it != adapters_.end() && bytes_ + bytes > room_;) {
    if (it->holds > 0) {
      ++it;
      continue;
    }
    forward_.drop_adapter(it->id);
    bytes_ -= it->bytes;
    it = adapters_.erase(it);
  }
  return bytes_ + bytes <= room_;
}

}  // namespace skep::engine
