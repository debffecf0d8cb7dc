#include "tools/cli/build_details.h"

#include <zstd.h>

#include <boost/version.hpp>

namespace imgpack::cli {

extern const char* const kCommit;  // Written by cmake/embed_commit.cmake at every build; empty outside a checkout.

std::string kind_of_build() {
#if defined(__SANITIZE_ADDRESS__)
  return "address sanitizer";
#elif defined(__SANITIZE_THREAD__)
  return "thread sanitizer";
#elif defined(NDEBUG)
  return "release";
#else
  return "debug";
#endif
}

std::string compiler() {
#if defined(__clang__)
  return std::string("clang ") + __clang_version__;
#else
  return std::string("g++ ") + __VERSION__;
#endif
}

std::vector<std::string> build_details() {
  std::vector<std::string> lines;
  if (*kCommit != 0) lines.push_back(std::string("commit ") + kCommit);
  lines.push_back(kind_of_build() + " build by " + compiler());
  lines.push_back("zstd " ZSTD_VERSION_STRING ", Boost " + std::to_string(BOOST_VERSION / 100000) + "." +
                  std::to_string(BOOST_VERSION / 100 % 1000));
  return lines;
}

}  // namespace imgpack::cli
