#include "measured_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <cstring>

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace skep::bench {
namespace {

double seconds_of(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; }

}  // namespace

Result<Measured> run_measured(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  const auto began = std::chrono::steady_clock::now();
  pid_t child = 0;
  const int failed = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return fail(ErrorCode::io, fmt::format("{}: {}", command[0], std::strerror(failed)));
  int status = 0;
  rusage use{};
  while (::wait4(child, &status, 0, &use) < 0 && errno == EINTR) {
  }
  Measured measured;
  measured.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  measured.cpu_seconds = seconds_of(use.ru_utime) + seconds_of(use.ru_stime);
  measured.peak = Bytes(static_cast<int64_t>(use.ru_maxrss) * 1024);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return fail(ErrorCode::internal, fmt::format("'{}' failed", fmt::join(command, " ")));
  }
  return measured;
}

}  // namespace skep::bench
