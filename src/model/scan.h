#pragma once
// Finds the models in folders. Every file that ends in .gguf is listed, the broken ones with the reason; the parts of a
// split model (name-00001-of-00003.gguf) are one entry.
//
// Names: the file's name without .gguf and without the split suffix. Where two folders hold the same name, the first
// (in the order of the options, then by path) has it and the others are called by their path below their folder
// ("old/tiny"), or in full where that is taken as well. A name given in the options wins over both.
//
// Blocking: reads headers and samples of every new or changed file. A file is known by (path, size, modification time,
// inode); what is unchanged is not read again.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/units.h"
#include "model/describe.h"
#include "model/model_info.h"

namespace skep::model {

struct ScanOptions {
  std::vector<std::string> folders;          // looked through recursively; one that is missing is no error
  std::map<std::string, std::string> named;  // name → path of a GGUF file anywhere
  int depth = 8;                             // folders within folders
  size_t entries = 100'000;                  // directory entries looked at
  size_t files = 10'000;                     // GGUF files
};

// What is remembered of files between scans. One scan at a time.
class ScanCache {
 public:
  struct Key {
    int64_t size = 0;
    int64_t modified = 0;  // nanoseconds since the epoch
    uint64_t inode = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Entry {
    Key key;
    FileSummary summary;
    std::string hash;
    bool seen = false;  // in the scan that runs
  };
  std::map<std::string, Entry> entries;  // by path
  int64_t files_read = 0;                // since the beginning; for tests and metrics
};

struct Scan {
  std::vector<ModelInfo> models;      // by name, names unique
  std::vector<std::string> folders;   // where models may come and go: what to watch
  std::vector<std::string> problems;  // folders that can't be read, limits that were hit
};

Scan scan(const ScanOptions& options, ScanCache& cache);

}  // namespace skep::model
