// The one place that steps through a JPEG's marker segments; every parser of headers here is a loop over it.
//
//   SOI | FF xx len payload | FF xx len payload | … SOS | entropy-coded bytes | … EOI
//
// Reads no byte outside the span, whatever the bytes say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace imgpack::jpeg {

// Marker codes, the byte that follows 0xFF (ITU-T T.81, table B.1).
enum Marker : uint8_t {
  kSof0 = 0xc0,  // Baseline.
  kSof1 = 0xc1,  // Extended sequential, Huffman.
  kSof2 = 0xc2,  // Progressive, Huffman.
  kDht = 0xc4,
  kSof9 = 0xc9,   // Extended sequential, arithmetic.
  kSof10 = 0xca,  // Progressive, arithmetic.
  kDac = 0xcc,
  kSof15 = 0xcf,
  kRst0 = 0xd0,
  kRst7 = 0xd7,
  kSoi = 0xd8,
  kEoi = 0xd9,
  kSos = 0xda,
  kDqt = 0xdb,
  kDnl = 0xdc,
  kDri = 0xdd,
  kApp0 = 0xe0,
  kApp1 = 0xe1,
  kApp14 = 0xee,
  kApp15 = 0xef,
  kCom = 0xfe,
  kTem = 0x01,
};

inline bool is_frame_header(uint8_t marker) {
  return marker >= kSof0 && marker <= kSof15 && marker != kDht && marker != 0xc8 && marker != kDac;
}

inline uint32_t read_u16(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 8 | p[1];
}

struct Segment {
  uint8_t marker = 0;
  size_t begin = 0;                  // Offset of its 0xFF.
  size_t end = 0;                    // Offset of the first byte after it (of the scan's bytes, for SOS).
  std::span<const uint8_t> payload;  // Without marker and length; empty for SOI and EOI.
};

class MarkerWalk {
 public:
  enum class Step {
    kSegment,    // segment() holds the next one.
    kEnd,        // The bytes end where a marker should begin.
    kBadMarker,  // Something other than a marker lies at offset().
    kTruncated,  // The segment at offset() runs past the end, or its length is impossible.
  };

  explicit MarkerWalk(std::span<const std::byte> bytes)
      : data_(reinterpret_cast<const uint8_t*>(bytes.data())), size_(bytes.size()) {}

  Step next();
  const Segment& segment() const { return segment_; }
  size_t offset() const { return at_; }

  // REQUIRES: the last segment was an SOS. Moves over entropy-coded bytes and restart markers to the marker that ends
  // the scan; false if the bytes end first.
  bool skip_entropy_coded();

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
  Segment segment_;
};

}  // namespace imgpack::jpeg
