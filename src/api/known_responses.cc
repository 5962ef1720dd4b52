#include "api/known_responses.h"

#include <algorithm>
#include <cstring>

namespace skep::api {
namespace {

constexpr size_t kLongestBody = 64 << 10;  // of a request

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool same_beginning(std::string_view name, std::string_view small) {
  return name.size() >= small.size() &&
         std::equal(small.begin(), small.end(), name.begin(), [](char a, char b) { return a == lower(b); });
}

// Those that wire/task_fields.h reads. Who asks is in the key as the caller.
bool decides(std::string_view header) {
  return same_beginning(header, "x-skep-") || (header.size() == 13 && same_beginning(header, "cache-control"));
}

// With its length, so that no two requests give the same bytes.
void field(std::string& bytes, std::string_view value) {
  const auto size = static_cast<uint64_t>(value.size());
  bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
  bytes.append(value);
}

}  // namespace

size_t KnownResponses::KeyHash::operator()(const Key& key) const {
  size_t hash = 0;
  std::memcpy(&hash, key.data(), sizeof hash);
  return hash;
}

std::optional<KnownResponses::Key> KnownResponses::key_of(const HttpRequest& request) const {
  if (answers_ == nullptr || request.body.size() > kLongestBody) return std::nullopt;
  std::string bytes;
  bytes.reserve(request.body.size() + 256);
  for (const std::string_view part : {std::string_view(request.method), std::string_view(request.path),
                                      std::string_view(request.query), std::string_view(request.caller.name)}) {
    field(bytes, part);
  }
  field(bytes, request.body);
  for (const auto& [name, value] : request.headers) {
    if (!decides(name)) continue;
    std::string small = name;
    std::transform(small.begin(), small.end(), small.begin(), lower);
    field(bytes, small);
    field(bytes, value);
  }
  return sha256(bytes);
}

std::optional<KnownResponses::Found> KnownResponses::find(const Key& key) {
  const auto at = index_.find(key);
  if (at == index_.end()) return std::nullopt;
  auto hit = answers_->take(at->second->known.ticket);
  if (!hit) {
    drop(at->second);
    return std::nullopt;
  }
  entries_.splice(entries_.begin(), entries_, at->second);
  return Found{&entries_.front().known, std::move(*hit)};
}

void KnownResponses::keep(const Key& key, agent::TaskId task, std::string_view body) {
  auto ticket = answers_ != nullptr ? answers_->ticket(task) : std::nullopt;
  if (!ticket) return;
  if (const auto old = index_.find(key); old != index_.end()) drop(old->second);
  entries_.push_front({key, {std::move(*ticket), std::string(body)}});
  index_[key] = entries_.begin();
  size_ += bytes_of(entries_.front());
  while (size_ > limit_) drop(std::prev(entries_.end()));
}

Bytes KnownResponses::bytes_of(const Entry& entry) {
  const auto& route = entry.known.ticket.route;
  const size_t texts = entry.known.body.size() + entry.known.ticket.agent.size() + route.model.size() +
                       route.tier.size() + route.reason.size();
  constexpr size_t kAround = 128;  // of a list's and an index's node
  return Bytes(static_cast<int64_t>(sizeof(Entry) + kAround + texts));
}

void KnownResponses::drop(Entries::iterator entry) {
  size_ -= bytes_of(*entry);
  index_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace skep::api
