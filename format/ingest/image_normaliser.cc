#include "format/ingest/image_normaliser.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "format/error.h"
#include "format/ingest/image_kind.h"
#include "format/ingest/jpeg_writer.h"
#include "format/ingest/pixel_image.h"
#include "format/jpeg/entropy_index.h"
#include "format/jpeg/jpeg_probe.h"
#include "format/record.h"

namespace imgpack::ingest {
namespace {

constexpr int kMaxMcusPerEntry = 65'535;
static_assert(kEntropyIndexPerRow == jpeg::kOneEntryPerRow);

using Outcome = std::variant<NormalisedImage, Quarantine>;

struct Size {
  uint32_t width = 0, height = 0;
  bool operator==(const Size&) const = default;
};

// The other side when `side` shrinks to `limit`, to the nearest pixel.
uint32_t in_proportion(uint32_t other, uint32_t side, uint32_t limit) {
  return std::max<uint32_t>(1, static_cast<uint32_t>((uint64_t{other} * limit + side / 2) / side));
}

Size shrink_side(Size size, bool by_width, uint32_t limit) {
  const uint32_t side = by_width ? size.width : size.height;
  if (limit == 0 || side <= limit) return size;
  if (by_width) return {limit, in_proportion(size.height, side, limit)};
  return {in_proportion(size.width, side, limit), limit};
}

Size wanted_size(Size size, const NormaliseOptions& options) {
  size = shrink_side(size, size.width <= size.height, options.resize_short);
  return shrink_side(size, size.width >= size.height, options.resize_max);
}

void check_options(const NormaliseOptions& options) {
  const auto check_quality = [](const char* name, int value) {
    if (value >= 1 && value <= 100) return;
    throw Error(ErrorKind::kUsage, std::string("JPEG quality out of range: expected ") + name + " 1 to 100, found " +
                                       std::to_string(value));
  };
  check_quality("quality", options.quality);
  check_quality("convert quality", options.convert_quality);
  if (options.entropy_index_mcus < kNoEntropyIndex || options.entropy_index_mcus > kMaxMcusPerEntry) {
    throw Error(ErrorKind::kUsage, "entropy index spacing out of range: expected 1 to " +
                                       std::to_string(kMaxMcusPerEntry) + " MCUs, `row` or `none`, found " +
                                       std::to_string(options.entropy_index_mcus));
  }
}

Quarantine damaged(std::string detail) {
  return {QuarantineReason::kDamaged, std::move(detail)};
}

// Adds the entropy index of `jpeg`, which is or becomes image.jpeg. `proved`: the stream is known to be whole;
// otherwise the index walk proves it, or where that does not cover the stream, a decode. Empty: the stream is whole, or
// was not to be checked.
std::string index_and_prove(std::span<const std::byte> jpeg, NormalisedImage& image, bool proved,
                            const NormaliseOptions& options) {
  const bool wanted = options.entropy_index_mcus != kNoEntropyIndex;
  const bool prove = !proved && options.check == StreamCheck::kWhole;
  if (!wanted && !prove) return {};
  jpeg::EntropyIndexBuilder builder;
  auto index = builder.build(jpeg, wanted ? options.entropy_index_mcus : kEntropyIndexPerRow);
  if (!index) {
    image.flags |= kRecordReferenceOnly;
    return prove ? check_decodes(jpeg) : std::string();
  }
  if (wanted) image.entropy_index = std::move(*index);
  return {};
}

// Resized, turned and encoded as the options ask. `flags` holds what the caller knows already.
NormalisedImage encode(PixelImage image, int orientation, const NormaliseOptions& options, uint32_t flags) {
  const Size stored{image.width, image.height}, wanted = wanted_size(stored, options);
  if (wanted != stored) {
    image = shrink(image, wanted.width, wanted.height);
    flags |= kRecordResized;
  }
  if (orientation > 1) {
    if (options.apply_orientation) {
      image = orient(image, orientation);
    } else {
      flags |= kRecordExifOriented;
    }
  }
  if (image.channels == 1) flags |= kRecordGray;
  const bool own_settings = wanted != stored || options.reencode;
  NormalisedImage out;
  out.jpeg = encode_jpeg(image, own_settings ? options.quality : options.convert_quality,
                         own_settings ? options.subsampling : Subsampling::k444);
  out.width = image.width;
  out.height = image.height;
  out.flags = flags | kRecordReencoded;
  index_and_prove(out.jpeg, out, true, options);
  return out;
}

Outcome from_other_format(std::span<const std::byte> source, ImageKind kind, const NormaliseOptions& options) {
  PixelsOrReason pixels = kind == ImageKind::kPng    ? read_png(source)
                          : kind == ImageKind::kWebp ? read_webp(source)
                                                     : read_bmp(source);
  if (auto* reason = std::get_if<Quarantine>(&pixels)) return std::move(*reason);
  return encode(std::get<PixelImage>(std::move(pixels)), 0, options, kRecordConverted);
}

// The stream with its own coefficients: as it is, transcoded, or without metadata.
Outcome keep_coefficients(std::vector<std::byte>&& source, const jpeg::JpegInfo& info,
                          const NormaliseOptions& options) {
  NormalisedImage out;
  out.width = info.width;
  out.height = info.height;
  if (info.components == 1) out.flags |= kRecordGray;
  if (info.exif_orientation > 1) out.flags |= kRecordExifOriented;
  std::string why;
  bool proved = false, baseline = info.baseline, as_it_is = false;
  if ((options.to_baseline && !info.baseline) || (options.optimise_huffman && info.baseline)) {
    // The transcode reads the whole stream strictly, which is the proof that it is whole.
    if (!transcode_to_baseline(source, !options.strip_metadata, out.jpeg, &why)) return damaged("JPEG: " + why);
    proved = baseline = true;
    out.flags |= kRecordTranscoded;
  } else if (options.strip_metadata && info.has_metadata) {
    out.jpeg = strip_metadata(source);
    // Only what is left out makes a difference: a profile alone stays, and the stream is the source's.
    if (out.jpeg.size() != source.size()) out.flags |= kRecordTranscoded;
  } else {
    as_it_is = true;
  }
  if (!baseline) out.flags |= kRecordProgressive;
  why = index_and_prove(as_it_is ? source : out.jpeg, out, proved, options);
  if (!why.empty()) return damaged("JPEG: " + why);
  if (as_it_is) out.jpeg = std::move(source);
  return out;
}

Outcome from_jpeg(std::vector<std::byte>&& source, const NormaliseOptions& options) {
  std::string why;
  // Markers behind the first scan tell of metadata to strip, and of damage that a header check need not find.
  const bool to_the_end = options.check == StreamCheck::kWhole || options.strip_metadata;
  const std::optional<jpeg::JpegInfo> info =
      jpeg::probe_jpeg(source, &why, to_the_end ? jpeg::ProbeDepth::kWholeFile : jpeg::ProbeDepth::kFirstScan);
  if (!info) return damaged("JPEG: " + why);
  if (info->lossless) return Quarantine{QuarantineReason::kUnsupported, "JPEG: a lossless or hierarchical stream"};
  if (info->precision != 8)
    return Quarantine{QuarantineReason::kUnsupported, "JPEG: " + std::to_string(info->precision) + " bits per sample"};
  if (has_fractional_sampling(*info))
    return Quarantine{QuarantineReason::kUnsupported, "JPEG: samples that stand for fractions of pixels"};
  if (too_many_pixels(info->width, info->height)) return too_large(info->width, info->height);

  const bool ink = info->components == 4;
  const bool turn = options.apply_orientation && info->exif_orientation > 1;
  const Size size{info->width, info->height};
  if (!ink && !turn && !options.reencode && wanted_size(size, options) == size)
    return keep_coefficients(std::move(source), *info, options);

  PixelsOrReason pixels = read_jpeg(source);
  if (auto* reason = std::get_if<Quarantine>(&pixels)) return std::move(*reason);
  NormalisedImage encoded = encode(std::get<PixelImage>(std::move(pixels)), info->exif_orientation, options,
                                   ink ? uint32_t{kRecordConverted} : 0);
  if (options.no_larger && !ink && !turn && encoded.jpeg.size() >= source.size())
    return keep_coefficients(std::move(source), *info, options);
  return encoded;
}

}  // namespace

std::string_view reason_name(QuarantineReason reason) {
  switch (reason) {
    case QuarantineReason::kEmpty:
      return "empty";
    case QuarantineReason::kNotAnImage:
      return "not-an-image";
    case QuarantineReason::kUnsupported:
      return "unsupported";
    case QuarantineReason::kDamaged:
      return "damaged";
    case QuarantineReason::kTooLarge:
      return "too-large";
  }
  return "unknown";
}

std::variant<NormalisedImage, Quarantine> normalise_image(std::vector<std::byte>&& source,
                                                          const NormaliseOptions& options) {
  check_options(options);
  if (source.empty()) return Quarantine{QuarantineReason::kEmpty, "the file has no bytes"};
  const KindGuess guess = guess_kind(source);
  switch (guess.kind) {
    case ImageKind::kJpeg:
      return from_jpeg(std::move(source), options);
    case ImageKind::kPng:
    case ImageKind::kWebp:
    case ImageKind::kBmp:
      return from_other_format(source, guess.kind, options);
    case ImageKind::kOtherImage:
      return Quarantine{QuarantineReason::kUnsupported,
                        std::string(guess.name) + ": this image format is not converted"};
    case ImageKind::kNotAnImage:
      break;
  }
  return Quarantine{QuarantineReason::kNotAnImage, "expected an image, found " + std::string(guess.name)};
}

}  // namespace imgpack::ingest
