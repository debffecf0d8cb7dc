// One source file's bytes in, the JPEG stream to store out, or the reason why there is none.
//
//   bytes --by content--> JPEG ------------------------------------> kept as it is, or losslessly transcoded
//                         CMYK, YCCK, PNG, WebP, BMP --convert-----> encoded once
//                         anything, with resize_* or reencode -----> decoded, resampled, encoded once
//                         damaged, unsupported, not an image ------> Quarantine
//
// A pure function of bytes and options: no files, no names, no state; safe to call from any number of threads. The
// bytes it returns are the same on every CPU (integer arithmetic throughout, libjpeg-turbo's `islow` transforms).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace imgpack::ingest {

enum class Subsampling { k444, k422, k420 };

enum class StreamCheck {
  kHeader,  // Markers before the first scan's data: sizes and colour are known, a stream that is cut off may pass.
  kWhole,   // Every entropy-coded bit is read: by the index walk for baseline streams, by a full decode for others.
};

inline constexpr int kNoEntropyIndex = -1;
inline constexpr int kEntropyIndexPerRow = 0;

struct NormaliseOptions {
  // Shrinks (never enlarges) so that the short side, or the long side, is at most this many pixels; 0: leave it.
  uint32_t resize_short = 0;
  uint32_t resize_max = 0;
  bool reencode = false;                        // Decode and encode again with the two settings below.
  int quality = 90;                             // 1 to 100, of resized and re-encoded images.
  Subsampling subsampling = Subsampling::k420;  // Likewise.
  int convert_quality = 95;                     // Of images that are only converted; these are 4:4:4.
  bool no_larger = false;         // Keep the source's stream (transcoded if asked) where the result has more bytes.
  bool to_baseline = false;       // Losslessly: progressive and arithmetic streams become baseline ones.
  bool optimise_huffman = false;  // Losslessly: Huffman tables made for the image.
  bool strip_metadata = false;  // Losslessly: drops EXIF, XMP, comments; keeps JFIF, Adobe and ICC, which colours need.
  bool apply_orientation = false;  // Turn the pixels as EXIF asks. Off: as stored, which is what torchvision trains on.
  StreamCheck check = StreamCheck::kWhole;
  int entropy_index_mcus = 16;  // MCUs per index entry, or kEntropyIndexPerRow, or kNoEntropyIndex.
};

struct NormalisedImage {
  std::vector<std::byte> jpeg;           // Decodable as it stands: gray, YCbCr or RGB, 8 bits.
  std::vector<std::byte> entropy_index;  // For SectionType::kEntropyIndex. Empty: not asked for, or not covered.
  uint32_t width = 0;                    // Pixels of `jpeg` as stored.
  uint32_t height = 0;
  uint32_t flags = 0;  // RecordFlag bits (format/record.h).
};

enum class QuarantineReason {
  kEmpty,        // No bytes at all.
  kNotAnImage,   // Text, an archive, an unknown format.
  kUnsupported,  // An image of a kind that is not converted: GIF, TIFF, animated WebP, 12-bit or lossless JPEG.
  kDamaged,      // Cut off or undecodable.
  kTooLarge,     // More pixels than any decoder here accepts.
};
std::string_view reason_name(
    QuarantineReason reason);  // `empty`, `not-an-image`, `unsupported`, `damaged`, `too-large`.

struct Quarantine {
  QuarantineReason reason = QuarantineReason::kNotAnImage;
  std::string detail;  // One line for people: what was found, where in the file.
};

// `source` is taken and comes back as `jpeg` where it is kept as it is, so nothing is copied; after a Quarantine it is
// the caller's still, as it was. Bad bytes are an outcome, never an exception. Throws Error(kUsage) for options out of
// range. Memory: at most about 12 bytes per pixel of the source, and only for images that are decoded.
std::variant<NormalisedImage, Quarantine> normalise_image(std::vector<std::byte>&& source,
                                                          const NormaliseOptions& options);

// The proof that a stored JPEG is whole: decodes every pixel. Empty if it does, else what is wrong, in one line.
std::string check_decodes(std::span<const std::byte> jpeg);

}  // namespace imgpack::ingest
