#include "store/key_value_answers.h"

#include <algorithm>
#include <charconv>

#include "store/encoding.h"

namespace skep::store {
namespace {

constexpr std::string_view kAnswers = "cache";  // namespaces
constexpr std::string_view kTags = "cache-tags";
constexpr uint8_t kVersion = 2;  // the first one began with a byte of 128 or more

int64_t us(WallTime time) { return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count(); }
WallTime from_us(int64_t us) { return WallTime(std::chrono::microseconds(us)); }

std::string encode(const KeptAnswer& answer) {
  Encoder bytes;
  bytes.fixed(kVersion).integer(us(answer.stored)).integer(us(answer.expires)).varint(answer.seen);
  bytes.varint(answer.tags.size());
  for (const std::string& tag : answer.tags) bytes.text(tag);
  bytes.text(answer.value);
  return bytes.take();
}

std::optional<KeptAnswer> decode(std::string_view key, std::string_view bytes) {
  Decoder decoder(bytes);
  if (decoder.fixed<uint8_t>() != kVersion) return std::nullopt;
  KeptAnswer answer;
  answer.key = key;
  answer.stored = from_us(decoder.integer());
  answer.expires = from_us(decoder.integer());
  answer.seen = decoder.varint();
  for (uint64_t n = decoder.varint(); n > 0 && decoder.ok(); --n) answer.tags.emplace_back(decoder.text());
  answer.value = decoder.text();
  return decoder.done() ? std::optional(std::move(answer)) : std::nullopt;
}

std::optional<uint64_t> number(const std::string& digits) {
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stopped, wrong] = std::from_chars(digits.data(), end, value);
  return wrong == std::errc() && stopped == end ? std::optional(value) : std::nullopt;
}

}  // namespace

Status KeyValueAnswers::load() {
  if (loaded_) return {};
  epochs_.clear();
  epoch_ = 0;
  std::vector<std::string> unreadable;
  std::string after;
  for (;;) {
    SKEP_TRY(const auto names, values_.keys(kTags, "", after));
    if (names.empty()) break;
    for (const std::string& name : names) {
      auto text = values_.get(kTags, name);
      if (!text && text.error().code == ErrorCode::unavailable) return fail(text.error());
      if (text && !*text) continue;
      const auto epoch = text ? number(**text) : std::nullopt;
      if (!epoch) unreadable.push_back(name);
      epochs_[name] = epoch.value_or(0);
      epoch_ = std::max(epoch_, epoch.value_or(0));
    }
    after = names.back();
  }
  if (!unreadable.empty()) {
    // The time is beyond any epoch that was counted.
    SKEP_CHECK(note(kEveryTag, std::max<uint64_t>(epoch_, static_cast<uint64_t>(us(clock_.wall()))) + 1));
    for (const std::string& name : unreadable) {
      if (name == kEveryTag) continue;
      SKEP_CHECK(values_.erase(kTags, name));
      epochs_.erase(name);
    }
  }
  loaded_ = true;
  return {};
}

Status KeyValueAnswers::note(const std::string& tag, uint64_t epoch) {
  SKEP_CHECK(values_.put(kTags, tag, std::to_string(epoch)));
  epochs_[tag] = epoch;
  epoch_ = epoch;
  return {};
}

bool KeyValueAnswers::valid(const KeptAnswer& answer) const {
  const auto stands = [&](const std::string& tag) {
    const auto found = epochs_.find(tag);
    return found == epochs_.end() || found->second <= answer.seen;
  };
  return stands(kEveryTag) && std::all_of(answer.tags.begin(), answer.tags.end(), stands);
}

Result<std::optional<KeptAnswer>> KeyValueAnswers::get(std::string_view key, WallTime now) {
  SKEP_CHECK(load());
  SKEP_TRY(const auto bytes, values_.get(kAnswers, key));
  if (!bytes) return std::nullopt;
  auto answer = decode(key, *bytes);
  if (!answer) return fail(ErrorCode::corrupt, "a cached answer is broken");
  if (now >= answer->expires || !valid(*answer)) return std::nullopt;
  return answer;
}

Status KeyValueAnswers::put(std::vector<KeptAnswer> answers) {
  SKEP_CHECK(load());
  for (const KeptAnswer& answer : answers) {
    if (valid(answer)) SKEP_CHECK(put_one(answer));
  }
  return {};
}

Status KeyValueAnswers::put_one(const KeptAnswer& answer) {
  const Duration left = answer.expires - clock_.wall();
  if (left < std::chrono::milliseconds(1)) return {};
  const std::string bytes = encode(answer);
  SKEP_CHECK(values_.put(kAnswers, answer.key, bytes, left));
  written_.emplace_back(answer.key, static_cast<int64_t>(bytes.size()));
  bytes_ += static_cast<int64_t>(bytes.size());
  while (bytes_ > most_.count && written_.size() > 1) {
    const auto [oldest, gone] = written_.front();
    if (oldest != answer.key) SKEP_CHECK(values_.erase(kAnswers, oldest));
    written_.pop_front();
    bytes_ -= gone;
  }
  return {};
}

Result<uint64_t> KeyValueAnswers::invalidate(const std::string& tag) {
  SKEP_CHECK(load());
  if (epochs_.size() < kMostTags || epochs_.contains(tag)) {
    SKEP_CHECK(note(tag, epoch_ + 1));
    return epoch_;
  }
  SKEP_CHECK(note(kEveryTag, epoch_ + 1));
  for (auto entry = epochs_.begin(); entry != epochs_.end();) {  // they say nothing that this does not
    if (entry->first == kEveryTag) {
      ++entry;
      continue;
    }
    SKEP_CHECK(values_.erase(kTags, entry->first));
    entry = epochs_.erase(entry);
  }
  return epoch_;
}

Status KeyValueAnswers::forget(const std::string& tag) {
  SKEP_CHECK(invalidate(tag));
  std::string after;
  for (;;) {
    SKEP_TRY(const auto keys, values_.keys(kAnswers, "", after));
    if (keys.empty()) return {};
    for (const std::string& key : keys) {
      const auto bytes = values_.get(kAnswers, key);
      if (bytes && !*bytes) continue;
      // What can't be read may be one of them.
      const auto answer = bytes ? decode(key, **bytes) : std::nullopt;
      const bool stays =
          answer && tag != kEveryTag && std::find(answer->tags.begin(), answer->tags.end(), tag) == answer->tags.end();
      if (!stays) SKEP_CHECK(values_.erase(kAnswers, key));
    }
    after = keys.back();
  }
}

Result<AnswerTable::News> KeyValueAnswers::news(uint64_t since) {
  SKEP_CHECK(load());
  News news{epoch_, {}};
  for (const auto& [tag, epoch] : epochs_) {
    if (epoch > since) news.tags.push_back(tag);
  }
  return news;
}

}  // namespace skep::store
