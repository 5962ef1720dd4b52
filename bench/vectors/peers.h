#pragma once
// The parts of `skep bench vectors --peers`: what an agent's memory does, by skep in this process and by PostgreSQL
// with pgvector and Redis beside it, on the same machine and the same data, all of it durable before it is
// acknowledged.
//
// The peers are used as their manuals say: facts come by COPY and the HNSW index is built after, by parallel workers
// with memory enough; many small values go through one pipeline. Both are asked over Unix sockets.

#include "base/result.h"
#include "report.h"
#include "vectors_bench.h"

namespace skep::bench {

Status run_peers(const VectorsBenchOptions& options, Report& report);

}  // namespace skep::bench
