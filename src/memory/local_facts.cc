#include "memory/local_facts.h"

#include <xxhash.h>

#include <algorithm>
#include <cassert>
#include <functional>
#include <utility>

namespace skep::memory {
namespace {

constexpr size_t kForgetBatch = 100'000;
constexpr size_t kCandidates = 48;  // of either kind, for a few hits

uint64_t hash_of(const std::string& agent, const std::string& text) {
  const std::string key = agent + '\0' + normalized(text);
  return XXH3_64bits(key.data(), key.size());
}

}  // namespace

// --- changing ---

Status LocalFacts::append(const std::vector<FactRecord>& records) {
  std::string frames;
  for (const FactRecord& record : records) frames += frame(record);
  SKEP_CHECK(log_->append(frames));
  sequence_ += records.size();
  if (options_.durability == Durability::power) SKEP_CHECK(log_->sync());
  return {};
}

Status LocalFacts::check_vector(const std::vector<float>& vector) const {
  const size_t dimensions = index_ ? index_->dimensions() : 0;
  if (vector.empty() || vector.size() == dimensions) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("a vector has {} dimensions, the embedder's have {}", vector.size(), dimensions));
}

std::optional<FactId> LocalFacts::same_text(const NewFact& fact) const {
  const auto found = by_hash_.find(hash_of(fact.agent, fact.text));
  if (found == by_hash_.end()) return std::nullopt;
  const Fact& known = facts_.at(found->second);
  if (known.agent != fact.agent || normalized(known.text) != normalized(fact.text)) return std::nullopt;
  return known.id;
}

std::optional<FactId> LocalFacts::same_meaning(const NewFact& fact, const QuantizedVector& vector) const {
  if (vector.empty() || !index_) return std::nullopt;
  Filter own;
  own.agent = fact.agent;
  own.with_shared = false;
  for (const auto& near : nearest(vector, own, 3)) {
    if (near.similarity < options_.scoring.same) break;
    if (!differ_in_detail(facts_.at(near.id).text, fact.text)) return near.id;
  }
  return std::nullopt;
}

Result<std::vector<Added>> LocalFacts::add(std::vector<NewFact> facts) {
  for (NewFact& fact : facts) {
    SKEP_CHECK(check(fact));
    SKEP_CHECK(check_vector(fact.vector));
  }
  // What each becomes is decided first, written in one piece, and then applied.
  std::vector<Added> added;
  std::vector<FactRecord> records;
  std::unordered_map<uint64_t, size_t> of_this_batch;  // hash → record
  std::unordered_map<FactId, size_t> renewals;         // known fact → record
  FactId next = next_;
  const auto merge_tags = [](std::vector<std::string>& into, const std::vector<std::string>& more) {
    into.insert(into.end(), more.begin(), more.end());
    std::sort(into.begin(), into.end());
    into.erase(std::unique(into.begin(), into.end()), into.end());
    if (into.size() > kMostTags) into.resize(kMostTags);
  };
  for (NewFact& fact : facts) {
    const uint64_t hash = hash_of(fact.agent, fact.text);
    if (const auto twin = of_this_batch.find(hash); twin != of_this_batch.end()) {
      auto& first = std::get<AddRecord>(records[twin->second]).fact;
      merge_tags(first.tags, fact.tags);
      first.time = std::max(first.time, fact.time);
      added.push_back({first.id, true});
      continue;
    }
    QuantizedVector vector = fact.vector.empty() ? QuantizedVector() : quantize(fact.vector);
    auto known = same_text(fact);
    if (!known && !fact.verbatim) known = same_meaning(fact, vector);
    if (known) {
      const auto [renewal, first] = renewals.emplace(*known, records.size());
      if (first) records.emplace_back(RenewRecord{*known, facts_.at(*known).time, facts_.at(*known).tags});
      auto& renewed = std::get<RenewRecord>(records[renewal->second]);
      renewed.time = std::max(renewed.time, fact.time);
      merge_tags(renewed.tags, fact.tags);
      added.push_back({*known, true});
      continue;
    }
    of_this_batch.emplace(hash, records.size());
    added.push_back({next, false});
    records.emplace_back(AddRecord{
        {next++, std::move(fact.agent), std::move(fact.text), std::move(fact.source), std::move(fact.tags), fact.time},
        std::move(vector)});
  }
  SKEP_CHECK(append(records));
  for (FactRecord& record : records) apply(std::move(record));
  return added;
}

