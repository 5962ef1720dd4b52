#include "engine/llama_library.h"

#include <llama.h>

#include <algorithm>
#include <cassert>
#include <deque>
#include <mutex>

namespace skep::engine {
namespace {

constexpr size_t kLines = 4;
constexpr size_t kLineBytes = 300;

struct Log {
  std::mutex mutex;  // libggml's threads may log
  std::deque<std::string> lines;
  std::function<void(std::string_view)> listener;
  bool continues = false;  // the last line was an error: what GGML_LOG_LEVEL_CONT adds belongs to it
};

Log& log() {
  static Log instance;
  return instance;
}

void keep(ggml_log_level level, const char* text, void*) {
  Log& l = log();
  const std::lock_guard lock(l.mutex);
  if (l.listener) l.listener(text);
  if (level == GGML_LOG_LEVEL_CONT) {
    if (l.continues && !l.lines.empty())
      l.lines.back().append(text).resize(std::min(l.lines.back().size(), kLineBytes));
    return;
  }
  l.continues = level == GGML_LOG_LEVEL_ERROR || level == GGML_LOG_LEVEL_WARN;
  if (!l.continues) return;
  l.lines.push_back(std::string(text).substr(0, kLineBytes));
  if (l.lines.size() > kLines) l.lines.pop_front();
}

}  // namespace

Status start_llama() {
  static const bool started = [] {
    llama_log_set(keep, nullptr);
    const std::string backends = SKEP_GGML_BACKENDS;
    if (backends.empty()) {
      ggml_backend_load_all();
    } else {
      ggml_backend_load_all_from_path(backends.c_str());
    }
    llama_backend_init();
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) != nullptr;
  }();
  if (!started) {
    return fail(ErrorCode::unavailable, "libllama found no CPU backend", "run scripts/setup again");
  }
  return {};
}

bool has_gpu() {
  return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) != nullptr ||
         ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_IGPU) != nullptr;
}

std::string take_llama_errors() {
  Log& l = log();
  const std::lock_guard lock(l.mutex);
  std::string text;
  for (std::string& line : l.lines) {
    while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) text += (text.empty() ? "" : "; ") + line;
  }
  l.lines.clear();
  return text;
}

LlamaListener::LlamaListener(std::function<void(std::string_view)> heard) {
  Log& l = log();
  const std::lock_guard lock(l.mutex);
  assert(!l.listener);
  l.listener = std::move(heard);
}

LlamaListener::~LlamaListener() {
  Log& l = log();
  const std::lock_guard lock(l.mutex);
  l.listener = nullptr;
}

}  // namespace skep::engine
