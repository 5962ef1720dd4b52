#include "model/ledger.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace skep::model {

std::vector<Reservation> reservations_for(const engine::Loaded& loaded, Bytes overhead) {
  std::vector<Reservation> needs;
  for (const engine::MemoryUse& use : loaded.memory) {
    auto known = std::ranges::find(needs, use.device, &Reservation::device);
    if (known == needs.end()) known = needs.insert(needs.end(), Reservation{.device = use.device});
    known->weights += use.weights;
    known->kv += use.kv;
    known->compute += use.compute;
  }
  if (overhead > Bytes(0)) {
    auto host = std::ranges::find(needs, "host", &Reservation::device);
    if (host == needs.end()) host = needs.insert(needs.begin(), Reservation{.device = "host"});
    host->overhead += overhead;
  }
  return needs;
}

Ledger::Ledger(std::vector<Book> books, bool unified) : books_(std::move(books)), unified_(unified) {
  assert(!books_.empty());
  for (size_t i = 0; i < books_.size(); ++i) {
    assert(books_[i].capacity >= Bytes(0));
    for (size_t j = 0; j < i; ++j) assert(books_[i].device != books_[j].device);
  }
}

std::string_view Ledger::book_of(std::string_view device) const {
  if (unified_) return books_.front().device;
  auto book = std::ranges::find(books_, device, &Book::device);
  return book == books_.end() ? std::string_view() : std::string_view(book->device);
}

std::vector<Reservation> Ledger::booked(const std::vector<Reservation>& needs) const {
  std::vector<Reservation> merged;
  for (const Reservation& need : needs) {
    std::string_view book = book_of(need.device);
    auto known = std::ranges::find(merged, book, &Reservation::device);
    if (known == merged.end()) {
      merged.push_back(need);
      merged.back().device = book;
      continue;
    }
    known->weights += need.weights;
    known->kv += need.kv;
    known->compute += need.compute;
    known->overhead += need.overhead;
  }
  return merged;
}

Result<std::vector<Ledger::Shortfall>> Ledger::shortfall(const std::vector<Reservation>& needs,
                                                         const std::vector<std::string>& leaving) const {
  for (const Reservation& need : needs) {
    if (!book_of(need.device).empty()) continue;
    return fail(ErrorCode::invalid_argument, fmt::format("no memory budget is known for the device {}", need.device),
                "name it under `memory` in the configuration, or load with gpu_layers: 0");
  }
  std::vector<Shortfall> missing;
  for (const Reservation& need : booked(needs)) {
    Bytes room = free(need.device);
    for (const Entry& entry : entries_) {
      if (entry.reserved.device == need.device && std::ranges::find(leaving, entry.owner) != leaving.end())
        room += entry.reserved.total();
    }
    if (need.total() > room) missing.push_back({need.device, need.total() - room});
  }
  return missing;
}

Status Ledger::reserve(const std::string& owner, const std::vector<Reservation>& needs) {
  assert(std::ranges::find(entries_, owner, &Entry::owner) == entries_.end() && "an owner reserves once");
  SKEP_TRY(std::vector<Shortfall> missing, shortfall(needs));
  if (!missing.empty()) {
    const Shortfall& first = missing.front();
    return fail(ErrorCode::out_of_memory,
                fmt::format("{} needs {} more on {}: {} of {} are reserved", owner, to_string(first.missing),
                            first.device, to_string(reserved(first.device)), to_string(capacity(first.device))));
  }
  for (Reservation& need : booked(needs)) {
    assert(need.weights >= Bytes(0) && need.kv >= Bytes(0) && need.compute >= Bytes(0) && need.overhead >= Bytes(0));
    entries_.push_back({.owner = owner, .reserved = std::move(need), .measured = {}});
  }
  return {};
}

void Ledger::correct(const std::string& owner, const std::vector<Reservation>& truth) {
  std::vector<Entry> before = entries_;
  release(owner);
  for (Reservation& need : booked(truth)) {
    if (need.device.empty()) continue;  // a device without a book: nothing to hold it against
    Bytes measured;
    for (const Entry& entry : before) {
      if (entry.owner == owner && entry.reserved.device == need.device) measured = entry.measured;
    }
    entries_.push_back({.owner = owner, .reserved = std::move(need), .measured = measured});
  }
}

void Ledger::record_measured(const std::string& owner, std::string_view device, Bytes measured) {
  std::string_view book = book_of(device);
  for (Entry& entry : entries_) {
    if (entry.owner != owner || entry.reserved.device != book) continue;
    entry.measured = measured;
    if (Bytes excess = measured - entry.reserved.total(); excess > Bytes(0)) entry.reserved.overhead += excess;
  }
}

void Ledger::release(const std::string& owner) {
  std::erase_if(entries_, [&](const Entry& entry) { return entry.owner == owner; });
}

Bytes Ledger::capacity(std::string_view device) const {
  auto book = std::ranges::find(books_, book_of(device), &Book::device);
  return book == books_.end() ? Bytes(0) : book->capacity;
}

Bytes Ledger::reserved(std::string_view device) const {
  Bytes sum;
  for (const Entry& entry : entries_) {
    if (entry.reserved.device == book_of(device)) sum += entry.reserved.total();
  }
  return sum;
}

Bytes Ledger::measured(std::string_view device) const {
  Bytes sum;
  for (const Entry& entry : entries_) {
    if (entry.reserved.device == book_of(device)) sum += entry.measured;
  }
  return sum;
}

Bytes Ledger::free(std::string_view device) const { return capacity(device) - reserved(device); }

Bytes Ledger::over() const {
  Bytes sum;
  for (const Book& book : books_) sum += std::max(Bytes(0), Bytes(0) - free(book.device));
  return sum;
}

Bytes Ledger::reserved_by(std::string_view owner, std::string_view device) const {
  Bytes sum;
  for (const Entry& entry : entries_) {
    if (entry.owner == owner && entry.reserved.device == book_of(device)) sum += entry.reserved.total();
  }
  return sum;
}

Bytes Ledger::reserved_by(std::string_view owner) const {
  Bytes sum;
  for (const Entry& entry : entries_) {
    if (entry.owner == owner) sum += entry.reserved.total();
  }
  return sum;
}

}  // namespace skep::model
