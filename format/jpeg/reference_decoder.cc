// The reference decoder: libjpeg-turbo decodes just the window (crop_scanline, skip_scanlines; no DCT scaling), and
// rows go through the resampler as they come.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "format/error.h"
#include "format/jpeg/decode_window.h"
#include "format/jpeg/image_decoder.h"
#include "format/jpeg/libjpeg_session.h"
#include "format/jpeg/resample.h"

namespace imgpack::jpeg {
namespace {

constexpr int kChannels = 3;
constexpr int kStripRows = 16;  // Read, then narrowed, while still in the cache.

// Smooth chroma upsampling looks one chroma sample to each side, which is up to four pixels away; libjpeg treats the
// edge of a crop like an image's, so the crop is widened to keep that out of the window.
constexpr int kEdgeContext = 4;

Error damaged(const std::string& reason) {
  return Error(ErrorKind::kCorruption, "JPEG stream damaged: expected a whole image, found: " + reason, {}, {},
               "imgpack verify --level decode names every damaged record");
}

class ReferenceDecoder final : public ImageDecoder {
 public:
  DecodePath decode(std::span<const std::byte> jpeg, std::span<const std::byte> /*entropy_index*/,
                    const SampleWindow& window, int out_width, int out_height, Filter filter, uint8_t* rgb) override {
    Decompressor decompressor;
    if (!decompressor.open(jpeg)) throw damaged(decompressor.message());
    jpeg_decompress_struct& info = decompressor.info();
    check_window(window, info.image_width, info.image_height, out_width, out_height);
    if (info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK) {
      throw Error(ErrorKind::kInvalidInput, "CMYK image: expected gray, YCbCr or RGB", {}, {},
                  "imgpack build converts CMYK when it packs");
    }
    resampler_.begin(window, out_width, out_height, filter);
    if (!decompressor.run([&] { start(info); })) throw damaged(decompressor.message());

    stride_ = static_cast<size_t>(info.output_width) * kChannels;
    const size_t strip_bytes = stride_ * kStripRows + kResampleReadSlack;
    if (strip_.size() < strip_bytes) strip_.resize(strip_bytes);
    const size_t left = static_cast<size_t>(resampler_.first_column() - static_cast<int>(crop_left_)) * kChannels;
    while (static_cast<int>(info.output_scanline) < resampler_.end_row()) {
      const int first = static_cast<int>(info.output_scanline);
      const int rows = std::min(kStripRows, resampler_.end_row() - first);
      if (!decompressor.run([&] { read_strip(info, rows); })) throw damaged(decompressor.message());
      resampler_.push_rows(strip_.data() + left, stride_, rows);
    }
    resampler_.finish(rgb);
    return DecodePath::kReference;
  }

  size_t scratch_bytes() const override { return strip_.capacity() + resampler_.scratch_bytes(); }

 private:
  // Inside Decompressor::run: nothing here may own anything.
  void start(jpeg_decompress_struct& info) {
    info.out_color_space = JCS_RGB;
    info.dct_method = JDCT_ISLOW;
    jpeg_start_decompress(&info);
    const int width = static_cast<int>(info.output_width);
    const int left = std::max(0, resampler_.first_column() - kEdgeContext);
    const int right = std::min(width, resampler_.end_column() + kEdgeContext);
    crop_left_ = 0;
    if (right - left < width) {
      JDIMENSION crop_width = static_cast<JDIMENSION>(right - left);
      crop_left_ = static_cast<JDIMENSION>(left);
      jpeg_crop_scanline(&info, &crop_left_, &crop_width);
    }
    if (resampler_.first_row() > 0) jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(resampler_.first_row()));
  }

  void read_strip(jpeg_decompress_struct& info, int rows) {
    for (int done = 0; done < rows;) {
      JSAMPROW row[kStripRows];
      for (int i = done; i < rows; i++) row[i - done] = strip_.data() + stride_ * static_cast<size_t>(i);
      done += static_cast<int>(jpeg_read_scanlines(&info, row, static_cast<JDIMENSION>(rows - done)));
    }
  }

  Resampler resampler_;
  std::vector<uint8_t> strip_;
  size_t stride_ = 0;
  JDIMENSION crop_left_ = 0;
};

}  // namespace

std::unique_ptr<ImageDecoder> make_reference_decoder() {
  return std::make_unique<ReferenceDecoder>();
}

}  // namespace imgpack::jpeg
