// Hostile JPEG bytes and hostile index bytes through both decoders.
//
// Input: 16 bytes of settings, then the length of the index bytes (u16), the index bytes, the JPEG.
// Besides not crashing: an index that the builder makes decodes to libjpeg's coefficients, and a window decodes to the
// same pixels from every entry spacing.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "format/error.h"
#include "format/jpeg/entropy_index.h"
#include "format/jpeg/image_decoder.h"
#include "format/jpeg/index_check.h"
#include "format/jpeg/jpeg_probe.h"

namespace {

using namespace imgpack::jpeg;

constexpr size_t kSettingsBytes = 16;
constexpr uint64_t kMaxFuzzedPixels = 1 << 20;  // Larger ones only cost time.

void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

enum class IndexSource { kBuilt, kGiven, kBuiltThenDamaged, kBuiltByOtherSpacing };

struct Settings {
  IndexSource index = IndexSource::kBuilt;
  int spacing = 16;
  SampleWindow window;
  int out_width = 8, out_height = 8;
  Filter filter = Filter::kBilinear;
};

Settings read_settings(const uint8_t* p, const JpegInfo& info) {
  Settings s;
  s.index = static_cast<IndexSource>(p[0] & 3);
  s.spacing = p[1] % 20;  // 0: one entry per row.
  s.filter = static_cast<Filter>(p[2] % 3);
  s.out_width = 1 + p[3] % 64;
  s.out_height = 1 + p[4] % 64;
  const auto part = [](uint8_t a, uint8_t b, uint32_t length, int& begin, int& count) {
    begin = static_cast<int>(uint64_t{a} * length / 256);
    count = 1 + static_cast<int>(uint64_t{b} * (length - static_cast<uint32_t>(begin) - 1) / 255);
  };
  part(p[5], p[6], info.width, s.window.use_x, s.window.use_width);
  part(p[7], p[8], info.height, s.window.use_y, s.window.use_height);
  s.window.x0 = s.window.use_x + s.window.use_width * (p[9] / 1024.0);
  s.window.x1 = s.window.use_x + s.window.use_width * (1 - p[10] / 1024.0);
  s.window.y0 = s.window.use_y + s.window.use_height * (p[11] / 1024.0);
  s.window.y1 = s.window.use_y + s.window.use_height * (1 - p[12] / 1024.0);
  s.window.flip = (p[13] & 1) != 0;
  if (p[14] == 255) s.window.use_x += (p[15] - 128) * 1000;  // Sometimes outside.
  return s;
}

// nullopt: refused with an Error.
std::optional<std::vector<uint8_t>> decode(ImageDecoder& decoder, std::span<const std::byte> jpeg,
                                           std::span<const std::byte> index, const Settings& s) {
  std::vector<uint8_t> rgb(static_cast<size_t>(s.out_width * s.out_height * 3));
  try {
    decoder.decode(jpeg, index, s.window, s.out_width, s.out_height, s.filter, rgb.data());
  } catch (const imgpack::Error& error) {
    require(error.kind() == imgpack::ErrorKind::kCorruption || error.kind() == imgpack::ErrorKind::kInvalidInput,
            "a decoder throws corruption or invalid input");
    return std::nullopt;
  }
  return rgb;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kSettingsBytes + 2) return 0;
  const size_t index_bytes =
      std::min<size_t>(data[kSettingsBytes] | data[kSettingsBytes + 1] << 8, size - kSettingsBytes - 2);
  const std::byte* begin = reinterpret_cast<const std::byte*>(data) + kSettingsBytes + 2;
  // Exact copies on the heap, so that a read past either is seen.
  const std::vector<std::byte> given(begin, begin + index_bytes);
  const std::vector<std::byte> jpeg(begin + index_bytes, reinterpret_cast<const std::byte*>(data) + size);
  const auto info = probe_jpeg(jpeg);
  if (!info || uint64_t{info->width} * info->height > kMaxFuzzedPixels) return 0;
  const Settings settings = read_settings(data, *info);

  decode(*make_reference_decoder(), jpeg, {}, settings);

  EntropyIndexBuilder builder;
  const auto built = builder.build(jpeg, settings.spacing);
  std::vector<std::byte> index = given;
  if (settings.index != IndexSource::kGiven) {
    if (!built) return 0;
    index = *built;
  }
  if (settings.index == IndexSource::kBuiltThenDamaged) {
    for (size_t i = 0; i < given.size() && i < index.size(); i++) index[index.size() - 1 - i] ^= given[i];
  }
  const auto pixels = decode(*make_decoder(), jpeg, index, settings);
  if (settings.index == IndexSource::kBuilt) {
    require(check_entropy_index(jpeg, index).empty(), "a built index decodes to libjpeg's coefficients");
  }
  if (settings.index == IndexSource::kBuiltByOtherSpacing) {
    const auto other = builder.build(jpeg, settings.spacing + 1);
    require(other.has_value(), "the spacing does not decide whether a stream can be indexed");
    require(decode(*make_decoder(), jpeg, *other, settings) == pixels, "the spacing does not change pixels");
  }
  return 0;
}
