// Calibration: whether a model that says 80 % is right in 80 of 100 cases.
//
//   confidence of the predicted class --15 bins of equal width--> images, mean confidence, accuracy of each bin
//   ECE = sum over bins of images / all images * |accuracy - mean confidence|
//
// Source: Guo et al., arXiv 1706.04599; bins are (0, 1/15], (1/15, 2/15], … as theirs.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/report/portable/chart.h"
#include "engine/report/portable/prediction.h"

namespace imgtrain {

inline constexpr size_t kCalibrationBins = 15;

struct CalibrationBin {
  double low = 0, high = 0;  // Confidences in (low, high].
  uint64_t images = 0;
  double confidence = 0, accuracy = 0;  // Means, 0 to 1; 0 of no images.
};

struct Calibration {
  std::vector<CalibrationBin> bins;
  double expected_error = 0;   // ECE, 0 to 1.
  double largest_error = 0;    // MCE: of any bin with images.
  double mean_confidence = 0;  // Above the accuracy: overconfident.
  double accuracy = 0;
};

Calibration calibration_of(const std::vector<Prediction>& predictions, size_t bins = kCalibrationBins);

// Accuracy over confidence, with the diagonal of a perfectly calibrated model.
Chart reliability_diagram(const Calibration& calibration);

}  // namespace imgtrain
