#include "scenario/resumption.h"

#include <utility>

namespace skep::scenario {

Result<Resumption> Resumption::open(const std::string& path, std::optional<int64_t> steps, int threads) {
  SKEP_TRY(RecordingReader reader, RecordingReader::open(path));
  Scenario scenario = reader.stage().scenario;
  scenario.steps = steps.value_or(scenario.steps);
  SKEP_TRY(Simulation simulation, Simulation::create(scenario, reader.stage().seed, threads));
  Resumption resumption(std::move(reader), std::move(simulation));
  resumption.path_ = path;
  return resumption;
}

Result<const Frame*> Resumption::next() {
  if (!writer_) {
    SKEP_TRY(const std::string line, reader_.next_line());
    if (!line.empty()) {
      SKEP_CHECK(simulation_.step());
      if (write_frame(simulation_.frame()) != line)
        return fail(ErrorCode::corrupt, fmt::format("{}: the simulation gives another frame", reader_.place()),
                    "recorded by another version, or on a machine with other vector instructions");
      ++recorded_;
      return &simulation_.frame();
    }
    if (recorded_ >= stage().scenario.steps) return nullptr;
    SKEP_TRY(RecordingWriter writer, RecordingWriter::append(path_, reader_.read()));
    writer_.emplace(std::move(writer));
  }
  if (simulation_.frame().step >= stage().scenario.steps) return nullptr;
  SKEP_CHECK(simulation_.step());
  SKEP_CHECK(writer_->write(simulation_.frame()));
  return &simulation_.frame();
}

Status Resumption::finish() { return writer_ ? writer_->finish() : Status(); }

}  // namespace skep::scenario
