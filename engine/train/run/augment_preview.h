// A contact sheet of what a configuration makes of training images, for a person to look at: the same images, cropped
// and mirrored alone in the upper half, with everything else in the lower half, once per column.
//
//   + crop 1 | crop 2 | …   of image 1
//   | …                     of image `images`
//   + the same crops after colour jitter, policy, erasing, cutout, mixup and CutMix (a column is a group)
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "engine/train/run/run_config.h"
#include "format/dataset.h"

namespace imgtrain {

struct ContactSheet {
  uint32_t width = 0, height = 0;
  std::vector<uint8_t> rgb;  // Rows of interleaved RGB.
};

// Draws as training does in its first epoch, of `images` images of the training split, `columns` times each.
// Throws what the input side throws.
ContactSheet augment_preview(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const RunConfig& config,
                             uint32_t images, uint32_t columns);

// Publishes the sheet as a PNG file. Throws Error(kIo).
void write_png(imgpack::FileSystem& fs, const std::filesystem::path& path, const ContactSheet& sheet);

}  // namespace imgtrain
