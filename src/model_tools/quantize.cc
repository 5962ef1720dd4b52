#include "model_tools/quantize.h"

#include <gguf.h>
#include <llama.h>

#include <algorithm>
#include <cassert>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <regex>

#include "base/temporary_file.h"
#include "engine/llama_library.h"
#include "model_tools/gguf_writer.h"
#include "model_tools/quantize_error.h"
#include "model_tools/quantize_mix.h"

namespace skep::model_tools {
namespace {

// What a mix is built on: it decides nothing but the header's general.file_type, as every matrix is named.
const QuantizationType& nearest_type(double bits) {
  const auto& types = quantization_types();
  return *std::min_element(types.begin(), types.end(), [&](const auto& a, const auto& b) {
    const auto distance = [&](const auto& t) { return std::abs(t.bits - bits) + (t.needs_importance ? 100 : 0); };
    return distance(a) < distance(b);
  });
}

ggml_type type_named(std::string_view name) {
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    const char* known = ggml_type_name(static_cast<ggml_type>(i));
    if (known != nullptr && name == known) return static_cast<ggml_type>(i);
  }
  return GGML_TYPE_COUNT;
}

// What libllama says of each tensor while it quantizes, or in a dry run:
//   [   7/  20] blk.0.attn_v.weight - [ 64, 32, 1, 1], type =    f16, size =  0.00 MiB ->  0.00 MiB (q8_0)
struct TensorLine {
  int number = 0, count = 0;
  std::string name;
  ggml_type to = GGML_TYPE_COUNT;  // COUNT: stays
};
std::optional<TensorLine> parse_line(std::string_view line) {
  static const std::regex head(R"(^\[ *(\d+)/ *(\d+)\] *(\S+) )");
  static const std::regex tail(R"(\((\w+)\)\s*$)");
  std::match_results<std::string_view::const_iterator> found;
  if (!std::regex_search(line.begin(), line.end(), found, head)) return std::nullopt;
  TensorLine parsed{std::stoi(found[1]), std::stoi(found[2]), found[3]};
  if (line.find("->") != line.npos && std::regex_search(line.begin(), line.end(), found, tail)) {
    parsed.to = type_named(std::string(found[1]));
  }
  return parsed;
}

// One call of libllama with everything that its C structs point to.
class Call {
 public:
  Call(const QuantizeOptions& options, const QuantizationType& type) : options_(options) {
    params_ = llama_model_quantize_default_params();
    params_.ftype = static_cast<llama_ftype>(type.file_type);
    params_.nthread = options.threads;
    params_.allow_requantize = options.requantize;
    params_.max_buf_size = static_cast<size_t>(options.most_memory.count);
    if (options.importance != nullptr) {
      for (const auto& [name, values] : *options.importance)
        importance_.push_back({name.c_str(), values.data(), values.size()});
      importance_.push_back({nullptr, nullptr, 0});
      params_.imatrix = importance_.data();
    }
  }

  // Exactly this type for exactly this tensor.
  void set_type(const std::string& tensor, uint32_t type) {
    patterns_.push_back("^" + std::regex_replace(tensor, std::regex(R"([.+*?^$()\[\]{}|\\])"), R"(\$&)") + "$");
    types_.push_back(type);
  }

  void take_types(const Call& other) { patterns_ = other.patterns_, types_ = other.types_; }

