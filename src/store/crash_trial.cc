#include "store/crash_trial.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <thread>

#include "base/random.h"

namespace skep::store {
namespace {

constexpr std::string_view kSpace = "crash";
constexpr int kRing = 40;  // rows are written again and again, so that old pages are reused

// What update n writes: two rows that belong together, of a size that depends on n, and the number itself.
std::string row(int64_t n, char half) {
  std::string text = std::to_string(n) + half;
  size_t size = 20 + static_cast<size_t>(mix_bits(static_cast<uint64_t>(n)) % 6000);
  uint64_t state = static_cast<uint64_t>(n);
  while (text.size() < size) text += static_cast<char>('a' + (state = mix_bits(state)) % 26);
  return text;
}

Status write(Store& store, int64_t n) {
  return store.update([&](Store::Update& update) -> Status {
    std::string slot = std::to_string(n % kRing);
    update.put(kSpace, "left" + slot, row(n, 'l'));
    update.put(kSpace, "right" + slot, row(n, 'r'));
    update.put(kSpace, "last", std::to_string(n));
    return {};
  });
}

// The last update that is there, and whether all rows fit it; nullopt: something is torn.
Result<std::optional<int64_t>> check(const Store& store) {
  auto last = store.get(kSpace, "last");
  if (!last) return std::nullopt;
  if (!*last) return std::optional<int64_t>(0);
  int64_t n = std::stoll(**last);
  for (int64_t i = std::max<int64_t>(1, n - kRing + 1); i <= n; ++i) {
    std::string slot = std::to_string(i % kRing);
    auto left = store.get(kSpace, "left" + slot);
    auto right = store.get(kSpace, "right" + slot);
    if (!left || !right || *left != row(i, 'l') || *right != row(i, 'r')) return std::nullopt;
  }
  return std::optional(n);
}

[[noreturn]] void write_until_killed(const CrashOptions& options, int pipe) {
  auto store = Store::open({.folder = options.folder, .durability = options.durability});
  if (!store) ::_exit(3);
  auto last = check(**store);
  if (!last || !*last) ::_exit(4);
  for (int64_t n = **last + 1;; ++n) {
    if (!write(**store, n)) ::_exit(5);
    if (::write(pipe, &n, sizeof n) != sizeof n) ::_exit(6);
  }
}

}  // namespace

Result<CrashResult> CrashTrials::run() {
  Random random(options_.seed);
  CrashResult result;
  int64_t promised = 0;  // the newest acknowledged update
  for (int trial = 0; trial < options_.trials; ++trial) {
    int ends[2];
    if (::pipe(ends) != 0) return fail(ErrorCode::io, "no pipe");
    pid_t child = ::fork();
    if (child < 0) return fail(ErrorCode::io, "no child process");
    if (child == 0) {
      ::close(ends[0]);
      write_until_killed(options_, ends[1]);
    }
    ::close(ends[1]);
    // The time runs from the first acknowledgement, so that the kill hits a child at work; every fifth hits it
    // anywhere, also while it opens the store.
    int64_t n = 0;
    int64_t before = promised;
    bool anywhere = trial % 5 == 4;
    auto life = std::chrono::duration_cast<Duration>(random.uniform() * options_.longest);
    std::thread killer;
    auto arm = [&] {
      killer = std::thread([child, life] {
        std::this_thread::sleep_for(life);
        ::kill(child, SIGKILL);
      });
    };
    if (anywhere) arm();
    while (::read(ends[0], &n, sizeof n) == sizeof n) {
      promised = std::max(promised, n);
      if (!killer.joinable()) arm();
    }
    if (killer.joinable()) killer.join();
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFSIGNALED(status)) {
      if (WEXITSTATUS(status) == 4) ++result.torn;
      if (WEXITSTATUS(status) != 4) {
        return fail(ErrorCode::internal, fmt::format("trial {}: a child ended with {}", trial, WEXITSTATUS(status)));
      }
      return result;
    }
    if (promised > before) ++result.killed_writing;
    result.acknowledged += promised - before;

    auto store = Store::open({.folder = options_.folder, .durability = options_.durability});
    if (!store) return fail(store.error());
    SKEP_TRY(auto last, check(**store));
    if (!last) {
      ++result.torn;
      return result;  // the children could not go on from here
    }
    if (*last < promised) result.lost += promised - *last;
    promised = *last;  // an update may be there that was not acknowledged yet
  }
  return result;
}

}  // namespace skep::store
