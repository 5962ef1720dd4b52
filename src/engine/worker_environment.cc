#include "engine/worker_environment.h"

namespace skep::engine {

std::vector<std::pair<std::string, std::string>> worker_environment() {
  return {{"GOMP_SPINCOUNT", "1000"}, {"OMP_DYNAMIC", "false"}, {"GGML_NO_BACKTRACE", "1"}, {"MALLOC_ARENA_MAX", "2"}};
}

}  // namespace skep::engine
