#include "llama_peer.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

namespace skep::bench {
namespace {

// What a command prints, at most 1 MiB of it.
Result<std::string> output_of(const std::string& command) {
  struct Close {
    void operator()(FILE* f) const { pclose(f); }
  };
  const std::unique_ptr<FILE, Close> pipe(popen((command + " 2>/dev/null").c_str(), "r"));
  if (!pipe) return fail(ErrorCode::io, "can't start " + command);
  std::string text;
  std::array<char, 4096> part{};
  while (text.size() < (1U << 20U)) {
    const size_t n = fread(part.data(), 1, part.size(), pipe.get());
    if (n == 0) break;
    text.append(part.data(), n);
  }
  return text;
}

// The number behind "key": in the last place where it stands.
Result<double> number_behind(const std::string& text, const std::string& key) {
  const size_t at = text.rfind("\"" + key + "\":");
  if (at == std::string::npos) return fail(ErrorCode::unavailable, "the peer printed no " + key);
  return std::strtod(text.c_str() + at + key.size() + 3, nullptr);
}

std::string quoted(const std::string& path) { return "'" + path + "'"; }

}  // namespace

bool LlamaPeer::available() const {
  std::error_code error;
  return !tools_.empty() && std::filesystem::exists(tools_ + "/llama-bench", error) &&
         std::filesystem::exists(tools_ + "/llama-batched-bench", error);
}

Result<double> LlamaPeer::prefill(const std::string& model, int tokens) const {
  SKEP_TRY(const std::string text,
           output_of(fmt::format("{} -m {} -p {} -n 0 -r 1 -t {} -o json", quoted(tools_ + "/llama-bench"),
                                 quoted(model), tokens, threads_)));
  return number_behind(text, "avg_ts");
}

Result<double> LlamaPeer::decode(const std::string& model, int sequences, int prompt, int tokens) const {
  SKEP_TRY(const std::string text,
           output_of(fmt::format("{} -m {} -npp {} -ntg {} -npl {} -c {} -t {} --output-format jsonl",
                                 quoted(tools_ + "/llama-batched-bench"), quoted(model), prompt, tokens, sequences,
                                 sequences * (prompt + tokens) + 256, threads_)));
  return number_behind(text, "speed_tg");
}

}  // namespace skep::bench
