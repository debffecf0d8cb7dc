// How much memory normalising an image will take, told from its header before a pixel is decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "format/ingest/image_normaliser.h"

namespace imgpack::ingest {

// Bytes beyond the source's own; 0 where the image is packed as it is without being decoded. An image whose size the
// header does not tell is taken for one of its file size.
uint64_t decode_cost_bytes(std::span<const std::byte> source, const NormaliseOptions& options);

}  // namespace imgpack::ingest
