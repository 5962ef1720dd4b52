#pragma once
// A file of checksummed records that only grows: the log of facts, and their snapshots. doc/memory.md has the layout.
//
// A process that is killed in mid-write leaves a torn last record; reading stops before it and appending goes on there.
// Damage in the middle (a bad disk) costs the records it hit: reading resumes at the next whole one, and says so.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "memory/fact_record.h"

namespace skep::memory {

enum class FactFileKind : uint32_t { log = 1, snapshot = 2 };

constexpr uint32_t kFactFileVersion = 1;
constexpr size_t kFactFileHeader = 16;    // "skepfact" | u32 version | u32 kind
constexpr size_t kFactRecordHeader = 16;  // u32 length of the payload | u32 kind | u64 XXH3 of kind and payload
constexpr size_t kMostFactRecord = 4U << 20U;

struct FactScan {
  size_t end = 0;      // of the last whole record: where appending goes on
  size_t records = 0;  // whole ones
  size_t torn = 0;     // bytes after `end`
  size_t damaged = 0;  // bytes in the middle that were passed over
};

// Visits the whole records of a file's bytes. corrupt: not a file of this kind and version. A record that is whole but
// does not decode counts as damaged.
Result<FactScan> scan_facts(std::string_view file, FactFileKind kind,
                            const std::function<void(FactRecord&& record)>& visit);

// A record as it stands in a file.
std::string frame(const FactRecord& record);
std::string fact_file_header(FactFileKind kind);

// A log that is appended to. Not thread-safe. After a failed append the file is as it was before it, so a full disk
// loses only what could not be written.
class FactLog {
 public:
  // A new file with this head, safe on disk when it returns; `path` must not exist. After a failure it doesn't.
  static Result<FactLog> create(const std::string& path, const HeadRecord& head);
  // Goes on at `end`, cutting off what is torn.
  static Result<FactLog> open(const std::string& path, size_t end);
  FactLog(FactLog&& other) noexcept;
  FactLog& operator=(FactLog&& other) noexcept;
  ~FactLog();

  // In one write; when it returns a killed process loses nothing of it.
  Status append(std::string_view frames);
  // When it returns, a power cut loses nothing either.
  Status sync();
  [[nodiscard]] Bytes size() const { return Bytes(static_cast<int64_t>(end_)); }
  // It takes no more, since what the disk holds of it is unknown: a fold begins another one.
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  FactLog(std::string path, int fd, size_t end) : path_(std::move(path)), fd_(fd), end_(end) {}
  std::string path_;
  int fd_ = -1;
  size_t end_ = 0;
  bool dirty_ = false;   // written and not synced
  bool broken_ = false;  // a failed append could not be undone: no more of them
};

}  // namespace skep::memory
