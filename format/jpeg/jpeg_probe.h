// What a JPEG's markers say of it, without decoding a pixel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace imgpack::jpeg {

// As libjpeg infers it from JFIF and Adobe markers and component names.
enum class ColourModel { kGray, kYCbCr, kRgb, kCmyk, kYcck };

struct JpegInfo {
  uint32_t width = 0;  // Pixels, 1 to 65,535.
  uint32_t height = 0;
  int components = 0;        // 1, 3 or 4.
  int precision = 8;         // Bits per sample.
  bool baseline = false;     // SOF0 or SOF1 with Huffman coding, 8 bits.
  bool progressive = false;  // SOF2 or SOF10.
  bool arithmetic = false;
  bool lossless = false;     // SOF3, or a hierarchical frame: no decoder here reads it.
  int restart_interval = 0;  // MCUs, 0 for none.
  int max_h = 1, max_v = 1;  // Sampling factors of the largest component.
  int h[4] = {}, v[4] = {};
  ColourModel colour = ColourModel::kYCbCr;
  int exif_orientation = 0;    // 1 to 8, 0 where there is none.
  bool has_metadata = false;   // Application or comment segments other than JFIF and Adobe.
  int scans = 0;               // SOS segments.
  bool ends_with_eoi = false;  // The last scan is closed by an EOI marker. Bytes after it are allowed.
};

enum class ProbeDepth {
  kWholeFile,  // Every marker. Looks for them in the entropy-coded data of all scans.
  kFirstScan,  // What stands before the first scan's data, whatever the length of the file: sizes and kind, not yet
               // the number of scans, the end, or metadata behind a scan.
};

// nullopt: not a JPEG, or its header is damaged; `*why` then says what is wrong.
// Decodes nothing. Allocates nothing on success.
std::optional<JpegInfo> probe_jpeg(std::span<const std::byte> bytes, std::string* why = nullptr,
                                   ProbeDepth depth = ProbeDepth::kWholeFile);

// Whether a component's samples do not stand for whole numbers of pixels (2 of 3 columns, say): no decoder here takes
// it.
bool has_fractional_sampling(const JpegInfo& info);

// Coded 8x8 blocks of the frame, padding included: what memory and time of a decode are proportional to.
uint64_t coded_blocks(const JpegInfo& info);

}  // namespace imgpack::jpeg
