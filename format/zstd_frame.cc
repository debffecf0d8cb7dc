#include "format/zstd_frame.h"

#include <zstd.h>

#include <string>

#include "format/error.h"

namespace imgpack {
namespace {

// The columns are byte planes whose information is in their symbol frequencies: higher levels search for matches that
// are hardly there. Measured on the plan columns of 1,281,167 records: level 9 takes four times as long for 1 % less,
// level 19 takes 130 times as long for 5 % less.
constexpr int kLevel = 3;

}  // namespace

std::vector<std::byte> zstd_compress(std::span<const std::byte> raw) {
  std::vector<std::byte> frame(ZSTD_compressBound(raw.size()));
  const size_t size = ZSTD_compress(frame.data(), frame.size(), raw.data(), raw.size(), kLevel);
  if (ZSTD_isError(size))
    throw Error(ErrorKind::kInternal, std::string("zstd cannot compress an index: ") + ZSTD_getErrorName(size));
  frame.resize(size);
  frame.shrink_to_fit();
  return frame;
}

std::vector<std::byte> zstd_decompress(std::span<const std::byte> frame, uint64_t raw_bytes,
                                       const std::filesystem::path& path, uint64_t offset) {
  // Asked first: a frame that claims another size must not make us allocate.
  const unsigned long long claimed = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (claimed != raw_bytes) {
    const std::string found = claimed == ZSTD_CONTENTSIZE_ERROR     ? "no zstd frame"
                              : claimed == ZSTD_CONTENTSIZE_UNKNOWN ? "no size"
                                                                    : std::to_string(claimed);
    throw Error(ErrorKind::kCorruption,
                "zstd frame size mismatch: expected " + std::to_string(raw_bytes) + ", found " + found, path, offset);
  }
  std::vector<std::byte> raw(raw_bytes);
  const size_t size = ZSTD_decompress(raw.data(), raw.size(), frame.data(), frame.size());
  if (ZSTD_isError(size))
    throw Error(ErrorKind::kCorruption, std::string("zstd frame is damaged: ") + ZSTD_getErrorName(size), path, offset);
  if (size != raw_bytes) {
    throw Error(ErrorKind::kCorruption,
                "zstd frame is short: expected " + std::to_string(raw_bytes) + " bytes, found " + std::to_string(size),
                path, offset);
  }
  return raw;
}

}  // namespace imgpack
