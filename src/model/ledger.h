#pragma once
// The book of bytes: who has reserved how much of which memory, and for what. Pure arithmetic: it loads nothing,
// measures nothing and waits for nobody. residency.h reserves here before it starts an engine, corrects the entry by
// what the engine reports, and releases it when the worker's process is gone, not when it was asked to go.
//
// Invariant that the budget rests on: a reservation bounds what its owner's pages can come to (PSS), so weights are
// booked whole even when they are mapped and not yet touched.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "engine/messages.h"

namespace skep::model {

// What an owner needs of one device, by purpose.
struct Reservation {
  std::string device = "host";           // host, gpu0, gpu1 …
  Bytes weights, kv, compute, overhead;  // overhead: the process itself (code, vocabulary, allocator)
  [[nodiscard]] Bytes total() const { return weights + kv + compute + overhead; }
  friend bool operator==(const Reservation&, const Reservation&) = default;
};

// What libllama's simulation (or a loaded engine) says, plus the process's own bytes on the host.
std::vector<Reservation> reservations_for(const engine::Loaded& loaded, Bytes overhead);

class Ledger {
 public:
  struct Book {
    std::string device;
    Bytes capacity;  // that may be reserved
  };
  struct Entry {
    std::string owner;     // "daemon", "engine tinyllama"
    Reservation reserved;  // names the device
    Bytes measured;        // last measured; 0: not yet
  };

  // `unified`: CPU and GPU share one memory (Jetson): what is asked of any device is booked on the first.
  // There is at least one book; devices differ.
  explicit Ledger(std::vector<Book> books, bool unified = false);

  // All of it or nothing: out_of_memory with the numbers when a device has no room, invalid_argument when it is
  // unknown. An owner reserves once; release() comes before the next time.
  Status reserve(const std::string& owner, const std::vector<Reservation>& needs);
  // Replaces what `owner` has by what turned out to be true, even past the capacity; then over() is not zero and it is
  // for the caller to make room.
  void correct(const std::string& owner, const std::vector<Reservation>& truth);
  // Raises the owner's overhead where more was measured than reserved, so that the book never says less than is.
  void record_measured(const std::string& owner, std::string_view device, Bytes measured);
  void release(const std::string& owner);  // nothing happens when it has none

  [[nodiscard]] Bytes capacity(std::string_view device = "host") const;  // 0 for an unknown device
  [[nodiscard]] Bytes reserved(std::string_view device = "host") const;
  [[nodiscard]] Bytes measured(std::string_view device = "host") const;
  [[nodiscard]] Bytes free(std::string_view device = "host") const;  // may be negative after correct()
  [[nodiscard]] Bytes over() const;                                  // sum over devices of what exceeds the capacity

  // What is missing per device for `needs`, given that `leaving` owners will have gone; empty: it fits.
  struct Shortfall {
    std::string device;
    Bytes missing;
  };
  [[nodiscard]] Result<std::vector<Shortfall>> shortfall(const std::vector<Reservation>& needs,
                                                         const std::vector<std::string>& leaving = {}) const;

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] Bytes reserved_by(std::string_view owner, std::string_view device) const;
  [[nodiscard]] Bytes reserved_by(std::string_view owner) const;  // on all devices
  [[nodiscard]] const std::vector<Book>& books() const { return books_; }

 private:
  [[nodiscard]] std::string_view book_of(std::string_view device) const;  // the device it is booked on, or empty
  [[nodiscard]] std::vector<Reservation> booked(const std::vector<Reservation>& needs) const;  // merged per book

  std::vector<Book> books_;
  bool unified_;
  std::vector<Entry> entries_;
};

}  // namespace skep::model
