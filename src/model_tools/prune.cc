#include "model_tools/prune.h"

#include <ggml.h>
#include <gguf.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <set>

#include "model_tools/gguf_writer.h"

namespace skep::model_tools {
namespace {

constexpr std::string_view kBlock = "blk.";

// "blk.12.attn_q.weight" → 12; -1: belongs to no layer.
int layer_of(std::string_view tensor) {
  int layer = -1;
  if (tensor.starts_with(kBlock)) std::from_chars(tensor.data() + kBlock.size(), tensor.data() + tensor.size(), layer);
  return layer;
}

std::string renumbered(std::string_view tensor, int layer) {
  const size_t rest = tensor.find('.', kBlock.size());
  return fmt::format("{}{}{}", kBlock, layer, tensor.substr(rest));
}

// Some models give a value for every layer (head counts, feed-forward widths): those of the removed ones go.
void cut_arrays(gguf_context* metadata, const std::string& architecture, const std::vector<int>& kept, int before) {
  for (int64_t key = 0; key < gguf_get_n_kv(metadata); ++key) {
    const std::string name = gguf_get_key(metadata, key);
    if (name.find(".rope.") != name.npos) continue;  // sections of a head, not layers
    if (!name.starts_with(architecture + ".") || gguf_get_kv_type(metadata, key) != GGUF_TYPE_ARRAY) continue;
    const gguf_type type = gguf_get_arr_type(metadata, key);
    const size_t count = gguf_get_arr_n(metadata, key);
    if (type == GGUF_TYPE_STRING || type == GGUF_TYPE_ARRAY || count != static_cast<size_t>(before)) continue;
    static constexpr size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};  // by gguf_type
    const size_t size = kBytes[type];
    const auto* from = static_cast<const char*>(gguf_get_arr_data(metadata, key));
    std::vector<char> cut;
    for (const int layer : kept) {
      const char* value = from + static_cast<size_t>(layer) * size;
      cut.insert(cut.end(), value, value + size);
    }
    gguf_set_arr_data(metadata, name.c_str(), type, cut.data(), kept.size());
    cut_arrays(metadata, architecture, kept, before);  // the key moved to the back: start over
    return;
  }
}

}  // namespace

Result<PruneReport> prune(const PruneOptions& options, const ProgressFn& progress) {
  SKEP_TRY(const auto input, GgufInput::open(options.input));
  const auto before = static_cast<int>(input->number("block_count"));
  const std::set<int> removed(options.layers.begin(), options.layers.end());
  if (removed.empty() || *removed.begin() < 0 || *removed.rbegin() >= before) {
    return fail(ErrorCode::invalid_argument, fmt::format("{} has the layers 0 to {}", options.input, before - 1),
                "name some of these");
  }
  std::vector<int> kept;
  for (int layer = 0; layer < before; ++layer) {
    if (!removed.contains(layer)) kept.push_back(layer);
  }
  if (kept.empty()) return fail(ErrorCode::invalid_argument, "no layer would be left");

  SKEP_TRY(const Metadata metadata, metadata_of(*input));
  if (kept.size() != static_cast<size_t>(before)) cut_arrays(metadata.get(), input->architecture(), kept, before);
  gguf_set_val_u32(metadata.get(), (input->architecture() + ".block_count").c_str(),
                   static_cast<uint32_t>(kept.size()));
  std::vector<OutputTensor> tensors;
  for (const model::GgufTensor& t : input->file().tensors) {
    const int layer = layer_of(t.name);
    if (layer < 0) {
      tensors.push_back(copy_of(*input, t));
      continue;
    }
    const auto at = std::find(kept.begin(), kept.end(), layer);
    if (at == kept.end()) continue;
    tensors.push_back(copy_of(*input, t, renumbered(t.name, static_cast<int>(at - kept.begin()))));
  }
  SKEP_CHECK(write_gguf(options.output, metadata.get(), tensors, options.overwrite, "writing", progress));
  std::error_code ignored;
  return PruneReport{before, static_cast<int>(kept.size()), Bytes(input->file().file_size),
                     Bytes(static_cast<int64_t>(std::filesystem::file_size(options.output, ignored)))};
}

}  // namespace skep::model_tools
