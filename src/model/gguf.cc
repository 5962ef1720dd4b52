#include "model/gguf.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <unordered_set>
#include <utility>

static_assert(std::endian::native == std::endian::little, "GGUF is read as it lies in memory");

namespace skep::model {
namespace {

// Of one tensor: more than any file can hold, few enough that counting bytes and summing tensors can't overflow.
constexpr int64_t kMostElements = int64_t{1} << 44;

// Thrown inside this file only, caught in parse_gguf(): the reading stops in the midst of nested loops.
struct Contradiction {
  Error error;
};

// Bytes a value of the type takes at least, which bounds how many can follow.
uint64_t least_bytes(GgufType type) {
  switch (type) {
    case GgufType::uint8:
    case GgufType::int8:
    case GgufType::boolean:
      return 1;
    case GgufType::uint16:
    case GgufType::int16:
      return 2;
    case GgufType::uint32:
    case GgufType::int32:
    case GgufType::float32:
      return 4;
    case GgufType::uint64:
    case GgufType::int64:
    case GgufType::float64:
    case GgufType::string:
      return 8;
    case GgufType::array:
      return 12;
  }
  return 1;
}

// Reads forward through a window, so that small reads are cheap and memory stays at the window's size.
class Cursor {
 public:
  Cursor(ByteSource& source, std::string_view what, int64_t end) : source_(source), what_(what), end_(end) {}

  [[nodiscard]] int64_t position() const { return position_; }
  [[nodiscard]] uint64_t left() const { return static_cast<uint64_t>(end_ - position_); }

  template <typename... Args>
  [[noreturn]] void contradict(fmt::format_string<Args...> format, Args&&... args) const {
    throw Contradiction{
        {ErrorCode::corrupt,
         fmt::format("{}: at byte {}: {}", what_, position_, fmt::format(format, std::forward<Args>(args)...)),
         {}}};
  }

  void need(uint64_t bytes, const char* what) const {
    if (bytes > left())
      contradict("{} needs {} bytes, {} are left: the file is truncated or not what it says", what, bytes, left());
  }

  template <typename T>
  T number(const char* what) {
    need(sizeof(T), what);
    T value;
    take(&value, sizeof(T));
    return value;
  }

  // A length and as many bytes.
  std::string string(uint64_t most, const char* what) {
    const auto length = number<uint64_t>(what);
    need(length, what);
    if (length > most) contradict("{} is {} bytes long, at most {} are accepted", what, length, most);
    std::string text(length, '\0');
    take(text.data(), length);
    return text;
  }

  void skip(uint64_t bytes, const char* what) {
    need(bytes, what);
    position_ += static_cast<int64_t>(bytes);
  }

 private:
  static constexpr int64_t kWindow = 64 * 1024;

  // The caller has checked that the bytes are there.
  void take(void* out, uint64_t bytes) {
    auto* to = static_cast<std::byte*>(out);
    while (bytes > 0) {
      if (position_ < window_start_ || position_ >= window_start_ + static_cast<int64_t>(window_.size())) fill();
      const auto at = static_cast<size_t>(position_ - window_start_);
      const uint64_t n = std::min<uint64_t>(bytes, window_.size() - at);
      std::memcpy(to, window_.data() + at, n);
      to += n, bytes -= n, position_ += static_cast<int64_t>(n);
    }
  }

  void fill() {
    window_start_ = position_;
    window_.resize(static_cast<size_t>(std::min(kWindow, end_ - position_)));
    if (auto status = source_.read(window_start_, window_); !status) throw Contradiction{std::move(status).error()};
  }

  ByteSource& source_;
  std::string_view what_;
  int64_t end_;
  int64_t position_ = 0;
  int64_t window_start_ = 0;
  std::vector<std::byte> window_;
};

class Parser {
 public:
  Parser(ByteSource& source, std::string_view what, const GgufLimits& limits)
      : limits_(limits), size_(source.size()), in_(source, what, std::min(source.size(), limits.header.count)) {}

