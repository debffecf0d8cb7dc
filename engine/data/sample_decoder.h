// SampleDecoder turns one planned sample into pixels: the record's bytes checked, its window drawn, the image decoded.
//
//   PlannedSample -> parse_record (checksums) -> crop window -> ImageDecoder -> colour jitter, policy
//                 -> size x size x 3 bytes, label, id, boxes to blank
#pragma once

#include <cstdint>
#include <memory>

#include "engine/data/batch_pipeline.h"
#include "engine/data/batch_planner.h"
#include "engine/data/stopwatch.h"
#include "format/dataset.h"
#include "format/jpeg/image_decoder.h"

namespace imgtrain::data {

// What is not decoding in a sample's time. Shared by all decoders of a pipeline.
struct SampleStages {
  Stopwatch check;    // Checksums, and the comparison with the index row.
  Stopwatch augment;  // Drawing the window.
};

// Not thread-safe: one per thread. Refers to its arguments.
class SampleDecoder {
 public:
  SampleDecoder(const imgpack::Dataset& dataset, const PipelineOptions& options, SampleStages& stages);

  // Throws Error that names the shard, the offset and the sample. REQUIRES: the sample's block is ready or failed.
  imgpack::jpeg::DecodePath decode(const PlannedSample& sample, uint64_t epoch, uint32_t size, uint8_t* rgb,
                                   int64_t& label, uint64_t& id, BlankBoxes& blanks);

 private:
  imgpack::jpeg::DecodePath decode_record(const PlannedSample& sample, uint64_t epoch, uint32_t size, uint8_t* rgb,
                                          std::string& name);
  void augment(const SampleKey& key, imgpack::jpeg::Filter filter, const RgbImage& image);

  const imgpack::Dataset& dataset_;
  const imgpack::SplitView& split_;
  const PipelineOptions& options_;
  SampleStages& stages_;
  std::unique_ptr<imgpack::jpeg::ImageDecoder> decoder_;
  Scratch scratch_;
};

}  // namespace imgtrain::data
