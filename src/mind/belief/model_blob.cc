#include "mind/belief/model_blob.h"

#include <cstring>

namespace skep::belief {
namespace {

class Writer {
 public:
  void number(uint64_t n) { raw(&n, sizeof n); }
  void text(const std::string& s) {
    number(s.size());
    raw(s.data(), s.size());
  }
  void ints(const std::vector<int>& list) {
    number(list.size());
    for (int i : list) number(static_cast<uint64_t>(static_cast<int64_t>(i)));
  }
  void doubles(const std::vector<double>& list) {
    number(list.size());
    raw(list.data(), list.size() * sizeof(double));
  }
  void tensor(const Tensor& t) {
    ints(t.shape);
    doubles(t.data);
  }
  template <typename T, typename F>
  void list(const std::vector<T>& items, F each) {
    number(items.size());
    for (const T& item : items) each(item);
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void raw(const void* data, size_t n) {
    if (n == 0) return;
    const size_t at = bytes_.size();
    bytes_.resize(at + n);
    std::memcpy(bytes_.data() + at, data, n);
  }
  std::vector<std::byte> bytes_;
};

// Reading past the end gives zeros and remembers it; lengths are checked against what is left before anything grows.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t number() {
    uint64_t n = 0;
    if (!need(sizeof n)) return 0;
    std::memcpy(&n, bytes_.data() + at_, sizeof n);
    at_ += sizeof n;
    return n;
  }
  size_t length(size_t item) {
    const uint64_t n = number();
    if (n > (bytes_.size() - at_) / item) bad_ = true;
    return bad_ ? 0 : static_cast<size_t>(n);
  }
  std::string text() {
    const size_t n = length(1);
    std::string s(reinterpret_cast<const char*>(bytes_.data()) + at_, n);
    at_ += n;
    return s;
  }
  std::vector<int> ints() {
    std::vector<int> list(length(8));
    for (int& i : list) i = static_cast<int>(static_cast<int64_t>(number()));
    return list;
  }
  std::vector<double> doubles() {
    std::vector<double> list(length(8));
    if (!list.empty()) std::memcpy(list.data(), bytes_.data() + at_, list.size() * 8);
    at_ += list.size() * 8;
    return list;
  }
  Tensor tensor() {
    Tensor t;
    t.shape = ints();
    t.data = doubles();
    double entries = 1;
    for (int extent : t.shape) {
      if (extent < 1) bad_ = true;
      entries *= extent;
    }
    if (entries != static_cast<double>(t.data.size())) bad_ = true;
    return t;
  }
  template <typename F>
  auto list(F each) {
    std::vector<decltype(each())> items;
    const size_t n = length(8);
    for (size_t i = 0; i < n && !bad_; ++i) items.push_back(each());
    return items;
  }
  [[nodiscard]] bool good() const { return !bad_ && at_ == bytes_.size(); }

 private:
  bool need(size_t n) {
    if (bytes_.size() - at_ < n) bad_ = true;
    return !bad_;
  }
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  bool bad_ = false;
};

}  // namespace

std::vector<std::byte> write_model_blob(const GenerativeModel& m) {
  Writer w;
  const auto tensors = [&w](const std::vector<Tensor>& list) { w.list(list, [&w](const Tensor& t) { w.tensor(t); }); };
  const auto int_lists = [&w](const std::vector<std::vector<int>>& lists) {
    w.list(lists, [&w](const std::vector<int>& l) { w.ints(l); });
  };
  const auto names = [&w](const std::vector<std::string>& list) {
    w.list(list, [&w](const std::string& s) { w.text(s); });
  };
  w.text(m.name);
  w.ints(m.num_states);
  w.ints(m.num_obs);
  w.ints(m.num_controls);
  int_lists(m.A_factors);
  int_lists(m.B_factors);
  for (const auto* list : {&m.A, &m.B, &m.C, &m.D, &m.pA, &m.pB, &m.pD}) tensors(*list);
  w.doubles(m.E);
  w.list(m.policies, int_lists);
  w.number(static_cast<uint64_t>(m.policy_length));
  names(m.factor_names);
  names(m.modality_names);
  return w.take();
}

Result<GenerativeModel> read_model_blob(std::span<const std::byte> bytes) {
  Reader r(bytes);
  const auto tensors = [&r] { return r.list([&r] { return r.tensor(); }); };
  const auto int_lists = [&r] { return r.list([&r] { return r.ints(); }); };
  const auto names = [&r] { return r.list([&r] { return r.text(); }); };
  GenerativeModel m;
  m.name = r.text();
  m.num_states = r.ints();
  m.num_obs = r.ints();
  m.num_controls = r.ints();
  m.A_factors = int_lists();
  m.B_factors = int_lists();
  for (auto* list : {&m.A, &m.B, &m.C, &m.D, &m.pA, &m.pB, &m.pD}) *list = tensors();
  m.E = r.doubles();
  m.policies = r.list(int_lists);
  m.policy_length = static_cast<int>(r.number());
  m.factor_names = names();
  m.modality_names = names();
  if (!r.good()) return fail(ErrorCode::corrupt, "the model in the file is cut short or damaged");
  std::vector<ModelWarning> warnings;
  SKEP_CHECK(validate(m, {}, &warnings));
  return m;
}

}  // namespace skep::belief
