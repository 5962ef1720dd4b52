#pragma once
// Files that come with skep (rosters, examples, models): beside an installed binary in ../share/skep, or in the source
// tree that it was built from.

#include <string>

namespace skep::cli {

// An existing file's path; where there is none, the path in share/skep, so that the error names it.
std::string shipped_file(const std::string& name);
std::string executable();  // of this process

}  // namespace skep::cli
