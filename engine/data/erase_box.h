// Rectangles of a training image that are blanked: random erasing and cutout. Blank is the mean colour, which is zero
// once the image is normalised, so that they are applied there and not on bytes.
#pragma once

#include <functional>

#include "engine/data/augment.h"

namespace imgtrain::data {

struct RandomErasingOptions {
  double probability = 0;
  double min_scale = 0.02, max_scale = 0.33;  // Share of the image's area.
  double min_ratio = 0.3, max_ratio = 3.3;    // Height over width, log-uniform.
};

// torchvision's RandomErasing.get_params: ten attempts at an area and a ratio, a box smaller than the image on both
// sides; an empty box if none fits. `uniform` gives the draws in the order area, ratio, y, x.
CropBox erasing_box(int width, int height, const RandomErasingOptions& options, const std::function<double()>& uniform);

// Cutout (DeVries and Taylor, arXiv 1708.04552): a square of `side` pixels around a pixel drawn uniformly, of which
// what lies outside the image is cut off. Draws in the order y, x.
CropBox cutout_box(int width, int height, int side, const std::function<double()>& uniform);

// Both with the draws of a sample; empty boxes where nothing is blanked.
struct BlankBoxes {
  CropBox erase, cutout;
};
BlankBoxes blank_boxes(int size, const RandomErasingOptions& erasing, double cutout_share, const SampleKey& key);

}  // namespace imgtrain::data
