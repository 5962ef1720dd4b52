#include "cache/order_journal.h"

#include <charconv>

#include "store/answer_table.h"

namespace skep::cache {
namespace {

constexpr const char* kSpace = "cache-orders";
constexpr char kInvalidate = 'i', kForget = 'f';

}  // namespace

std::string OrderJournal::key(uint64_t number) const { return fmt::format("{}:{:016x}", name_, number); }

Result<std::vector<OrderJournal::Order>> OrderJournal::load() {
  std::vector<Order> orders;
  const std::string prefix = name_ + ":";
  std::string after;
  for (;;) {
    SKEP_TRY(const std::vector<std::string> keys, values_.keys(kSpace, prefix, after));
    if (keys.empty()) return orders;
    for (const std::string& one : keys) {
      SKEP_TRY(const auto text, values_.get(kSpace, one));
      if (!text) continue;
      Order order;
      const char* end = one.data() + one.size();
      const auto number = std::from_chars(one.data() + prefix.size(), end, order.number, 16);
      if (number.ec != std::errc() || number.ptr != end) {
        return fail(ErrorCode::corrupt, fmt::format("{}: '{}' is no order", kSpace, one));
      }
      const bool known = !text->empty() && (text->front() == kInvalidate || text->front() == kForget);
      order.forget = known && text->front() == kForget;
      order.tag = known ? text->substr(1) : store::kEveryTag;
      orders.push_back(std::move(order));
    }
    after = keys.back();
  }
}

Status OrderJournal::add(const Order& order) {
  return values_.put(kSpace, key(order.number), (order.forget ? kForget : kInvalidate) + order.tag);
}

Status OrderJournal::remove(uint64_t number) {
  SKEP_CHECK(values_.erase(kSpace, key(number)));
  return {};
}

}  // namespace skep::cache
