// One image of a split as an evaluation sees it, for a person to look at.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/data/batch_pipeline.h"
#include "engine/report/portable/picture.h"
#include "format/dataset.h"
#include "format/file.h"
#include "format/jpeg/image_decoder.h"

namespace imgtrain {

struct SplitImage {
  Picture picture;   // `side` x `side`.
  std::string name;  // The record's.
};

// Reads records one at a time. One thread; refers to its arguments.
class SplitImages {
 public:
  // `options` are those of an evaluation (evaluation_input): they say which part of an image is looked at. Throws
  // Error(kInvalidInput) for a split that is not there.
  SplitImages(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const data::PipelineOptions& options);

  // The window that the evaluation looks at, resized to `side` pixels: at options.size the very pixels the model saw.
  // Throws Error(kCorruption) naming the shard and the offset, Error(kIo). REQUIRES: record < records of the split.
  SplitImage read(uint64_t record, uint32_t side);

 private:
  imgpack::FileSystem& fs_;
  const imgpack::Dataset& dataset_;
  const imgpack::SplitView& split_;
  const data::PipelineOptions options_;
  std::unique_ptr<imgpack::jpeg::ImageDecoder> decoder_;
};

}  // namespace imgtrain