  GgufFile parse() {
    file_.file_size = size_;
    magic();
    const auto tensors = in_.number<uint64_t>("the tensor count");
    if (tensors > limits_.tensors) in_.contradict("{} tensors, at most {} are accepted", tensors, limits_.tensors);
    const auto values = in_.number<uint64_t>("the metadata count");
    if (values > limits_.values) in_.contradict("{} metadata values, at most {} are accepted", values, limits_.values);
    for (uint64_t i = 0; i < values; ++i) value();
    alignment();
    for (uint64_t i = 0; i < tensors; ++i) tensor();
    const auto step = static_cast<int64_t>(file_.alignment);
    file_.data_offset = (in_.position() + step - 1) / step * step;
    place_tensors();
    return std::move(file_);
  }

 private:
  void magic() {
    const auto magic = in_.number<std::array<char, 4>>("the magic number");
    if (std::string_view(magic.data(), 4) != "GGUF") {
      std::string shown;
      for (char c : magic) shown += c > 0x20 && c < 0x7f ? c : '.';
      in_.contradict("begins with '{}' instead of 'GGUF': no GGUF file", shown);
    }
    file_.version = in_.number<uint32_t>("the version");
    if ((file_.version & 0xffff) == 0) in_.contradict("is written big-endian, which is not supported");
    if (file_.version < 2 || file_.version > 3) in_.contradict("GGUF version {}; 2 and 3 are supported", file_.version);
  }

  void value() {
    GgufValue value;
    value.key = in_.string(limits_.key_bytes, "a metadata key");
    if (value.key.empty()) in_.contradict("a metadata key is empty");
    if (!keys_.insert(value.key).second) in_.contradict("the metadata key {} stands twice", printable(value.key));
    value.type = type();
    if (value.type == GgufType::array) {
      value.value = array(1);
    } else {
      value.value = scalar(value.type);
    }
    file_.metadata.push_back(std::move(value));
  }

  GgufType type() {
    const auto type = in_.number<uint32_t>("a value's type");
    if (type > static_cast<uint32_t>(GgufType::float64)) in_.contradict("value type {} does not exist", type);
    return static_cast<GgufType>(type);
  }

  GgufScalar scalar(GgufType type) {
    constexpr const char* kWhat = "a metadata value";
    switch (type) {
      case GgufType::uint8:
        return uint64_t{in_.number<uint8_t>(kWhat)};
      case GgufType::int8:
        return int64_t{in_.number<int8_t>(kWhat)};
      case GgufType::uint16:
        return uint64_t{in_.number<uint16_t>(kWhat)};
      case GgufType::int16:
        return int64_t{in_.number<int16_t>(kWhat)};
      case GgufType::uint32:
        return uint64_t{in_.number<uint32_t>(kWhat)};
      case GgufType::int32:
        return int64_t{in_.number<int32_t>(kWhat)};
      case GgufType::float32:
        return double{in_.number<float>(kWhat)};
      case GgufType::boolean:
        return in_.number<uint8_t>(kWhat) != 0;
      case GgufType::uint64:
        return in_.number<uint64_t>(kWhat);
      case GgufType::int64:
        return in_.number<int64_t>(kWhat);
      case GgufType::float64:
        return in_.number<double>(kWhat);
      case GgufType::string: {
        std::string text = in_.string(static_cast<uint64_t>(limits_.string.count), "a metadata string");
        kept_ += Bytes(static_cast<int64_t>(text.size()));
        if (kept_ > limits_.kept) in_.contradict("more than {} of metadata text", to_string(limits_.kept));
        return text;
      }
      case GgufType::array:
        break;
    }
    assert(false);
    return uint64_t{0};
  }

