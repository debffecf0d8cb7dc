#include "format/sealed_json.h"

#include "format/checksum.h"
#include "format/error.h"

namespace imgpack {
namespace {

constexpr std::string_view kBefore = "  \"checksum\": \"", kAfter = "\"\n}\n";
constexpr size_t kHexDigits = 16;

}  // namespace

std::string seal_json(std::string body) {
  const uint64_t digest = checksum(body);
  body.append(kBefore).append(to_hex(digest)).append(kAfter);
  return body;
}

void check_seal(std::string_view text, const std::filesystem::path& path) {
  const size_t seal_bytes = kBefore.size() + kHexDigits + kAfter.size();
  std::optional<uint64_t> stored;
  if (text.size() >= seal_bytes) {
    const std::string_view seal = text.substr(text.size() - seal_bytes);
    if (seal.substr(0, kBefore.size()) == kBefore && seal.substr(kBefore.size() + kHexDigits) == kAfter)
      stored = parse_hex(seal.substr(kBefore.size(), kHexDigits));
  }
  if (!stored)
    throw Error(ErrorKind::kCorruption, "file does not end in its checksum line: it is cut short or was edited", path);
  const uint64_t computed = checksum(text.substr(0, text.size() - seal_bytes));
  if (!same_checksum(*stored, computed)) {
    throw Error(ErrorKind::kCorruption,
                "file checksum mismatch: expected " + to_hex(*stored) + ", found " + to_hex(computed), path);
  }
}

}  // namespace imgpack
