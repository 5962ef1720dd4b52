// A lamp that may be on or off, seen through a bad sensor by a thousand agents that would like it on.
#include <cstdio>
#include <vector>

#include "mind/belief/population.h"

using namespace skep::belief;

int main() {
  GenerativeModel lamp;
  lamp.A = {Tensor({2, 2}, {0.9, 0.2, 0.1, 0.8})};                           // P(seen | lamp): rows dark, bright
  lamp.B = {Tensor({2, 2, 2}, {0.95, 0.1, 0.3, 0.1, 0.05, 0.9, 0.7, 0.9})};  // [next][lamp][leave, switch on]
  lamp.C = {Tensor({2}, {0.0, 2.0})};                                        // bright is preferred
  auto model = complete(lamp);
  if (!model) return std::puts(model.error().text().c_str()), 1;

  auto pool = skep::kernel::ThreadPool::create();
  PopulationOptions options;
  options.capacity = 1000;
  auto agents = Population::create(*model, options, *pool);
  if (!agents) return std::puts(agents.error().text().c_str()), 1;
  for (int i = 0; i < 1000; ++i) (void)(*agents)->add();

  std::vector<uint16_t> dark(1000, 0);
  for (int t = 0; t < 3; ++t) {
    if (!(*agents)->step(dark)) return 1;
    std::printf("step %d: P(on) = %.3f, surprise %.3f nats, action %d\n", t, (*agents)->belief(0)[1],
                (*agents)->free_energy()[0], (*agents)->actions()[0]);
  }
}
