#pragma once
// The one entry to this folder's libllama side: models as the worker loads them, and the worker itself.

#include <functional>

#include "engine/worker.h"

namespace skep::engine {

// With the forward pass that the options ask for; no layers go to a GPU where libggml knows none. Also for benchmarks
// of what stands above it.
Result<ReadyModel> load_model(const LoadOptions& options, const std::function<bool(float)>& progress);

// `skep engine --fd N`: a worker process on the socket it inherited. Whoever executes it sets worker_environment()
// (worker_environment.h) first. Runs until the daemon is done with it; the process's exit status. Ends by SIGKILL when
// the thread that started it dies.
int run_engine(int fd);

}  // namespace skep::engine
