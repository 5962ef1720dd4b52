#include "scenario/recording.h"

#include <boost/json.hpp>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <limits>

#include "base/json.h"
#include "scenario/world.h"

namespace skep::scenario {
namespace {

namespace json = boost::json;

constexpr size_t most_line = 64 << 20;
constexpr JsonLimits line_limits{.size = 64_MiB, .depth = 8};

// Numbers are written as the shortest text that reads back as the same f32, and read through double: Boost.JSON 1.81
// may be off by the last bit of a double, which an f32 does not see.
void append(std::string& text, double value) {
  const auto number = static_cast<float>(value);
  fmt::format_to(std::back_inserter(text), "{}", std::isfinite(number) ? number : std::numeric_limits<float>::max());
}

template <typename... Numbers>
void append_list(std::string& text, Numbers... numbers) {
  text += '[';
  ((append(text, static_cast<double>(numbers)), text += ','), ...);
  text.back() = ']';
}

// Boost.JSON's value_to throws; these say false.
bool number(const json::value& value, double& out) {
  if (value.is_double())
    out = value.get_double();
  else if (value.is_int64())
    out = static_cast<double>(value.get_int64());
  else if (value.is_uint64())
    out = static_cast<double>(value.get_uint64());
  else
    return false;
  return true;
}

// A whole number that is not negative, exactly: a double would round those beyond 2^53.
bool whole(const json::value& value, uint64_t& out) {
  if (value.is_uint64())
    out = value.get_uint64();
  else if (value.is_int64() && value.get_int64() >= 0)
    out = static_cast<uint64_t>(value.get_int64());
  else
    return false;
  return true;
}

// A list of exactly N numbers.
template <size_t N>
bool numbers(const json::value& value, double (&out)[N]) {
  if (!value.is_array() || value.get_array().size() != N) return false;
  for (size_t i = 0; i < N; ++i)
    if (!number(value.get_array()[i], out[i])) return false;
  return true;
}

const json::array* list(const json::object& object, const char* key, size_t least, size_t most) {
  const json::value* value = object.if_contains(key);
  const json::array* found = value == nullptr ? nullptr : value->if_array();
  return found == nullptr || found->size() < least || found->size() > most ? nullptr : found;
}

bool read_agents(const json::object& object, const Stage& stage, Frame& frame) {
  const auto count = static_cast<size_t>(stage.scenario.agents());
  const json::array* agents = list(object, "agents", count, count);
  if (agents == nullptr) return false;
  for (const json::value& value : *agents) {
    double v[6];
    if (!numbers(value, v) || !(v[2] >= 0 && v[2] < static_cast<double>(count)) || !(v[3] >= 0 && v[3] < 1e6))
      return false;
    frame.agents.push_back({static_cast<float>(v[0]), static_cast<float>(v[1]), static_cast<uint32_t>(v[2]),
                            static_cast<int>(v[3]), static_cast<float>(v[4]), static_cast<float>(v[5])});
  }
  return true;
}

bool read_populations(const json::object& object, const Stage& stage, Frame& frame) {
  const size_t count = stage.scenario.populations.size(), hidden = stage.hidden_names.size();
  const json::array* populations = list(object, "populations", count, count);
  if (populations == nullptr) return false;
  for (const json::value& value : *populations) {
    const json::object* fields = value.if_object();
    double v[6];
    if (fields == nullptr || !fields->contains("means") || !numbers(fields->at("means"), v)) return false;
    for (double& mean : v) mean = static_cast<float>(mean);
    PopulationFrame population{v[0], v[1], v[2], v[3], v[4], v[5], {}};
    const json::array* beliefs = list(*fields, "hidden", hidden, hidden);
    if (beliefs == nullptr) return false;
    for (const json::value& belief : *beliefs) {
      double share = 0;
      if (!number(belief, share)) return false;
      population.hidden.push_back(static_cast<float>(share));
    }
    frame.populations.push_back(std::move(population));
  }
  return true;
}

bool read_marks(const json::object& object, Frame& frame) {
  const json::array* marks = list(object, "marks", 0, 1000);
  if (marks == nullptr) return false;
  for (const json::value& value : *marks) {
    double v[4];
    if (!numbers(value, v) || !(v[2] >= 32 && v[2] < 127)) return false;
    frame.marks.push_back({static_cast<float>(v[0]), static_cast<float>(v[1]), static_cast<char>(v[2]), v[3] != 0});
  }
  return true;
}

}  // namespace

std::string write_frame(const Frame& frame) {
  std::string text = fmt::format("{{\"step\":{},\"coalitions\":", frame.step);
  append_list(text, frame.coalitions, frame.coalition_value);
  text += ",\"populations\":[";
  for (const PopulationFrame& p : frame.populations) {
    text += &p == frame.populations.data() ? "{\"means\":" : ",{\"means\":";
    append_list(text, p.reward, p.free_energy, p.entropy, p.agreement, p.activity, p.coalition_size);
    text += ",\"hidden\":[";
    for (const float& share : p.hidden) {
      if (&share != p.hidden.data()) text += ',';
      append(text, share);
    }
    text += "]}";
  }
  text += "],\"marks\":[";
  for (const Mark& mark : frame.marks) {
    if (&mark != frame.marks.data()) text += ',';
    append_list(text, mark.x, mark.y, static_cast<int>(mark.symbol), mark.strong ? 1 : 0);
  }
  text += "],\"agents\":[";
  for (const AgentFrame& agent : frame.agents) {
    if (&agent != frame.agents.data()) text += ',';
    append_list(text, agent.x, agent.y, agent.coalition, agent.action, agent.free_energy, agent.reward);
  }
  return text + "]}";
}

Result<Frame> read_frame(std::string_view line, const Stage& stage, std::string_view what) {
  SKEP_TRY(const json::value value, parse_json(line, what, line_limits));
  const json::object* object = value.if_object();
  Frame frame;
  double step = 0, coalitions[2];
  const bool read = object != nullptr && object->contains("step") && number(object->at("step"), step) && step >= 1 &&
                    step < 1e15 && object->contains("coalitions") && numbers(object->at("coalitions"), coalitions) &&
                    coalitions[0] >= 0 && coalitions[0] < 1e9 && read_populations(*object, stage, frame) &&
                    read_marks(*object, frame) && read_agents(*object, stage, frame);
  if (!read) return fail(ErrorCode::corrupt, fmt::format("{}: this is no frame of its scenario", what));
  frame.step = static_cast<int64_t>(step);
  frame.coalitions = static_cast<int>(coalitions[0]);
  frame.coalition_value = static_cast<float>(coalitions[1]);
  return frame;
}

Result<RecordingWriter> RecordingWriter::create(const std::string& path, const RecordingHeader& header) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return fail(ErrorCode::io, fmt::format("{}: cannot be written", path));
  json::array overrides;
  for (const auto& [key, value] : header.overrides) overrides.push_back(json::array{key, value});
  fmt::print(file, "{}\n",
             json::serialize(json::object{{"skep_recording", recording_version},
                                          {"seed", header.seed},
                                          {"scenario", header.scenario_text},
                                          {"overrides", std::move(overrides)}}));
  return RecordingWriter(path, file);
}

