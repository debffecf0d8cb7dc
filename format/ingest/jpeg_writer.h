// JPEG streams made by libjpeg-turbo: encoded from pixels, or transcoded from another stream's coefficients.
//
// Both write optimal Huffman tables and are the same bytes on every CPU (`islow` transform, integer throughout).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "format/ingest/image_normaliser.h"
#include "format/ingest/pixel_image.h"

namespace imgpack::ingest {

// Baseline, JFIF, gray or YCbCr. Throws Error(kInternal) if libjpeg refuses, which sane pixels never cause.
std::vector<std::byte> encode_jpeg(const PixelImage& image, int quality, Subsampling subsampling);

// Baseline with the same coefficients, quantisation and sampling; restart markers go. `bytes` must not be CMYK. Without
// `keep_metadata` what strip_metadata() leaves is kept.
// Reads the whole stream strictly. False: `*why` says what is wrong with it.
bool transcode_to_baseline(std::span<const std::byte> bytes, bool keep_metadata, std::vector<std::byte>& out,
                           std::string* why);

// The same stream without application segments other than JFIF, Adobe and ICC profiles, which say what colours mean,
// without comments, and without bytes after its EOI marker. REQUIRES a stream that probe_jpeg accepted.
std::vector<std::byte> strip_metadata(std::span<const std::byte> bytes);

}  // namespace imgpack::ingest
