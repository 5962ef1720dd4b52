#include "memory/vector_index.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <unordered_map>

// hnswlib reports by exceptions; none leaves this file. Its headers define functions that are not inline, so no other
// file of the program may include them.
#include <hnswlib/hnswlib.h>

namespace skep::memory {
namespace {

// A node's data: the norm, then the bytes.
struct Space final : hnswlib::SpaceInterface<float> {
  struct Shape {
    size_t padded = 0;
    kernel::DotInt8 dot = nullptr;
  };
  explicit Space(size_t padded) : shape{padded, kernel::vector_kernels().dot_int8} {}
  size_t get_data_size() override { return sizeof(float) + shape.padded; }
  hnswlib::DISTFUNC<float> get_dist_func() override { return distance; }
  void* get_dist_func_param() override { return &shape; }

  static float norm(const void* node) {
    float inverse = 0;
    std::memcpy(&inverse, node, sizeof inverse);
    return inverse;
  }
  static const int8_t* bytes(const void* node) { return static_cast<const int8_t*>(node) + sizeof(float); }
  static float distance(const void* a, const void* b, const void* parameter) {
    const auto& shape = *static_cast<const Shape*>(parameter);
    return 1 - static_cast<float>(shape.dot(bytes(a), bytes(b), shape.padded)) * norm(a) * norm(b);
  }

  Shape shape;
};

using Graph = hnswlib::HierarchicalNSW<float>;
constexpr size_t kFirstCapacity = 1024;
constexpr uint64_t kSeed = 100;  // of the nodes' levels

struct GraphHeader {
  char magic[8] = {'s', 'k', 'e', 'p', 'h', 'n', 's', 'w'};
  uint32_t version = 1;
  uint32_t dimensions = 0;
  uint32_t neighbours = 0;
  uint32_t count = 0;
  int32_t top_level = -1;
  uint32_t entry = 0;
  uint64_t node_bytes = 0;
};

template <typename T>
void append(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
template <typename T>
bool take(std::string_view& in, T& value) {
  if (in.size() < sizeof value) return false;
  std::memcpy(&value, in.data(), sizeof value);
  in.remove_prefix(sizeof value);
  return true;
}

// The best `k` of what is offered, best first; of equals the oldest.
class Best {
 public:
  explicit Best(size_t k) : k_(k) {}
  void offer(VectorIndex::Neighbour one) {
    if (k_ == 0 || (kept_.size() == k_ && !better(one, kept_.front()))) return;
    kept_.push_back(one);
    std::push_heap(kept_.begin(), kept_.end(), better);
    if (kept_.size() <= k_) return;
    std::pop_heap(kept_.begin(), kept_.end(), better);
    kept_.pop_back();
  }
  std::vector<VectorIndex::Neighbour> take() {
    std::sort_heap(kept_.begin(), kept_.end(), better);
    return std::move(kept_);
  }

 private:
  static bool better(const VectorIndex::Neighbour& a, const VectorIndex::Neighbour& b) {
    return a.similarity != b.similarity ? a.similarity > b.similarity : a.id < b.id;
  }
  size_t k_;
  std::vector<VectorIndex::Neighbour> kept_;  // a heap with the worst on top
};

}  // namespace

struct VectorIndex::Impl {
  Impl(size_t dims, VectorIndexOptions o)
      : dimensions(dims), options(o), space(kernel::padded_length(dims)), node_size(space.get_data_size()) {}

  [[nodiscard]] size_t tail_size() const { return tail_ids.size() - tail_begin; }
  [[nodiscard]] const char* tail_node(size_t at) const { return tail.data() + at * node_size; }

  [[nodiscard]] std::string node_of(const QuantizedVector& v) const {
    assert(v.bytes.size() == space.shape.padded);
    std::string node(node_size, '\0');
    std::memcpy(node.data(), &v.inverse_norm, sizeof(float));
    std::memcpy(node.data() + sizeof(float), v.bytes.data(), v.bytes.size());
    return node;
  }

  // nullptr: unknown.
  [[nodiscard]] const char* find(Id id) const {
    if (const auto at = tail_places.find(id); at != tail_places.end()) return tail_node(at->second);
    if (!graph) return nullptr;
    const auto at = graph->label_lookup_.find(id);
    return at == graph->label_lookup_.end() ? nullptr : graph->getDataByInternalId(at->second);
  }

  void make_room_in_graph() {
    if (!graph) {
      graph = std::make_unique<Graph>(&space, kFirstCapacity, options.neighbours, options.construction, kSeed);
    } else if (graph->cur_element_count == graph->max_elements_) {
      graph->resizeIndex(graph->max_elements_ * 2);
    }
  }