Result<RecordingWriter> RecordingWriter::append(const std::string& path, uint64_t bytes) {
  std::error_code error;
  std::filesystem::resize_file(path, bytes, error);
  std::FILE* file = error ? nullptr : std::fopen(path.c_str(), "a");
  if (file == nullptr) return fail(ErrorCode::io, fmt::format("{}: cannot be written", path));
  return RecordingWriter(path, file);
}

Status RecordingWriter::write(const Frame& frame) {
  fmt::print(file_.get(), "{}\n", write_frame(frame));
  if (std::ferror(file_.get()) != 0) return fail(ErrorCode::io, fmt::format("{}: cannot be written", path_));
  return {};
}

Status RecordingWriter::finish() {
  if (std::fflush(file_.get()) != 0) return fail(ErrorCode::io, fmt::format("{}: cannot be written", path_));
  return {};
}

Result<RecordingReader> RecordingReader::open(const std::string& path) {
  RecordingReader reader;
  reader.path_ = path;
  reader.file_.open(path, std::ios::binary);
  if (!reader.file_) return fail(ErrorCode::not_found, fmt::format("{}: cannot be opened", path));
  std::string line;
  std::getline(reader.file_, line);
  if (line.size() > most_line) return fail(ErrorCode::too_large, fmt::format("{}: the header is too long", path));
  reader.read_ = line.size() + 1;
  SKEP_TRY(const json::value value, parse_json(line, reader.place(), line_limits));
  const json::object* object = value.if_object();
  const auto is = [&](const char* key, json::kind kind) {
    return object->contains(key) && object->at(key).kind() == kind;
  };
  double version = 0;
  if (object == nullptr || !object->contains("skep_recording") || !number(object->at("skep_recording"), version) ||
      !is("scenario", json::kind::string) || !object->contains("seed") ||
      !whole(object->at("seed"), reader.header_.seed))
    return fail(ErrorCode::corrupt, fmt::format("{}: this is no recording of a simulation", reader.place()));
  if (version != recording_version)
    return fail(ErrorCode::unsupported, fmt::format("{}: a recording of version {}; this program reads version {}",
                                                    reader.place(), version, recording_version));
  reader.header_.scenario_text = object->at("scenario").get_string().c_str();
  if (const json::array* overrides = list(*object, "overrides", 0, 1000))
    for (const json::value& pair : *overrides)
      if (pair.is_array() && pair.get_array().size() == 2 && pair.get_array()[0].is_string() &&
          pair.get_array()[1].is_string())
        reader.header_.overrides.emplace_back(pair.get_array()[0].get_string().c_str(),
                                              pair.get_array()[1].get_string().c_str());
  SKEP_TRY(reader.stage_.scenario, parse_scenario(reader.header_.scenario_text, path, reader.header_.overrides));
  reader.stage_.seed = reader.header_.seed;
  reader.stage_.hidden_names = make_world(reader.stage_.scenario.world)->hidden_names();
  return reader;
}

std::string RecordingReader::place() const { return fmt::format("{}:{}", path_, line_); }

Result<std::string> RecordingReader::next_line() {
  std::string line;
  ++line_;
  if (!std::getline(file_, line)) return std::string();
  if (line.size() > most_line) return fail(ErrorCode::too_large, fmt::format("{}: the line is too long", place()));
  // A line without its end was cut off while it was written: the recording ends before it.
  if (file_.eof()) return std::string();
  read_ += line.size() + 1;
  return line;
}

}  // namespace skep::scenario
