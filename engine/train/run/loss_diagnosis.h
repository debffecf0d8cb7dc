// When the loss is no longer a number: which step it was, with which rates, on which images. Written beside the run as
// diagnosis.json, so that the batch can be looked at.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/sample_order.h"
#include "engine/train/run/schedule.h"
#include "format/dataset.h"
#include "format/file.h"

namespace imgtrain {

struct LossDiagnosis {
  uint64_t step = 0;  // The first whose loss was no finite number; steps before it were sound.
  uint64_t epoch = 0, batch = 0;
  StepRates rates;
  std::optional<double> scale;     // Of fp16's gradient scaler, after that step.
  std::string precision;           // `bf16`
  std::vector<std::string> names;  // Of the batch's samples, in order.
};

// Names of the samples of a batch. Opens the data set again, with names.
std::vector<std::string> batch_names(imgpack::FileSystem& fs, const std::filesystem::path& dataset,
                                     const std::string& split, const data::SampleOrder& order, uint64_t epoch,
                                     uint64_t batch);

boost::json::object to_json(const LossDiagnosis& diagnosis);

// `the training loss is no longer a number at step 17 (epoch 2, batch 3): learning rate 0.5, …, images a/b.JPEG, …`
std::string describe(const LossDiagnosis& diagnosis);

}  // namespace imgtrain
