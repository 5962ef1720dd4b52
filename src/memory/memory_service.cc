#include "memory/memory_service.h"

#include "memory/retention.h"

namespace skep::memory {
namespace {

constexpr size_t kFillBatch = 64;
constexpr Duration kFillPause = std::chrono::milliseconds(200);  // between batches: others want the engine too
constexpr Duration kCoreAge = std::chrono::seconds(1);
constexpr Duration kFillRetry = std::chrono::seconds(60);

}  // namespace

MemoryService::MemoryService(EventLoop& loop, Embedder& embedder, MemoryThread& facts, store::KeyValue& values,
                             bool quick)
    : loop_(loop), embedder_(embedder), facts_(facts), values_(values), blocks_(values, loop.clock()), quick_(quick) {}

MemoryService::~MemoryService() {
  *alive_ = false;
  gate_->close();
  loop_.cancel(fill_timer_);
}

// A model that fails costs the vectors, not the fact: it gets one later.
void MemoryService::vectors_of(const std::vector<std::string>& texts, std::function<void(std::vector<Vector>)> done) {
  const auto identity = embedder_.identity();
  if (!identity || texts.empty()) {
    loop_.post([done = std::move(done)] { done({}); });
    return;
  }
  embedder_.embed_each(texts, [this, alive = alive_, identity = *identity,
                               done = std::move(done)](const std::vector<Result<Vector>>& answers) mutable {
    if (!*alive) return;
    std::vector<Vector> vectors;
    size_t dimensions = 0;
    for (const Result<Vector>& answer : answers) {
      if (!answer && !text_is_at_fault(answer.error().code)) return done({});
      vectors.push_back(answer ? *answer : nullptr);
      if (answer && dimensions == 0) dimensions = (*answer)->size();
    }
    if (told_ == identity || dimensions == 0) return done(std::move(vectors));
    facts_.run([identity, dimensions](LongTerm& store) { return store.use_embedder(identity, dimensions); },
               [this, identity, vectors = std::move(vectors), done = std::move(done)](const Status& told) mutable {
                 if (!told) return done({});
                 told_ = identity;
                 fill_in_later(kFillPause);
                 done(std::move(vectors));
               });
  });
}

void MemoryService::add(std::vector<NewFact> facts, Done<std::vector<Added>> done) {
  std::vector<std::string> texts;
  for (NewFact& fact : facts) {
    if (fact.time == WallTime{}) fact.time = loop_.clock().wall();
    texts.push_back(fact.text);
  }
  vectors_of(texts, [this, alive = alive_, facts = std::move(facts),
                     done = std::move(done)](std::vector<Vector> vectors) mutable {
    if (!*alive) return;
    for (size_t i = 0; i < vectors.size(); ++i) {
      if (vectors[i] != nullptr) facts[i].vector = *vectors[i];
    }
    if (vectors.empty()) fill_in_later(kFillRetry);
    facts_.run([facts = std::move(facts)](LongTerm& store) mutable { return store.add(std::move(facts)); },
               std::move(done));
  });
}

void MemoryService::search(Query query, Done<std::vector<Hit>> done) {
  if (query.now == WallTime{}) query.now = loop_.clock().wall();
  std::vector<std::string> texts;
  if (!query.text.empty()) texts.push_back(query.text);
  vectors_of(texts, [this, alive = alive_, query = std::move(query),
                     done = std::move(done)](const std::vector<Vector>& vectors) mutable {
    if (!*alive) return;
    if (!vectors.empty() && vectors.front() != nullptr) query.vector = *vectors.front();
    facts_.run([query = std::move(query)](LongTerm& store) { return store.search(query); }, std::move(done));
  });
}

void MemoryService::list(Filter filter, FactId after, size_t limit, Done<std::vector<Fact>> done) {
  facts_.run([filter = std::move(filter), after, limit](LongTerm& store) { return store.list(filter, after, limit); },
             std::move(done));
}

void MemoryService::forget(std::vector<FactId> ids, Done<size_t> done) {
  facts_.run([ids = std::move(ids)](LongTerm& store) { return store.forget(ids); }, std::move(done));
}

void MemoryService::forget(Filter filter, Done<size_t> done) {
  facts_.run([filter = std::move(filter)](LongTerm& store) { return store.forget(filter); }, std::move(done));
}

void MemoryService::keep_newest(Filter filter, size_t most, WallTime oldest, Done<size_t> done) {
  facts_.run([filter = std::move(filter), most,
              oldest](LongTerm& store) { return memory::keep_newest(store, filter, most, oldest); },
             std::move(done));
}

void MemoryService::forget_agent(std::string agent, Done<Forgotten> done) {
  Filter own;
  own.agent = agent;
  own.with_shared = false;
  forget(own, [this, alive = alive_, agent = std::move(agent), done = std::move(done)](Result<size_t> facts) mutable {
    if (!*alive) return;
    if (!facts) return done(fail(facts.error()));
    with_values(
        [agent, facts = *facts](store::KeyValue& values, Blocks& blocks) -> Result<Forgotten> {
          Forgotten forgotten{facts, 0, 0};
          SKEP_TRY(forgotten.blocks, blocks.forget(agent));
          SKEP_TRY(forgotten.values, values.clear(space_of(agent)));
          return forgotten;
        },
        std::move(done));
  });
}

void MemoryService::statistics(Done<MemoryStatistics> done) {
  facts_.run([](LongTerm& store) { return store.statistics(); },
             [this, done = std::move(done)](Result<LongTermStatistics> long_term) {
               if (!long_term) return done(fail(long_term.error()));
               const auto identity = embedder_.identity();
               MemoryStatistics all{std::move(*long_term),
                                    identity ? "by " + *identity : "none: " + identity.error().text(),
                                    embedder_.counters()};
               done(std::move(all));
             });
}

std::string MemoryService::core_text(const std::string& agent) {
  if (quick_) {
    const auto blocks = blocks_.of(agent);
    return blocks ? render(*blocks) : "";
  }
  Core& core = cores_[agent];
  if (core.asked == TimePoint{} || loop_.now() - core.asked > kCoreAge) {
    core.asked = loop_.now();
    with_values([agent](store::KeyValue&, Blocks& blocks) { return blocks.of(agent); },
                [this, agent](const Result<std::vector<Block>>& blocks) {
                  if (blocks) cores_[agent].text = render(*blocks);
                });
  }
  return core.text;
}

void MemoryService::fill_in_later(Duration delay) {
  if (filling_ || fill_timer_ != TimerId::none) return;
  fill_timer_ = loop_.after(delay, [this] {
    fill_timer_ = TimerId::none;
    fill_in();
  });
}

// One batch of facts without a vector, and the next one later, until all were asked for. A text that the model can't
// take (it is too long) is passed over, so that it stops nobody behind it. Does nothing while there is no model:
// whoever adds a fact then comes by again.
void MemoryService::fill_in() {
  if (filling_ || !embedder_.identity()) return;
  filling_ = true;
  const auto ended = [this](std::optional<Duration> again) {
    filling_ = false;
    if (again) fill_in_later(*again);
  };
  facts_.run([after = filled_to_](LongTerm& store) { return store.without_vector(kFillBatch, after); },
             [this, ended](Result<std::vector<Fact>> bare) {
               if (!bare || bare->empty()) {
                 filled_to_ = 0;
                 return ended(std::nullopt);
               }
               std::vector<std::string> texts;
               std::vector<FactId> ids;
               for (const Fact& fact : *bare) {
                 texts.push_back(fact.text);
                 ids.push_back(fact.id);
               }
               vectors_of(texts,
                          [this, ended, alive = alive_, ids = std::move(ids)](const std::vector<Vector>& vectors) {
                            if (!*alive) return;
                            if (vectors.empty()) return ended(kFillRetry);
                            std::vector<std::pair<FactId, std::vector<float>>> pairs;
                            for (size_t i = 0; i < ids.size(); ++i) {
                              if (vectors[i] != nullptr) pairs.emplace_back(ids[i], *vectors[i]);
                            }
                            facts_.run([pairs = std::move(pairs)](LongTerm& store) { return store.set_vectors(pairs); },
                                       [this, ended, last = ids.back()](const Status& set) {
                                         filled_to_ = set ? last : 0;
                                         ended(set ? kFillPause : kFillRetry);
                                       });
                          });
             });
}

}  // namespace skep::memory
