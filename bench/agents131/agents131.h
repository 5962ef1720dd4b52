#pragma once
// `skep bench agents131`: 131 agents on one 143 M-parameter Q4_0 model (smollm-135m's shape, random weights), each with
// the common preamble (220 words), its own role (40) and a task (25), 32 tokens out, greedy, EOS ignored. Round one is
// cold; in round two each agent gets a new task and keeps its own conversation. Skep and llama-server serve the same
// file and hear the same requests from the same client, in turn, `rounds` times; medians are compared. The limit beside
// them: the tokens that had to be evaluated and generated, at the rates that llama-bench and llama-batched-bench have
// on the same file in the same run.

#include <string>

#include "base/result.h"
#include "report.h"

namespace skep::bench {

struct Agents131Options {
  std::string skep;              // the binary under measurement
  std::string llama_server;      // the peer's; empty: no peer
  std::string tools;             // folder of llama-bench and llama-batched-bench; empty: no limit is reported
  std::string model;             // a GGUF; empty: synthesized into `folder`
  std::string folder;            // for the model, configs and logs
  std::string forward = "auto";  // skep's, as engines.forward; with libllama's the bars are lower
  int rounds = 3;
  int agents = 131;
  int tokens_out = 32;
  bool busy_neighbour = false;  // one process spins beside both; only the cold round is played
};

Result<Report> run_agents131(const Agents131Options& options);

}  // namespace skep::bench