  // Moves the oldest of the tail. False: no memory; it stays where it is and is scanned.
  bool index_one() {
    const Id id = tail_ids[tail_begin];
    if (id != kNone) {
      try {
        make_room_in_graph();
        graph->addPoint(tail_node(tail_begin), id);
      } catch (const std::exception&) {
        return false;
      }
      tail_places.erase(id);
    }
    ++tail_begin;
    // Given back in large pieces, so that each entry is moved a bounded number of times.
    if (tail_begin >= 256 && tail_begin * 2 >= tail_ids.size()) {
      tail_ids.erase(tail_ids.begin(), tail_ids.begin() + static_cast<ptrdiff_t>(tail_begin));
      tail.erase(0, tail_begin * node_size);
      tail_begin = 0;
      for (size_t i = 0; i < tail_ids.size(); ++i) {
        if (tail_ids[i] != kNone) tail_places[tail_ids[i]] = i;
      }
    }
    return true;
  }

  // Overwrites an erased node with its nearest living neighbour, or with zeros. The node's label then says whose bytes
  // it has, so that they go when that one is erased (copies).
  void overwrite(hnswlib::tableint node) {
    auto* links = graph->get_linklist0(node);
    const size_t count = graph->getListCount(links);
    const hnswlib::tableint* nearest = nullptr;
    float least = 0;
    for (const auto* other = links + 1; other != links + 1 + count; ++other) {
      if (graph->isMarkedDeleted(*other)) continue;
      const float d =
          Space::distance(graph->getDataByInternalId(node), graph->getDataByInternalId(*other), &space.shape);
      if (nearest == nullptr || d < least) nearest = other, least = d;
    }
    char* own = graph->getDataByInternalId(node);
    if (nearest == nullptr) {
      std::memset(own, 0, node_size);
      graph->setExternalLabel(node, kNone);
    } else {
      std::memcpy(own, graph->getDataByInternalId(*nearest), node_size);
      const Id source = graph->getExternalLabel(*nearest);
      graph->setExternalLabel(node, source);
      copies[source].push_back(node);
    }
  }

