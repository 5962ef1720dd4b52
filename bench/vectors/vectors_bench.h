#pragma once
// `skep bench vectors`: semantic lookup against a brute-force search of the floats, long-term memory (insert, search,
// restart), and the same beside PostgreSQL with pgvector and Redis, all on synthetic facts of some thousand topics.

#include <string>

#include "base/result.h"
#include "report.h"

namespace skep::bench {

struct VectorsBenchOptions {
  int facts = 100'000;
  int dimensions = 384;
  int queries = 2000;
  std::string only;    // semantic, facts, peers; empty: the first two, and peers where `peers` says so
  bool peers = false;  // also with PostgreSQL + pgvector and Redis, started for this
  std::string folder;  // for the files; emptied
  std::string deps;    // where scripts/setup puts what it fetches
};

Result<Report> run_vectors_bench(const VectorsBenchOptions& options);

}  // namespace skep::bench
