// A TFRecord file of tf.train.Example messages, without TensorFlow.
//
//   record:  length u64 | masked CRC-32C of it u32 | Example | masked CRC-32C of that u32
//   Example: features { feature { key: name, value: bytes_list | int64_list } … }     (protocol buffers, proto3)
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/file.h"

namespace imgpack {

// CRC-32C (Castagnoli), reflected, as in RFC 3720; crc32c("123456789") is e3069283.
uint32_t crc32c(std::span<const std::byte> bytes);

// Rotated right by 15 bits plus a282ead8: a checksum of data that holds checksums stays good.
uint32_t masked_crc32c(std::span<const std::byte> bytes);

// One Example being put together; features come out in the order in which they were added.
class ExampleBuilder {
 public:
  ExampleBuilder& bytes(std::string_view name, std::span<const std::byte> value);
  ExampleBuilder& text(std::string_view name, std::string_view value);
  ExampleBuilder& integer(std::string_view name, int64_t value);
  std::string message() const;

 private:
  void feature(std::string_view name, const std::string& value);
  std::string features_;
};

// Not thread-safe. Throws Error(kIo).
class TfRecordWriter {
 public:
  TfRecordWriter(FileSystem& fs, const std::filesystem::path& path);
  void add(std::string_view message);
  void finish();  // REQUIRES: last call.

 private:
  std::unique_ptr<WritableFile> file_;
  std::string buffer_;
};

}  // namespace imgpack
