#pragma once
// The routes of /api/memory and /api/agents/{name}/memory, added to the router by ApiServer.

#include "api/router.h"

namespace skep::memory {
class MemoryService;
}

namespace skep::api {

// `memory` null: the routes say that this daemon keeps none. It outlives the router.
void add_memory_routes(Router& router, memory::MemoryService* memory);

}  // namespace skep::api
