#include "daemon/agent_memory.h"

#include "daemon/options_from_config.h"
#include "memory/local_facts.h"
#include "memory/postgres_facts.h"
#include "store/redis_key_value.h"

namespace skep::daemon {
namespace {

memory::Scoring scoring_of(const Config& config) {
  memory::Scoring scoring;
  scoring.text_weight = config.long_term.text_weight;
  scoring.half_life = config.long_term.half_life;
  return scoring;
}

Result<std::unique_ptr<memory::LongTerm>> open_facts(const Config& config) {
  if (config.long_term.store == "postgresql") {
    SKEP_TRY(std::string address, address_from_environment("long_term.url_env", config.long_term.url_env));
    SKEP_TRY(auto facts, memory::PostgresFacts::open({std::move(address), scoring_of(config)}));
    return std::unique_ptr<memory::LongTerm>(std::move(facts));
  }
  memory::LocalFactsOptions options;
  options.folder = config.state_folder + "/memory";
  options.scoring = scoring_of(config);
  options.durability = config.long_term.durable == "always" ? memory::Durability::power : memory::Durability::process;
  SKEP_TRY(auto facts, memory::LocalFacts::open(std::move(options)));
  return std::unique_ptr<memory::LongTerm>(std::move(facts));
}

// Null: short-term values are in the state's store.
Result<std::unique_ptr<store::KeyValue>> open_server(const Config& config) {
  if (config.short_term.store != "redis") return std::unique_ptr<store::KeyValue>();
  SKEP_TRY(store::RedisOptions options, store::parse_redis_url(config.short_term.redis));
  options.connections = config.short_term.connections;
  return std::unique_ptr<store::KeyValue>(
      std::make_unique<store::RedisKeyValue>(std::move(options), config.short_term.prefix));
}

}  // namespace

// In the order of who needs whom.
struct AgentMemory::Impl {
  Impl(AsioEventLoop& loop, memory::EmbedderSource& source, std::unique_ptr<memory::LongTerm> long_term,
       std::unique_ptr<store::KeyValue> remote, store::KeyValue& local)
      : server(std::move(remote)),
        embedder(loop, source),
        facts(loop, std::move(long_term)),
        service(loop, embedder, facts, server ? *server : local, server == nullptr) {}

  std::unique_ptr<store::KeyValue> server;
  memory::Embedder embedder;
  memory::MemoryThread facts;
  memory::MemoryService service;
};

Result<std::unique_ptr<AgentMemory>> AgentMemory::open(AsioEventLoop& loop, const Config& config,
                                                       store::KeyValue& values, memory::EmbedderSource& source) {
  if (config.long_term.store == "off") return std::unique_ptr<AgentMemory>();
  const auto named = [](const char* key, Error error) {
    error.message = fmt::format("{}: {}", key, error.message);
    return fail(std::move(error));
  };
  auto facts = open_facts(config);
  if (!facts) return named("long_term", facts.error());
  auto server = open_server(config);
  if (!server) return named("short_term", server.error());
  auto impl = std::make_unique<Impl>(loop, source, std::move(*facts), std::move(*server), values);
  return std::unique_ptr<AgentMemory>(new AgentMemory(std::move(impl)));
}

AgentMemory::AgentMemory(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AgentMemory::~AgentMemory() = default;
memory::MemoryService& AgentMemory::service() { return impl_->service; }
memory::Embedder& AgentMemory::embedder() { return impl_->embedder; }

}  // namespace skep::daemon
