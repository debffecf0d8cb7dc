// Every image of a split of a packed data set, predicted at the speed of the input pipeline: sequential reads, decoding
// on all cores, batches ahead of the network. What evaluation does, without labels to compare with.
//
//   shards -> BatchPipeline -> BatchFeed -> Predictor -> take(SplitPrediction), in record order
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/predict/predictor.h"
#include "format/file.h"

namespace imgtrain {

// Calls `take` once for every image of the split, in record order, from the calling thread; damaged records that
// max_bad_records of the predictor's configuration lets pass are warned of and left out. The split needs no labels.
// False: the listener asked to stop before the end. Throws Error(kInvalidInput) where the split is missing, empty, or
// of other classes than the model; kCorruption, kIo; and what `take` throws.
bool predict_split(imgpack::FileSystem& fs, const std::filesystem::path& shards, const std::string& split,
                   const Predictor& predictor, int64_t k, RunListener& listener, const TakePrediction& take);

}  // namespace imgtrain