  GgufArray array(int depth) {
    if (depth > limits_.nesting) in_.contradict("arrays nested deeper than {}", limits_.nesting);
    GgufArray array;
    array.element = type();
    array.count = in_.number<uint64_t>("an array's length");
    array.offset = in_.position();
    if (array.count > in_.left() / least_bytes(array.element)) {
      in_.contradict("an array of {} {} can't fit into the {} bytes left", array.count, to_string(array.element),
                     in_.left());
    }
    uint64_t read = 0;
    if (array.element == GgufType::array) {
      for (; read < array.count; ++read) (void)this->array(depth + 1);
    } else {
      const size_t keep = array.element == GgufType::string ? limits_.kept_strings : limits_.kept_numbers;
      for (; read < array.count && read < keep && depth == 1; ++read) array.first.push_back(scalar(array.element));
      if (array.element == GgufType::string) {
        for (; read < array.count; ++read) in_.skip(in_.number<uint64_t>("a string's length"), "a string");
      } else {
        in_.skip((array.count - read) * least_bytes(array.element), "an array");
      }
    }
    array.bytes = in_.position() - array.offset;
    return array;
  }

  void alignment() {
    const GgufValue* value = file_.find("general.alignment");
    if (value == nullptr) return;
    const auto alignment = file_.integer("general.alignment").value_or(0);
    if (value->type != GgufType::uint32 || alignment < 1 || alignment > (1 << 20) ||
        !std::has_single_bit(static_cast<uint64_t>(alignment))) {
      in_.contradict("general.alignment must be a power of two up to 1,048,576, as uint32");
    }
    file_.alignment = static_cast<uint32_t>(alignment);
  }

  void tensor() {
    GgufTensor tensor;
    tensor.name = in_.string(limits_.tensor_name_bytes, "a tensor's name");
    if (!names_.insert(tensor.name).second) in_.contradict("the tensor {} stands twice", printable(tensor.name));
    const auto dimensions = in_.number<uint32_t>("a tensor's number of dimensions");
    if (dimensions < 1 || dimensions > 4)
      in_.contradict("tensor {} has {} dimensions, 1 to 4 are possible", printable(tensor.name), dimensions);
    tensor.dimensions = static_cast<int>(dimensions);
    int64_t elements = 1;
    for (uint32_t d = 0; d < dimensions; ++d) {
      const auto extent = in_.number<uint64_t>("a tensor's extent");
      if (extent == 0 || extent > static_cast<uint64_t>(kMostElements / elements)) {
        in_.contradict("tensor {} has an extent of {}", printable(tensor.name), extent);
      }
      tensor.extent[d] = static_cast<int64_t>(extent);
      elements *= tensor.extent[d];
    }
    tensor.type = in_.number<uint32_t>("a tensor's type");
    const auto offset = in_.number<uint64_t>("a tensor's offset");
    if (offset > static_cast<uint64_t>(size_) || offset % file_.alignment != 0) {
      in_.contradict("tensor {} has offset {}, which is not aligned to {} or beyond the file's {} bytes",
                     printable(tensor.name), offset, file_.alignment, size_);
    }
    tensor.offset = static_cast<int64_t>(offset);
    if (const TensorType* type = tensor_type(tensor.type)) {
      if (tensor.extent[0] % type->block != 0) {
        in_.contradict("tensor {} has rows of {}, which is no multiple of {}'s block of {}", printable(tensor.name),
                       tensor.extent[0], type->name, type->block);
      }
      tensor.bytes = elements / type->block * type->bytes;
    }
    file_.tensors.push_back(std::move(tensor));
  }

