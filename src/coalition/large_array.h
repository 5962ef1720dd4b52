#pragma once
// Vectors that are read here and there: agents, links, sums. From a megabyte on they lie on large pages where the
// kernel has some (madvise). On small ones an update of 100,000 agents, which looks at most of 20 MB in pieces of some
// cache lines, waits for the TLB for a third of its time.

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <vector>

namespace skep::coalition {

template <typename T>
struct LargePages {
  using value_type = T;
  static constexpr size_t page = size_t{2} << 20, from = size_t{1} << 20, line = 64;  // bytes

  LargePages() = default;
  template <typename U>
  LargePages(const LargePages<U>&) {}  // NOLINT(google-explicit-constructor): what an allocator has to be

  // Begins on a cache line, so that what is laid out in lines stays in them.
  T* allocate(size_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes < from) return static_cast<T*>(::operator new (bytes, std::align_val_t{line}));
    const size_t rounded = (bytes + page - 1) / page * page;
    void* const memory = ::operator new (rounded, std::align_val_t{page});
    madvise(memory, rounded, MADV_HUGEPAGE);  // where it fails pages are small
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t count) {
    ::operator delete (memory, std::align_val_t{count * sizeof(T) < from ? line : page});
  }
  friend bool operator==(const LargePages&, const LargePages&) { return true; }
};

template <typename T>
using LargeArray = std::vector<T, LargePages<T>>;

}  // namespace skep::coalition
