#include "cli/remote.h"

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <cstdlib>

#include "base/json.h"

namespace skep::cli {

void add_remote_options(CLI::App& command, RemoteOptions& options) {
  command.add_option("--url", options.url, "The daemon (default: SKEP_URL, else http://127.0.0.1:8051)");
  command.add_option("--key", options.key, "API key (default: SKEP_API_KEY)");
  command.add_flag("--json", options.json, "As JSON");
}

std::string key_of(const RemoteOptions& options) {
  const char* variable = std::getenv("SKEP_API_KEY");
  return options.key.empty() && variable != nullptr ? variable : options.key;
}

Result<HttpClient> connect(const RemoteOptions& options) {
  return HttpClient::make(daemon_url(options.url), key_of(options));
}

Result<boost::json::value> ask(HttpClient& client, std::string_view method, std::string_view target, std::string body) {
  SKEP_TRY(HttpAnswer answer, client.call(method, target, std::move(body), std::chrono::minutes(10)));
  if (answer.status / 100 != 2) return fail(error_of(answer));
  return parse_json(answer.body, "the daemon's answer", {256_MiB, 64});
}

}  // namespace skep::cli
