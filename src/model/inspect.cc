#include "model/inspect.h"

#include <algorithm>
#include <boost/json.hpp>
#include <map>

#include "model/describe.h"

namespace skep::model {
namespace {

namespace json = boost::json;

// Columns on a terminal: code points, which is right for what stands in these files.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string cut(std::string_view text, size_t columns) {
  if (width_of(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::string out;
  size_t shown = 0;
  for (char c : text) {
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80 && ++shown >= columns) break;
    out += c;
  }
  return out + "…";
}

std::string padded(std::string_view text, size_t columns) {
  return std::string(text) + std::string(columns - std::min(columns, width_of(text)), ' ');
}

std::string shown(const GgufScalar& scalar) {
  struct {
    std::string operator()(uint64_t v) const { return std::to_string(v); }
    std::string operator()(int64_t v) const { return std::to_string(v); }
    std::string operator()(double v) const { return fmt::format("{:.7g}", v); }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(const std::string& v) const { return presentable(v, 512); }
  } show;
  return std::visit(show, scalar);
}

std::string shown(const GgufValue& value) {
  if (const auto* scalar = std::get_if<GgufScalar>(&value.value)) return shown(*scalar);
  const auto& array = std::get<GgufArray>(value.value);
  std::string out = "[";
  size_t listed = 0;
  for (; listed < array.first.size() && out.size() < 200; ++listed) {
    const bool text = array.element == GgufType::string;
    out += (listed == 0 ? "" : ", ") + (text ? "\"" + shown(array.first[listed]) + "\"" : shown(array.first[listed]));
  }
  return out + (listed < array.count ? listed == 0 ? "…]" : ", …]" : "]");
}

std::string type_of(const GgufValue& value) {
  const auto* array = std::get_if<GgufArray>(&value.value);
  return array == nullptr ? to_string(value.type) : fmt::format("{}[{}]", to_string(array->element), array->count);
}

std::string extent_of(const GgufTensor& tensor) {
  std::string out;
  for (int d = 0; d < tensor.dimensions; ++d)
    out += (d == 0 ? "" : " × ") + std::to_string(tensor.extent[static_cast<size_t>(d)]);
  return out;
}

std::string shown_count(int64_t count) {
  const auto n = static_cast<double>(count);
  if (n >= 999.5e6) return fmt::format("{:.2f} B", n / 1e9);
  if (n >= 999.5e3) return fmt::format("{:.1f} M", n / 1e6);
  if (n >= 1e4) return fmt::format("{:.1f} K", n / 1e3);
  return std::to_string(count);
}

json::value json_of(const GgufScalar& scalar) {
  struct {
    json::value operator()(uint64_t v) const { return v; }
    json::value operator()(int64_t v) const { return v; }
    json::value operator()(double v) const { return v; }
    json::value operator()(bool v) const { return v; }
    json::value operator()(const std::string& v) const { return json::string(presentable(v, v.size() * 3)); }
  } convert;
  return std::visit(convert, scalar);
}

json::value json_of(const GgufValue& value) {
  if (const auto* scalar = std::get_if<GgufScalar>(&value.value)) return json_of(*scalar);
  const auto& array = std::get<GgufArray>(value.value);
  json::array first;
  for (const GgufScalar& scalar : array.first) first.push_back(json_of(scalar));
  if (first.size() == array.count) return first;
  return json::object{{"type", to_string(array.element)}, {"count", array.count}, {"first", std::move(first)}};
}

}  // namespace

std::vector<StorageUse> storage_of(const GgufFile& file) {
  std::map<uint32_t, StorageUse> by_type;
  for (const GgufTensor& tensor : file.tensors) {
    StorageUse& use = by_type[tensor.type];
    use.type = tensor.type;
    ++use.tensors;
    use.elements += tensor.elements();
    use.bytes += Bytes(tensor.bytes);
  }
  std::vector<StorageUse> uses;
  for (const auto& [type, use] : by_type) uses.push_back(use);
  std::stable_sort(uses.begin(), uses.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  return uses;
}

std::string inspect_text(const GgufFile& file, const std::string& path, const InspectOptions& options) {
  const FileSummary summary = describe(file);
  const ModelInfo& info = summary.info;
  std::string out;
  const auto line = [&](std::string_view text) { out += cut(text, options.columns) + "\n"; };
  line(path);
  line(fmt::format("  {} · {} parameters · {} · {} · GGUF version {}",
                   info.architecture.empty() ? "?" : info.architecture, shown_count(info.parameters),
                   info.quantization.empty() ? "?" : info.quantization, to_string(Bytes(file.file_size)),
                   file.version));
  if (summary.split_count > 1) line(fmt::format("  part {} of {}", summary.split_index + 1, summary.split_count));
  if (!info.broken.empty()) line("  can't be run: it " + info.broken);

  size_t keys = 0, types = 0;
  for (const GgufValue& value : file.metadata) {
    keys = std::max(keys, width_of(presentable(value.key, 64)));
    types = std::max(types, type_of(value).size());
  }
  line(fmt::format("\nMetadata ({})", file.metadata.size()));
  for (const GgufValue& value : file.metadata) {
    line("  " + padded(presentable(value.key, 64), keys) + "  " + padded(type_of(value), types) + "  " + shown(value));
  }
  line("\nStorage");
  for (const StorageUse& use : storage_of(file)) {
    const double part =
        file.file_size == 0 ? 0 : 100.0 * static_cast<double>(use.bytes.count) / static_cast<double>(file.file_size);
    line(fmt::format("  {:<8} {:>6} tensors {:>10} values {:>10} {:>5.1f} %", tensor_type_name(use.type), use.tensors,
                     shown_count(use.elements), to_string(use.bytes), part));
  }
  if (!options.tensors) return out;

  size_t names = 0, extents = 0;
  for (const GgufTensor& tensor : file.tensors) {
    names = std::max(names, width_of(presentable(tensor.name, 64)));
    extents = std::max(extents, width_of(extent_of(tensor)));
  }
  line(fmt::format("\nTensors ({})", file.tensors.size()));
  for (const GgufTensor& tensor : file.tensors) {
    line(fmt::format("  {}  {}  {:<8} {:>10}", padded(presentable(tensor.name, 64), names),
                     padded(extent_of(tensor), extents), tensor_type_name(tensor.type),
                     to_string(Bytes(tensor.bytes))));
  }
  return out;
}

std::string inspect_json(const GgufFile& file, const std::string& path, const std::string& forward) {
  const FileSummary summary = describe(file);
  json::object metadata;
  for (const GgufValue& value : file.metadata) metadata[presentable(value.key, 65'535)] = json_of(value);
  json::array storage, tensors;
  for (const StorageUse& use : storage_of(file)) {
    storage.push_back(json::object{{"type", tensor_type_name(use.type)},
                                   {"tensors", use.tensors},
                                   {"elements", use.elements},
                                   {"bytes", use.bytes.count}});
  }
  for (const GgufTensor& tensor : file.tensors) {
    json::array extent(tensor.extent.begin(), tensor.extent.begin() + tensor.dimensions);
    tensors.push_back(json::object{{"name", presentable(tensor.name)},
                                   {"type", tensor_type_name(tensor.type)},
                                   {"extent", std::move(extent)},
                                   {"offset", file.data_offset + tensor.offset},
                                   {"bytes", tensor.bytes}});
  }
  json::object root{{"path", presentable(path, 4096)},
                    {"file_size", file.file_size},
                    {"version", file.version},
                    {"architecture", summary.info.architecture},
                    {"parameters", summary.info.parameters},
                    {"quantization", summary.info.quantization},
                    {"part", summary.split_index + 1},
                    {"parts", summary.split_count},
                    {"broken", summary.info.broken},
                    {"metadata", std::move(metadata)},
                    {"storage", std::move(storage)},
                    {"tensors", std::move(tensors)}};
  if (!forward.empty()) root["forward"] = forward;
  return json::serialize(root);
}

}  // namespace skep::model
