#pragma once
// A small data-parallel pool: run(n, f) calls f(chunk) for every chunk in [0, n) on all threads and returns when the
// last is done. Every thread has a share of the chunks, the same one in every run of as many chunks, so that what a
// chunk works on stays in its core's cache. Chunks are handed out one at a time, and who has finished its own share
// goes on with what is left of the others': a core that a busy neighbour slows down takes fewer chunks instead of
// stalling the rest. The caller works too: a pool of 1 thread has no worker at all.
//
// Between runs the workers spin for a short while, then yield, then sleep: back-to-back steps cost no system call, an
// idle population costs no CPU. Workers are pinned only where the machine is ours alone (Pinning::automatic looks at
// the load and at the number of allowed CPUs); a pinned spinner beside a busy neighbour is the slowest thing there is.
//
// Thread: run() from one thread at a time. The function must not throw and must not call run() of the same pool.

#include <cstdint>
#include <memory>
#include <type_traits>

namespace skep::kernel {

enum class Pinning : uint8_t { automatic, never, always };

class ThreadPool {
 public:
  // threads = 0: as many as the CPUs that this process may use.
  static std::unique_ptr<ThreadPool> create(int threads = 0, Pinning pinning = Pinning::automatic);
  virtual ~ThreadPool() = default;

  [[nodiscard]] virtual int threads() const = 0;

  // Calls function(context, chunk, thread) for every chunk; thread in [0, threads()) is unique among those at work, for
  // per-thread scratch. Allocates nothing.
  using Function = void (*)(void* context, uint32_t chunk, uint32_t thread);
  virtual void run(uint32_t chunks, Function function, void* context) = 0;

  // The same for a callable (chunk, thread).
  template <typename F>
  void run(uint32_t chunks, F&& callable) {
    run(
        chunks,
        [](void* f, uint32_t chunk, uint32_t thread) { (*static_cast<std::remove_reference_t<F>*>(f))(chunk, thread); },
        const_cast<void*>(static_cast<const void*>(&callable)));
  }
};

}  // namespace skep::kernel
