#include "side_process.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace skep::bench {
namespace {

// The most that this process has had resident, in bytes: what it held while it worked, not what is left after.
int64_t peak_resident_bytes() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return usage.ru_maxrss * int64_t{1024};
}

}  // namespace

Result<Bytes> resident_after(const std::function<bool()>& work) {
  int ends[2];
  if (pipe(ends) != 0) return fail(ErrorCode::io, "pipe failed");
  const pid_t child = fork();
  if (child < 0) return fail(ErrorCode::io, "fork failed");
  if (child == 0) {
    const int64_t bytes = work() ? peak_resident_bytes() : 0;
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
