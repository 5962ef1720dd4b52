#include "forward_bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "engine/native/native_forward.h"
#include "engine/synth/synth.h"
#include "llama_peer.h"
#include "machine.h"

namespace skep::bench {
namespace {

using engine::Forward;
using engine::Slice;
using engine::Token;
using engine::native::NativeForward;
using engine::native::NativeOptions;

constexpr int kPrompt = 32, kGenerated = 32;  // of each sequence in the decode workloads

struct Model {
  const char* name;
  const char* shape;
  synth::WeightType type;
  double decode_1_bar;
};
constexpr Model kModels[] = {{"143M Q4_0", "smollm-135m", synth::WeightType::q4_0, 1.3},
                             {"143M Q4_K_M", "smollm-135m", synth::WeightType::q4_k_m, 1.3},
                             {"1.1B Q4_0", "tinyllama", synth::WeightType::q4_0, 1.7},
                             {"1.1B Q4_K_M", "tinyllama", synth::WeightType::q4_k_m, 1.7}};

Result<std::string> file_for(const Model& model, const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  synth::SynthOptions options;
  options.shape = *synth::find_shape(model.shape);
  options.type = model.type;
  options.path = fmt::format("{}/{}-{}.gguf", folder, model.shape, synth::to_string(model.type));
  if (!std::filesystem::exists(options.path, error)) SKEP_CHECK(synth::synthesize(options));
  return options.path;
}

NativeOptions native_options(const std::string& path, int threads) {
  NativeOptions options;
  options.path = path;
  options.cache_path = engine::native::cache_path_for(path);
  options.threads = threads;
  options.context_tokens = 1024;
  options.cells = 4096;
  options.sequences = 32;
  options.output_rows = 16;
  return options;
}

std::vector<Token> tokens_for(const Forward& f, int count) {
  std::vector<Token> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back((300 + i * 7919) % f.limits().vocabulary);
  return tokens;
}

// Tokens per second; an error of the forward pass ends the benchmark.
Result<double> prefill(Forward& f, int count) {
  const std::vector<Token> tokens = tokens_for(f, count);
  f.drop(0, 0, Forward::kEnd);
  const Slice slice{0, 0, tokens, 1};
  const double began = seconds_now();
  SKEP_CHECK(f.step({&slice, 1}));
  const double rate = count / (seconds_now() - began);
  f.drop(0, 0, Forward::kEnd);
  return rate;
}

Result<double> decode(Forward& f, int sequences) {
  const std::vector<Token> tokens = tokens_for(f, kPrompt + kGenerated);
  for (int s = 0; s < sequences; ++s) {
    f.drop(s, 0, Forward::kEnd);
    const Slice slice{s, 0, std::span(tokens).first(kPrompt), 0};
    SKEP_CHECK(f.step({&slice, 1}));
  }
  const double began = seconds_now();
  for (int i = 0; i < kGenerated; ++i) {
    std::vector<Slice> step;
    for (int s = 0; s < sequences; ++s) {
      step.push_back({s, kPrompt + i, std::span(tokens).subspan(static_cast<size_t>(kPrompt + i), 1), 1});
    }
    SKEP_CHECK(f.step(step));
  }
  const double rate = sequences * kGenerated / (seconds_now() - began);
  for (int s = 0; s < sequences; ++s) f.drop(s, 0, Forward::kEnd);
  return rate;
}

// One workload, ours and the peer's in turn. A ratio is that of a turn: how fast the machine is changes between turns.
struct Duel {
  std::string name, peer;
  double bar;
  std::function<Result<double>()> ours, theirs;
  std::function<double()> limit = {};  // tokens per second that the machine could reach, measured beside each of ours
};
Result<Row> run(const Duel& duel, int rounds, bool with_peer) {
  std::vector<double> ours, theirs, ratios, fractions;
  for (int i = 0; i < rounds; ++i) {
    const double before = duel.limit ? duel.limit() : 0;
    SKEP_TRY(const double mine, duel.ours());
    ours.push_back(mine);
    if (duel.limit) fractions.push_back(mine / (0.5 * (before + duel.limit())));
    if (!with_peer) continue;
    SKEP_TRY(const double other, duel.theirs());
    theirs.push_back(other);
    ratios.push_back(mine / other);
  }
  Row row;
  row.name = duel.name;
  row.value = median(ours);
  row.unit = "tokens/s";
  row.bar = fmt::format(">= {:.1f} x", duel.bar);
  if (with_peer) {
    row.peer = duel.peer;
    row.peer_value = median(theirs);
    row.ratio = median(ratios);
    row.met = *row.ratio >= duel.bar;
  }
  if (duel.limit) {
    row.limit = "reading the weights at the bandwidth measured beside it";
    row.fraction = median(fractions);
  }
  return row;
}

Bytes resident() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, pages = 0;
  file >> total >> pages;
  return Bytes(pages * sysconf(_SC_PAGESIZE));
}

Status measure_model(const Model& model, const ForwardBenchOptions& options, const LlamaPeer& peer, int threads,
                     Report& report) {
  SKEP_TRY(const std::string path, file_for(model, options.folder));
  SKEP_TRY(const std::unique_ptr<NativeForward> f, NativeForward::create(native_options(path, threads)));
  SKEP_CHECK(prefill(*f, 64));  // the weights come into memory
  std::vector<Duel> duels;
  duels.push_back({fmt::format("prefill {}", model.name), "llama-bench", 1.8, [&] { return prefill(*f, 512); },
                   [&] { return peer.prefill(path, 512); }});
  for (const int n : {1, 8, 16}) {
    duels.push_back({fmt::format("decode_{} {}", n, model.name), "llama-batched-bench",
                     n == 1 ? model.decode_1_bar : 2.5, [&, n] { return decode(*f, n); },
                     [&, n] { return peer.decode(path, n, kPrompt, kGenerated); }});
    if (n == 1) {
      const auto weights = static_cast<double>(f->memory().weights.count);
      duels.back().limit = [threads, weights] { return read_bandwidth(threads) / weights; };
    }
  }
  for (const Duel& duel : duels) {
    SKEP_TRY(Row row, run(duel, options.rounds, peer.available()));
    report.rows.push_back(std::move(row));
  }
  return {};
}

// Loading a model whose weights were packed before, from the page cache; and what it holds with its KV cache full.
Status measure_load(const ForwardBenchOptions& options, int threads, Report& report) {
  const Model& model = kModels[2];
  SKEP_TRY(const std::string path, file_for(model, options.folder));
  NativeOptions load = native_options(path, threads);
  std::vector<double> times;
  for (int i = 0; i < options.rounds + 1; ++i) {
    const double began = seconds_now();
    SKEP_TRY(const auto f, NativeForward::create(load));
    if (i > 0) times.push_back(1e3 * (seconds_now() - began));  // the first may have packed them
  }
  Row row;
  row.name = "load";
  row.value = median(times);
  row.unit = "ms";
  row.bar = "<= 50 ms";
  row.met = row.value <= 50;
  report.rows.push_back(row);

  load.cells = load.context_tokens;
  load.output_rows = 1;
  const Bytes before = resident();
  SKEP_TRY(const auto f, NativeForward::create(load));
  const std::vector<Token> tokens = tokens_for(*f, load.context_tokens);
  for (int at = 0; at < load.context_tokens; at += load.batch_tokens) {
    const auto part = std::span(tokens).subspan(static_cast<size_t>(at), static_cast<size_t>(load.batch_tokens));
    const Slice slice{0, at, part, 1};
    SKEP_CHECK(f->step({&slice, 1}));
  }
  Row memory;
  memory.name = "memory";
  memory.value = static_cast<double>((resident() - before).count) / static_cast<double>(f->memory().total().count);
  memory.unit = "of weights + KV + buffers";
  memory.bar = "<= 1.05";
  memory.met = memory.value <= 1.05;
  report.rows.push_back(memory);
  return {};
}

// What a token costs when `active` sequences decode together while `waiting` others lie in the cache, all with equal
// contexts: seconds per token.
Result<double> cost_per_token(Forward& f, int active, int waiting) {
  const std::vector<Token> tokens = tokens_for(f, kPrompt + kGenerated);
  for (int s = 0; s < active + waiting; ++s) {
    f.drop(s, 0, Forward::kEnd);
    const Slice slice{s, 0, std::span(tokens).first(kPrompt), 0};
    SKEP_CHECK(f.step({&slice, 1}));
  }
  double best = 1e9;  // of a step: what the machine does beside it only adds
  for (int i = 0; i < kGenerated; ++i) {
    std::vector<Slice> step;
    for (int s = 0; s < active; ++s) {
      step.push_back({s, kPrompt + i, std::span(tokens).subspan(static_cast<size_t>(kPrompt + i), 1), 1});
    }
    const double began = seconds_now();
    SKEP_CHECK(f.step(step));
    best = std::min(best, (seconds_now() - began) / active);
  }
  for (int s = 0; s < active + waiting; ++s) f.drop(s, 0, Forward::kEnd);
  return best;
}

// From 4 sequences to 128, waiting ones first, then active ones: the dearest against the cost at 4.
Status measure_flat(const ForwardBenchOptions& options, int threads, Report& report) {
  SKEP_TRY(const std::string path, file_for(kModels[0], options.folder));
  NativeOptions shape = native_options(path, threads);
  shape.cells = 128 * (kPrompt + kGenerated);
  shape.sequences = shape.slots = shape.output_rows = 128;
  SKEP_TRY(const auto f, NativeForward::create(shape));
  struct Load {
    int active, waiting;
    double cost = 1e9;  // the best of all rounds, in turns: seconds per token
  };
  std::vector<Load> loads{{4, 0}, {4, 12}, {4, 60}, {4, 124}, {8, 0}, {32, 0}, {128, 0}};
  for (int round = 0; round < 2 * options.rounds; ++round) {
    for (Load& load : loads) {
      SKEP_TRY(const double cost, cost_per_token(*f, load.active, load.waiting));
      load.cost = std::min(load.cost, cost);
    }
  }
  std::string note = "cost per token:";
  double worst = 0;
  for (const Load& load : loads) {
    worst = std::max(worst, load.cost / loads[0].cost);
    note += fmt::format(" {} active and {} waiting {:.2f} ms;", load.active, load.waiting, 1e3 * load.cost);
  }
  Row row;
  row.name = "flat";
  row.value = worst;
  row.unit = "of the cost per token with 4 sequences";
  row.bar = "<= 1.10";
  row.met = worst <= 1.1;
  report.rows.push_back(std::move(row));
  report.notes.push_back(std::move(note));
  return {};
}

void measure_kernels(Report& report) {
  using enum kernel::lm::Format;
  const double peak = int8_peak();
  struct Shape {
    int rows, columns;
  };
  for (const auto format : {q4_0, q4_k, q5_0, q6_k, q8_0}) {
    for (const Shape s : {Shape{1536, 512}, Shape{5632, 2048}}) {
      for (const int tokens : {1, 8, 16, 64}) {
        Row row;
        row.name = fmt::format("gemm {} {}x{} x{}", kernel::lm::to_string(format), s.rows, s.columns, tokens);
        row.value = 1e-9 * gemm_rate(format, s.rows, s.columns, tokens);
        row.unit = "GOP/s per thread";
        if (peak > 0) {
          row.limit = fmt::format("int8 peak of {:.0f} GOP/s", 1e-9 * peak);
          row.fraction = 1e9 * row.value / peak;
        }
        report.rows.push_back(std::move(row));
      }
    }
  }
}

}  // namespace

Result<Report> run_forward_bench(const ForwardBenchOptions& options) {
  const int threads =
      options.threads > 0 ? options.threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const LlamaPeer peer(options.tools, threads);
  Report report;
  report.bench = "forward";
  const double bandwidth = read_bandwidth(threads);
  for (const Model& model : kModels) {
    if (std::string_view(model.name).find(options.only) == std::string_view::npos) continue;
    SKEP_CHECK(measure_model(model, options, peer, threads, report));
  }
  if (options.only.empty() || options.only == "load") SKEP_CHECK(measure_load(options, threads, report));
  if (options.only.empty() || options.only == "flat") SKEP_CHECK(measure_flat(options, threads, report));
  if (options.kernels) measure_kernels(report);
  report.notes.push_back(fmt::format("{} threads, kernels {}, reads at {:.1f} GB/s", threads,
                                     kernel::lm::best_kernels().name, bandwidth * 1e-9));
  if (!peer.available()) report.notes.emplace_back("no llama-bench and llama-batched-bench: nothing compared");
  return report;
}

}  // namespace skep::bench
