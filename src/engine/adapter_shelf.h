#pragma once
// The LoRA adapters that are loaded beside a model, inside the bytes that were set aside for them. One is held by every
// sequence that computes with it, waiting ones included; of those that nobody holds the longest unused goes when
// another needs its place.
//
// An adapter is known by its file: path, size and time of change. The key that results from it scopes the sharing of
// KV cells, as a cell computed with one adapter is wrong for every other.

#include <cstdint>
#include <list>
#include <string>
#include <utility>

#include "base/units.h"
#include "engine/forward.h"

namespace skep::engine {

class AdapterShelf {
  struct Adapter;

 public:
  // Counts in an adapter for as long as it lives. Empty: the model as it is. The shelf outlives it.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept : adapter_(std::exchange(other.adapter_, nullptr)) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(adapter_, other.adapter_);
      return *this;
    }
    ~Hold() {
      if (adapter_ != nullptr) --adapter_->holds;
    }
    [[nodiscard]] AdapterId id() const { return adapter_ == nullptr ? 0 : adapter_->id; }
    [[nodiscard]] const std::string& key() const;  // empty for the model as it is

   private:
    friend class AdapterShelf;
    explicit Hold(Adapter& adapter) : adapter_(&adapter) { ++adapter.holds; }
    Adapter* adapter_ = nullptr;
  };

  AdapterShelf(Forward& forward, Bytes room) : forward_(forward), room_(room) {}

  // Loads it if need be. not_found (no such file); out_of_memory (more than the room, with the numbers); overloaded
  // (others that are in use leave no room now); and what Forward::load_adapter() says.
  Result<Hold> take(const std::string& path);

  [[nodiscard]] int count() const { return static_cast<int>(adapters_.size()); }
  [[nodiscard]] Bytes bytes() const { return bytes_; }

 private:
  struct Adapter {
    std::string path, key;
    Bytes bytes;
    AdapterId id = 0;
    int holds = 0;
  };
  bool make_room(Bytes bytes);

  Forward& forward_;
  Bytes room_, bytes_;
  std::list<Adapter> adapters_;  // the longest unused first
};

}  // namespace skep::engine
