#pragma once
// The keys of skep.yaml, once: config.cc reads, writes and lists them through the same visits. A visitor has
//   field(key, value, [bounds])      one value
//   section(key, object)             a map with known keys: visit(visitor, object)
//   table(key, map or vector)        a map name → object, or a list of objects

#include "daemon/config.h"

namespace skep::daemon {

struct IntRange {
  int64_t least, most;
};
struct NumberRange {
  double least, most;
};
struct DurationRange {
  Duration least = Duration::zero(), most = std::chrono::hours(24 * 365);
};
struct BytesRange {
  Bytes least = 1_MiB, most = Bytes(int64_t{1} << 50);
};
struct Choice {
  std::vector<std::string> names;
};

constexpr IntRange kTokens{16, 16'777'216};
constexpr IntRange kUpToMany{0, 1'000'000'000};

template <typename V>
void visit(V& v, NamedModel& m) {
  v.field("path", m.path);
  v.field("context", m.context, kTokens);
  v.field("slots", m.slots, IntRange{1, 256});
  v.field("gpu_layers", m.gpu_layers, IntRange{-1, 10'000});
  v.field("chat_template", m.chat_template);
  v.field("kv_type", m.kv_type, Choice{{"", "f16", "q8_0"}});
  v.field("keep_alive", m.keep_alive, DurationRange{});
  v.field("pin", m.pin);
  v.field("preload", m.preload);
}

template <typename V>
void visit(V& v, RemoteEngine& r) {
  v.field("name", r.name);
  v.field("url", r.url);
  v.field("kind", r.kind, Choice{{"openai", "ollama", "null"}});
  v.field("model", r.model);
  v.field("api_key_env", r.api_key_env);
  v.field("slots", r.slots, IntRange{1, 1024});
  v.field("batch_window", r.batch_window);
  v.field("timeout", r.timeout, DurationRange{std::chrono::milliseconds(100), std::chrono::hours(24)});
}

template <typename V>
void visit(V& v, Tier& t) {
  v.field("models", t.models);
  v.field("max_tokens", t.max_tokens, IntRange{1, 1'000'000});
}

template <typename V>
void visit(V& v, ApiKey& k) {
  v.field("name", k.name);
  v.field("role", k.role, Choice{{"read", "user", "admin"}});
  v.field("sha256", k.sha256);
  v.field("env", k.env);
  v.field("requests_per_minute", k.requests_per_minute, kUpToMany);
  v.field("tokens_per_minute", k.tokens_per_minute, kUpToMany);
  v.field("concurrent", k.concurrent, kUpToMany);
}

template <typename V>
void visit(V& v, Config::Memory& m) {
  v.field("budget", m.budget, BytesRange{});
  v.field("gpu_budget", m.gpu_budget, BytesRange{});
  v.field("unified", m.unified);
  v.field("worker_slack", m.worker_slack, BytesRange{});
}

template <typename V>
void visit(V& v, Config::Engines& e) {
  v.field("max_loaded", e.max_loaded, IntRange{0, 1000});
  v.field("max_generating", e.max_generating, IntRange{1, 1000});
  v.field("slots", e.slots, IntRange{0, 256});
  v.field("context", e.context, kTokens);
  v.field("kv_tokens", e.kv_tokens, kUpToMany);
  v.field("batch", e.batch, IntRange{16, 8192});
  v.field("threads", e.threads, IntRange{0, 1024});
  v.field("gpu_layers", e.gpu_layers, IntRange{-1, 10'000});
  v.field("forward", e.forward, Choice{{"llama", "native", "auto"}});
  v.field("kv_type", e.kv_type, Choice{{"f16", "q8_0"}});
  v.field("adapters", e.adapters);
  v.field("adapter_memory", e.adapter_memory, BytesRange{});
  v.field("public_preambles", e.public_preambles);
  v.field("cpu_limit", e.cpu_limit, NumberRange{0.05, 1});
  v.field("park_memory", e.park_memory, BytesRange{Bytes(0)});
  v.field("park_disk", e.park_disk, BytesRange{Bytes(0)});
  v.field("keep_alive", e.keep_alive, DurationRange{});
  v.field("load_timeout", e.load_timeout, DurationRange{std::chrono::seconds(1), std::chrono::hours(24)});
  v.field("hang_timeout", e.hang_timeout, DurationRange{std::chrono::seconds(1), std::chrono::hours(24)});
}

template <typename V>
void visit(V& v, Config::Scheduling& s) {
  v.field("queue", s.queue, IntRange{1, 1'000'000});
  v.field("running", s.running, IntRange{0, 100'000});
  v.field("max_wait_for_group", s.max_wait_for_group, DurationRange{});
  v.field("aging", s.aging, DurationRange{std::chrono::milliseconds(100), std::chrono::hours(24)});
  v.field("agent_tokens_per_minute", s.agent_tokens_per_minute, kUpToMany);
  v.field("agent_concurrent", s.agent_concurrent, kUpToMany);
}

template <typename V>
void visit(V& v, Config::State& s) {
  v.field("enabled", s.enabled);
  v.field("durable", s.durable, Choice{{"batched", "always"}});
  v.field("limit", s.limit, BytesRange{16_MiB});
}

template <typename V>
void visit(V& v, Config::Sleep& s) {
  v.field("memory", s.memory, BytesRange{1_MiB});
  v.field("after", s.after, DurationRange{std::chrono::seconds(1)});
  v.field("wakes", s.wakes, IntRange{1, 10'000});
  v.field("wake_timeout", s.wake_timeout, DurationRange{std::chrono::milliseconds(100), std::chrono::hours(1)});
}

template <typename V>
void visit(V& v, Config::Cache& c) {
  v.field("enabled", c.enabled);
  v.field("memory", c.memory, BytesRange{64_KiB});
  v.field("disk", c.disk, BytesRange{Bytes(0)});
  v.field("ttl", c.ttl, DurationRange{std::chrono::seconds(1)});
  v.field("write", c.write, Choice{{"through", "aside"}});
  v.field("second", c.second, Choice{{"disk", "redis"}});
  v.field("redis", c.redis);
  v.field("prefix", c.prefix);
  v.field("third", c.third, Choice{{"off", "events"}});
  v.field("third_size", c.third_size, BytesRange{});
}

template <typename V>
void visit(V& v, Config::Events& e) {
  v.field("store", e.store, Choice{{"sqlite", "postgresql", "off"}});
  v.field("url_env", e.url_env);
  v.field("replica_url_env", e.replica_url_env);
  v.field("queue", e.queue, IntRange{1, 10'000'000});
  v.field("retention", e.retention, DurationRange{std::chrono::hours(1)});
}

template <typename V>
void visit(V& v, Config::Routing& r) {
  v.field("deep_above", r.deep_above, NumberRange{0, 1});
  v.field("balanced_above", r.balanced_above, NumberRange{0, 1});
  v.field("deep_needs_free", r.deep_needs_free, BytesRange{Bytes(0)});
  v.field("reasoning", r.reasoning, NumberRange{0, 1});
  v.field("context", r.context, NumberRange{0, 1});
  v.field("output", r.output, NumberRange{0, 1});
  v.field("domain", r.domain, NumberRange{0, 1});
}

template <typename V>
void visit(V& v, Config::Generation::Row& r) {
  v.field("temperature", r.temperature, NumberRange{0, 2});
  v.field("top_p", r.top_p, NumberRange{0, 1});
}

template <typename V>
void visit(V& v, Config::Generation& g) {
  v.table("task_types", g.task_types);
  v.field("fast_scale", g.fast_scale, NumberRange{0, 10});
  v.field("deep_scale", g.deep_scale, NumberRange{0, 10});
}

template <typename V>
void visit(V& v, Config::Compression& c) {
  v.field("on", c.on);
  v.field("fast", c.fast, kUpToMany);
  v.field("balanced", c.balanced, kUpToMany);
  v.field("deep", c.deep, kUpToMany);
}

template <typename V>
void visit(V& v, Config::Context& c) {
  v.field("window", c.window);
  v.field("tokens", c.tokens, IntRange{0, 1 << 24});
  v.field("summarise_at", c.summarise_at, NumberRange{0.2, 1});
  v.field("keep_last", c.keep_last, IntRange{1, 100});
  v.field("recalled", c.recalled, IntRange{0, 50});
  v.field("archive", c.archive, IntRange{0, 10'000'000});
  v.field("archive_for", c.archive_for, DurationRange{std::chrono::seconds(60)});
}

template <typename V>
void visit(V& v, Config::LongTerm& l) {
  v.field("store", l.store, Choice{{"local", "postgresql", "off"}});
  v.field("url_env", l.url_env);
  v.field("durable", l.durable, Choice{{"batched", "always"}});
  v.field("embedder", l.embedder);
  v.field("text_weight", l.text_weight, NumberRange{0, 1});
  v.field("half_life", l.half_life, DurationRange{std::chrono::minutes(1)});
}

template <typename V>
void visit(V& v, Config::ShortTerm& s) {
  v.field("store", s.store, Choice{{"lmdb", "redis"}});
  v.field("redis", s.redis);
  v.field("prefix", s.prefix);
  v.field("connections", s.connections, IntRange{1, 256});
}

template <typename V>
void visit(V& v, Config::Api& a) {
  v.field("max_body", a.max_body, BytesRange{1_KiB, 1_GiB});
  v.field("max_connections", a.max_connections, IntRange{1, 1'000'000});
  v.field("idle_timeout", a.idle_timeout, DurationRange{std::chrono::seconds(1), std::chrono::hours(24)});
  v.table("keys", a.keys);
  v.field("cors_origins", a.cors_origins);
  v.field("allowed_hosts", a.allowed_hosts);
}

template <typename V>
void visit(V& v, Config& c) {
  v.field("listen", c.listen);
  v.field("state_folder", c.state_folder);
  v.field("log_level", c.log_level, Choice{{"debug", "info", "warn", "error", "off"}});
  v.section("memory", c.memory);
  v.field("roster", c.roster);
  v.field("model_folders", c.model_folders);
  v.table("models", c.models);
  v.table("remotes", c.remotes);
  v.table("tiers", c.tiers);
  v.section("engines", c.engines);
  v.section("scheduling", c.scheduling);
  v.section("state", c.state);
  v.section("sleep", c.sleep);
  v.section("cache", c.cache);
  v.section("events", c.events);
  v.section("routing", c.routing);
  v.section("generation", c.generation);
  v.section("compression", c.compression);
  v.section("context", c.context);
  v.section("long_term", c.long_term);
  v.section("short_term", c.short_term);
  v.section("api", c.api);
}

}  // namespace skep::daemon
