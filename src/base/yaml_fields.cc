#include "base/yaml_fields.h"

#include <algorithm>
#include <utility>

#include "base/nearest.h"

namespace skep {
namespace {

constexpr size_t kMostMistakes = 10;

}  // namespace

YamlFields::YamlFields(const YamlNode& node) : where_(node) {
  if (node.is_map()) {
    node_ = node;
  } else if (!node.is_null()) {
    refuse(node.error("must be a map of keys and values").value());
  }
}

YamlFields& YamlFields::required() {
  required_ = true;
  return *this;
}

std::optional<YamlNode> YamlFields::take(std::string_view key) {
  known_.emplace_back(key);
  const bool must = std::exchange(required_, false);
  auto found = node_ ? node_->find(key) : std::nullopt;
  if (found && !found->is_null()) return found;
  if (must && where_) refuse(where_->error(fmt::format("'{}' is missing", key)).value());
  return std::nullopt;
}

std::optional<YamlNode> YamlFields::value_of(std::string_view key) {
  asked_.emplace_back(key);
  return take(key);
}

void YamlFields::refuse(const Error& error) {
  if (mistakes_.size() < kMostMistakes) mistakes_.push_back(error);
}

template <typename T, typename Read>
void YamlFields::read(std::string_view key, T& out, const Read& value_of_node) {
  const auto node = value_of(key);
  if (!node) return;
  auto value = value_of_node(*node);
  if (value) {
    out = static_cast<T>(std::move(*value));
  } else {
    refuse(value.error());
  }
}

void YamlFields::text(std::string_view key, std::string& out, size_t most_bytes) {
  read(key, out, [&](const YamlNode& n) { return n.text(most_bytes); });
}
void YamlFields::boolean(std::string_view key, bool& out) {
  read(key, out, [](const YamlNode& n) { return n.boolean(); });
}
void YamlFields::number(std::string_view key, double& out, double least, double most) {
  read(key, out, [&](const YamlNode& n) { return n.number(least, most); });
}
void YamlFields::integer(std::string_view key, int& out, int least, int most) {
  read(key, out, [&](const YamlNode& n) { return n.integer(least, most); });
}
void YamlFields::integer(std::string_view key, int64_t& out, int64_t least, int64_t most) {
  read(key, out, [&](const YamlNode& n) { return n.integer(least, most); });
}
void YamlFields::integer(std::string_view key, std::optional<int>& out, int least, int most) {
  read(key, out, [&](const YamlNode& n) {
    return n.integer(least, most).map([](int64_t value) { return static_cast<int>(value); });
  });
}
void YamlFields::bytes(std::string_view key, Bytes& out, Bytes least, Bytes most) {
  read(key, out, [&](const YamlNode& n) { return n.bytes(least, most); });
}
void YamlFields::bytes(std::string_view key, std::optional<Bytes>& out, Bytes least, Bytes most) {
  read(key, out, [&](const YamlNode& n) { return n.bytes(least, most); });
}
void YamlFields::duration(std::string_view key, Duration& out, Duration least, Duration most) {
  read(key, out, [&](const YamlNode& n) { return n.duration(least, most); });
}
void YamlFields::duration(std::string_view key, std::optional<Duration>& out, Duration least, Duration most) {
  read(key, out, [&](const YamlNode& n) { return n.duration(least, most); });
}

void YamlFields::choice(std::string_view key, std::string& out, const std::vector<std::string>& words) {
  read(key, out, [&](const YamlNode& n) -> Result<std::string> {
    SKEP_TRY(std::string word, n.text());
    if (std::find(words.begin(), words.end(), word) != words.end()) return word;
    std::string all;
    for (const std::string& each : words) all += (all.empty() ? "" : ", ") + (each.empty() ? "''" : each);
    return n.error(fmt::format("'{}' is none of {}", word, all), did_you_mean(word, words));
  });
}

void YamlFields::texts(std::string_view key, std::vector<std::string>& out, size_t most_items, size_t most_bytes) {
  const auto node = value_of(key);
  if (!node) return;
  std::vector<std::string> all;
  if (!node->is_list()) {
    auto text = node->text(most_bytes);
    if (!text) return refuse(text.error());
    for (size_t begin = 0; begin <= text->size();) {
      const size_t end = std::min(text->find(',', begin), text->size());
      if (end > begin) all.push_back(text->substr(begin, end - begin));
      begin = end + 1;
    }
  }
  if (std::max(all.size(), node->size()) > most_items) {
    return refuse(node->error(fmt::format("has {} entries; at most {} are allowed", std::max(all.size(), node->size()),
                                          most_items))
                      .value());
  }
  for (size_t i = 0; node->is_list() && i < node->size(); ++i) {
    auto one = node->at(i).text(most_bytes);
    if (!one) return refuse(one.error());
    all.push_back(std::move(*one));
  }
  out = std::move(all);
}

void YamlFields::section(std::string_view key, const std::function<void(YamlFields&)>& bind) {
  const auto node = take(key);
  YamlFields inner(node.value_or(*where_));
  if (!node) inner.node_.reset();
  bind(inner);
  if (node) inner.refuse_unknown();
  for (const std::string& path : inner.asked_) asked_.push_back(fmt::format("{}.{}", key, path));
  for (const Error& mistake : inner.mistakes_) refuse(mistake);
}

void YamlFields::list(std::string_view key, size_t most_items, const std::function<Status(const YamlNode&)>& item) {
  const auto node = take(key);
  if (!node) return;
  if (!node->is_list()) return refuse(node->error("must be a list").value());
  if (node->size() > most_items) {
    return refuse(node->error(fmt::format("has {} entries; at most {} are allowed", node->size(), most_items)).value());
  }
  for (size_t i = 0; i < node->size(); ++i) {
    if (auto status = item(node->at(i)); !status) refuse(status.error());
  }
}

void YamlFields::entries(std::string_view key, size_t most_items, const std::function<Status(const YamlNode&)>& item) {
  const auto node = take(key);
  if (!node) return;
  if (!node->is_map()) return refuse(node->error("must be a map of names to values").value());
  if (node->size() > most_items) {
    return refuse(node->error(fmt::format("has {} entries; at most {} are allowed", node->size(), most_items)).value());
  }
  for (size_t i = 0; i < node->size(); ++i) {
    if (auto status = item(node->at(i)); !status) refuse(status.error());
  }
}

void YamlFields::refuse_unknown() {
  if (!node_) return;
  for (size_t i = 0; i < node_->size(); ++i) {
    const YamlNode child = node_->at(i);
    if (std::find(known_.begin(), known_.end(), child.key()) != known_.end()) continue;
    std::string hint = did_you_mean(child.key(), known_);
    if (hint.empty()) {
      std::vector<std::string> sorted = known_;
      std::sort(sorted.begin(), sorted.end());
      hint = fmt::format("known keys: {}", fmt::join(sorted, ", "));
    }
    refuse(child.error("is no key that is known here", hint).value());
  }
}

Status YamlFields::finish() {
  refuse_unknown();
  if (mistakes_.empty()) return {};
  if (mistakes_.size() == 1) return fail(mistakes_.front());
  std::string lines;
  for (const Error& mistake : mistakes_) lines += (lines.empty() ? "" : "\n") + mistake.text();
  return fail(mistakes_.front().code, std::move(lines));
}

}  // namespace skep