void LocalFacts::insert(Fact fact, const QuantizedVector& vector) {
  const FactId id = fact.id;
  if (id == 0) return;  // none of ours
  next_ = std::max(next_, id + 1);
  auto& of_agent = by_agent_[fact.agent];  // ids come in their order, but for a damaged log
  if (of_agent.empty() || of_agent.back() < id) {
    of_agent.push_back(id);
  } else if (const auto at = std::lower_bound(of_agent.begin(), of_agent.end(), id);
             at == of_agent.end() || *at != id) {
    of_agent.insert(at, id);
  }
  by_hash_[hash_of(fact.agent, fact.text)] = id;
  if (index_ && vector.bytes.size() == kernel::padded_length(index_->dimensions())) {
    if (!index_->contains(id)) index_->add(id, vector);
  } else {
    without_vector_.insert(id);
  }
  // A damaged log may bring an id twice: the last counts.
  if (const auto known = facts_.find(id); known != facts_.end()) text_.erase(known->second);
  text_.add(facts_.insert_or_assign(facts_.end(), id, std::move(fact))->second);
}

void LocalFacts::renew(FactId id, WallTime time, std::vector<std::string> tags) {
  const auto found = facts_.find(id);
  if (found == facts_.end()) return;
  Fact& fact = found->second;
  fact.time = time;
  if (fact.tags == tags) return;
  text_.erase(fact);
  fact.tags = std::move(tags);
  text_.add(fact);
}

void LocalFacts::erase(FactId id) {
  const auto found = facts_.find(id);
  if (found == facts_.end()) return;
  const Fact& fact = found->second;
  text_.erase(fact);
  if (const auto known = by_hash_.find(hash_of(fact.agent, fact.text));
      known != by_hash_.end() && known->second == id) {
    by_hash_.erase(known);
  }
  const auto agent = by_agent_.find(fact.agent);
  // The last first is cheap: forget() goes backwards.
  agent->second.erase(std::lower_bound(agent->second.begin(), agent->second.end(), id));
  if (agent->second.empty()) by_agent_.erase(agent);
  if (index_) index_->erase(id);
  without_vector_.erase(id);
  facts_.erase(found);
}

void LocalFacts::apply(FactRecord&& record) {
  struct Visitor {
    LocalFacts& self;
    void operator()(HeadRecord&) const {}
    void operator()(EndRecord&) const {}
    void operator()(AddRecord& r) const { self.insert(std::move(r.fact), r.vector); }
    void operator()(RenewRecord& r) const { self.renew(r.id, r.time, std::move(r.tags)); }
    void operator()(ForgetRecord& r) const {
      for (const FactId id : r.ids) self.erase(id);
      self.purge_due_ = true;
    }
    void operator()(EmbedderRecord& r) const { self.set_embedder(r.embedder, r.dimensions); }
    void operator()(VectorRecord& r) const {
      if (!self.index_ || !self.facts_.contains(r.id) ||
          r.vector.bytes.size() != kernel::padded_length(self.index_->dimensions())) {
        return;
      }
      self.index_->erase(r.id);
      self.index_->add(r.id, r.vector);
      self.without_vector_.erase(r.id);
    }
  };
  std::visit(Visitor{*this}, record);
}

void LocalFacts::set_embedder(const std::string& identity, size_t dimensions) {
  embedder_ = identity;
  index_.reset();
  without_vector_.clear();
  for (const auto& [id, fact] : facts_) without_vector_.insert(without_vector_.end(), id);
  if (dimensions > 0) index_.emplace(dimensions, options_.index);
}