  // Tensors lie one behind the other, each from an aligned offset, as libggml demands; the last must end in the file.
  void place_tensors() {
    const int64_t room = size_ - file_.data_offset;
    const auto step = static_cast<int64_t>(file_.alignment);
    int64_t end = 0;
    for (size_t i = 0; i < file_.tensors.size(); ++i) {
      GgufTensor& tensor = file_.tensors[i];
      const bool follows_unknown = i > 0 && tensor_type(file_.tensors[i - 1].type) == nullptr;
      if (tensor.offset < end || (tensor.offset != end && !follows_unknown)) {
        in_.contradict("tensor {} lies at {}, expected at {}", printable(tensor.name), tensor.offset, end);
      }
      if (tensor_type(tensor.type) == nullptr) {
        const bool last = i + 1 == file_.tensors.size();
        tensor.bytes = (last ? room : file_.tensors[i + 1].offset) - tensor.offset;
      }
      if (tensor.bytes < 0 || tensor.bytes > room || tensor.offset > room - tensor.bytes) {
        in_.contradict("tensor {} ends {} bytes behind byte {}, where the file ends: it is truncated",
                       printable(tensor.name), tensor.offset + std::max<int64_t>(tensor.bytes, 0) - room, size_);
      }
      end = tensor.offset + (tensor.bytes + step - 1) / step * step;
    }
  }

  static std::string printable(std::string_view name) {
    constexpr size_t kShown = 80;
    std::string out;
    for (char c : name.substr(0, kShown)) out += c > 0x20 && c < 0x7f ? c : '.';
    return out;
  }

  const GgufLimits& limits_;
  int64_t size_;
  Cursor in_;
  GgufFile file_;
  Bytes kept_;
  std::unordered_set<std::string> keys_, names_;
};

}  // namespace

const char* to_string(GgufType type) {
  constexpr std::array kNames{"uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
                              "bool",  "string", "array",  "uint64", "int64",  "float64"};
  const auto index = static_cast<size_t>(type);
  return index < kNames.size() ? kNames[index] : "?";
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = std::find_if(metadata.begin(), metadata.end(), [&](const GgufValue& v) { return v.key == key; });
  return found == metadata.end() ? nullptr : &*found;
}

const GgufArray* GgufFile::array(std::string_view key) const {
  const GgufValue* value = find(key);
  return value == nullptr ? nullptr : std::get_if<GgufArray>(&value->value);
}

namespace {
const GgufScalar* scalar_of(const GgufFile& file, std::string_view key) {
  const GgufValue* value = file.find(key);
  return value == nullptr ? nullptr : std::get_if<GgufScalar>(&value->value);
}
}  // namespace

const std::string* GgufFile::text(std::string_view key) const {
  const GgufScalar* scalar = scalar_of(*this, key);
  return scalar == nullptr ? nullptr : std::get_if<std::string>(scalar);
}

std::optional<int64_t> GgufFile::integer(std::string_view key) const {
  const GgufScalar* scalar = scalar_of(*this, key);
  if (scalar == nullptr) return std::nullopt;
  if (const auto* value = std::get_if<int64_t>(scalar)) return *value;
  if (const auto* value = std::get_if<uint64_t>(scalar); value != nullptr && std::in_range<int64_t>(*value)) {
    return static_cast<int64_t>(*value);
  }
  return std::nullopt;
}

std::optional<double> GgufFile::number(std::string_view key) const {
  if (const auto value = integer(key)) return static_cast<double>(*value);
  const GgufScalar* scalar = scalar_of(*this, key);
  const double* value = scalar == nullptr ? nullptr : std::get_if<double>(scalar);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const GgufScalar* scalar = scalar_of(*this, key);
  const bool* value = scalar == nullptr ? nullptr : std::get_if<bool>(scalar);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

Result<GgufFile> parse_gguf(ByteSource& source, std::string_view what, const GgufLimits& limits) {
  try {
    return Parser(source, what, limits).parse();
  } catch (const Contradiction& contradiction) {
    return fail(contradiction.error);
  }
}

Result<GgufFile> read_gguf(const std::string& path, const GgufLimits& limits) {
  SKEP_TRY(const auto source, FileSource::open(path));
  return parse_gguf(*source, path, limits);
}

}  // namespace skep::model
