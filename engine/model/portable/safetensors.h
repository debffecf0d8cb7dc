// The safetensors file: named arrays of numbers that any language reads and no reader executes.
//
//   | u64 header bytes, little-endian | JSON header, padded with spaces to 8 | raw tensors, one after another, no gaps
//   |
//
//   {"__metadata__": {"k": "v"}, "fc.bias": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}, …}
//
// Files written here also carry a checksum of themselves in the metadata (key `xxh3`): XXH3-64 of the header, with the
// digits of the checksum as zeros, followed by the tensors. Other readers ignore it; this one verifies it.
// Source: github.com/huggingface/safetensors, README (format, version 0.5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "format/file.h"

namespace imgtrain {

enum class NumberType { kBool, kU8, kI8, kI16, kU16, kF16, kBf16, kI32, kU32, kF32, kI64, kU64, kF64 };
size_t bytes_of(NumberType type);
const char* name_of(NumberType type);  // As the file has it: `F32`.

struct TensorHeader {
  std::string name;
  NumberType type = NumberType::kF32;
  std::vector<int64_t> shape;  // Empty: a scalar.
  uint64_t offset = 0;         // In the file.
  uint64_t bytes = 0;
};

// Limits beyond which a file is refused before anything is allocated for it.
inline constexpr uint64_t kMaxTensorFileHeaderBytes = 4u << 20;
inline constexpr size_t kMaxTensorDimensions = 16;

// An open file whose header has been checked: every tensor lies inside the file, has the size that its shape asks for,
// and together they cover the data exactly. Thread-safe.
class TensorFileReader {
 public:
  // Throws Error(kCorruption) for a file that is damaged or no safetensors file, Error(kIo) if it cannot be read.
  TensorFileReader(imgpack::FileSystem& fs, const std::filesystem::path& path);

  const std::vector<TensorHeader>& tensors() const { return tensors_; }             // In the order of their data.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }  // Without the checksum.
  const std::filesystem::path& path() const { return file_->path(); }

  // Whether the file carries a checksum. A file of another program does not.
  bool has_checksum() const { return has_checksum_; }
  // Reads the whole file once and compares. Throws Error(kCorruption). REQUIRES: has_checksum().
  void verify_checksum() const;

  // Fills `out`. REQUIRES: out.size() == tensor.bytes.
  void read(const TensorHeader& tensor, std::span<std::byte> out) const;

 private:
  void parse(const std::string& header, uint64_t data_begin);

  std::unique_ptr<imgpack::RandomAccessFile> file_;
  std::string header_;  // With the checksum's digits as zeros, where it has one.
  std::vector<TensorHeader> tensors_;
  std::map<std::string, std::string> metadata_;
  bool has_checksum_ = false;
  uint64_t checksum_ = 0;
};

// What is to be written; `bytes` must stay alive during the call.
struct TensorToWrite {
  std::string name;
  NumberType type = NumberType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

// Publishes the file: temporary file, sync, rename, directory sync. Tensors of wide numbers come first, so that each is
// aligned to its numbers; the order is kept otherwise. REQUIRES: names are unique, `bytes` fits the shape, `metadata`
// has no key `xxh3`. Throws Error(kIo); `path` is then what it was.
void write_tensor_file(imgpack::FileSystem& fs, const std::filesystem::path& path, std::vector<TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace imgtrain
