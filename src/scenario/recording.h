#pragma once
// A run on disk, one JSON object per line (doc/sim.md has the format): a header with the whole scenario and the seed,
// then one line per frame, numbers in f32. A recording is played back without any computation, and it can be
// verified: simulated again and compared line by line.

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "base/result.h"
#include "scenario/frame.h"

namespace skep::scenario {

inline constexpr int recording_version = 1;

// What a header holds: enough to run the scenario again.
struct RecordingHeader {
  std::string scenario_text;  // YAML as it was read
  std::vector<Override> overrides;
  uint64_t seed = 0;
};

std::string write_frame(const Frame& frame);
// `what` names the line in errors: "run.jsonl:17". Refuses frames that don't fit the stage.
Result<Frame> read_frame(std::string_view line, const Stage& stage, std::string_view what);

class RecordingWriter {
 public:
  static Result<RecordingWriter> create(const std::string& path, const RecordingHeader& header);
  // Goes on after the first `bytes` of a recording, which end with a whole line; what follows them is cut off.
  static Result<RecordingWriter> append(const std::string& path, uint64_t bytes);
  Status write(const Frame& frame);
  Status finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  RecordingWriter(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

class RecordingReader {
 public:
  // corrupt: no recording, or of a version that this program does not know.
  static Result<RecordingReader> open(const std::string& path);
  [[nodiscard]] const RecordingHeader& header() const { return header_; }
  [[nodiscard]] const Stage& stage() const { return stage_; }
  // The next frame's line, empty at the end.
  Result<std::string> next_line();
  [[nodiscard]] uint64_t read() const { return read_; }  // bytes of the whole lines so far
  [[nodiscard]] std::string place() const;               // of that line: "run.jsonl:17"

 private:
  std::string path_;
  std::ifstream file_;
  RecordingHeader header_;
  Stage stage_;
  int64_t line_ = 1;
  uint64_t read_ = 0;
};

}  // namespace skep::scenario
