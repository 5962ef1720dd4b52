#pragma once
// What commands that ask a running daemon share: --url, --key and --json, and the call that fails with the daemon's own
// words.

#include <boost/json/fwd.hpp>
#include <string>

#include "cli/http_client.h"

namespace CLI {
class App;
}

namespace skep::cli {

struct RemoteOptions {
  std::string url;  // --url, else SKEP_URL, else http://127.0.0.1:8051
  std::string key;  // --key, else SKEP_API_KEY
  bool json = false;
};

void add_remote_options(CLI::App& command, RemoteOptions& options);
std::string key_of(const RemoteOptions& options);
Result<HttpClient> connect(const RemoteOptions& options);
// The body of a 2xx as JSON; an error status as the Error that it tells.
Result<boost::json::value> ask(HttpClient& client, std::string_view method, std::string_view target,
                               std::string body = {});

}  // namespace skep::cli
