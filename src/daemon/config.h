#pragma once
// skep.yaml: every key with its default. One file; unknown keys are refused with the nearest known one; environment
// variables override single keys (SKEP_LISTEN, SKEP_BUDGET, SKEP_ENGINES_SLOTS …: the path in capitals, joined by _).
// doc/config.md has the whole file as an example, which a test reads.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"

namespace skep::daemon {

struct NamedModel {            // models.named: settings of one model, by its name
  std::string path;            // a GGUF file outside the folders; empty: found by name
  std::optional<int> context;  // tokens per sequence
  std::optional<int> slots;
  std::optional<int> gpu_layers;
  std::string chat_template;  // name or text; overrides the file's
  std::string kv_type;        // f16, q8_0; empty: engines.kv_type
  std::optional<Duration> keep_alive;
  bool pin = false;
  bool preload = false;
};

struct RemoteEngine {           // remotes: an OpenAI-compatible or Ollama server as a model
  std::string name;             // what tiers and requests call it
  std::string url;              // http://host:port or https://…
  std::string kind = "openai";  // openai, ollama
  std::string model;            // the name there
  std::string api_key_env;      // environment variable that holds the key
  int slots = 4;
  bool batch_window = false;  // collect for 100 ms or 5 requests, for servers that don't batch
  Duration timeout = std::chrono::seconds(120);
};

struct Tier {
  std::vector<std::string> models;  // first that is in the catalog
  int max_tokens = 0;               // answers, by default
};

struct ApiKey {
  std::string name;
  std::string role = "user";    // admin, user, read
  std::string sha256;           // of the key, hex …
  std::string env;              // … or the environment variable that holds it
  int requests_per_minute = 0;  // 0: no limit
  int tokens_per_minute = 0;
  int concurrent = 0;
};

struct Config {
  std::string file;  // it was read from; empty: defaults

  std::string listen = "127.0.0.1:8051";
  std::string state_folder;         // default: $XDG_STATE_HOME/skep or ~/.local/state/skep
  bool names_state_folder = false;  // it is not the default
  std::string log_level = "info";

  struct Memory {
    std::optional<Bytes> budget;      // unset: 90 % of what is available, or all but 2 GiB
    std::optional<Bytes> gpu_budget;  // of each GPU; unset: what is free
    bool unified = false;             // CPU and GPU share one memory
    Bytes worker_slack = 128_MiB;     // that an engine may take more than its estimate, before it is ended
  } memory;

  std::string roster;  // path; empty: none
  std::vector<std::string> model_folders = {"models"};
  std::map<std::string, NamedModel> models;
  std::vector<RemoteEngine> remotes;

  std::map<std::string, Tier> tiers = {
      {"deep", {{"deepseek-r1:8b", "deepseek-r1-8b", "deep"}, 4096}},
      {"balanced", {{"qwen2.5-coder:7b", "qwen2.5-coder-7b", "balanced"}, 2048}},
      {"fast", {{"tinyllama", "tinyllama-1.1b", "fast"}, 512}},
  };

  struct Engines {
    int max_loaded = 0;            // 0: as many as fit the budget
    int max_generating = 2;        // engines that generate at once
    int slots = 0;                 // sequences generated at once per engine; 0: chosen for the machine
    int context = 4096;            // tokens per sequence
    int kv_tokens = 0;             // cells of the KV cache, all sequences together; 0: slots * context
    int batch = 512;               // tokens per step
    int threads = 0;               // 0: one per core
    int gpu_layers = -1;           // -1: all where there is a GPU
    std::string forward = "auto";  // whose forward pass: llama, native (ours, on CPUs), auto: ours where it can
    std::string kv_type = "f16";
    std::optional<Bytes> park_memory;   // of each engine, for contexts that wait; unset: 1/16 of memory.budget; 0: none
    Bytes park_disk = 2_GiB;            // of each model, in state_folder/parked; 0: nothing on disk
    std::vector<std::string> adapters;  // LoRA adapters that requests may name, beside those of the roster
    Bytes adapter_memory = 512_MiB;     // for adapters, of each engine that has any
    std::vector<std::string> public_preambles;  // texts: API keys that begin with the same one share its KV cells
    double cpu_limit = 1;  // share of the cores that the daemon and its engines may keep busy; 1: all
    Duration keep_alive = std::chrono::minutes(5);
    Duration load_timeout = std::chrono::minutes(5);
    Duration hang_timeout = std::chrono::seconds(30);
  } engines;

  struct Scheduling {
    int queue = 4096;                                        // waiting tasks
    int running = 0;                                         // tasks at once; 0: what the engines have slots for
    Duration max_wait_for_group = std::chrono::seconds(10);  // how long grouping by model may hold a task back
    Duration aging = std::chrono::seconds(30);               // a waiting task rises one class per so long
    int agent_tokens_per_minute = 0;                         // 0: no limit
    int agent_concurrent = 0;
  } scheduling;

