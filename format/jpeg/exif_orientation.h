// The orientation tag of an EXIF block.
#pragma once

#include <cstdint>
#include <span>

namespace imgpack::jpeg {

// `app1` is the payload of an APP1 segment. 1 to 8 as the tag says, 0 where it is no EXIF block, has no such tag or is
// damaged: metadata that cannot be read never makes an image bad.
int exif_orientation(std::span<const uint8_t> app1);

}  // namespace imgpack::jpeg
