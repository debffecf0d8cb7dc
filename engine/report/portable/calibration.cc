#include "engine/report/portable/calibration.h"

#include <algorithm>
#include <cmath>

namespace imgtrain {

Calibration calibration_of(const std::vector<Prediction>& predictions, size_t bins) {
  Calibration calibration;
  calibration.bins.resize(bins);
  for (size_t i = 0; i < bins; ++i) {
    calibration.bins[i].low = static_cast<double>(i) / static_cast<double>(bins);
    calibration.bins[i].high = static_cast<double>(i + 1) / static_cast<double>(bins);
  }
  // Sums first; means below.
  for (const Prediction& prediction : predictions) {
    const double confidence = prediction.confidence;
    const double place = std::ceil(confidence * static_cast<double>(bins)) - 1;
    CalibrationBin& bin = calibration.bins[static_cast<size_t>(std::clamp(place, 0.0, static_cast<double>(bins - 1)))];
    ++bin.images;
    bin.confidence += confidence;
    bin.accuracy += prediction.right() ? 1 : 0;
    calibration.mean_confidence += confidence;
    calibration.accuracy += prediction.right() ? 1 : 0;
  }
  if (predictions.empty()) return calibration;
  const auto all = static_cast<double>(predictions.size());
  calibration.mean_confidence /= all;
  calibration.accuracy /= all;
  for (CalibrationBin& bin : calibration.bins) {
    if (bin.images == 0) continue;
    const auto images = static_cast<double>(bin.images);
    bin.confidence /= images;
    bin.accuracy /= images;
    const double error = std::abs(bin.accuracy - bin.confidence);
    calibration.expected_error += images / all * error;
    calibration.largest_error = std::max(calibration.largest_error, error);
  }
  return calibration;
}

Chart reliability_diagram(const Calibration& calibration) {
  Chart chart{"reliability", "reliability", "confidence", "accuracy", {{"this model", {}, 0, false}}};
  chart.diagonal = true;
  for (const CalibrationBin& bin : calibration.bins)
    if (bin.images > 0) chart.series[0].points.emplace_back(bin.confidence, bin.accuracy);
  return chart;
}

}  // namespace imgtrain
