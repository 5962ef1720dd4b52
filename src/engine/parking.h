#pragma once
// Where the contents of KV cells wait outside the cache. The seam between KvCache and what holds the bytes (host
// memory, disk: ParkingLot), which may forget anything at any time.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "engine/messages.h"
#include "engine/scope.h"

namespace skep::engine {

class Parking {
 public:
  using Ticket = uint64_t;  // 0: none

  virtual ~Parking() = default;

  // Bytes that it could hold at all, and of one entry.
  [[nodiscard]] virtual int64_t room() const = 0;
  [[nodiscard]] virtual int64_t largest_entry() const = 0;

  // Takes the cells of the last tokens of `prefix`, those at [begin, prefix.size()). 0: no room, or not worth it.
  virtual Ticket put(const Scope& scope, std::span<const Token> prefix, int begin, std::string bytes) = 0;
  // Waits until all that was put and fits is on disk, where there is one.
  virtual void sync() = 0;
  [[nodiscard]] virtual bool holds(Ticket ticket) const = 0;
  // The bytes, checked. They stay parked as well, so that evicting the cells again costs nothing.
  virtual Result<std::shared_ptr<const std::string>> get(Ticket ticket) = 0;
  virtual void erase(Ticket ticket) = 0;
  // So long it took to bring so many bytes from host memory into the cache: what pays() reckons with.
  virtual void restored(int64_t bytes, Duration took) = 0;
  // Is reading it back cheaper than evaluating its tokens again?
  [[nodiscard]] virtual bool pays(Ticket ticket) const = 0;
};

}  // namespace skep::engine
