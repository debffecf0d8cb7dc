// Hostile source files through the normaliser, with every option. What it stores has to decode.
//
// Input: 8 bytes of options, then the file.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "format/ingest/image_normaliser.h"
#include "format/jpeg/jpeg_probe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace imgpack::ingest;
  constexpr size_t kOptionBytes = 8;
  if (size < kOptionBytes) return 0;
  NormaliseOptions options;
  options.resize_short = data[0] & 1 ? data[1] : 0;
  options.resize_max = data[0] & 2 ? data[2] : 0;
  options.reencode = data[0] & 4;
  options.no_larger = data[0] & 8;
  options.to_baseline = data[0] & 16;
  options.optimise_huffman = data[0] & 32;
  options.strip_metadata = data[0] & 64;
  options.apply_orientation = data[0] & 128;
  options.quality = 1 + data[3] % 100;
  options.subsampling = static_cast<Subsampling>(data[4] % 3);
  options.entropy_index_mcus = data[5] % 20 - 1;
  options.check = data[6] & 1 ? StreamCheck::kHeader : StreamCheck::kWhole;
  const std::byte* begin = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> source(begin + kOptionBytes, begin + size);
  const auto info = imgpack::jpeg::probe_jpeg(source);
  if (info && uint64_t{info->width} * info->height > 1 << 20) return 0;  // Larger ones only cost time.
  const auto outcome = normalise_image(std::move(source), options);
  const auto* image = std::get_if<NormalisedImage>(&outcome);
  if (image == nullptr) {
    if (std::get<Quarantine>(outcome).detail.empty()) std::abort();  // A refusal says why.
    return 0;
  }
  // A check of the header does not look behind the first scan, and so promises nothing of what is there.
  const auto depth = options.check == StreamCheck::kHeader ? imgpack::jpeg::ProbeDepth::kFirstScan
                                                           : imgpack::jpeg::ProbeDepth::kWholeFile;
  const auto stored = imgpack::jpeg::probe_jpeg(image->jpeg, nullptr, depth);
  if (!stored || stored->width != image->width || stored->height != image->height) std::abort();
  if (options.check == StreamCheck::kWhole) {
    const std::string wrong = check_decodes(image->jpeg);
    if (!wrong.empty()) {
      std::fprintf(stderr, "stored, and does not decode: %s\n", wrong.c_str());
      std::abort();
    }
  }
  return 0;
}
