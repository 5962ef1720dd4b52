#include "side_process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

namespace skep::bench {
namespace {

// Resident pages of this process, in bytes.
int64_t resident_bytes() {
  long size = 0;
  long resident = 0;
  std::FILE* f = std::fopen("/proc/self/statm", "r");
  if (f == nullptr) return 0;
  const bool read = std::fscanf(f, "%ld %ld", &size, &resident) == 2;
  std::fclose(f);
  return read ? resident * sysconf(_SC_PAGESIZE) : 0;
}

}  // namespace

Result<Bytes> resident_after(const std::function<bool()>& work) {
  int ends[2];
  if (pipe(ends) != 0) return fail(ErrorCode::io, "pipe failed");
  const pid_t child = fork();
  if (child < 0) return fail(ErrorCode::io, "fork failed");
  if (child == 0) {
    const int64_t bytes = work() ? resident_bytes() : 0;
    const bool written = write(ends[1], &bytes, sizeof bytes) == sizeof bytes;
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  int64_t bytes = 0;
  const bool told = read(ends[0], &bytes, sizeof bytes) == sizeof bytes;
  close(ends[0]);
  waitpid(child, nullptr, 0);
  if (!told || bytes == 0) return fail(ErrorCode::internal, "the measured process failed");
  return Bytes(bytes);
}

}  // namespace skep::bench
