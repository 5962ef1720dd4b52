#pragma once
// Models larger than the budget (D8): a worker whose model would take more of the host than it may keeps only a part of
// the weights resident (weight_pager.h) and reads the rest from the file as it goes. It says so in what it reports as
// loaded, so the ledger books what is resident and the API tells what to expect.

#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "engine/messages.h"

namespace skep::engine {

struct Streaming {
  Bytes weights;                     // all of them
  Bytes resident;                    // of them at once
  double disk_bytes_per_second = 0;  // measured; 0: not known

  [[nodiscard]] StreamedWeights report() const;
  // Of one sequence: every token reads what is not kept from the disk. More where the page cache has it; 0: not known.
  [[nodiscard]] double tokens_per_second() const;
};

// What this worker may take of the host, as its environment says (worker_environment.h); unset: as much as it likes.
std::optional<Bytes> host_budget();

// For a model that needs `need` in a budget that is smaller: unset where its weights fit (if it is the contexts that
// don't, fewer or shorter ones are the answer, and not a disk), and where so little of the weights would fit that it is
// better refused. Everything but weights is in memory as always. A quarter of the budget stays for other models where
// that still leaves enough.
std::optional<Streaming> plan_streaming(const MemoryUse& need, Bytes budget);

// How fast `path` is read past the page cache: some tens of MiB, spread over the file. Blocking, a second at most.
Result<double> measure_read_rate(const std::string& path);

}  // namespace skep::engine