Status LocalFacts::use_embedder(const std::string& identity, size_t dimensions) {
  if (dimensions == 0 || dimensions > kernel::kLongestVector) {
    return fail(ErrorCode::invalid_argument, fmt::format("vectors of {} dimensions", dimensions));
  }
  if (index_ && embedder_ == identity && index_->dimensions() == dimensions) return {};
  EmbedderRecord record{static_cast<uint32_t>(dimensions), identity};
  SKEP_CHECK(append({record}));
  set_embedder(identity, dimensions);
  return {};
}

Result<std::vector<Fact>> LocalFacts::without_vector(size_t limit, FactId after) {
  std::vector<Fact> some;
  for (auto id = without_vector_.upper_bound(after); id != without_vector_.end() && some.size() < limit; ++id) {
    some.push_back(facts_.at(*id));
  }
  return some;
}

Status LocalFacts::set_vectors(const std::vector<std::pair<FactId, std::vector<float>>>& vectors) {
  std::vector<FactRecord> records;
  for (const auto& [id, vector] : vectors) {
    SKEP_CHECK(check_vector(vector));
    if (!vector.empty() && facts_.contains(id)) records.emplace_back(VectorRecord{id, quantize(vector)});
  }
  SKEP_CHECK(append(records));
  for (FactRecord& record : records) apply(std::move(record));
  return {};
}

Result<size_t> LocalFacts::forget(const std::vector<FactId>& ids) {
  std::vector<FactRecord> records;
  size_t count = 0;
  std::set<FactId> known;
  for (const FactId id : ids) {
    if (facts_.contains(id)) known.insert(id);
  }
  for (auto at = known.rbegin(); at != known.rend();) {
    ForgetRecord record;
    for (; at != known.rend() && record.ids.size() < kForgetBatch; ++at) record.ids.push_back(*at);
    count += record.ids.size();
    records.emplace_back(std::move(record));
  }
  if (count == 0) return size_t{0};
  SKEP_CHECK(append(records));
  SKEP_CHECK(log_->sync());
  for (FactRecord& record : records) apply(std::move(record));
  SKEP_CHECK(fold());
  return count;
}

Result<size_t> LocalFacts::forget(const Filter& filter) {
  std::vector<FactId> ids;
  for (const FactId id : ids_of(filter)) {
    if (filter.matches(facts_.at(id))) ids.push_back(id);
  }
  return forget(ids);
}

// --- searching ---

std::vector<FactId> LocalFacts::ids_of(const Filter& filter) const {
  std::vector<FactId> ids;
  if (!filter.agent) {
    ids.reserve(facts_.size());
    for (const auto& [id, fact] : facts_) ids.push_back(id);
    return ids;
  }
  const auto take = [&](const std::string& agent) {
    if (const auto found = by_agent_.find(agent); found != by_agent_.end()) {
      ids.insert(ids.end(), found->second.begin(), found->second.end());
    }
  };
  take(*filter.agent);
  if (filter.with_shared && !filter.agent->empty()) take("");
  return ids;
}

// Scans where the filter leaves few; else asks the graph for as many more as the filter will throw away, and scans
// after all when that was not enough.
std::vector<VectorIndex::Neighbour> LocalFacts::nearest(const QuantizedVector& query, const Filter& filter,
                                                        size_t k) const {
  const auto fits = [&](FactId id) { return filter.matches(facts_.at(id)); };
  const bool open = !filter.agent && filter.tags.empty() && !filter.from && !filter.to;
  if (open) return index_->search(query, k);
  size_t left = facts_.size();
  if (filter.agent) {
    const auto count = [&](const std::string& agent) {
      const auto found = by_agent_.find(agent);
      return found == by_agent_.end() ? size_t{0} : found->second.size();
    };
    left = count(*filter.agent) + (filter.with_shared && !filter.agent->empty() ? count("") : 0);
  }
  std::vector<VectorIndex::Neighbour> found;
  if (left > options_.scan_at_most) {
    const size_t more = std::min<size_t>(1024, k * (2 + facts_.size() / left));
    found = index_->search(query, more);
    std::erase_if(found, [&](const auto& one) { return !fits(one.id); });
    if (found.size() >= k) {
      found.resize(k);
      return found;
    }
  }
  std::vector<FactId> ids = ids_of(filter);
  if (!filter.tags.empty() || filter.from || filter.to) std::erase_if(ids, [&](FactId id) { return !fits(id); });
  return index_->search_among(ids, query, k);
}

