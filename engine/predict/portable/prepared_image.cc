#include "engine/predict/portable/prepared_image.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "engine/data/augment.h"
#include "format/error.h"
#include "format/ingest/image_kind.h"
#include "format/ingest/image_normaliser.h"
#include "format/ingest/pixel_image.h"
#include "format/jpeg/jpeg_probe.h"
#include "format/jpeg/resample.h"

namespace imgtrain {
namespace {

namespace ingest = imgpack::ingest;
namespace jpeg = imgpack::jpeg;
using imgpack::Error;
using imgpack::ErrorKind;

constexpr uint32_t kStripRows = 16;

[[noreturn]] void refuse(const std::string& name, const ingest::Quarantine& reason) {
  throw Error(ErrorKind::kInvalidInput,
              "this image cannot be used (" + std::string(ingest::reason_name(reason.reason)) + "): " + reason.detail,
              name);
}

jpeg::SampleWindow window_of(uint32_t width, uint32_t height, const ImageView& view) {
  return view.crop_ratio > 0 ? data::center_square(width, height, view.crop_ratio)
                             : data::resize_center_crop(width, height, view.resize, view.size);
}

// The resampler takes RGB rows with slack behind them; gray ones are spread strip by strip.
void resample(const ingest::PixelImage& image, const ImageView& view, uint8_t* rgb) {
  const int side = static_cast<int>(view.size);
  jpeg::Resampler resampler;
  resampler.begin(window_of(image.width, image.height, view), side, side, view.filter);
  const auto first_row = static_cast<uint32_t>(resampler.first_row());
  const auto end_row = static_cast<uint32_t>(resampler.end_row());
  const auto first_column = static_cast<size_t>(resampler.first_column());
  if (image.channels == 3) {
    resampler.push_rows(image.row(first_row) + 3 * first_column, image.row_bytes(),
                        static_cast<int>(end_row - first_row));
  } else {
    const size_t stride = 3 * static_cast<size_t>(image.width);
    std::vector<uint8_t> strip(stride * kStripRows + jpeg::kResampleReadSlack);
    for (uint32_t y = first_row; y < end_row; y += kStripRows) {
      const uint32_t rows = std::min(kStripRows, end_row - y);
      uint8_t* to = strip.data();
      for (const uint8_t *gray = image.row(y), *end = gray + image.row_bytes() * rows; gray != end; ++gray, to += 3)
        to[0] = to[1] = to[2] = *gray;
      resampler.push_rows(strip.data() + 3 * first_column, stride, static_cast<int>(rows));
    }
  }
  resampler.finish(rgb);
}

// Decoded whole: what is no JPEG, and JPEGs whose pixels need more than a window.
PreparedImage from_pixels(ingest::PixelsOrReason&& read, int orientation, const std::string& name,
                          const ImageView& view, PreparedImage&& out) {
  if (const auto* reason = std::get_if<ingest::Quarantine>(&read)) refuse(name, *reason);
  auto image = std::get<ingest::PixelImage>(std::move(read));
  if (orientation > 1) image = ingest::orient(image, orientation);
  out.width = image.width;
  out.height = image.height;
  resample(image, view, out.pixels.data());
  return std::move(out);
}

}  // namespace

PreparedImage prepare_image(std::span<const std::byte> encoded, const std::string& name, const ImageView& view) {
  PreparedImage out;
  out.size = view.size;
  out.pixels.resize(size_t{view.size} * view.size * 3);
  switch (ingest::guess_kind(encoded).kind) {
    case ingest::ImageKind::kPng:
      return from_pixels(ingest::read_png(encoded), 0, name, view, std::move(out));
    case ingest::ImageKind::kWebp:
      return from_pixels(ingest::read_webp(encoded), 0, name, view, std::move(out));
    case ingest::ImageKind::kBmp:
      return from_pixels(ingest::read_bmp(encoded), 0, name, view, std::move(out));
    case ingest::ImageKind::kJpeg:
      if (const auto info = jpeg::probe_jpeg(encoded, nullptr, jpeg::ProbeDepth::kFirstScan)) {
        const int turn = view.apply_orientation ? info->exif_orientation : 0;
        const bool sound =
            info->precision == 8 && !info->lossless && !ingest::too_many_pixels(info->width, info->height);
        if (sound && (info->components == 4 || turn > 1))
          return from_pixels(ingest::read_jpeg(encoded), turn, name, view, std::move(out));
      }
      break;
    case ingest::ImageKind::kOtherImage:
    case ingest::ImageKind::kNotAnImage:
      break;
  }
  auto normalised = ingest::normalise_image(std::vector<std::byte>(encoded.begin(), encoded.end()), {});
  if (const auto* reason = std::get_if<ingest::Quarantine>(&normalised)) refuse(name, *reason);
  const auto& image = std::get<ingest::NormalisedImage>(normalised);
  out.width = image.width;
  out.height = image.height;
  const int side = static_cast<int>(view.size);
  try {
    jpeg::make_decoder()->decode(image.jpeg, image.entropy_index, window_of(image.width, image.height, view), side,
                                 side, view.filter, out.pixels.data());
  } catch (const Error& error) {
    // Bytes that somebody hands in are no damage to files of ours.
    refuse(name, {ingest::QuarantineReason::kDamaged, error.message()});
  }
  return out;
}

}  // namespace imgtrain
