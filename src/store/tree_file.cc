#include "store/tree_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <set>

#include "store/journal.h"
#include "store/record.h"

namespace skep::store {
namespace {

constexpr size_t kPageHeader = 16, kNodeHeader = 8;
constexpr uint16_t kBranch = 0x01, kLeaf = 0x02, kMeta = 0x08, kKinds = 0x7f;
constexpr uint16_t kElsewhere = 0x01;  // of a node: its data stands on overflow pages
constexpr uint32_t kMagic = 0xBEEFC0DE, kVersion = 1;
constexpr uint64_t kNoPage = ~uint64_t{0};
constexpr int kMostLevels = 32;  // LMDB's own limit
constexpr uint64_t kLargestPage = 65536, kSmallestPage = 256;
constexpr uint64_t kMostUnwritten = 131'072;  // LMDB's limit of a transaction's pages
constexpr size_t kMostDamage = 100, kMostLost = 1000;

template <typename T>
T at(std::string_view bytes, size_t offset) {
  T value{};
  assert(offset + sizeof value <= bytes.size());
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

size_t even(size_t size) { return size + (size & 1U); }

struct Tree {  // MDB_db
  uint16_t depth = 0;
  uint64_t leaves = 0, entries = 0, root = kNoPage;
};

struct Meta {
  uint64_t page_size = 0, last_page = 0, transaction = 0;
  Tree free, main;
};

struct Bounds {
  std::optional<std::string> from, to;  // none: the end of the tree
};

struct Node {
  std::string_view key;
  uint16_t flags = 0;
  uint64_t child = 0;     // of a branch
  uint64_t size = 0;      // of a leaf's data
  std::string_view data;  // of a leaf: the data, or the number of its first overflow page
};

// A page's nodes; `whole`: they are just what LMDB would have written there.
struct Nodes {
  std::vector<Node> all;
  bool whole = true;
};

Nodes nodes_of(std::string_view page) {
  Nodes nodes;
  const uint16_t flags = at<uint16_t>(page, 10), lower = at<uint16_t>(page, 12), upper = at<uint16_t>(page, 14);
  if (lower < kPageHeader || lower % 2 != 0 || lower > page.size() || upper > page.size() || upper < lower) {
    return {{}, false};
  }
  size_t taken = 0;
  for (size_t slot = kPageHeader; slot < lower; slot += 2) {
    const size_t begin = at<uint16_t>(page, slot);
    if (begin < upper || begin % 2 != 0 || begin + kNodeHeader > page.size()) {
      nodes.whole = false;
      continue;
    }
    Node node;
    const uint64_t low = at<uint16_t>(page, begin), high = at<uint16_t>(page, begin + 2);
    node.flags = at<uint16_t>(page, begin + 4);
    const size_t key = at<uint16_t>(page, begin + 6);
    node.size = low | high << 16;
    const bool leaf = (flags & kLeaf) != 0;
    if (!leaf) node.child = node.size | uint64_t{node.flags} << 32;
    const size_t inside = !leaf ? 0 : (node.flags & kElsewhere) != 0 ? sizeof(uint64_t) : node.size;
    const size_t end = begin + kNodeHeader + key + inside;
    if (end > page.size() || (leaf && (node.flags & ~kElsewhere) != 0)) {
      nodes.whole = false;
      continue;
    }
    node.key = page.substr(begin + kNodeHeader, key);
    node.data = page.substr(begin + kNodeHeader + key, inside);
    taken += even(end - begin);
    nodes.all.push_back(node);
  }
  nodes.whole = nodes.whole && taken == page.size() - upper;  // LMDB leaves no holes between nodes
  return nodes;
}

class Reader {
 public:
  using Each = std::function<Status(std::string_view, std::string_view)>;
  Reader(int file, std::string path, uint64_t size, const Each& each)
      : file_(file), path_(std::move(path)), size_(size), each_(each) {}

  Result<TreeReport> read();

 private:
  [[nodiscard]] Result<std::string> bytes(uint64_t at, uint64_t size) const;
  [[nodiscard]] Result<std::optional<Meta>> meta(uint64_t at) const;
  Result<std::optional<Meta>> newest_meta();
  [[nodiscard]] uint64_t pages_of(uint64_t data) const {
    return (kPageHeader + data + meta_.page_size - 1) / meta_.page_size;
  }
  [[nodiscard]] bool in_file(uint64_t page) const { return page >= 2 && page < use_.size(); }

  enum class Use : uint8_t { unknown, reached, free };
  Result<std::string> tree_page(uint64_t number);  // empty: it is none, and was reported
  Status read_free_list();
  Status walk_free(uint64_t number, int level);
  Status walk(uint64_t number, const Bounds& bounds, int level);
  Status walk_leaf(uint64_t number, std::string_view page, const Bounds& bounds);
  Status give(const Node& node);
  Result<std::optional<std::string>> data_of(const Node& node, bool wanted = true);
  Status adopt();  // leaves that nothing leads to
  void damaged(uint64_t page, std::string_view what);
  void lose(const Bounds& bounds);

  int file_;
  std::string path_;
  uint64_t size_;
  const Each& each_;
  Meta meta_;
  std::vector<Use> use_;  // by page
  bool free_list_known_ = true;
  uint64_t leaves_ = 0;
  std::set<std::string, std::less<>> from_damaged_;  // keys that came from a leaf in part, so that none comes twice
  TreeReport report_;
};

void Reader::damaged(uint64_t page, std::string_view what) {
  if (report_.damage.size() < kMostDamage) report_.damage.push_back(fmt::format("page {}: {}", page, what));
}

void Reader::lose(const Bounds& bounds) {
  KeyRange range{bounds.from.value_or(""), bounds.to};
  if (report_.lost.size() >= kMostLost) {  // then all between may be
    KeyRange& last = report_.lost.back();
    last.from = std::min(last.from, range.from);
    if (!range.to || (last.to && *last.to < *range.to)) last.to = range.to;
    return;
  }
  report_.lost.push_back(std::move(range));
}

Result<std::string> Reader::bytes(uint64_t at, uint64_t size) const {
  std::string all(size, '\0');
  for (size_t have = 0; have < size;) {
    const ssize_t got = ::pread(file_, all.data() + have, size - have, static_cast<off_t>(at + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_error(path_, errno));
    if (got == 0) break;  // the file ends: zeros are no page
    have += static_cast<size_t>(got);
  }
  return all;
}

// A meta page that may be one; the fields' meaning is judged by what they lead to.
Result<std::optional<Meta>> Reader::meta(uint64_t begin) const {
  SKEP_TRY(const std::string page, bytes(begin, kPageHeader + 136));
  const std::string_view body = std::string_view(page).substr(kPageHeader);
  if ((at<uint16_t>(page, 10) & kMeta) == 0 || at<uint32_t>(body, 0) != kMagic) return std::nullopt;
  if (at<uint32_t>(body, 4) != kVersion) return std::nullopt;
  const auto tree = [&](size_t from) {
    return Tree{at<uint16_t>(body, from + 6), at<uint64_t>(body, from + 16), at<uint64_t>(body, from + 32),
                at<uint64_t>(body, from + 40)};
  };
  Meta meta;
  meta.page_size = at<uint32_t>(body, 24);
  meta.free = tree(24);
  meta.main = tree(72);
  meta.last_page = at<uint64_t>(body, 120);
  meta.transaction = at<uint64_t>(body, 128);
  const uint64_t size = meta.page_size;
  if (size < kSmallestPage || size > kLargestPage || (size & (size - 1)) != 0) return std::nullopt;
  const auto fits = [](const Tree& t) { return t.depth <= kMostLevels && t.root >= 2; };
  if (!fits(meta.free) || !fits(meta.main)) return std::nullopt;
  return meta;
}

// Two commits stand in the file; the newer one counts, unless its page says what can't be: numbers follow each other,
// even ones on the first page. Anything odd about either is damage: LMDB would take the higher number, whatever it is.
Result<std::optional<Meta>> Reader::newest_meta() {
  SKEP_TRY(auto first, meta(0));
  uint64_t page_size = first ? first->page_size : static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  SKEP_TRY(auto second, meta(page_size));
  const auto odd = [](const std::optional<Meta>& one, uint64_t place) {
    return !one || (one->transaction > 1 && one->transaction % 2 != place);
  };
  if (odd(first, 0)) damaged(0, "no meta page");
  if (odd(second, 1)) damaged(1, "no meta page");
  if (first && second) {
    const uint64_t a = first->transaction, b = second->transaction;
    if (std::max(a, b) - std::min(a, b) > 1) {
      damaged(a > b ? 0 : 1, "its commit does not follow the other meta page's");
      // One bit turned makes a number leap; the one that stands on its own page can't be told, so the lower is taken:
      // both trees are whole, and the journals have what the higher would add.
      return a < b ? first : second;
    }
    if (odd(first, 0) != odd(second, 1)) return odd(first, 0) ? second : first;
    return a > b ? first : second;
  }
  return first ? first : second;
}

Result<std::string> Reader::tree_page(uint64_t number) {
  const auto wrong = [&](std::string_view what) {
    damaged(number, what);
    return std::string();
  };
  if (!in_file(number)) return wrong("beyond the end of the file");
  Use& use = use_[number];
  if (use == Use::free) return wrong("it is in use, and free");
  if (use == Use::reached) return wrong("two pages lead to it");
  SKEP_TRY(std::string page, bytes(number * meta_.page_size, meta_.page_size));
  const uint16_t kind = at<uint16_t>(page, 10) & kKinds;
  if (at<uint64_t>(page, 0) != number) return wrong("it says that it is another one");
  if (kind != kBranch && kind != kLeaf) return wrong("neither a branch nor a leaf");
  use = Use::reached;
  return page;
}

Status Reader::read_free_list() {
  const size_t before = report_.damage.size();
  if (meta_.free.root != kNoPage) SKEP_CHECK(walk_free(meta_.free.root, 1));
  free_list_known_ = report_.damage.size() == before;
  if (free_list_known_) return {};
  // Which pages it would have named is unknown.
  for (Use& use : use_) use = use == Use::free ? Use::unknown : use;
  return {};
}

Status Reader::walk_free(uint64_t number, int level) {
  SKEP_TRY(const std::string page, tree_page(number));
  if (page.empty()) return {};
  const Nodes nodes = nodes_of(page);
  const bool leaf = (at<uint16_t>(page, 10) & kLeaf) != 0;
  if (!nodes.whole || nodes.all.empty() || leaf != (level == meta_.free.depth) || level >= kMostLevels) {
    damaged(number, "a page of the free list");
    return {};
  }
  for (const Node& node : nodes.all) {
    if (!leaf) {
      SKEP_CHECK(walk_free(node.child, level + 1));
      continue;
    }
    SKEP_TRY(const auto list, data_of(node));
    const size_t count = list && list->size() >= 8 ? at<uint64_t>(*list, 0) : kNoPage;
    if (!list || list->size() / 8 < 1 || count > list->size() / 8 - 1) {
      damaged(number, "a list of free pages");
      continue;
    }
    for (size_t i = 1; i <= count; ++i) {
      const uint64_t free = at<uint64_t>(*list, 8 * i);
      if (!in_file(free) || use_[free] == Use::reached) {
        damaged(number, "a list of free pages names one that can't be");
      } else {
        use_[free] = Use::free;
      }
    }
  }
  return {};
}

// The data of a leaf's node (empty where it is not wanted); nothing: it can't be where the node says.
Result<std::optional<std::string>> Reader::data_of(const Node& node, bool wanted) {
  if ((node.flags & kElsewhere) == 0) return std::optional(wanted ? std::string(node.data) : std::string());
  const uint64_t first = at<uint64_t>(node.data, 0), pages = pages_of(node.size);
  if (!in_file(first) || pages > use_.size() - first) return std::nullopt;
  for (uint64_t i = first; i < first + pages; ++i) {
    if (use_[i] != Use::unknown) return std::nullopt;
  }
  std::fill_n(use_.begin() + static_cast<ptrdiff_t>(first), pages, Use::reached);
  if (!wanted) return std::optional(std::string());
  SKEP_TRY(std::string data, bytes(first * meta_.page_size + kPageHeader, node.size));
  return std::optional(std::move(data));
}

Status Reader::give(const Node& node) {
  SKEP_TRY(const auto data, data_of(node, each_ != nullptr));
  if (!data) {
    damaged(0, "a record's pages are not where its key says");
    lose({std::string(node.key), std::string(node.key) + '\0'});
    return {};
  }
  ++report_.entries;
  return each_ ? each_(node.key, *data) : Status();
}

bool inside(std::string_view key, const Bounds& bounds) {
  return (!bounds.from || key >= *bounds.from) && (!bounds.to || key < *bounds.to);
}

Status Reader::walk(uint64_t number, const Bounds& bounds, int level) {
  SKEP_TRY(const std::string page, tree_page(number));
  if (page.empty()) return lose(bounds), Status();
  const bool leaf = (at<uint16_t>(page, 10) & kLeaf) != 0;
  if (leaf != (level == meta_.main.depth) || level >= kMostLevels) {
    damaged(number, "it stands on the wrong level");
    return lose(bounds), Status();
  }
  if (leaf) return walk_leaf(number, page, bounds);
  const Nodes nodes = nodes_of(page);
  bool good = nodes.whole && !nodes.all.empty();
  for (size_t i = 1; good && i < nodes.all.size(); ++i) {
    const std::string_view before = i > 1 ? nodes.all[i - 1].key : std::string_view();
    good = inside(nodes.all[i].key, bounds) && nodes.all[i].key > before;
  }
  if (!good) {
    damaged(number, "a branch whose keys are wrong");
    return lose(bounds), Status();
  }
  for (size_t i = 0; i < nodes.all.size(); ++i) {
    const Bounds below{i == 0 ? bounds.from : std::string(nodes.all[i].key),
                       i + 1 < nodes.all.size() ? std::string(nodes.all[i + 1].key) : bounds.to};
    SKEP_CHECK(walk(nodes.all[i].child, below, level + 1));
  }
  return {};
}

Status Reader::walk_leaf(uint64_t number, std::string_view page, const Bounds& bounds) {
  const Nodes nodes = nodes_of(page);
  bool good = nodes.whole && !nodes.all.empty();
  for (size_t i = 0; good && i < nodes.all.size(); ++i) {
    good = inside(nodes.all[i].key, bounds) && (i == 0 || nodes.all[i].key > nodes.all[i - 1].key);
  }
  if (good) {
    ++leaves_;
    for (const Node& node : nodes.all) SKEP_CHECK(give(node));
    return {};
  }
  damaged(number, "a leaf whose keys are wrong");
  lose(bounds);
  // What proves itself is kept all the same: whoever has to decide about the rest has it to look at.
  for (const Node& node : nodes.all) {
    if (!inside(node.key, bounds) || from_damaged_.contains(node.key)) continue;
    SKEP_TRY(const auto data, data_of(node));
    if (!data || !is_intact(node.key, *data)) continue;
    from_damaged_.emplace(node.key);
    ++report_.entries;
    if (each_) SKEP_CHECK(each_(node.key, *data));
  }
  return {};
}

Status Reader::adopt() {
  const auto lost = [&](std::string_view key) {
    return std::any_of(report_.lost.begin(), report_.lost.end(),
                       [&](const KeyRange& range) { return key >= range.from && (!range.to || key < *range.to); });
  };
  for (uint64_t number = 2; number < use_.size() && free_list_known_; ++number) {
    if (use_[number] != Use::unknown) continue;
    SKEP_TRY(const std::string page, bytes(number * meta_.page_size, meta_.page_size));
    if (at<uint64_t>(page, 0) != number || (at<uint16_t>(page, 10) & kKinds) != kLeaf) continue;
    const Nodes nodes = nodes_of(page);
    bool good = nodes.whole && !nodes.all.empty();
    for (size_t i = 0; good && i < nodes.all.size(); ++i) {
      good = lost(nodes.all[i].key) && !from_damaged_.contains(nodes.all[i].key) &&
             (i == 0 || nodes.all[i].key > nodes.all[i - 1].key);
    }
    if (!good) continue;
    use_[number] = Use::reached;
    ++leaves_;
    for (const Node& node : nodes.all) {
      from_damaged_.emplace(node.key);
      SKEP_CHECK(give(node));
    }
  }
  // All that was ever counted is here again.
  if (leaves_ == meta_.main.leaves && report_.entries == meta_.main.entries) report_.lost.clear();
  return {};
}

Result<TreeReport> Reader::read() {
  SKEP_TRY(const auto newest, newest_meta());
  if (!newest) {
    return fail(ErrorCode::corrupt, fmt::format("{}: neither of its meta pages can be read", path_),
                "restore a backup of it");
  }
  meta_ = *newest;
  // The last pages of a commit may never have been written: it freed them itself. Read, they are zeros.
  const uint64_t pages = (size_ + meta_.page_size - 1) / meta_.page_size + kMostUnwritten;
  if (meta_.last_page >= pages) damaged(meta_.last_page, "beyond the end of the file");
  use_.assign(std::min(meta_.last_page, pages - 1) + 1, Use::unknown);
  SKEP_CHECK(read_free_list());
  if (meta_.main.root != kNoPage) SKEP_CHECK(walk(meta_.main.root, {}, 1));
  if (!report_.lost.empty()) SKEP_CHECK(adopt());
  if (leaves_ != meta_.main.leaves || report_.entries != meta_.main.entries) {
    damaged(0, fmt::format("{} of {} entries on {} of {} leaves", report_.entries, meta_.main.entries, leaves_,
                           meta_.main.leaves));
  }
  std::sort(report_.lost.begin(), report_.lost.end(),
            [](const KeyRange& a, const KeyRange& b) { return a.from < b.from; });
  return std::move(report_);
}

}  // namespace

bool KeyRange::meets(std::string_view prefix) const {
  if (to && *to <= prefix) return false;
  return from <= prefix || from.starts_with(prefix);
}

Result<TreeReport> read_tree(const std::string& path,
                             const std::function<Status(std::string_view, std::string_view)>& each) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return fail(system_error(path, errno));
  struct stat info {};
  const bool known = ::fstat(file, &info) == 0;
  Result<TreeReport> report = fail(system_error(path, known ? 0 : errno));
  if (known) report = Reader(file, path, static_cast<uint64_t>(info.st_size), each).read();
  ::close(file);
  return report;
}

}  // namespace skep::store
