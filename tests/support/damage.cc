#include "tests/support/damage.h"

#include "format/bytes.h"
#include "format/shard_codec.h"

namespace imgpack::test {

void flip_bit(MemoryFileSystem& fs, const std::filesystem::path& path, uint64_t byte, unsigned bit) {
  std::string bytes = fs.bytes(path);
  bytes.at(byte) = static_cast<char>(bytes.at(byte) ^ (1 << bit));
  fs.set_bytes(path, bytes);
}

void cut(MemoryFileSystem& fs, const std::filesystem::path& path, uint64_t bytes) {
  fs.set_bytes(path, fs.bytes(path).substr(0, bytes));
}

void forge_header(MemoryFileSystem& fs, const std::filesystem::path& path, const ShardHeader& header) {
  std::string bytes = fs.bytes(path);
  const std::vector<std::byte> forged = encode_shard_header(header);
  bytes.replace(0, forged.size(), as_text(forged));
  fs.set_bytes(path, bytes);
}

}  // namespace imgpack::test