  size_t dimensions;
  VectorIndexOptions options;
  mutable Space space;
  size_t node_size;
  std::unique_ptr<Graph> graph;
  // The tail: nodes in the order of adding, from tail_begin on; erased ones have the id kNone and zeros.
  std::vector<Id> tail_ids;
  std::string tail;
  size_t tail_begin = 0;
  std::unordered_map<Id, size_t> tail_places;
  size_t erased = 0;
  std::unordered_map<Id, std::vector<hnswlib::tableint>> copies;  // living id → erased nodes that have its bytes
};

VectorIndex::VectorIndex(size_t dimensions, VectorIndexOptions options)
    : impl_(std::make_unique<Impl>(dimensions, options)) {
  assert(dimensions > 0 && dimensions <= kernel::kLongestVector);
}
VectorIndex::~VectorIndex() = default;
VectorIndex::VectorIndex(VectorIndex&&) noexcept = default;
VectorIndex& VectorIndex::operator=(VectorIndex&&) noexcept = default;

size_t VectorIndex::dimensions() const { return impl_->dimensions; }
size_t VectorIndex::unindexed() const { return impl_->tail_places.size(); }
size_t VectorIndex::erased() const { return impl_->erased; }
size_t VectorIndex::size() const {
  return impl_->tail_places.size() + (impl_->graph ? impl_->graph->label_lookup_.size() : 0);
}

Bytes VectorIndex::memory() const {
  // A map entry: the node (next, key, value) and its share of the buckets.
  constexpr size_t kMapEntry = 8 + 16 + 16;
  size_t bytes =
      impl_->tail.capacity() + impl_->tail_ids.capacity() * sizeof(Id) + impl_->tail_places.size() * kMapEntry;
  if (const Graph* g = impl_->graph.get()) {
    const size_t tables = sizeof(std::mutex) + sizeof(int) + sizeof(char*) + sizeof(hnswlib::vl_type);
    bytes += g->max_elements_ * (g->size_data_per_element_ + tables) + g->label_lookup_.size() * kMapEntry +
             Graph::max_update_element_locks * sizeof(std::mutex);
    for (size_t i = 0; i < g->cur_element_count; ++i) {
      bytes += static_cast<size_t>(g->element_levels_[i]) * g->size_links_per_element_;
    }
  }
  return Bytes(static_cast<int64_t>(bytes));
}

void VectorIndex::add(Id id, const QuantizedVector& vector) {
  assert(id != kNone && !contains(id));
  Impl& m = *impl_;
  m.tail_places.emplace(id, m.tail_ids.size());
  m.tail_ids.push_back(id);
  m.tail += m.node_of(vector);
  for (int i = 0; i < 2 && m.tail_size() > m.options.tail; ++i) {
    if (!m.index_one()) break;
  }
}

void VectorIndex::erase(Id id) {
  Impl& m = *impl_;
  if (const auto at = m.tail_places.find(id); at != m.tail_places.end()) {
    m.tail_ids[at->second] = kNone;
    std::memset(m.tail.data() + at->second * m.node_size, 0, m.node_size);
    m.tail_places.erase(at);
    return;
  }
  if (!m.graph) return;
  const auto at = m.graph->label_lookup_.find(id);
  if (at == m.graph->label_lookup_.end()) return;
  const hnswlib::tableint node = at->second;
  m.graph->markDelete(id);
  m.graph->label_lookup_.erase(id);
  m.overwrite(node);
  ++m.erased;
  if (const auto had = m.copies.extract(id)) {
    for (const hnswlib::tableint copy : had.mapped()) m.overwrite(copy);
  }
}

bool VectorIndex::contains(Id id) const { return impl_->find(id) != nullptr; }

std::optional<QuantizedVector> VectorIndex::vector(Id id) const {
  const char* node = impl_->find(id);
  if (node == nullptr) return std::nullopt;
  const int8_t* bytes = Space::bytes(node);
  return QuantizedVector{{bytes, bytes + impl_->space.shape.padded}, Space::norm(node)};
}

std::optional<float> VectorIndex::similarity(Id id, const QuantizedVector& query) const {
  const char* node = impl_->find(id);
  if (node == nullptr) return std::nullopt;
  const auto& shape = impl_->space.shape;
  assert(query.bytes.size() == shape.padded);
  return static_cast<float>(shape.dot(query.bytes.data(), Space::bytes(node), shape.padded)) * query.inverse_norm *
         Space::norm(node);
}

std::vector<VectorIndex::Neighbour> VectorIndex::search(const QuantizedVector& query, size_t k) const {
  const Impl& m = *impl_;
  Best best(k);
  const auto& shape = m.space.shape;
  for (size_t i = m.tail_begin; i < m.tail_ids.size(); ++i) {
    if (m.tail_ids[i] == kNone) continue;
    const char* node = m.tail_node(i);
    const auto dot = shape.dot(query.bytes.data(), Space::bytes(node), shape.padded);
    best.offer({m.tail_ids[i], static_cast<float>(dot) * query.inverse_norm * Space::norm(node)});
  }
  if (m.graph && !m.graph->label_lookup_.empty()) {
    m.graph->setEf(std::max(m.options.search, k));
    try {
      auto found = m.graph->searchKnn(m.node_of(query).data(), k);
      for (; !found.empty(); found.pop()) best.offer({found.top().second, 1 - found.top().first});
    } catch (const std::exception&) {
      // Out of memory for the search's own lists: the tail's answer stands.
    }
  }
  return best.take();
}

std::vector<VectorIndex::Neighbour> VectorIndex::search_among(std::span<const Id> ids, const QuantizedVector& query,
                                                              size_t k) const {
  Best best(k);
  for (const Id id : ids) {
    if (const auto s = similarity(id, query)) best.offer({id, *s});
  }
  return best.take();
}

bool VectorIndex::index_some(size_t count) {
  Impl& m = *impl_;
  const auto worth_it = [&] { return m.tail_size() > 0 && (m.graph || m.tail_size() > m.options.exact_below); };
  for (; count > 0 && worth_it(); --count) {
    if (!m.index_one()) return false;
  }
  return worth_it();
}

void VectorIndex::each_indexed(const std::function<void(Id)>& visit) const {
  if (!impl_->graph) return;
  for (const auto& [id, node] : impl_->graph->label_lookup_) visit(id);
}

std::string VectorIndex::save() const {
  const Impl& m = *impl_;
  std::string out;
  GraphHeader header;
  header.dimensions = static_cast<uint32_t>(m.dimensions);
  header.neighbours = static_cast<uint32_t>(m.options.neighbours);
  if (!m.graph) return append(out, header), out;
  const Graph& g = *m.graph;
  header.count = static_cast<uint32_t>(g.cur_element_count);
  header.top_level = g.maxlevel_;
  header.entry = g.enterpoint_node_;
  header.node_bytes = g.size_data_per_element_;
  out.reserve(sizeof header + header.count * (g.size_data_per_element_ + 16));
  append(out, header);
  out.append(g.data_level0_memory_, header.count * g.size_data_per_element_);
  for (uint32_t i = 0; i < header.count; ++i) {
    const auto level = static_cast<uint32_t>(g.element_levels_[i]);
    append(out, level);
    if (level > 0) out.append(g.linkLists_[i], level * g.size_links_per_element_);
  }
  return out;
}

// Rebuilt through hnswlib's public members instead of its loadIndex(), which trusts its input.
Status VectorIndex::load(std::string_view bytes) {
  Impl& m = *impl_;
  assert(size() == 0 && !m.graph);
  const auto corrupt = [](const char* what) { return fail(ErrorCode::corrupt, fmt::format("vector graph: {}", what)); };
  GraphHeader header;
  const GraphHeader expected;
  if (!take(bytes, header) || std::memcmp(header.magic, expected.magic, sizeof expected.magic) != 0 ||
      header.version != expected.version) {
    return corrupt("not a graph of this version");
  }
  if (header.dimensions != m.dimensions || header.neighbours != m.options.neighbours) return corrupt("another shape");
  if (header.count == 0) return {};
  try {
    const size_t capacity = std::max<size_t>(kFirstCapacity, header.count + header.count / 8);
    auto g = std::make_unique<Graph>(&m.space, 1, m.options.neighbours, m.options.construction, kSeed);
    if (header.node_bytes != g->size_data_per_element_ || bytes.size() / header.node_bytes < header.count) {
      return corrupt("it ends early");
    }
    g->resizeIndex(capacity);
    std::memcpy(g->data_level0_memory_, bytes.data(), header.count * header.node_bytes);
    bytes.remove_prefix(header.count * header.node_bytes);
    const auto links_fit = [&](const hnswlib::linklistsizeint* list, size_t most) {
      const size_t count = g->getListCount(const_cast<hnswlib::linklistsizeint*>(list));
      return count <= most && std::all_of(list + 1, list + 1 + count, [&](auto to) { return to < header.count; });
    };
    for (uint32_t i = 0; i < header.count; ++i) {
      uint32_t level = 0;
      if (!take(bytes, level) || level > 64) return corrupt("a node's level");
      if (!links_fit(g->get_linklist0(i), g->maxM0_)) return corrupt("a link to nowhere");
      const size_t size = level * g->size_links_per_element_;
      if (bytes.size() < size) return corrupt("it ends early");
      g->linkLists_[i] = nullptr;
      if (level > 0) {
        g->linkLists_[i] = static_cast<char*>(std::malloc(size));  // freed by hnswlib's destructor
        if (g->linkLists_[i] == nullptr) throw std::bad_alloc();
        std::memcpy(g->linkLists_[i], bytes.data(), size);
        bytes.remove_prefix(size);
      }
      g->element_levels_[i] = static_cast<int>(level);
      g->cur_element_count = i + 1;
      for (uint32_t l = 1; l <= level; ++l) {
        if (!links_fit(g->get_linklist(i, static_cast<int>(l)), g->maxM_)) return corrupt("a link to nowhere");
      }
    }
    if (!bytes.empty() || header.entry >= header.count || header.top_level < 0 ||
        header.top_level != g->element_levels_[header.entry]) {
      return corrupt("its entry point");
    }
    // A link of a layer leads to a node that has this layer.
    for (uint32_t i = 0; i < header.count; ++i) {
      for (int l = 1; l <= g->element_levels_[i]; ++l) {
        const auto* list = g->get_linklist(i, l);
        const size_t count = g->getListCount(const_cast<hnswlib::linklistsizeint*>(list));
        for (size_t j = 1; j <= count; ++j) {
          if (g->element_levels_[list[j]] < l) return corrupt("a link to a layer that is not there");
        }
      }
    }
    g->maxlevel_ = header.top_level;
    g->enterpoint_node_ = header.entry;
    g->label_lookup_.reserve(header.count);
    size_t erased = 0;
    for (uint32_t i = 0; i < header.count; ++i) {
      if (g->isMarkedDeleted(i)) {
        ++erased;
        if (g->getExternalLabel(i) != kNone) m.copies[g->getExternalLabel(i)].push_back(i);
      } else if (g->getExternalLabel(i) == kNone || !g->label_lookup_.emplace(g->getExternalLabel(i), i).second) {
        return corrupt("an id stands twice");
      }
    }
    g->num_deleted_ = erased;
    m.erased = erased;
    m.graph = std::move(g);
  } catch (const std::exception& e) {
    return fail(ErrorCode::out_of_memory, fmt::format("vector graph of {} nodes: {}", header.count, e.what()));
  }
  return {};
}

}  // namespace skep::memory
