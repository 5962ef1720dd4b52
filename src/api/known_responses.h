#pragma once
// Responses by the bytes of their requests: an exact hit that came before is answered without reading its JSON. What is
// kept is the body's part that is the same each time; its id and time are made anew. Whether the answer still holds is
// the response cache's word at each request (agent/known_answers.h), and keys, roles and rates are checked before.
//
// Bounded by bytes: what was used longest ago goes first. Lives in ApiServer, on the loop.

#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/known_answers.h"
#include "api/http_message.h"
#include "base/units.h"

namespace skep::api {

class KnownResponses {
 public:
  using Key = Sha256;  // over everything of a request that decides what it asks for, and who asks

  struct Known {
    agent::KnownAnswers::Ticket ticket;
    std::string body;  // behind the id and the time
  };

  // `answers` may be null: nothing is kept, nothing found.
  explicit KnownResponses(agent::KnownAnswers* answers, Bytes limit = 16_MiB) : answers_(answers), limit_(limit) {}

  // Unset: too long to be looked up, or nothing is kept here.
  [[nodiscard]] std::optional<Key> key_of(const HttpRequest& request) const;

  struct Found {
    const Known* known;  // until the next call
    agent::KnownAnswers::Hit hit;
  };
  std::optional<Found> find(const Key& key);

  // Of a task that hears finished() at this moment: kept if its answer came from the cache's memory.
  void keep(const Key& key, agent::TaskId task, std::string_view body);

  [[nodiscard]] Bytes size() const { return size_; }

 private:
  struct Entry {
    Key key;
    Known known;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  using Entries = std::list<Entry>;
  static Bytes bytes_of(const Entry& entry);
  void drop(Entries::iterator entry);

  agent::KnownAnswers* answers_;
  Bytes limit_, size_;
  Entries entries_;  // the last used first
  std::unordered_map<Key, Entries::iterator, KeyHash> index_;
};

}  // namespace skep::api
