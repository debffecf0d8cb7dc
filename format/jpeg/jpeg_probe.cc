#include "format/jpeg/jpeg_probe.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "format/jpeg/exif_orientation.h"
#include "format/jpeg/marker_walk.h"

namespace imgpack::jpeg {
namespace {

constexpr int kMaxSampling = 4;
constexpr int kBlockSize = 8;

struct Header {
  JpegInfo info;
  uint8_t component_id[4] = {};
  bool has_frame = false;
  bool jfif = false;
  int adobe_transform = -1;  // -1: no Adobe marker.
};

const char* parse_frame(Header& header, uint8_t marker, std::span<const uint8_t> p) {
  if (header.has_frame) return "it has two frame headers";
  if (p.size() < 6) return "its frame header is too short";
  JpegInfo& info = header.info;
  info.precision = p[0];
  info.height = read_u16(&p[1]);
  info.width = read_u16(&p[3]);
  info.components = p[5];
  if (info.width == 0 || info.height == 0) return "its width or height is zero";
  if (info.components != 1 && info.components != 3 && info.components != 4)
    return "it has neither 1, 3 nor 4 components";
  if (p.size() < 6 + 3 * static_cast<size_t>(info.components)) return "its frame header is too short";
  for (int c = 0; c < info.components; c++) {
    header.component_id[c] = p[6 + 3 * c];
    const uint8_t factors = p[7 + 3 * c];
    info.h[c] = factors >> 4;
    info.v[c] = factors & 15;
    if (info.h[c] < 1 || info.h[c] > kMaxSampling || info.v[c] < 1 || info.v[c] > kMaxSampling)
      return "a sampling factor is outside 1 to 4";
    info.max_h = std::max(info.max_h, info.h[c]);
    info.max_v = std::max(info.max_v, info.v[c]);
  }
  info.arithmetic = marker >= kSof9;
  info.progressive = marker == kSof2 || marker == kSof10;
  info.lossless = marker != kSof0 && marker != kSof1 && marker != kSof2 && marker != kSof9 && marker != kSof10;
  info.baseline = (marker == kSof0 || marker == kSof1) && info.precision == 8;
  header.has_frame = true;
  return nullptr;
}

void parse_application(Header& header, uint8_t marker, std::span<const uint8_t> p) {
  if (marker == kApp0 && p.size() >= 12 && std::memcmp(p.data(), "JFIF", 5) == 0) {
    header.jfif = true;
  } else if (marker == kApp14 && p.size() >= 12 && std::memcmp(p.data(), "Adobe", 5) == 0) {
    header.adobe_transform = p[11];
  } else {
    header.info.has_metadata = true;
    if (marker == kApp1 && header.info.exif_orientation == 0) header.info.exif_orientation = exif_orientation(p);
  }
}

// The rules of libjpeg's default_decompress_parms, so that a probe and a decode agree.
ColourModel infer_colour(const Header& header) {
  const JpegInfo& info = header.info;
  if (info.components == 1) return ColourModel::kGray;
  if (info.components == 4) {
    return header.adobe_transform > 0 ? ColourModel::kYcck : ColourModel::kCmyk;
  }
  if (header.jfif) return ColourModel::kYCbCr;
  if (header.adobe_transform >= 0) return header.adobe_transform == 0 ? ColourModel::kRgb : ColourModel::kYCbCr;
  const uint8_t* id = header.component_id;
  return id[0] == 'R' && id[1] == 'G' && id[2] == 'B' ? ColourModel::kRgb : ColourModel::kYCbCr;
}

std::string at_offset(const char* what, size_t offset) {
  return std::string(what) + " at byte " + std::to_string(offset);
}

// Empty: the header is whole.
std::string read_markers(std::span<const std::byte> bytes, ProbeDepth depth, Header& header) {
  MarkerWalk walk(bytes);
  if (walk.next() != MarkerWalk::Step::kSegment || walk.segment().marker != kSoi || walk.segment().end != 2)
    return "it does not begin with a JPEG marker";
  for (;;) {
    const MarkerWalk::Step step = walk.next();
    if (step != MarkerWalk::Step::kSegment) {
      // Whatever follows a scan is the decoder's business; before the first one the header is incomplete.
      if (header.info.scans > 0) return {};
      if (step == MarkerWalk::Step::kEnd) return at_offset("it ends inside its header,", walk.offset());
      if (step == MarkerWalk::Step::kBadMarker) return at_offset("a marker is missing", walk.offset());
      return at_offset("it is cut off in the marker segment", walk.offset());
    }
    const Segment& segment = walk.segment();
    const uint8_t marker = segment.marker;
    const char* wrong = nullptr;
    if (marker == kEoi) {
      if (header.info.scans == 0) return "it has no image data";
      header.info.ends_with_eoi = true;
      return {};
    }
    if (marker == kSos) {
      if (!header.has_frame) return at_offset("a scan comes before the frame header,", segment.begin);
      header.info.scans++;
      if (depth == ProbeDepth::kFirstScan || !walk.skip_entropy_coded()) return {};
    } else if (is_frame_header(marker)) {
      wrong = parse_frame(header, marker, segment.payload);
    } else if (marker == kDri && header.info.scans == 0) {
      if (segment.payload.size() < 2) return at_offset("its restart segment is too short", segment.begin);
      header.info.restart_interval = static_cast<int>(read_u16(segment.payload.data()));
    } else if ((marker >= kApp0 && marker <= kApp15) || marker == kCom) {
      parse_application(header, marker, segment.payload);
    }
    if (wrong != nullptr) return at_offset(wrong, segment.begin);
  }
}

}  // namespace

std::optional<JpegInfo> probe_jpeg(std::span<const std::byte> bytes, std::string* why, ProbeDepth depth) {
  Header header;
  std::string wrong = read_markers(bytes, depth, header);
  if (!wrong.empty()) {
    if (why != nullptr) *why = std::move(wrong);
    return std::nullopt;
  }
  header.info.colour = infer_colour(header);
  return header.info;
}

bool has_fractional_sampling(const JpegInfo& info) {
  for (int c = 0; c < info.components; c++)
    if (info.max_h % info.h[c] != 0 || info.max_v % info.v[c] != 0) return true;
  return false;
}

uint64_t coded_blocks(const JpegInfo& info) {
  const uint64_t across = (info.width + kBlockSize * info.max_h - 1) / (kBlockSize * static_cast<uint64_t>(info.max_h));
  const uint64_t down = (info.height + kBlockSize * info.max_v - 1) / (kBlockSize * static_cast<uint64_t>(info.max_v));
  uint64_t per_mcu = 0;
  for (int c = 0; c < info.components; c++)
    per_mcu += static_cast<uint64_t>(info.h[c]) * static_cast<uint64_t>(info.v[c]);
  return across * down * (info.components == 1 ? 1 : per_mcu);
}

}  // namespace imgpack::jpeg
