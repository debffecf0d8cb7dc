// What gzip data unpacks to, its checksums and lengths verified: several members one after another, zeros after the
// last. (libarchive's own gzip reader passes over the checksum.)
#pragma once

#include <memory>

#include "format/ingest/byte_stream.h"

namespace imgpack::ingest {

// Throws Error(kInvalidInput) on read() for data that is damaged, cut off, or followed by something else.
// Memory: 300 KiB.
class GzipStream : public ByteStream {
 public:
  explicit GzipStream(std::unique_ptr<ByteStream> packed);
  ~GzipStream() override;

  size_t read(std::span<std::byte> out) override;
  const std::string& name() const override;
  uint64_t packed_bytes() const;  // That were read so far.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace imgpack::ingest
