#pragma once

#include <string>
#include <string_view>

namespace skep::api::wire {

std::string base64(std::string_view bytes);  // RFC 4648, with padding

}  // namespace skep::api::wire
