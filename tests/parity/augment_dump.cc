// Prints what engine/data/augment computes, for test_augment_geometry.py to hold against torchvision.
//
//   stdin:  crop WIDTH HEIGHT SEED EPOCH ID REPEAT          stdout:  X Y WIDTH HEIGHT FLIP DRAWS…
//           center WIDTH HEIGHT RESIZE_SHORT CROP                    X0 Y0 X1 Y1
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "engine/data/augment.h"
#include "engine/data/random_key.h"

int main() {
  using namespace imgtrain::data;
  std::string kind;
  uint32_t width = 0, height = 0;
  while (std::cin >> kind >> width >> height) {
    if (kind == "crop") {
      SampleKey key;
      std::cin >> key.seed >> key.epoch >> key.sample_id >> key.repeat;
      const RandomResizedCropOptions options;
      const auto window = random_resized_crop(width, height, options, key);
      KeyedRandom random(key.seed, Purpose::kCrop, key.epoch, key.sample_id, key.repeat);
      std::vector<double> draws;
      random_resized_crop_box(width, height, options, [&] { return draws.emplace_back(random.uniform()); });
      std::printf("%d %d %d %d %d", window.use_x, window.use_y, window.use_width, window.use_height, window.flip);
      for (const double draw : draws) std::printf(" %.17g", draw);
      std::printf("\n");
    } else {
      uint32_t resize_short = 0, crop = 0;
      std::cin >> resize_short >> crop;
      const auto window = resize_center_crop(width, height, resize_short, crop);
      std::printf("%.17g %.17g %.17g %.17g\n", window.x0, window.y0, window.x1, window.y1);
    }
  }
  return 0;
}
