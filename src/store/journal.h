#pragma once
// The file that bridges the time between a write's acknowledgement and its way into LMDB: records appended one after
// another, each with a checksum. What append() has returned for survives the death of the process, since it is with the
// kernel; sync() makes it survive the death of the machine.
//
//   header   8 bytes magic "skepjrn1", u64 generation, u64 checksum of both
//   record   u32 length, u64 XXH3-64 (seed: generation) of the body, body
//
// The file is used again and again: start() begins a new generation at its head, and old records behind the new ones
// fail their checksums, because the generation is the seed.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace skep::store {

// The operating system's words for a failed call, with ErrorCode::io; `unavailable` where there is no room on the disk.
Error system_error(const std::string& what, int number);
// No room: the disk, the quota or the file-size limit is used up.
bool out_of_space(int number);

class Journal {
 public:
  static constexpr Bytes kReserve = 4_MiB;  // the disk's room is asked for in such steps

  static Result<Journal> open(const std::string& path);
  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&&) = delete;
  ~Journal();

  struct Replay {
    uint64_t generation = 0;  // 0: nothing was ever written here
    size_t records = 0;
  };
  // Hands every whole record of the file's generation to `each`, in order; ends at the first that is torn.
  Result<Replay> replay(const std::function<Status(std::string_view body)>& each) const;

  // Begins a new generation, higher than any before; what the file held is gone.
  Status start(uint64_t generation);
  // All or nothing: after a failure the journal stands where it stood. unavailable: the disk is full.
  Status append(std::string_view body);
  Status sync();
  // Nothing stands behind this generation's records any more (`all`: nor do they), not even on the disk.
  Status wipe(bool all);
  // Takes room for some more records from the disk now: whether the next append would find it.
  Status make_room();

  [[nodiscard]] uint64_t generation() const { return generation_; }
  [[nodiscard]] int64_t size() const { return end_; }  // bytes in use

 private:
  Journal(int file, std::string path) : file_(file), path_(std::move(path)) {}
  Status reserve(int64_t end);

  int file_;
  std::string path_;
  uint64_t generation_ = 0;
  int64_t end_ = 0, reserved_ = 0;
};

}  // namespace skep::store