  struct State {  // what agents remember, on disk (doc/state.md)
    bool enabled = true;
    std::string durable = "batched";  // batched: power loss takes at most 100 ms; always: nothing
    Bytes limit = Bytes(int64_t{64} << 30);
  } state;

  struct Sleep {                               // of agents
    Bytes memory = 32_MiB;                     // for the states of those that are awake
    Duration after = std::chrono::minutes(5);  // of idleness
    int wakes = 50;                            // at once
    Duration wake_timeout = std::chrono::seconds(30);
  } sleep;

  struct Cache {  // of answers
    bool enabled = true;
    Bytes memory = 32_MiB;
    Bytes disk = 256_MiB;
    Duration ttl = std::chrono::hours(1);
    std::string write = "through";  // through: all levels at once; aside: those below when an answer leaves memory
    std::string second = "disk";    // the second level: disk (the state's store), redis
    std::string redis = "redis://127.0.0.1:6379";
    std::string prefix = "skep";  // of keys on the server
    std::string third = "off";    // the third level: off, events (the event log's database)
    Bytes third_size = 256_MiB;   // of answers there
  } cache;

  struct Events {
    std::string store = "sqlite";  // sqlite, postgresql, off
    std::string url_env;           // the variable that holds PostgreSQL's address
    std::string replica_url_env;   // for queries
    int queue = 20'000;            // events that wait; beyond it they are shed, and counted
    Duration retention = std::chrono::hours(24 * 30);
  } events;

  struct Routing {
    double deep_above = 0.8, balanced_above = 0.4;
    Bytes deep_needs_free = 2_GiB;
    double reasoning = 0.4, context = 0.2, output = 0.2, domain = 0.2;  // weights
  } routing;

  struct Generation {
    struct Row {
      double temperature, top_p;
    };
    std::map<std::string, Row> task_types = {
        {"code", {0.3, 0.95}}, {"analysis", {0.5, 0.9}}, {"creative", {0.9, 0.95}}, {"general", {0.7, 0.9}}};
    double fast_scale = 0.8, deep_scale = 1.1;  // of the temperature
  } generation;

  struct Compression {  // of what users write, by rules (mind/language/compression.h)
    bool on = false;
    int fast = 500, balanced = 1000, deep = 2000;  // tokens of a message, by tier: longer ones are shortened
  } compression;

  struct Context {              // conversations that are longer than their model's context
    bool window = true;         // summarised and recalled; false: refused by the engine
    int tokens = 0;             // of a prompt at most, though the model's context has room for more; 0: the model's
    double summarise_at = 0.8;  // of the room for the prompt
    int keep_last = 3;          // messages that always stay
    int recalled = 5;           // of those summarised, brought back for the question
    int archive = 20'000;       // messages put aside of conversations without a name, all together
    Duration archive_for = std::chrono::hours(24 * 30);
  } context;

  struct LongTerm {                   // what agents remember for good
    std::string store = "local";      // local, postgresql, off
    std::string url_env;              // the variable that holds the address of a PostgreSQL with pgvector
    std::string durable = "batched";  // batched: a power cut takes 100 ms at most; always: nothing
    std::string embedder;      // the model that makes vectors; empty: an embedding model, else the fast tier's; none
    double text_weight = 0.3;  // of words against vectors in a search
    Duration half_life = std::chrono::hours(24 * 30);  // of a fact's weight above its floor
  } long_term;

  struct ShortTerm {             // values with expiry, counters, lists, core blocks
    std::string store = "lmdb";  // lmdb, redis
    std::string redis = "redis://127.0.0.1:6379";
    std::string prefix = "skep";  // of keys on the server
    int connections = 4;          // to the server
  } short_term;

  struct Api {
    Bytes max_body = 8_MiB;
    int max_connections = 2048;
    Duration idle_timeout = std::chrono::seconds(120);
    std::vector<ApiKey> keys;
    std::vector<std::string> cors_origins;
    std::vector<std::string> allowed_hosts;  // names under which browsers may reach a server without keys
  } api;
};

// Defaults, then the file (empty: ./skep.yaml if there is one), then SKEP_… variables. Errors name file, line and key.
Result<Config> load_config(const std::string& path);
// From text, for tests; `name` stands for the file in errors. `environment`: name → value.
Result<Config> parse_config(std::string_view text, const std::string& name,
                            const std::map<std::string, std::string>& environment);
// The whole configuration as YAML, as `skep config show` prints it.
std::string to_yaml(const Config& config);

}  // namespace skep::daemon
