#include "store/testing_disk.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/random.h"

namespace skep::store {
namespace {

std::mutex mutex;
Random random_faults(1);

uint32_t draw(uint32_t below) {
  const std::lock_guard lock(mutex);
  return random_faults.below(below);
}

bool strikes(const std::atomic<uint32_t>& one_in) {
  const uint32_t rate = one_in;
  if (rate == 0 || draw(rate) != 0) return false;
  ++TestingDisk::faults;
  return true;
}

ssize_t write_at(int file, const void* bytes, size_t size, off_t at) {
  if (strikes(TestingDisk::bad_writes)) {
    switch (draw(3)) {
      case 0:
        return errno = EIO, -1;
      case 1:
        return errno = ENOSPC, -1;
      default:
        size = std::max<size_t>(size / 2, 1);
    }
  }
  return syscall(SYS_pwrite64, file, bytes, size, at);
}

ssize_t write_vectors(int file, const iovec* parts, int count, off_t at) {
  if (strikes(TestingDisk::bad_writes)) {
    if (draw(2) == 0) return errno = ENOSPC, -1;
    count = std::max(count / 2, 1);
  }
  return syscall(SYS_pwritev, file, parts, count, at, 0);
}

int sync_file(int file, long call) {
  ++TestingDisk::syncs;
  if (TestingDisk::before_sync) TestingDisk::before_sync();
  if (strikes(TestingDisk::bad_syncs)) return errno = EIO, -1;
  return static_cast<int>(syscall(call, file));
}

}  // namespace

std::atomic<uint32_t> TestingDisk::bad_writes = 0, TestingDisk::bad_syncs = 0;
std::atomic<int64_t> TestingDisk::syncs = 0, TestingDisk::faults = 0;
std::function<void()> TestingDisk::before_sync;
void TestingDisk::seed(uint64_t seed) {
  const std::lock_guard lock(mutex);
  random_faults = Random(seed);
}

}  // namespace skep::store

extern "C" {
ssize_t pwrite(int file, const void* bytes, size_t size, off_t at) {
  return skep::store::write_at(file, bytes, size, at);
}
ssize_t pwrite64(int file, const void* bytes, size_t size, off64_t at) {
  return skep::store::write_at(file, bytes, size, at);
}
ssize_t pwritev(int file, const iovec* parts, int count, off_t at) {
  return skep::store::write_vectors(file, parts, count, at);
}
ssize_t pwritev64(int file, const iovec* parts, int count, off64_t at) {
  return skep::store::write_vectors(file, parts, count, at);
}
int fdatasync(int file) { return skep::store::sync_file(file, SYS_fdatasync); }
int fsync(int file) { return skep::store::sync_file(file, SYS_fsync); }
}