Result<std::vector<Hit>> LocalFacts::search(const Query& query) {
  if (query.limit == 0 || query.limit > kMostHits) {
    return fail(ErrorCode::invalid_argument, fmt::format("limit is {}, must be 1 to {}", query.limit, kMostHits));
  }
  SKEP_CHECK(check_vector(query.vector));
  const size_t candidates = std::max(kCandidates, 2 * query.limit);
  const QuantizedVector vector = query.vector.empty() ? QuantizedVector() : quantize(query.vector);
  std::map<FactId, Hit> hits;
  if (!vector.empty()) {
    for (const auto& near : nearest(vector, query.filter, candidates)) hits[near.id].similarity = near.similarity;
  }
  const bool timed = query.filter.from || query.filter.to;
  const auto in_time = [&](FactId id) { return query.filter.matches(facts_.at(id)); };
  const auto matches =
      text_.search(query.text, query.filter, candidates, timed ? in_time : std::function<bool(FactId)>());
  for (const auto& match : matches) {
    Hit& hit = hits[match.id];
    hit.text_score = match.bm25 / matches.front().bm25;
    if (!vector.empty() && hit.similarity == 0) hit.similarity = index_->similarity(match.id, vector).value_or(0);
  }
  std::vector<Hit> best;
  for (auto& [id, hit] : hits) {
    hit.fact = facts_.at(id);
    best.push_back(std::move(hit));
  }
  rank(best, options_.scoring, query, !vector.empty(), !matches.empty());
  return best;
}

Result<std::vector<Fact>> LocalFacts::list(const Filter& filter, FactId after, size_t limit) {
  std::vector<Fact> some;
  if (filter.agent) {
    std::vector<FactId> ids = ids_of(filter);
    std::sort(ids.begin(), ids.end());
    for (auto at = std::upper_bound(ids.begin(), ids.end(), after); at != ids.end() && some.size() < limit; ++at) {
      if (const Fact& fact = facts_.at(*at); filter.matches(fact)) some.push_back(fact);
    }
    return some;
  }
  for (auto at = facts_.upper_bound(after); at != facts_.end() && some.size() < limit; ++at) {
    if (filter.matches(at->second)) some.push_back(at->second);
  }
  return some;
}

// --- idle moments ---

bool LocalFacts::work() {
  if (index_ && index_->unindexed() > 0 && index_->index_some(16)) return true;
  // A graph of waypoints only leads nowhere: what is left of it is linked anew.
  if (index_ && index_->erased() > 1000 && index_->erased() > index_->size() / 2) {
    VectorIndex fresh(index_->dimensions(), options_.index);
    for (const auto& [id, fact] : facts_) {
      if (const auto vector = index_->vector(id)) fresh.add(id, *vector);
    }
    index_ = std::move(fresh);
    return true;
  }
  const bool outgrown = log_->size() > options_.fold_at && log_->size().count > snapshot_size_.count / 2;
  if (!purge_due_ && !outgrown && !log_->broken()) return false;
  // A folding writes everything: while the disk has no room it is tried more and more seldom.
  if (fold_wait_ > 0) return --fold_wait_, false;
  fold_wait_ = fold_pause_ = fold() ? 0 : std::min<size_t>(1000, 2 * fold_pause_ + 1);
  return false;
}

Status LocalFacts::sync() { return log_->sync(); }

LocalFacts::~LocalFacts() {
  if (log_) static_cast<void>(sync());
}

}  // namespace skep::memory
