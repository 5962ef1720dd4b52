#pragma once
// The inner loops of active-inference populations: batched predict-correct-normalise, expected free energy, softmax.
// One Highway source, compiled for every target and chosen at run time; belief_kernels_scalar() is the plain reference
// that the differential tests and the fuzzer hold it to.
//
// Rows. A belief over S states is a row of `stride` values, S used and the rest zero; belief_stride(S) rounds up so
// that every vector width divides it: to 32 bytes for short rows, else to 64. Matrices hold columns as rows of that
// stride: column s of a transition, B[·, s], is the row at transition + s · stride. Then B q is a sum of rows weighted
// by the entries of q, no transposition and no horizontal sum, and several agents with the same action share each load
// of B (register blocking over agents).
// Rows may be read past S up to stride. No function allocates. Pointers are 32-byte aligned at least.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace skep::kernel {

template <typename T>
constexpr size_t belief_stride(size_t states) {
  constexpr size_t half = 32 / sizeof(T);
  return states <= half ? half : (states + 2 * half - 1) / (2 * half) * (2 * half);
}

// Evidence below this counts as an impossible observation: the belief stays the prediction, and the evidence is
// reported as this number (36.8 nats of surprise, what pymdp's ln(0 + 1e-16) gives).
inline constexpr double kImpossible = 1e-16;

template <typename T>
struct FilterArgs {
  size_t states = 0;                 // S
  const T* transition = nullptr;     // shared by all n; null: `source` rows are the predictions themselves
  size_t n = 0;                      // agents
  const T* const* source = nullptr;  // n rows: beliefs before
  T* const* target = nullptr;        // n rows: posteriors; may be the source rows
  size_t modalities = 0;
  const T* const* likelihood = nullptr;  // n × modalities rows A[m][o, ·]; null entry: not observed
  T* evidence = nullptr;                 // n: P(o | past)
  T* scratch = nullptr;                  // 16 rows
};

// The same where every agent has its own transition. M: how models are stored (packed_own_kernels.h has another).
template <typename T, typename M = T>
struct FilterOwnArgs {
  size_t states = 0;
  size_t n = 0;
  const M* const* transition = nullptr;  // n: each agent's own, for its action; null entry: source is the prediction
  const T* const* source = nullptr;
  T* const* target = nullptr;
  size_t modalities = 0;
  const M* const* likelihood = nullptr;
  T* evidence = nullptr;
  T* scratch = nullptr;  // 2 rows
  size_t ahead = 0;      // whose transition and likelihood are prefetched: this many agents further on; 0: nobody's
};

// The same for agents that follow each other in memory and share a model with one modality, of which all transitions
// fit the first-level cache together. Then agents need not be ordered by action, and nothing is pointed at: who does
// what and sees what is said by numbers.
template <typename T>
struct FilterRunArgs {
  size_t states = 0;
  size_t n = 0;
  const T* transitions = nullptr;     // [actions] matrices
  const uint16_t* action = nullptr;   // n: the last one
  const T* likelihood = nullptr;      // a row over states per outcome
  const uint16_t* outcome = nullptr;  // n; kNoOutcome: not observed
  T* beliefs = nullptr;               // n rows: beliefs before, then posteriors
  T* evidence = nullptr;              // n
  T* scratch = nullptr;               // 1 row
};

inline constexpr uint16_t kNoOutcome = 0xffff;

template <typename T>
struct EfeArgs {
  size_t states = 0;              // S: entries of a belief
  size_t outcomes = 0;            // O: entries of a predicted observation, all modalities stacked
  const T* predictive = nullptr;  // A·B_a: S columns, each a row of belief_stride(O)
  const T* linear = nullptr;      // l_a: a row over states
  bool entropy = true;            // add H(predictive · q)
  size_t n = 0;
  const T* const* beliefs = nullptr;  // n rows
  T* value = nullptr;                 // n: += l·q + H(A B_a q), the negative expected free energy of one step
};

template <typename T, typename M = T>
struct OwnEfeArgs {
  size_t states = 0;
  size_t outcomes = 0;
  size_t actions = 0;              // at most kMostOwnActions
  const M* transitions = nullptr;  // [actions][S] columns, of one agent
  const M* likelihood = nullptr;   // A: O rows over states
  const T* linear = nullptr;       // Aᵀ ln C - H(A): a row over states
  bool entropy = true;
  const T* belief = nullptr;
  T* predicted = nullptr;          // actions rows over states: B_a q, written
  T* value = nullptr;              // actions: linear · B_a q + H(A B_a q), written
  T* scratch = nullptr;            // actions × belief_stride(O)
  const void* prefetch = nullptr;  // what will be read next, or null
  size_t prefetch_bytes = 0;
};

inline constexpr size_t kMostOwnActions = 64;

template <typename T>
struct BeliefKernels {
  const char* target;  // "AVX2", "scalar" …
  // Posterior and evidence of n agents that share a transition.
  void (*filter)(const FilterArgs<T>&);
  void (*filter_own)(const FilterOwnArgs<T>&);
  // For rows of up to longest_run_row bytes. Gives the same bits as filter() does with two agents or more.
  void (*filter_run)(const FilterRunArgs<T>&);
  size_t longest_run_row;
  // target[i] = transition · source[i]; rows must differ. Uses the fields up to `target`.
  void (*predict)(const FilterArgs<T>&);
  void (*efe)(const EfeArgs<T>&);
  void (*efe_own)(const OwnEfeArgs<T>&);
  // out[i] = -ln x[i], x in (0, 1]. f32: absolute error below 2e-7 + 1.2e-7 |ln x| (belief_kernels.cc derives it).
  void (*surprise)(const T* x, size_t n, T* out);
  // Over policies p for each of n agents: x[p · pitch + i] = gamma · x + ln_prior[p], then softmax over p, in place.
  // n is rounded up to a whole vector: pitch must allow it.
  void (*softmax)(T* x, size_t policies, size_t pitch, size_t n, T gamma, const T* ln_prior);
  // Σ |a - b| / 2 over a row.
  T (*total_variation)(const T* a, const T* b, size_t stride);
  // -Σ p ln p over a row.
  T (*entropy)(const T* p, size_t stride);
};

template <typename T>
const BeliefKernels<T>& belief_kernels();
template <typename T>
const BeliefKernels<T>& belief_kernels_scalar();

template <>
const BeliefKernels<float>& belief_kernels<float>();
template <>
const BeliefKernels<double>& belief_kernels<double>();
// Those of every target that this program was compiled for and this CPU runs, the chosen ones among them. For the
// differential tests: it chooses anew for the whole process meanwhile, so nobody else may ask for kernels then.
template <typename T>
std::vector<BeliefKernels<T>> every_belief_kernels();
template <>
std::vector<BeliefKernels<float>> every_belief_kernels<float>();
template <>
std::vector<BeliefKernels<double>> every_belief_kernels<double>();
extern template const BeliefKernels<float>& belief_kernels_scalar<float>();
extern template const BeliefKernels<double>& belief_kernels_scalar<double>();

}  // namespace skep::kernel
