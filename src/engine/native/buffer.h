#pragma once
// Uninitialized storage at a cache line's boundary, for numbers that are written before they are read.

#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

namespace skep::engine::native {

template <typename T>
class Buffer {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(size_t count) : size_(count) {
    const size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
    data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes > 0 ? bytes : 64)));
    if (data_ == nullptr) throw std::bad_alloc();
  }
  [[nodiscard]] T* data() const { return data_.get(); }
  [[nodiscard]] size_t bytes() const { return size_ * sizeof(T); }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  size_t size_ = 0;
};

}  // namespace skep::engine::native
