#pragma once
// `skep engine --fd N`: a worker process on the socket it inherited. The one entry to this folder's libllama side.
// Whoever executes it sets worker_environment() (worker_environment.h) first.

namespace skep::engine {

// Runs until the daemon is done with it; the process's exit status. Ends by SIGKILL when the thread that started it
// dies.
int run_engine(int fd);

}  // namespace skep::engine
