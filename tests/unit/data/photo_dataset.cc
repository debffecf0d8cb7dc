#include "tests/unit/data/photo_dataset.h"

#include <cstdio>
#include <cstdlib>
// jpeglib.h needs FILE and size_t to be declared before it.
#include <jpeglib.h>

#include <string>

#include "tests/support/tiny_dataset.h"

namespace imgtrain::data {

std::vector<std::byte> make_photo(int width, int height, uint32_t seed) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long bytes = 0;
  jpeg_mem_dest(&info, &memory, &bytes);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 90, TRUE);
  jpeg_start_compress(&info, TRUE);
  std::vector<JSAMPLE> row(static_cast<size_t>(width) * 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c)
        row[static_cast<size_t>(x * 3 + c)] = static_cast<JSAMPLE>(
            (static_cast<uint32_t>(x * (2 + c) + y * (3 - c)) + seed * (17 + 5u * static_cast<uint32_t>(c))) % 256);
    }
    JSAMPROW rows[] = {row.data()};
    jpeg_write_scanlines(&info, rows, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const auto* first = reinterpret_cast<const std::byte*>(memory);
  std::vector<std::byte> result(first, first + bytes);
  std::free(memory);
  return result;
}

PhotoDataset::PhotoDataset(const Options& options) {
  const auto records = [](const std::string& split, uint32_t count) {
    imgpack::test::SplitRecords result{split, {}, 1, true};
    for (uint32_t i = 0; i < count; ++i) {
      const int width = 24 + static_cast<int>(i * 37 % 61), height = 24 + static_cast<int>(i * 53 % 47);
      imgpack::Record record;
      record.meta.name = "n01440764/" + split + "_" + std::to_string(i) + ".JPEG";
      record.meta.id = imgpack::sample_id(split, record.meta.name);
      record.meta.label = static_cast<int32_t>(i % 3);
      record.meta.width = static_cast<uint32_t>(width);
      record.meta.height = static_cast<uint32_t>(height);
      record.sections.push_back({imgpack::SectionType::kImage, true, make_photo(width, height, i)});
      result.records.push_back(std::move(record));
    }
    return result;
  };
  imgpack::test::SplitRecords train = records("train", options.train), val = records("val", options.val);
  train.shard_count = options.shards;
  imgpack::test::write_dataset(fs, folder, {train, val});
}

}  // namespace imgtrain::data
