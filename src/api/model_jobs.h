#pragma once
// The model tools as jobs of the daemon (`/api/optimize/models`), as the API sees them. daemon/ implements it, tests
// replace it. All on the event loop.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"

namespace skep::api {

using ModelJobId = uint64_t;

// `skep model <tool> …`, without the shell: parameters by the names of its arguments and options ("type",
// "target-size"), values as text.
struct ModelJobRequest {
  std::string tool;
  std::vector<std::pair<std::string, std::string>> parameters;
  std::string caller;  // the API key's name
};

enum class ModelJobState { queued, running, done, failed, cancelled };
const char* to_string(ModelJobState state);

struct ModelJobView {
  ModelJobId id = 0;
  ModelJobRequest request;
  ModelJobState state = ModelJobState::queued;
  std::string stage, detail;  // what it does now, or why it waits
  double fraction = 0;        // of the stage, 0..1
  WallTime submitted{};
  std::optional<WallTime> started, finished;
  Bytes memory;        // that is booked for it while it runs
  std::string result;  // JSON, once done
  std::optional<Error> error;
};

class ModelJobs {
 public:
  virtual ~ModelJobs() = default;
  // invalid_argument: no such tool, a parameter that it has not, a path outside the model folders; overloaded: too many
  // wait already.
  virtual Result<ModelJobId> start(ModelJobRequest request) = 0;
  virtual Status cancel(ModelJobId job) = 0;                         // not_found; a job that is over stays what it is
  [[nodiscard]] virtual std::vector<ModelJobView> list() const = 0;  // newest first
  [[nodiscard]] virtual std::optional<ModelJobView> find(ModelJobId job) const = 0;
};

}  // namespace skep::api
