#include "format/tar_writer.h"

#include <array>
#include <cstdio>
#include <cstring>

#include "format/bytes.h"

namespace imgpack {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr size_t kMostNameBytes = 100;

// `27 path=a/b\n`: the number counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;  // Blank, equals sign, newline.
  size_t total = rest + 1;
  while (rest + std::to_string(total).size() != total) ++total;
  return std::to_string(total) + " " + std::string(key) + "=" + std::string(value) + "\n";
}

}  // namespace

TarWriter::TarWriter(FileSystem& fs, const std::filesystem::path& path) : file_(fs.create(path)) {
  buffer_.reserve(kBufferBytes);
}

void TarWriter::put(std::span<const std::byte> bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  if (buffer_.size() < kBufferBytes) return;
  file_->append(buffer_);
  buffer_.clear();
}

void TarWriter::pad(uint64_t bytes) {
  static constexpr std::array<std::byte, kBlock> kZeros{};
  if (bytes % kBlock != 0) put(std::span(kZeros).first(kBlock - bytes % kBlock));
}

void TarWriter::header(std::string_view name, uint64_t bytes, char type) {
  std::array<char, kBlock> block{};
  const auto field = [&](size_t at, const char* format, auto value) {
    std::snprintf(block.data() + at, kBlock - at, format, value);
  };
  std::memcpy(block.data(), name.data(), std::min(name.size(), kMostNameBytes));
  field(100, "%07o", 0644u);
  field(108, "%07o", 0u);
  field(116, "%07o", 0u);
  field(124, "%011llo", static_cast<unsigned long long>(bytes));
  field(136, "%011o", 0u);
  std::memset(block.data() + 148, ' ', 8);  // The checksum counts itself as blanks.
  block[156] = type;
  std::memcpy(block.data() + 257, "ustar\00000", 8);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  field(148, "%06o", sum);
  put(std::as_bytes(std::span(block)));
}

void TarWriter::add(std::string_view name, std::span<const std::byte> bytes) {
  if (name.size() > kMostNameBytes) {
    const std::string record = pax_record("path", name);
    header("pax", record.size(), 'x');
    put(as_bytes(record));
    pad(record.size());
  }
  header(name, bytes.size(), '0');
  put(bytes);
  pad(bytes.size());
}

void TarWriter::finish() {
  const std::array<std::byte, 2 * kBlock> end{};
  put(end);
  file_->append(buffer_);
  file_->close();
}

}  // namespace imgpack
