#pragma once
// `skep bench park`: what parking and drafts are worth, on the engine alone.
//   park_memory, park_disk  resuming a parked 1,000-token sequence against evaluating it again; disk: with its pages
//                           dropped from the page cache
//   park_bytes              131 agents with a common preamble parked: bytes of each, and whether each resumes exactly
//   drafts                  JSON-schema answers of a trained model with drafts against without

#include <string>

#include "base/result.h"
#include "report.h"

namespace skep::bench {

struct ParkBenchOptions {
  std::string folder;            // for the model and what is parked
  std::string model;             // another GGUF than the synthesized one
  std::string trained;           // the demo model that answers with drafts and without
  std::string only;              // "drafts": nothing else
  std::string forward = "auto";  // as engines.forward
  int rounds = 5;
};

Result<Report> run_park_bench(const ParkBenchOptions& options);

}  // namespace skep::bench
