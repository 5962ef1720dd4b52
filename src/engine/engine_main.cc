// skep_engine_main N: a worker on the inherited socket N, for tests of this folder and of those who start workers.
#include <cstdio>
#include <cstdlib>

#include "engine/engine.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: skep_engine_main FD\n", stderr);
    return 2;
  }
  return skep::engine::run_engine(std::atoi(argv[1]));
}
