#include "model/folder_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

namespace skep::model {

FolderWatch::FolderWatch() : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

FolderWatch::~FolderWatch() {
  if (fd_ >= 0) ::close(fd_);
}

void FolderWatch::watch(const std::vector<std::string>& folders, std::set<std::string, std::less<>> names) {
  names_ = std::move(names);
  complete_ = fd_ >= 0;
  if (fd_ < 0) return;
  constexpr uint32_t kEvents = IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO |
                               IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
  std::vector<int> now;
  for (const std::string& folder : folders) {
    // The same folder gives the same number again, so what stays watched loses no event.
    const int watch = ::inotify_add_watch(fd_, folder.c_str(), kEvents);
    if (watch < 0) {
      complete_ = false;
    } else {
      now.push_back(watch);
    }
  }
  std::sort(now.begin(), now.end());
  for (int old : watches_) {
    if (!std::binary_search(now.begin(), now.end(), old)) ::inotify_rm_watch(fd_, old);
  }
  watches_ = std::move(now);
}

bool FolderWatch::changed() {
  if (fd_ < 0) return false;
  bool any = false;
  alignas(inotify_event) std::array<char, 16 * 1024> buffer;
  // Bounded: a writer that is faster than this loop must not hold the event loop.
  for (int i = 0; i < 64; ++i) {
    const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
    if (n <= 0) break;
    for (ssize_t at = 0; at < n;) {
      inotify_event event;  // its head; the name follows, padded with zeros
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      const std::string_view name = event.len == 0 ? "" : buffer.data() + at + sizeof(event);
      const bool echo = (event.mask & IN_IGNORED) != 0;  // of a watch that we removed
      const bool folder = (event.mask & IN_ISDIR) != 0 || name.empty();
      any = any || (!echo && (folder || name.ends_with(".gguf") || names_.contains(name)));
      at += static_cast<ssize_t>(sizeof(event) + event.len);
    }
  }
  return any;
}

}  // namespace skep::model
