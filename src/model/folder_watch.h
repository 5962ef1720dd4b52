#pragma once
// Tells that a model file in a set of folders has changed (inotify). It does not say which: scan() finds that out.

#include <set>
#include <string>
#include <vector>

namespace skep::model {

class FolderWatch {
 public:
  FolderWatch();
  ~FolderWatch();
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;

  // From now on exactly these folders, not what lies below them. A folder that is not there can't be watched.
  // Whatever is named *.gguf counts, folders do, and files called by one of `names`; others may come and go.
  void watch(const std::vector<std::string>& folders, std::set<std::string, std::less<>> names);

  // Whether anything that counts was made, written, moved or removed since the last call. Never blocks.
  bool changed();

  // Whether every folder is watched: false without inotify or at the system's limit of watches. Then scan from time to
  // time as well.
  [[nodiscard]] bool complete() const { return complete_; }

 private:
  int fd_ = -1;
  bool complete_ = false;
  std::vector<int> watches_;
  std::set<std::string, std::less<>> names_;
};

}  // namespace skep::model
