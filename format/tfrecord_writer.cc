#include "format/tfrecord_writer.h"

#include <array>

#include "format/bytes.h"

namespace imgpack {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // Of CRC-32C, bits reversed.
constexpr size_t kBufferBytes = size_t{1} << 20;

using Tables = std::array<std::array<uint32_t, 256>, 8>;

// Table k advances a byte by k further bytes, so that eight bytes take one step.
constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t byte = 0; byte < 256; ++byte)
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xff];
  return tables;
}
constexpr Tables kTables = make_tables();

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

// A field of wire type 2: tag, length, bytes.
void put_field(std::string& out, uint32_t number, std::string_view bytes) {
  put_varint(out, number << 3 | 2);
  put_varint(out, bytes.size());
  out.append(bytes);
}

void put_little_endian(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes) {
  uint32_t crc = 0xffffffff;
  size_t i = 0;
  const auto at = [&](size_t k) { return static_cast<uint32_t>(bytes[k]); };
  for (; i + 8 <= bytes.size(); i += 8) {
    const uint32_t low = crc ^ (at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24);
    crc = kTables[7][low & 0xff] ^ kTables[6][low >> 8 & 0xff] ^ kTables[5][low >> 16 & 0xff] ^ kTables[4][low >> 24] ^
          kTables[3][at(i + 4)] ^ kTables[2][at(i + 5)] ^ kTables[1][at(i + 6)] ^ kTables[0][at(i + 7)];
  }
  for (; i < bytes.size(); ++i) crc = (crc >> 8) ^ kTables[0][(crc ^ at(i)) & 0xff];
  return ~crc;
}

uint32_t masked_crc32c(std::span<const std::byte> bytes) {
  const uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8;
}

void ExampleBuilder::feature(std::string_view name, const std::string& value) {
  std::string entry;
  put_field(entry, 1, name);
  put_field(entry, 2, value);
  put_field(features_, 1, entry);
}

ExampleBuilder& ExampleBuilder::text(std::string_view name, std::string_view value) {
  std::string list, feature_message;
  put_field(list, 1, value);
  put_field(feature_message, 1, list);  // bytes_list
  feature(name, feature_message);
  return *this;
}

ExampleBuilder& ExampleBuilder::bytes(std::string_view name, std::span<const std::byte> value) {
  return text(name, as_text(value));
}

ExampleBuilder& ExampleBuilder::integer(std::string_view name, int64_t value) {
  std::string packed, list, feature_message;
  put_varint(packed, static_cast<uint64_t>(value));
  put_field(list, 1, packed);
  put_field(feature_message, 3, list);  // int64_list
  feature(name, feature_message);
  return *this;
}

std::string ExampleBuilder::message() const {
  std::string message;
  put_field(message, 1, features_);
  return message;
}

TfRecordWriter::TfRecordWriter(FileSystem& fs, const std::filesystem::path& path) : file_(fs.create(path)) {}

void TfRecordWriter::add(std::string_view message) {
  std::string length;
  put_little_endian(length, message.size(), 8);
  buffer_ += length;
  put_little_endian(buffer_, masked_crc32c(as_bytes(length)), 4);
  buffer_ += message;
  put_little_endian(buffer_, masked_crc32c(as_bytes(message)), 4);
  if (buffer_.size() < kBufferBytes) return;
  file_->append(as_bytes(buffer_));
  buffer_.clear();
}

void TfRecordWriter::finish() {
  file_->append(as_bytes(buffer_));
  file_->close();
}

}  // namespace imgpack
