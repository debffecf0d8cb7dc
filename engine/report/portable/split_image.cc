#include "engine/report/portable/split_image.h"

#include <vector>

#include "engine/data/augment.h"
#include "format/error.h"
#include "format/record.h"
#include "format/shard_reader.h"

namespace imgtrain {

SplitImages::SplitImages(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const data::PipelineOptions& options)
    : fs_(fs),
      dataset_(dataset),
      split_(dataset.split(options.split)),
      options_(options),
      decoder_(imgpack::jpeg::make_decoder()) {}

SplitImage SplitImages::read(uint64_t record, uint32_t side) {
  const std::filesystem::path path = dataset_.shard_path(split_.info.name, split_.shard[record]);
  const auto file = fs_.open(path);
  const uint64_t offset = split_.offset[record], bytes = split_.columns.record_bytes[record];
  if (offset > file->size() || bytes > file->size() - offset) {
    throw imgpack::Error(imgpack::ErrorKind::kCorruption, "the shard ends before its record " + std::to_string(record),
                         path, offset, "imgpack verify " + dataset_.folder().string());
  }
  std::vector<std::byte> buffer(bytes);
  imgpack::read_exactly(*file, offset, buffer);
  const imgpack::RecordView view = imgpack::parse_record(buffer, path, offset);
  imgpack::check_against_index(view, split_.columns, record, path, offset);
  SplitImage image{make_picture(side, side), view.meta.name};
  const imgpack::jpeg::SampleWindow window =
      options_.crop_ratio > 0
          ? data::center_square(view.meta.width, view.meta.height, options_.crop_ratio)
          : data::resize_center_crop(view.meta.width, view.meta.height, options_.resize_short, options_.size);
  decoder_->decode(view.image(), view.entropy_index(), window, static_cast<int>(side), static_cast<int>(side),
                   options_.filter, image.picture.rgb.data());
  return image;
}

}  // namespace imgtrain
