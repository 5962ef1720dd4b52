#pragma once
// What the daemon and an engine worker say to each other, as plain structs. wire.h encodes them; doc/wire.md has the
// bytes. No llama.h here: the daemon links this, not libllama.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"

namespace skep::engine {

using Token = int32_t;
using RequestId = uint64_t;  // chosen by the daemon, unique per connection

// One message as a chat template sees it: tools and tool results are text by now (mind/language renders them).
struct ChatMessage {
  std::string role;  // system, user, assistant, tool
  std::string content;
  friend bool operator==(const ChatMessage&, const ChatMessage&) = default;
};

// Defaults are neutral: greedy is temperature 0; every penalty is off.
struct Sampling {
  float temperature = 0.0F;        // 0: greedy
  int top_k = 0;                   // 0: off
  float top_p = 1.0F;              // 1: off
  float min_p = 0.0F;              // 0: off
  float repeat_penalty = 1.0F;     // 1: off
  float presence_penalty = 0.0F;   // 0: off
  float frequency_penalty = 0.0F;  // 0: off
  int penalty_last_n = 64;         // tokens that the penalties look back
  uint32_t seed = 0;               // 0: a random one; reported in Finished
  std::vector<std::pair<Token, float>> logit_bias;
  friend bool operator==(const Sampling&, const Sampling&) = default;
};

// How to start a worker: the model and the shape of its context.
struct LoadOptions {
  std::string path;             // of the GGUF file
  std::string model_hash;       // from the catalog; goes into saved state
  std::string chat_template;    // overrides the model's own; a name libllama knows, or template text
  int context_tokens = 4096;    // that one sequence may have
  int sequences = 4;            // generated at once (slots)
  int kv_tokens = 0;            // cells of the KV cache, all sequences together; 0: sequences * context_tokens
  int batch_tokens = 512;       // evaluated in one step at most
  int threads = 0;              // 0: one per core
  int gpu_layers = 0;           // -1: all
  bool embeddings = false;      // the engine serves embed() and not generate()
  std::string kv_type = "f16";  // f16, q8_0
  bool mmap = true;
  bool measure_only = false;  // report Loaded without taking the memory, then exit
  // auto: our own forward pass where it covers the model, else libllama. native, llama: that one or an error.
  std::string forward = "auto";
  // Cells that wait outside the cache (parking_lot.h): in host memory, counted in Loaded as kv, and on disk. The share
  // scopes are written there: ids, not secrets.
  Bytes park_memory;           // 0: evicted cells are forgotten
  std::string park_directory;  // empty: not on disk
  Bytes park_disk;
  // For LoRA adapters that requests name (Generate::adapter), counted in Loaded as weights; the longest unused goes
  // when another needs its place. 0: none can be used, and our own forward pass may run the model, which knows no
  // adapters.
  Bytes adapter_memory;
  // Of the cores that it may use, the share that the daemon and all its engines may take together; 1: all.
  double cpu_limit = 1;
  friend bool operator==(const LoadOptions&, const LoadOptions&) = default;
};

// Bytes by purpose, on the host and on each GPU.
struct MemoryUse {
  std::string device = "host";
  Bytes weights, kv, compute;
  [[nodiscard]] Bytes total() const { return weights + kv + compute; }
  friend bool operator==(const MemoryUse&, const MemoryUse&) = default;
};

// Weights that are read from their file whenever they are needed, because not all of them may be in memory.
struct StreamedWeights {
  Bytes all, resident;               // resident: of them at once; 0 of all: the whole model is in memory
  double disk_bytes_per_second = 0;  // measured; 0: not known
  double tokens_per_second = 0;      // of one sequence, at that rate; more where the page cache has the file
  friend bool operator==(const StreamedWeights&, const StreamedWeights&) = default;
};

struct Loaded {
  std::vector<MemoryUse> memory;  // host first
  int context_tokens = 0;         // per sequence, after clamping to what the model was trained for
  int vocabulary = 0;
  int embedding_size = 0;
  bool can_generate = true;
  std::string chat_template;  // what will be used: a name, "own", "override", or empty: none
  std::string forward;        // "native avx2" and the like, or "libllama: why not our own"
  StreamedWeights streamed;
  friend bool operator==(const Loaded&, const Loaded&) = default;
};

struct Generate {
  std::vector<ChatMessage> messages;  // rendered with the chat template …
  std::string prompt;                 // … or this text as it is, when messages is empty
  std::string assistant_prefix;       // text that the answer is made to begin with; not part of the answer
  bool add_special = true;            // add BOS etc. to a raw prompt
  Sampling sampling;
  int max_tokens = 512;
  std::vector<std::string> stop;  // at most 16, each non-empty; not part of the answer
  std::string grammar;            // GBNF with the root `root`; empty: free text
  std::string json_schema;        // that `grammar` was made from; only for engines that take no grammar (HTTP)
  bool ignore_eos = false;        // for benchmarks
  bool logprobs = false;
  int top_logprobs = 0;      // 0..20
  std::string share_scope;   // sequences share KV cells only within the same scope …
  int public_bytes = 0;      // … but for the first so many of the first message, or of the prompt: with everybody
  std::string adapter;       // path of a LoRA adapter's GGUF file; empty: the model as it is
  float adapter_scale = 1;   // of its effect
  std::string sequence_key;  // the agent's conversation: its cells are kept for the next turn while there is room
  int priority = 2;          // 0 critical, 1 high, 2 normal, 3 background
  // What an earlier worker generated for this request already (Piece::ids of all its pieces): the answer goes on behind
  // it as if nothing had happened, with grammar, stop strings, penalties and random numbers where they were. Not
  // counted in Usage; max_tokens is what may still come.
  std::vector<Token> answered;
  friend bool operator==(const Generate&, const Generate&) = default;
};

struct TokenLogprob {
  std::string text;  // the token's bytes, may be part of a character
  float logprob = 0;
  std::vector<std::pair<std::string, float>> top;
  friend bool operator==(const TokenLogprob&, const TokenLogprob&) = default;
};

// A piece of the answer: whole UTF-8 characters, never part of a stop string.
struct Piece {
  std::string text;
  int tokens = 0;          // generated since the last piece
  std::vector<Token> ids;  // they themselves; empty from engines that don't tell
  std::vector<TokenLogprob> logprobs;
  friend bool operator==(const Piece&, const Piece&) = default;
};

enum class FinishReason { stop, length, cancelled };

struct Usage {
  int prompt_tokens = 0;
  int cached_tokens = 0;  // of the prompt, taken over and not evaluated
  int completion_tokens = 0;
  friend bool operator==(const Usage&, const Usage&) = default;
};

struct Finished {
  FinishReason reason = FinishReason::stop;
  Usage usage;
  Duration waited{};  // in the worker, before the first prompt token was evaluated
  Duration prefill{};
  Duration decode{};
  uint32_t seed = 0;
  friend bool operator==(const Finished&, const Finished&) = default;
};

struct Embed {
  std::vector<std::string> inputs;               // at most 2048
  std::vector<std::vector<Token>> token_inputs;  // already tokenized; after the texts
  bool truncate = false;                         // what is too long for the engine is cut; else it is an error
  friend bool operator==(const Embed&, const Embed&) = default;
};

struct Embeddings {
  std::vector<std::vector<float>> vectors;  // unit length, one per input
  int prompt_tokens = 0;
  int truncated = 0;  // inputs that were cut
  friend bool operator==(const Embeddings&, const Embeddings&) = default;
};

struct Tokenize {
  std::vector<ChatMessage> messages;  // the rendered chat prompt …
  std::string text;                   // … or this text, when messages is empty
  bool add_special = false;
  friend bool operator==(const Tokenize&, const Tokenize&) = default;
};

struct Tokens {
  std::vector<Token> tokens;
  friend bool operator==(const Tokens&, const Tokens&) = default;
};

// Something that a worker changed about itself because of what else the machine does (good_neighbour.h).
struct PolicyChange {
  std::string setting;  // threads, cpus, niceness, spin
  std::string to;
  std::string why;
  int64_t when = 0;  // ms since the epoch
  friend bool operator==(const PolicyChange&, const PolicyChange&) = default;
};

// The worker's state, sent every second and on request.
struct Heartbeat {
  int generating = 0;  // sequences in the batch now
  int waiting = 0;
  int kv_cells_used = 0;
  int64_t prompt_tokens = 0;     // evaluated since start
  int64_t generated_tokens = 0;  // since start
  double step_seconds = 0;       // mean of the last steps
  int threads = 0;               // that a step runs on now
  std::string cpus;              // that it may run on: "0-3"
  int niceness = 0;
  int policy_changes = 0;             // of these three since start: other work on the machine came or went
  std::vector<PolicyChange> changes;  // the last few, newest last
  Bytes parked_memory, parked_disk;
  int64_t draft_tokens = 0;    // guessed ahead
  int64_t draft_accepted = 0;  // … and right
  int64_t preemptions = 0;
  int adapters = 0;        // loaded
  Bytes adapter_bytes;     // that they take
  double cpu_cores = 0;    // that the worker kept busy in the last second
  double cpu_allowed = 0;  // that it may at the moment; 0: no ceiling (LoadOptions::cpu_limit)
  double cpu_rested = 0;   // seconds since start that it paused for the ceiling
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

// The first message of either side. The worker sends its own at once; a side that hears another version hangs up.
struct Hello {
  uint32_t version = 0;  // kWireVersion of wire.h
  int32_t process = 0;
  friend bool operator==(const Hello&, const Hello&) = default;
};

// Loading goes on: 0..1.
struct Progress {
  float fraction = 0;
  friend bool operator==(const Progress&, const Progress&) = default;
};

// The end of a request that did not work out. Request 0: of the worker itself, which then ends.
struct Failed {
  Error error;
  friend bool operator==(const Failed& a, const Failed& b) {
    return a.error.code == b.error.code && a.error.message == b.error.message && a.error.hint == b.error.hint;
  }
};

// Ends the request that the frame names, within one batch step; answered by Finished{cancelled}. Unknown ones: nothing.
struct Cancel {
  friend bool operator==(const Cancel&, const Cancel&) = default;
};

struct HeartbeatRequest {
  friend bool operator==(const HeartbeatRequest&, const HeartbeatRequest&) = default;
};

// Ends the worker after the step in progress; what generates is dropped without an answer.
struct Shutdown {
  friend bool operator==(const Shutdown&, const Shutdown&) = default;
};

}  // namespace skep::engine