  Status run(const std::string& output, bool dry, const std::function<void(const TensorLine&)>& heard) {
    overrides_.clear();
    for (size_t i = 0; i < patterns_.size(); ++i)
      overrides_.push_back({patterns_[i].c_str(), static_cast<ggml_type>(types_[i])});
    overrides_.push_back({nullptr, GGML_TYPE_COUNT});
    params_.tt_overrides = patterns_.empty() ? nullptr : overrides_.data();
    params_.dry_run = dry;
    engine::take_llama_errors();
    std::string line;
    const engine::LlamaListener listener([&](std::string_view text) {  // in pieces
      line += text;
      for (size_t end = line.find('\n'); end != line.npos; end = line.find('\n')) {
        if (const auto parsed = parse_line(std::string_view(line).substr(0, end))) heard(*parsed);
        line.erase(0, end + 1);
      }
    });
    uint32_t failed = 1;
    std::string reason;
    try {
      failed = llama_model_quantize(options_.input.c_str(), output.c_str(), &params_);
    } catch (const std::exception& thrown) {
      reason = thrown.what();
    }
    if (failed == 0) return {};
    if (reason.empty()) reason = engine::take_llama_errors();
    if (reason.find("requantizing") != reason.npos) {
      return fail(ErrorCode::invalid_argument, options_.input + ": it is quantized already",
                  "quantize the original, or accept the loss with --requantize");
    }
    return fail(ErrorCode::internal, fmt::format("{}: libllama can't quantize it: {}", options_.input, reason));
  }

 private:
  const QuantizeOptions& options_;
  llama_model_quantize_params params_{};
  std::vector<llama_model_imatrix_data> importance_;
  std::vector<std::string> patterns_;
  std::vector<uint32_t> types_;
  std::vector<llama_model_tensor_override> overrides_;
};

// Of a file with this metadata and these tensors, whose types don't matter for it. Declares them in `metadata`.
int64_t header_size(gguf_context* metadata, const model::GgufFile& file) {
  const std::unique_ptr<ggml_context, void (*)(ggml_context*)> context(
      ggml_init(
          {.mem_size = ggml_tensor_overhead() * (file.tensors.size() + 1), .mem_buffer = nullptr, .no_alloc = true}),
      ggml_free);
  for (const model::GgufTensor& t : file.tensors) {
    ggml_tensor* declared = ggml_new_tensor(context.get(), GGML_TYPE_F32, t.dimensions, t.extent.data());
    ggml_set_name(declared, t.name.c_str());
    gguf_add_tensor(metadata, declared);
  }
  return static_cast<int64_t>(gguf_get_meta_size(metadata));
}

// A dry run.
Result<QuantizePlan> simulate(const GgufInput& input, Call& call, const QuantizationType& type) {
  std::map<std::string, ggml_type> changes;
  int lines = 0;
  SKEP_CHECK(call.run("/dev/null", true, [&](const TensorLine& line) {
    ++lines;
    if (line.to != GGML_TYPE_COUNT) changes[line.name] = line.to;
  }));
  if (lines != static_cast<int>(input.file().tensors.size())) {
    return fail(ErrorCode::unsupported, "this libllama does not say what it would do", "quantize without --dry-run");
  }
  QuantizePlan plan;
  plan.type = type.name;
  SKEP_TRY(const Metadata metadata, metadata_of(input));
  gguf_set_val_u32(metadata.get(), "general.quantization_version", GGML_QNT_VERSION);
  gguf_set_val_u32(metadata.get(), "general.file_type", static_cast<uint32_t>(type.file_type));
  int64_t data = 0, bits = 0, weights = 0;
  const int64_t alignment = input.file().alignment;
  for (const model::GgufTensor& t : input.file().tensors) {
    const auto change = changes.find(t.name);
    const uint32_t to = change == changes.end() ? t.type : static_cast<uint32_t>(change->second);
    const auto row = static_cast<int64_t>(ggml_row_size(static_cast<ggml_type>(to), t.extent[0]));
    const Bytes after(row * (t.elements() / t.extent[0]));
    plan.tensors.push_back({t.name, t.type, to, Bytes(t.bytes), after});
    data += (after.count + alignment - 1) / alignment * alignment;
    bits += after.count * 8;
    weights += t.elements();
  }
  plan.before = Bytes(input.file().file_size);
  plan.after = Bytes(header_size(metadata.get(), input.file()) + data);
  plan.bits_per_weight = static_cast<double>(bits) / static_cast<double>(std::max<int64_t>(1, weights));
  return plan;
}

// Names a type for every matrix so that the file fits, in `call`; the recipe to run it under.
Result<const QuantizationType*> fit(const GgufInput& input, const QuantizeOptions& options, Call& call, double& error,
                                    const ProgressFn& progress) {
  const QuantizationType& any = *find_quantization_type("Q8_0");
  Call probe(options, any);
  SKEP_TRY(const QuantizePlan whole, simulate(input, probe, any));
  Bytes fixed = whole.after;
  std::vector<const model::GgufTensor*> matrices;
  for (size_t i = 0; i < whole.tensors.size(); ++i) {
    const model::GgufTensor& t = input.file().tensors[i];
    // Stored as Q8_0 already: libllama would still touch it, for another type.
    if (whole.tensors[i].to == whole.tensors[i].from && t.type != GGML_TYPE_Q8_0) continue;
    matrices.push_back(&t);
    fixed -= whole.tensors[i].after;
  }
  std::vector<std::vector<TypeChoice>> choices;
  for (const model::GgufTensor* t : matrices) {
    const std::vector<float>* columns = nullptr;
    if (options.importance != nullptr) {
      const auto found = options.importance->find(t->name);
      if (found != options.importance->end()) columns = &found->second;
    }
    SKEP_TRY(auto measured, measure_choices(input, *t, columns));
    choices.push_back(std::move(measured));
    const double fraction = static_cast<double>(choices.size()) / static_cast<double>(matrices.size());
    if (!proceed(progress, {"measuring what each type loses", fraction, t->name}))
      return fail(ErrorCode::cancelled, "stopped");
  }
  const Bytes budget = *options.target_size - fixed;
  const auto mix = choose_mix(choices, budget);
  if (!mix) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} can't be reached: the smallest mix of types takes {}", to_string(*options.target_size),
                            to_string(fixed + smallest_mix(choices))),
                "take a larger target, or remove layers with `skep model prune`");
  }
  double bits = 0, weights = 0;
  error = 0;
  for (size_t i = 0; i < matrices.size(); ++i) {
    const TypeChoice& chosen = choices[i][(*mix)[i]];
    call.set_type(matrices[i]->name, chosen.type);
    bits += static_cast<double>(chosen.bytes.count) * 8;
    weights += static_cast<double>(matrices[i]->elements());
    error += chosen.error / static_cast<double>(matrices.size());
  }
  return &nearest_type(bits / std::max(1.0, weights));
}

