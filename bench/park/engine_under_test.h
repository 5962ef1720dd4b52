#pragma once
// The 143 M model that the engine's benchmarks run on, loaded in this process.

#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "park_bench.h"

namespace skep::bench {

// The file, synthesized if it is not there yet.
Result<std::string> bench_model(const ParkBenchOptions& options);
Result<engine::ReadyModel> load_bench_model(const std::string& path, const std::string& forward, int slots,
                                            int kv_tokens);

// Evaluates `tokens` from `from` on into `sequence`, in batches.
Status evaluate(engine::Forward& forward, engine::SequenceId sequence, std::span<const engine::Token> tokens, int from);

}  // namespace skep::bench
