#pragma once
// Goes on with a recorded run where it ended: because it was interrupted or killed, or for more steps. A run is a
// function of its scenario and seed, so its recording is its checkpoint: the recorded frames are simulated again and
// compared, without which nothing is appended, and the frames after them continue the same file.

#include <optional>
#include <string>

#include "base/result.h"
#include "scenario/recording.h"
#include "scenario/simulation.h"

namespace skep::scenario {

class Resumption {
 public:
  // `steps` of the whole run; without, the scenario's own. `threads` as in Simulation.
  static Result<Resumption> open(const std::string& path, std::optional<int64_t> steps, int threads = 0);

  // The next frame, recorded or new; null at the end. corrupt: the simulation gives another frame than was recorded;
  // the file is as it was.
  Result<const Frame*> next();
  Status finish();  // what was appended is in the file

  [[nodiscard]] const Stage& stage() const { return simulation_.stage(); }
  [[nodiscard]] int64_t recorded() const { return recorded_; }  // frames found in the file so far

 private:
  Resumption(RecordingReader reader, Simulation simulation)
      : reader_(std::move(reader)), simulation_(std::move(simulation)) {}

  std::string path_;
  RecordingReader reader_;
  Simulation simulation_;
  std::optional<RecordingWriter> writer_;  // once the recorded frames are behind
  int64_t recorded_ = 0;
};

}  // namespace skep::scenario
