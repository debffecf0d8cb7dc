#include "format/ingest/gzip_stream.h"

#include <zlib.h>

#include <algorithm>
#include <vector>

#include "format/error.h"

namespace imgpack::ingest {
namespace {

constexpr size_t kBlockBytes = 256 << 10;
constexpr int kGzipOnly = 16 + MAX_WBITS;

}  // namespace

struct GzipStream::State {
  std::unique_ptr<ByteStream> packed;
  std::vector<std::byte> block = std::vector<std::byte>(kBlockBytes);
  z_stream zlib{};
  uint64_t taken = 0;
  bool in_member = true;  // Else between two of them, or behind the last.
  bool ended = false;

  // False: there is no more.
  bool refill() {
    const size_t got = packed->read(block);
    taken += got;
    zlib.next_in = reinterpret_cast<Bytef*>(block.data());
    zlib.avail_in = static_cast<uInt>(got);
    return got > 0;
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw Error(ErrorKind::kInvalidInput, "archive is damaged or cut off: gzip " + why, packed->name(), {},
                "compare its size and checksum with those of the download, and fetch it again");
  }

  // Another member, or nothing but zeros.
  void begin_next_member() {
    while (zlib.avail_in > 0 || refill()) {
      if (*zlib.next_in != 0) {
        if (inflateReset(&zlib) != Z_OK) fail("data cannot be unpacked");
        in_member = true;
        return;
      }
      ++zlib.next_in;
      --zlib.avail_in;
    }
    ended = true;
  }
};

GzipStream::GzipStream(std::unique_ptr<ByteStream> packed) : state_(std::make_unique<State>()) {
  state_->packed = std::move(packed);
  if (inflateInit2(&state_->zlib, kGzipOnly) != Z_OK) throw Error(ErrorKind::kInternal, "zlib has no memory");
}

GzipStream::~GzipStream() {
  inflateEnd(&state_->zlib);
}

size_t GzipStream::read(std::span<std::byte> out) {
  State& s = *state_;
  const size_t wanted = std::min<size_t>(out.size(), size_t{1} << 30);
  s.zlib.next_out = reinterpret_cast<Bytef*>(out.data());
  s.zlib.avail_out = static_cast<uInt>(wanted);
  while (s.zlib.avail_out > 0 && !s.ended) {
    if (!s.in_member) {
      s.begin_next_member();
      continue;
    }
    if (s.zlib.avail_in == 0 && !s.refill()) s.fail("data ends early");
    const int status = inflate(&s.zlib, Z_NO_FLUSH);
    if (status == Z_STREAM_END) {
      s.in_member = false;
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      s.fail(s.zlib.msg == nullptr ? "data cannot be unpacked" : s.zlib.msg);
    }
  }
  return wanted - s.zlib.avail_out;
}

const std::string& GzipStream::name() const {
  return state_->packed->name();
}

uint64_t GzipStream::packed_bytes() const {
  return state_->taken;
}

}  // namespace imgpack::ingest
