// One zstd frame in one call, with the size of the result known beforehand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace imgpack {

std::vector<std::byte> zstd_compress(std::span<const std::byte> raw);

// REQUIRES: the caller has checked raw_bytes against what the data can be; it is what gets allocated. Throws
// Error(kCorruption) where the frame does not hold exactly that many bytes.
std::vector<std::byte> zstd_decompress(std::span<const std::byte> frame, uint64_t raw_bytes,
                                       const std::filesystem::path& path, uint64_t offset);

}  // namespace imgpack
