#include "engine/train/run/augment_preview.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

#include "engine/data/batch_mix.h"
#include "engine/train/run/input_options.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

constexpr uint32_t kGap = 4;                        // Pixels of white between images.
constexpr uint8_t kMeanColour[] = {124, 116, 104};  // What blanked pixels are, once they are bytes again.

// One batch of `images` x `columns` samples: the repeats of an image are `images` samples apart.
struct Samples {
  std::vector<uint8_t> pixels;
  std::vector<data::BlankBoxes> blanks;
  uint32_t size = 0;

  uint8_t* image(size_t index) { return pixels.data() + index * size * size * 3; }
};

Samples draw(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const data::PipelineOptions& options) {
  data::BatchPipeline pipeline(fs, dataset, options);
  pipeline.start_epoch(0);
  const std::optional<data::Batch> batch = pipeline.next();
  if (!batch) throw Error(ErrorKind::kInvalidInput, "the split has no images to show", dataset.folder());
  Samples samples;
  samples.size = batch->size;
  samples.pixels.assign(batch->images, batch->images + size_t{batch->count} * batch->size * batch->size * 3);
  samples.blanks.assign(batch->blanks, batch->blanks + batch->count);
  return samples;
}

void blank(Samples& samples, size_t index, const data::CropBox& box) {
  for (int y = box.y; y < box.y + box.height; ++y) {
    for (int x = box.x; x < box.x + box.width; ++x)
      std::memcpy(samples.image(index) + 3 * (static_cast<uint32_t>(y) * samples.size + static_cast<uint32_t>(x)),
                  kMeanColour, 3);
  }
}

// Mixes the images [first, first + count) as one group.
void mix(Samples& samples, size_t first, uint32_t count, const data::GroupMix& decision) {
  if (decision.kind == data::GroupMix::Kind::kNone) return;
  const size_t bytes = size_t{samples.size} * samples.size * 3;
  const std::vector<uint8_t> before(samples.image(first), samples.image(first) + count * bytes);
  for (uint32_t i = 0; i < count; ++i) {
    uint8_t* own = samples.image(first + i);
    const uint8_t* partner = before.data() + decision.partner[i] * bytes;
    if (decision.kind == data::GroupMix::Kind::kMixup) {
      for (size_t p = 0; p < bytes; ++p)
        own[p] = static_cast<uint8_t>(std::lround(own[p] * decision.share + partner[p] * (1 - decision.share)));
      continue;
    }
    const data::CropBox& box = decision.box;
    for (int y = box.y; y < box.y + box.height; ++y) {
      const size_t at = 3 * (static_cast<size_t>(y) * samples.size + static_cast<size_t>(box.x));
      std::memcpy(own + at, partner + at, static_cast<size_t>(box.width) * 3);
    }
  }
}

void place(ContactSheet& sheet, Samples& samples, uint32_t images, uint32_t columns, uint32_t top) {
  const size_t row_bytes = size_t{samples.size} * 3;
  for (uint32_t row = 0; row < images; ++row) {
    for (uint32_t column = 0; column < columns; ++column) {
      const uint32_t x = kGap + column * (samples.size + kGap), y = top + row * (samples.size + kGap);
      const uint8_t* source = samples.image(size_t{column} * images + row);
      for (uint32_t line = 0; line < samples.size; ++line)
        std::memcpy(sheet.rgb.data() + (size_t{y + line} * sheet.width + x) * 3, source + line * row_bytes, row_bytes);
    }
  }
}

}  // namespace

ContactSheet augment_preview(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const RunConfig& config,
                             uint32_t images, uint32_t columns) {
  data::PipelineOptions options = training_input(config, {});
  options.order.batch = images * columns;
  options.order.repeats = columns;
  options.order.drop_last = true;
  options.bn_group = 1;
  options.slots = 1;
  const uint64_t records = require_labeled(dataset, config.train_split).records();
  if (records < options.order.batch) {
    throw Error(ErrorKind::kUsage,
                "expected at most as many pictures as the split has images (" + std::to_string(records) + "), found " +
                    std::to_string(images) + " x " + std::to_string(columns),
                dataset.folder(), {}, "lower --images or --columns");
  }
  Samples augmented = draw(fs, dataset, options);
  options.jitter = {};
  options.policy = {};
  options.erasing = {};
  options.cutout = 0;
  Samples cropped = draw(fs, dataset, options);

  for (size_t i = 0; i < augmented.blanks.size(); ++i) {
    blank(augmented, i, augmented.blanks[i].cutout);
    blank(augmented, i, augmented.blanks[i].erase);
  }
  const data::MixOptions mixing{config.mixup, config.cutmix, config.mix_probability, config.cutmix_share,
                                config.mix_style};
  const int side = static_cast<int>(augmented.size);
  for (uint32_t column = 0; column < columns; ++column) {
    mix(augmented, size_t{column} * images, images,
        mix_group(mixing, images, side, side, {static_cast<uint64_t>(config.seed), 0, column}));
  }

  ContactSheet sheet;
  const uint32_t block = images * (augmented.size + kGap);
  sheet.width = kGap + columns * (augmented.size + kGap);
  sheet.height = kGap + 2 * block + 2 * kGap;
  sheet.rgb.assign(size_t{sheet.width} * sheet.height * 3, 255);
  place(sheet, cropped, images, columns, kGap);
  place(sheet, augmented, images, columns, kGap + block + 2 * kGap);
  return sheet;
}

void write_png(imgpack::FileSystem& fs, const std::filesystem::path& path, const ContactSheet& sheet) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = sheet.width;
  image.height = sheet.height;
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<char> file(bytes);
  if (png_image_write_to_memory(&image, file.data(), &bytes, /*convert_to_8_bit=*/0, sheet.rgb.data(),
                                /*row_stride=*/0, /*colormap=*/nullptr) == 0)
    throw Error(ErrorKind::kInternal, std::string("libpng could not write the contact sheet: ") + image.message, path);
  publish(fs, path, std::string_view(file.data(), bytes));
}

}  // namespace imgtrain