struct Prepared {
  QuantizePlan plan;
  std::unique_ptr<Call> call;
};

Result<Prepared> prepare(const QuantizeOptions& options, const ProgressFn& progress) {
  SKEP_CHECK(engine::start_llama());
  const QuantizationType* type = find_quantization_type(options.type);
  if (type == nullptr) {
    std::string known;
    for (const auto& t : quantization_types()) known += (known.empty() ? "" : ", ") + std::string(t.name);
    return fail(ErrorCode::invalid_argument, fmt::format("there is no type '{}'", options.type), "known: " + known);
  }
  if (!options.target_size && type->needs_importance && options.importance == nullptr) {
    return fail(ErrorCode::invalid_argument, fmt::format("{} needs an importance matrix", type->name),
                "give a text with --imatrix-text");
  }
  SKEP_TRY(const auto input, GgufInput::open(options.input));
  Prepared prepared;
  double error = 0;
  if (options.target_size) {
    Call mixed(options, *type);
    SKEP_TRY(type, fit(*input, options, mixed, error, progress));
    prepared.call = std::make_unique<Call>(options, *type);
    prepared.call->take_types(mixed);
  } else {
    prepared.call = std::make_unique<Call>(options, *type);
  }
  SKEP_TRY(prepared.plan, simulate(*input, *prepared.call, *type));
  if (options.target_size) prepared.plan.type = "mix";
  prepared.plan.importance = options.importance != nullptr;
  prepared.plan.error = error;
  return prepared;
}

}  // namespace

