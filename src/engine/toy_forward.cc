#include "engine/toy_forward.h"

#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

namespace skep::engine {
namespace {

uint64_t mix(uint64_t a, uint64_t b) {  // splitmix64's finalizer
  uint64_t z = a + 0x9E3779B97F4A7C15ULL * (b + 1);
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}

}  // namespace

ToyForward::ToyForward(ToyOptions options) : options_(std::move(options)) {
  limits_.sequences = options_.sequences;
  limits_.cells = options_.cells;
  limits_.context_tokens = options_.context_tokens;
  limits_.batch_tokens = options_.batch_tokens;
  limits_.output_rows = options_.batch_tokens;
  limits_.vocabulary = options_.vocabulary;
  limits_.embedding_size = 4;
  limits_.can_share = options_.can_share;
  limits_.can_truncate = options_.can_truncate;
  limits_.can_save = options_.can_share;
}

Status ToyForward::step(std::span<const Slice> slices) {
  if (options_.before_step) SKEP_CHECK(options_.before_step(slices, cancelled_));
  if (cancelled_.exchange(false)) return fail(ErrorCode::cancelled, "the step was cancelled");
  int tokens = 0;
  std::set<SequenceId> seen;
  for (const Slice& slice : slices) {
    assert(!slice.tokens.empty() && slice.sequence >= 0 && slice.sequence < limits_.sequences);
    assert(slice.outputs <= static_cast<int>(slice.tokens.size()));
    if (!seen.insert(slice.sequence).second) return fail(ErrorCode::internal, "a sequence stands twice in the step");
    tokens += static_cast<int>(slice.tokens.size());
  }
  if (tokens > limits_.batch_tokens) return fail(ErrorCode::internal, "the step is over the batch limit");
  if (tokens + cells_used() > limits_.cells) return fail(ErrorCode::overloaded, "no free cells");
  std::vector<std::vector<Token>> before;
  for (const Slice& slice : slices) {
    SKEP_TRY(std::vector<Token> past, history(slice.sequence, slice.position));
    const auto& held = positions_[slice.sequence];
    if (!held.empty() && held.rbegin()->first >= slice.position) {
      return fail(ErrorCode::internal, "a cell is there already");
    }
    before.push_back(std::move(past));
  }
  rows_.clear();
  for (size_t s = 0; s < slices.size(); ++s) {
    const Slice& slice = slices[s];
    for (size_t i = 0; i < slice.tokens.size(); ++i) {
      const int position = slice.position + static_cast<int>(i);
      cells_[next_cell_] = {seasoned(slice.tokens[i]), position, {slice.sequence}};
      positions_[slice.sequence][position] = next_cell_++;
      before[s].push_back(seasoned(slice.tokens[i]));
      if (i + static_cast<size_t>(slice.outputs) >= slice.tokens.size()) compute(before[s]);
    }
  }
  evaluated_ += tokens;
  ++steps_;
  return {};
}

// What a cell holds of a token: with an adapter something else than without.
Token ToyForward::seasoned(Token token) const {
  if (adapter_ == 0) return token;
  uint64_t state = std::bit_cast<uint32_t>(scale_);
  for (const char c : adapters_.at(adapter_)) state = mix(state, static_cast<uint64_t>(c));
  return static_cast<Token>(mix(state, static_cast<uint64_t>(token)) >> 33U);
}

Result<AdapterId> ToyForward::load_adapter(const std::string& path) {
  if (!options_.adapters.contains(path)) return fail(ErrorCode::corrupt, path + " is no adapter");
  adapters_[next_adapter_] = path;
  return next_adapter_++;
}

void ToyForward::drop_adapter(AdapterId adapter) {
  assert(adapters_.contains(adapter));
  adapters_.erase(adapter);
}

Result<std::vector<Token>> ToyForward::history(SequenceId sequence, int end) const {
  std::vector<Token> tokens;
  const auto held = positions_.find(sequence);
  for (int p = 0; p < end; ++p) {
    const auto cell = held == positions_.end() ? std::map<int, int>::const_iterator() : held->second.find(p);
    if (held == positions_.end() || cell == held->second.end()) {
      return fail(ErrorCode::internal, fmt::format("sequence {} has no cell at position {}", sequence, p));
    }
    tokens.push_back(cells_.at(cell->second).token);
  }
  return tokens;
}

void ToyForward::compute(std::span<const Token> history) {
  uint64_t state = 1;
  for (const Token t : history) state = mix(state, static_cast<uint64_t>(t));
  std::vector<float>& row = rows_.emplace_back(static_cast<size_t>(limits_.vocabulary));
  for (size_t v = 0; v < row.size(); ++v) row[v] = static_cast<float>(mix(state, v) >> 40U) / (1U << 21U) - 4.0F;
  if (!options_.script) return;
  if (const auto token = options_.script(history)) row[static_cast<size_t>(*token)] = 40.0F;
}

std::span<const float> ToyForward::logits(int row) const { return rows_.at(static_cast<size_t>(row)); }

void ToyForward::share(SequenceId from, SequenceId to, int begin, int end) {
  assert(limits_.can_share && from != to);
  for (int p = begin; p < end; ++p) {
    const int cell = positions_.at(from).at(p);
    const bool fresh = positions_[to].emplace(p, cell).second;
    assert(fresh);
    (void)fresh;
    cells_.at(cell).sequences.insert(to);
  }
}

void ToyForward::drop(SequenceId sequence, int begin, int end) {
  auto& held = positions_[sequence];
  const auto first = held.lower_bound(begin);
  const auto last = held.lower_bound(end);
  assert(limits_.can_truncate || (first == held.begin() && last == held.end()));
  for (auto it = first; it != last; ++it) {
    Cell& cell = cells_.at(it->second);
    cell.sequences.erase(sequence);
    if (cell.sequences.empty()) cells_.erase(it->second);
  }
  held.erase(first, last);
}

Result<std::string> ToyForward::save(SequenceId sequence, int begin, int end) {
  std::string bytes;
  for (int p = begin; p < end; ++p) {
    const Token token = cells_.at(positions_.at(sequence).at(p)).token;
    bytes.append(reinterpret_cast<const char*>(&token), sizeof token);
  }
  return bytes;
}

Status ToyForward::load(SequenceId sequence, int begin, int end, std::string_view bytes) {
  if (bytes.size() != static_cast<size_t>(end - begin) * sizeof(Token)) {
    return fail(ErrorCode::corrupt, "saved cells have the wrong size");
  }
  if (cells_used() + end - begin > limits_.cells) return fail(ErrorCode::overloaded, "no free cells");
  for (int p = begin; p < end; ++p) {
    Token token = 0;
    std::memcpy(&token, bytes.data() + static_cast<size_t>(p - begin) * sizeof token, sizeof token);
    cells_[next_cell_] = {token, p, {sequence}};
    const bool fresh = positions_[sequence].emplace(p, next_cell_++).second;
    assert(fresh);
    (void)fresh;
  }
  return {};
}

Result<std::vector<std::vector<float>>> ToyForward::embed(std::span<const std::vector<Token>> inputs) {
  std::vector<std::vector<float>> vectors;
  for (const auto& input : inputs) {
    uint64_t state = 1;
    for (const Token t : input) state = mix(state, static_cast<uint64_t>(t));
    const auto angle = static_cast<float>(state % 6283) / 1000.0F;
    vectors.push_back({std::cos(angle), std::sin(angle), 0, 0});
  }
  return vectors;
}

std::vector<Token> ToyForward::tokens_of(SequenceId sequence) const {
  std::vector<Token> tokens;
  if (const auto held = positions_.find(sequence); held != positions_.end()) {
    for (const auto& [position, cell] : held->second) tokens.push_back(cells_.at(cell).token);
  }
  return tokens;
}

}  // namespace skep::engine
