#include "mind/belief/population.h"

#include <fmt/format.h>

#include "mind/belief/fixed_rows.h"
#include "mind/belief/joint_model.h"
#include "mind/belief/mean_field_population.h"
#include "mind/belief/model_blob.h"
#include "mind/belief/vector_population.h"

namespace skep::belief {
namespace {

constexpr uint32_t kMostAgents = 1u << 26;
constexpr uint64_t kMostPolicies = 1u << 16;  // × kChunk values of scratch per thread
constexpr double kMostOwnBytes = 1e12;
constexpr double kUsualTolerance = 0.01;
constexpr int64_t kMostEdgeStates = 16;

// Whether the joint of the factors is small enough for the vector kernels.
bool use_vectors(const GenerativeModel& model, const PopulationOptions& o) {
  if (o.backend != BackendKind::automatic) return o.backend == BackendKind::vector_joint;
  return model.factors() == 1 || model.joint_states() <= o.joint_limit;
}

// What goes with packed rows, and what of it needs which. Mean field has no bound on what an error becomes in its fixed
// point, so there is none to carry.
Status check_rows(const GenerativeModel& model, const PopulationOptions& o) {
  if (o.rows == RowStorage::full) return {};
  const char* in_the_way = o.own_models                    ? "own_models"
                           : o.precision != Precision::f32 ? "f64"
                           : !use_vectors(model, o)        ? "the mean-field backend"
                                                           : nullptr;
  if (in_the_way != nullptr) {
    const char* kind = o.rows == RowStorage::sparse ? "sparse" : o.rows == RowStorage::edge ? "edge" : "compact";
    return fail(ErrorCode::unsupported, fmt::format("{} rows and {} don't go together", kind, in_the_way),
                fmt::format("take full rows, or go without {}", in_the_way));
  }
  if (o.rows == RowStorage::edge && model.joint_states() > kMostEdgeStates) {
    return fail(
        ErrorCode::unsupported,
        fmt::format("edge rows hold at most {} joint states, the model has {}", kMostEdgeStates, model.joint_states()),
        "compact rows hold any number");
  }
  if (o.rows == RowStorage::compact && !o.file.empty() &&
      !FixedRows::choose(static_cast<size_t>(model.joint_states()), *o.tolerance)) {
    return fail(ErrorCode::unsupported,
                fmt::format("tolerance {}: rows of a file that are smaller than f32 need {}", *o.tolerance,
                            FixedRows(static_cast<size_t>(model.joint_states()), 2).tolerance()),
                "allow that, or take full rows");
  }
  return {};
}

Status check(const GenerativeModel& model, const PopulationOptions& o) {
  const auto refuse = [](std::string what) { return fail(ErrorCode::invalid_argument, std::move(what)); };
  if (o.capacity == 0 || o.capacity > kMostAgents)
    return refuse(fmt::format("capacity: expected 1 to {}", kMostAgents));
  if (!(o.gamma > 0) || !(o.alpha > 0)) return refuse("gamma and alpha must be positive");
  if (!(o.forgetting >= 0 && o.forgetting <= 1)) return refuse("forgetting: expected 0 to 1");
  if (o.history > (1u << 20)) return refuse("history: at most 1048576");
  if (o.history_beliefs && o.history == 0) return refuse("history_beliefs needs history");
  if (o.learning && !o.own_models) return refuse("learning needs own_models");
  if (o.own_storage != ModelStorage::full && !o.own_models) return refuse("own_storage is of own models");
  if (o.own_storage != ModelStorage::full && o.precision != Precision::f32) {
    return fail(ErrorCode::unsupported, "own models in bfloat16 and f64 don't go together",
                "take full own models, or f32");
  }
  if (o.learning && (model.pA.empty() || model.pB.empty())) return refuse("learning needs a model with pA and pB");
  if (o.tolerance && !(*o.tolerance >= 0 && *o.tolerance <= 0.5)) return refuse("tolerance: expected 0 to 0.5");
  if (o.rows != RowStorage::compact && o.tolerance) return refuse("tolerance is of compact rows");
  if (!(o.prune >= 0 && o.prune < 0.01)) return refuse("prune: expected 0 to 0.01");
  SKEP_CHECK(check_rows(model, o));
  if (o.plan && policies_of(model).size() > kMostPolicies)
    return fail(ErrorCode::too_large, fmt::format("more than {} policies", kMostPolicies));
  if (o.plan && o.own_models && static_cast<size_t>(model.joint_actions()) > kernel::kMostOwnActions) {
    return fail(ErrorCode::unsupported,
                fmt::format("own models plan over at most {} joint actions", kernel::kMostOwnActions));
  }
  return {};
}

Result<StateFile> make_state(const GenerativeModel& model, const PopulationOptions& o, const StateLayout& layout) {
  if (o.file.empty()) return StateFile::create(layout);
  return StateFile::create(o.file, layout, write_model_blob(model));
}

StateLayout common_layout(const GenerativeModel& model, const PopulationOptions& o) {
  StateLayout l;
  l.capacity = o.capacity;
  l.element = o.precision == Precision::f32 ? 4 : 8;
  l.modalities = static_cast<uint32_t>(model.modalities());
  l.history = o.history;
  l.history_beliefs = o.history_beliefs ? 1 : 0;
  l.sides = (o.learning ? 2 : 1) * (o.file.empty() ? 1 : 2);
  l.seed = o.seed;
  l.flags = (o.learning ? kLearning : 0) | (o.own_habits ? kOwnHabits : 0) |
            (o.own_habits && !o.own_models ? kNoModels : 0) |
            (o.own_storage == ModelStorage::bfloat16 ? kOwnBfloat16 : 0);
  return l;
}

// Packed rows: of one size in a file, elsewhere than in the state without one. Those of the history are of one size in
// both.
void lay_out_packed(const GenerativeModel& model, const PopulationOptions& o, StateLayout& layout) {
  if (o.rows == RowStorage::full) return;
  if (o.file.empty()) layout.sides = 0;
  if (o.rows == RowStorage::sparse) {
    if (o.file.empty()) return;
    layout.flags |= kSparseRows;
    layout.prune = o.prune;
    return;
  }
  const auto states = static_cast<size_t>(model.joint_states());
  const auto rows = o.rows == RowStorage::edge ? FixedRows(states, 1) : FixedRows::choose(states, *o.tolerance);
  if (!rows) return;  // in memory, and so exact that only f32 will do
  layout.element = rows->bytes_per_entry();
  layout.stride = rows->stride();
}

Status lay_out_own(uint64_t bytes, const PopulationOptions& o, StateLayout& layout) {
  layout.own_sides = o.file.empty() ? 1 : 2;
  layout.own_block = bytes;
  const double size = static_cast<double>(bytes) * o.capacity;
  if (size > kMostOwnBytes) return fail(ErrorCode::too_large, fmt::format("own models take {:.3g} bytes", size));
  return {};
}

template <typename P>
Result<std::unique_ptr<Population>> restored(std::unique_ptr<P> population) {
  SKEP_CHECK(population->restore_all());
  return std::unique_ptr<Population>(std::move(population));
}

// `existing`: the state of a file that was opened, else a new one is made.
template <typename T>
Result<std::unique_ptr<Population>> make_vector(GenerativeModel model, PopulationOptions o, kernel::ThreadPool& pool,
                                                StateFile* existing) {
  SKEP_TRY(GenerativeModel joint, joint_model(model, o.joint_limit));
  CompiledModel compiled = compile(std::move(joint));
  auto tables = joint_tables<T>(compiled, o.use_utility, o.use_states_info_gain, !o.own_models && o.plan);
  std::optional<FactoredCounts<T>> factored;
  if (o.learning && model.factors() > 1) factored.emplace(model, tables);
  StateLayout layout = common_layout(model, o);
  layout.backend = static_cast<uint32_t>(BackendKind::vector_joint);
  layout.stride = static_cast<uint32_t>(tables.stride);
  lay_out_packed(model, o, layout);
  if (o.own_models || o.own_habits) {
    const OwnLayout own = OwnLayout::of(tables, o, factored ? &*factored : nullptr);
    SKEP_CHECK(lay_out_own(own.entries * sizeof(T), o, layout));
  }
  Result<StateFile> state =
      existing != nullptr ? Result<StateFile>(std::move(*existing)) : make_state(model, o, layout);
  if (!state) return fail(std::move(state).error());
  if (state->layout() != layout)
    return fail(ErrorCode::corrupt, fmt::format("{}: sizes don't fit its model", o.file.string()));
  return restored(std::make_unique<VectorPopulation<T>>(std::move(model), std::move(compiled), std::move(tables),
                                                        std::move(factored), std::move(o), pool, std::move(*state)));
}

Result<std::unique_ptr<Population>> make_mean_field(GenerativeModel model, PopulationOptions o,
                                                    kernel::ThreadPool& pool, StateFile* existing) {
  if (o.own_models) return fail(ErrorCode::unsupported, "own models need a joint small enough for the vector backend");
  CompiledModel compiled = compile(model);
  StateLayout layout = common_layout(model, o);
  layout.backend = static_cast<uint32_t>(BackendKind::mean_field);
  layout.stride =
      static_cast<uint32_t>(o.precision == Precision::f32 ? kernel::belief_stride<float>(compiled.states())
                                                          : kernel::belief_stride<double>(compiled.states()));
  if (o.own_habits) SKEP_CHECK(lay_out_own((compiled.lnE.size() * sizeof(double) + 63) / 64 * 64, o, layout));
  Result<StateFile> state =
      existing != nullptr ? Result<StateFile>(std::move(*existing)) : make_state(model, o, layout);
  if (!state) return fail(std::move(state).error());
  if (state->layout() != layout)
    return fail(ErrorCode::corrupt, fmt::format("{}: sizes don't fit its model", o.file.string()));
  return restored(std::make_unique<MeanFieldPopulation>(std::move(model), std::move(compiled), std::move(o), pool,
                                                        std::move(*state)));
}

Result<std::unique_ptr<Population>> make(GenerativeModel model, PopulationOptions o, kernel::ThreadPool& pool,
                                         StateFile* existing) {
  if (o.tolerance && o.rows == RowStorage::full) o.rows = RowStorage::compact;
  if (o.rows == RowStorage::compact && !o.tolerance) o.tolerance = kUsualTolerance;
  SKEP_CHECK(check(model, o));
  if (!use_vectors(model, o)) return make_mean_field(std::move(model), std::move(o), pool, existing);
  return o.precision == Precision::f32 ? make_vector<float>(std::move(model), std::move(o), pool, existing)
                                       : make_vector<double>(std::move(model), std::move(o), pool, existing);
}

}  // namespace

Result<std::unique_ptr<Population>> Population::create(GenerativeModel model, PopulationOptions options,
                                                       kernel::ThreadPool& pool) {
  std::vector<ModelWarning> warnings;
  SKEP_CHECK(validate(model, {}, &warnings));
  return make(std::move(model), std::move(options), pool, nullptr);
}

Result<std::unique_ptr<Population>> Population::open(PopulationOptions options, kernel::ThreadPool& pool) {
  SKEP_TRY(StateFile state, StateFile::open(options.file));
  SKEP_TRY(GenerativeModel model, read_model_blob(state.model()));
  const StateLayout& l = state.layout();
  options.capacity = l.capacity;
  options.precision = l.element <= 4 ? Precision::f32 : Precision::f64;
  options.rows = RowStorage::full;
  options.tolerance.reset();
  if (l.element < 4) {  // what was chosen when the file was made
    const bool edge = l.element == 1 && model.joint_states() <= kMostEdgeStates;
    options.rows = edge ? RowStorage::edge : RowStorage::compact;
    if (!edge) options.tolerance = FixedRows(static_cast<size_t>(model.joint_states()), l.element).tolerance();
  }
  if ((l.flags & kSparseRows) != 0) {
    options.rows = RowStorage::sparse;
    options.prune = l.prune;
  }
  options.backend = static_cast<BackendKind>(l.backend);
  if (options.backend != BackendKind::vector_joint && options.backend != BackendKind::mean_field) {
    return fail(ErrorCode::corrupt, fmt::format("{}: unknown backend {}", options.file.string(), l.backend));
  }
  options.own_models = l.own_sides > 0 && (l.flags & kNoModels) == 0;
  options.own_storage = (l.flags & kOwnBfloat16) != 0 ? ModelStorage::bfloat16 : ModelStorage::full;
  options.own_habits = (l.flags & kOwnHabits) != 0;
  options.learning = (l.flags & kLearning) != 0;
  options.history = l.history;
  options.history_beliefs = l.history_beliefs != 0;
  options.seed = l.seed;
  return make(std::move(model), std::move(options), pool, &state);
}

}  // namespace skep::belief
