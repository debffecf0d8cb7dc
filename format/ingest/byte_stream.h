// Bytes that come once, from front to back: a file, what a compressed stream unpacks to, one entry of an archive.
//
//   file -> ByteStream -> [gzip, xz, zstd, bzip2 -> ByteStream] -> ArchiveReader -> entry -> ByteStream -> …
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "format/file.h"

namespace imgpack::ingest {

// Not thread-safe. Throws Error(kIo), or Error(kInvalidInput) for bytes that cannot be unpacked.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Fills the front of `out` and returns how much of it; 0 only at the end, or for an empty `out`.
  virtual size_t read(std::span<std::byte> out) = 0;
  // Passes over `bytes`, or over what is left; returns how many.
  virtual uint64_t skip(uint64_t bytes);
  // Where any place of the stream can be gone to: its size, and how. Else size() is 0 and seek() must not be called.
  virtual uint64_t size() const { return 0; }
  virtual void seek(uint64_t /*offset*/) {}
  virtual const std::string& name() const = 0;  // For messages: `imagenet.zip`, `imagenet.zip/train.tar.gz`.
};

// A whole file. `fs` is needed only to open it.
std::unique_ptr<ByteStream> open_file_stream(FileSystem& fs, const std::filesystem::path& path);

// Looks at the first bytes of a stream without losing them.
class PeekStream : public ByteStream {
 public:
  explicit PeekStream(ByteStream& base) : base_(base) {}
  // The first min(bytes, all) of what is left. REQUIRES: nothing was read before the first call.
  std::span<const std::byte> peek(size_t bytes);

  size_t read(std::span<std::byte> out) override;
  uint64_t skip(uint64_t bytes) override;
  uint64_t size() const override { return base_.size(); }
  void seek(uint64_t offset) override;
  const std::string& name() const override { return base_.name(); }

 private:
  ByteStream& base_;
  std::string head_;
  size_t used_ = 0;  // Of head_.
};

}  // namespace imgpack::ingest
