#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json.hpp>
#include <memory>

#include "base/units.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/terminal.h"

namespace skep::cli {
namespace {

namespace json = boost::json;

Bytes bytes_at(const json::value& object, const char* key) { return Bytes(object.at(key).to_number<int64_t>()); }

// Without the reason: "native avx2", "libllama".
std::string forward_name(const json::value& model) {
  const json::string& forward = model.at("forward").as_string();
  return std::string(forward.subview(0, std::min(forward.find(':'), forward.size())));
}

void show(const json::value& usage) {
  const json::value& memory = usage.at("memory");
  const json::value& engines = usage.at("engines");
  Bytes budget = bytes_at(memory, "budget_bytes"), measured = bytes_at(memory, "measured_bytes");
  double used = budget.count > 0 ? static_cast<double>(measured.count) / static_cast<double>(budget.count) : 0;
  fmt::print("memory  {} {:.0f} %  {} of {}, {} reserved\n", bar(used, 24), used * 100, to_string(measured),
             to_string(budget), to_string(bytes_at(memory, "reserved_bytes")));
  double cpu = usage.at("cpu").at("percent").to_number<double>();
  fmt::print("cpu     {} {:.0f} %  of {} cores\n", bar(cpu / 100, 24), cpu,
             usage.at("cpu").at("cores").to_number<int>());
  fmt::print("queue   {} of {}\n\n", usage.at("queue").at("length").to_number<int64_t>(),
             usage.at("queue").at("limit").to_number<int64_t>());
  const json::array& models = engines.at("models").as_array();
  if (models.empty()) {
    fmt::print("no model is loaded\n");
    return;
  }
  using Align = Table::Align;
  Table table({{"model", Align::left},
               {"state", Align::left},
               {"memory", Align::right},
               {"gpu", Align::right},
               {"context", Align::right},
               {"forward", Align::left},
               {"busy", Align::right},
               {"waiting", Align::right},
               {"loads", Align::right},
               {"until", Align::left}});
  for (const json::value& model : models) {
    Bytes gpu = bytes_at(model, "gpu_bytes");
    const json::value& expires = model.at("expires_at");
    table.row({model.at("model").as_string().c_str(), model.at("state").as_string().c_str(),
               to_string(bytes_at(model, "host_bytes")), gpu.count > 0 ? to_string(gpu) : "",
               human_count(model.at("context_tokens").to_number<int64_t>()), forward_name(model),
               fmt::format("{}/{}", model.at("generating").to_number<int>(), model.at("slots").to_number<int>()),
               human_count(model.at("waiting").to_number<int64_t>()),
               human_count(model.at("loads").to_number<int64_t>()),
               expires.is_string() ? std::string(expires.as_string().subview(11, 8)) : "stays"});
  }
  table.print();
  for (const json::value& model : models) {
    const json::value* found = model.as_object().if_contains("streamed");  // older daemons don't say
    if (found == nullptr || !found->is_object()) continue;
    const json::value& streamed = *found;
    fmt::print("{} runs from the disk: {} of {} of its weights at once, {}/s, about {:.2g} tokens/s\n",
               model.at("model").as_string().c_str(), to_string(bytes_at(streamed, "resident_bytes")),
               to_string(bytes_at(streamed, "weight_bytes")),
               to_string(Bytes(static_cast<int64_t>(streamed.at("disk_bytes_per_second").to_number<double>()))),
               streamed.at("tokens_per_second").to_number<double>());
  }
}

int ps(const RemoteOptions& options) {
  auto client = connect(options);
  if (!client) return report(client.error());
  auto usage = ask(*client, "GET", "/api/resources/usage");
  if (!usage) return report(usage.error());
  if (options.json) {
    fmt::print("{}\n", json::serialize(*usage));
  } else {
    show(*usage);
  }
  return kOk;
}

}  // namespace

void add_ps(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("ps", "What is loaded, what it takes, what it does");
  auto options = std::make_shared<RemoteOptions>();
  add_remote_options(*command, *options);
  command->callback([options, &exit_code] { exit_code = ps(*options); });
}

}  // namespace skep::cli
