// skep_fake_api PORT: the API over canned answers, to develop clients and test/system against. Prints its URL.

#include <cstdio>
#include <cstdlib>

#include "api/api_server.h"
#include "api/testing/fake_backend.h"

int main(int argc, char** argv) {
  skep::AsioEventLoop loop;
  skep::api::testing::FakeBackend backend(loop);
  skep::api::ServerOptions options;
  options.port = static_cast<uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  skep::api::ApiServer server(loop, backend, options);
  auto port = server.start();
  if (!port) {
    std::fprintf(stderr, "skep_fake_api: %s\n", port.error().text().c_str());
    return 1;
  }
  std::printf("http://127.0.0.1:%d\n", *port);
  std::fflush(stdout);
  loop.run();
  return 0;
}