const std::vector<QuantizationType>& quantization_types() {
  static const std::vector<QuantizationType> types = {
      {"F32", LLAMA_FTYPE_ALL_F32, 32, false},
      {"F16", LLAMA_FTYPE_MOSTLY_F16, 16, false},
      {"BF16", LLAMA_FTYPE_MOSTLY_BF16, 16, false},
      {"Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0, 8.5, false},
      {"Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K, 6.56, false},
      {"Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1, 6, false},
      {"Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M, 5.7, false},
      {"Q5_K_S", LLAMA_FTYPE_MOSTLY_Q5_K_S, 5.5, false},
      {"Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0, 5.5, false},
      {"Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1, 5, false},
      {"Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M, 4.8, false},
      {"Q4_K_S", LLAMA_FTYPE_MOSTLY_Q4_K_S, 4.6, false},
      {"Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0, 4.5, false},
      {"IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL, 4.5, false},
      {"IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS, 4.25, false},
      {"Q3_K_L", LLAMA_FTYPE_MOSTLY_Q3_K_L, 4.2, false},
      {"Q3_K_M", LLAMA_FTYPE_MOSTLY_Q3_K_M, 3.9, false},
      {"Q3_K_S", LLAMA_FTYPE_MOSTLY_Q3_K_S, 3.5, false},
      {"IQ3_S", LLAMA_FTYPE_MOSTLY_IQ3_S, 3.44, false},
      {"IQ3_XXS", LLAMA_FTYPE_MOSTLY_IQ3_XXS, 3.06, true},
      {"Q2_K", LLAMA_FTYPE_MOSTLY_Q2_K, 3, false},
      {"Q2_K_S", LLAMA_FTYPE_MOSTLY_Q2_K_S, 2.7, true},
      {"IQ2_S", LLAMA_FTYPE_MOSTLY_IQ2_S, 2.5, true},
  };
  return types;
}

const QuantizationType* find_quantization_type(std::string_view name) {
  const auto same = [&](const QuantizationType& t) {
    return std::equal(name.begin(), name.end(), t.name, t.name + std::char_traits<char>::length(t.name),
                      [](char a, char b) { return std::toupper(static_cast<unsigned char>(a)) == b; });
  };
  const auto& types = quantization_types();
  const auto at = std::find_if(types.begin(), types.end(), same);
  return at == types.end() ? nullptr : &*at;
}

Result<QuantizePlan> plan_quantize(const QuantizeOptions& options, const ProgressFn& progress) {
  SKEP_TRY(Prepared prepared, prepare(options, progress));
  return std::move(prepared.plan);
}

Result<QuantizePlan> quantize(const QuantizeOptions& options, const ProgressFn& progress) {
  std::error_code ignored;
  if (!options.overwrite && std::filesystem::exists(options.output, ignored)) {
    return fail(ErrorCode::conflict, options.output + " exists already", "--force replaces it");
  }
  SKEP_TRY(Prepared prepared, prepare(options, progress));
  SKEP_TRY(const std::unique_ptr<TemporaryFile> file, TemporaryFile::create(options.output));
  // Reserving would be surer, but libllama truncates what it opens.
  const auto space = std::filesystem::space(std::filesystem::absolute(options.output).parent_path(), ignored);
  if (!ignored && static_cast<int64_t>(space.available) < prepared.plan.after.count) {
    return fail(ErrorCode::io,
                fmt::format("{}: {} are needed, {} are free", options.output, to_string(prepared.plan.after),
                            to_string(Bytes(static_cast<int64_t>(space.available)))));
  }
  // libllama has no way to be stopped but this: it reports every tensor and catches what is thrown meanwhile.
  struct Stopped : std::exception {
    [[nodiscard]] const char* what() const noexcept override { return "stopped"; }
  };
  bool stopped = false;
  const Status done = prepared.call->run(file->path(), false, [&](const TensorLine& line) {
    file->begin_write_out();  // the disk works while we do
    const double fraction = static_cast<double>(line.number - 1) / std::max(1, line.count);
    if (proceed(progress, {"quantizing", fraction, line.name})) return;
    stopped = true;
    throw Stopped();
  });
  if (stopped) return fail(ErrorCode::cancelled, options.output + ": stopped");
  SKEP_CHECK(done);
  prepared.plan.after = Bytes(static_cast<int64_t>(std::filesystem::file_size(file->path(), ignored)));
  SKEP_CHECK(file->publish(options.overwrite));
  return std::move(prepared.plan);
}

}  // namespace skep::model_tools
