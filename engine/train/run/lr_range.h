// The learning-rate range test (Smith, arXiv 1506.01186): one short training whose rate grows by a constant factor
// every step, and what its loss says about the rate to train with. Pure functions; the training is in
// engine/train/lr_finder.
//
//   rate 1e-6 ... 1, one per step  ->  losses  ->  smoothed  ->  suggestion, CSV, plot
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace imgtrain {

struct LrRange {
  double from = 1e-6, to = 1;
  uint64_t steps = 500;
  double smoothing = 0.95;  // Weight of the past in the smoothed loss.
  double stop_factor = 4;   // Training ends where the smoothed loss is so many times its lowest value.
};

// Rate of step `step`: from * (to / from)^(step / (steps - 1)). REQUIRES: step < range.steps.
double rate_at(const LrRange& range, uint64_t step);

struct LrPoint {
  uint64_t step = 0;
  double lr = 0;
  double loss = 0;      // Of the step's batch, before its update; may be no finite number at the end.
  double smoothed = 0;  // Exponential mean, corrected for its start as Adam's are.
  bool operator==(const LrPoint&) const = default;
};

// Collects the curve. add() returns false where going on is pointless: the loss has blown up.
class LrCurve {
 public:
  explicit LrCurve(const LrRange& range) : range_(range) {}
  bool add(double loss);
  const std::vector<LrPoint>& points() const { return points_; }
  const LrRange& range() const { return range_; }

 private:
  LrRange range_;
  std::vector<LrPoint> points_;
  double mean_ = 0, weight_ = 0, lowest_ = 0;
};

struct LrSuggestion {
  double lr = 0;      // Where the smoothed loss falls fastest per factor of the rate: what is suggested.
  double lowest = 0;  // Where it is lowest: too high to train with.
  double tenth = 0;   // A tenth of that, the other common rule.
};

// nullopt: the loss never fell, so that the curve says nothing (too few steps, or rates too high from the start).
std::optional<LrSuggestion> suggest(const LrCurve& curve);

std::string lr_curve_csv(const LrCurve& curve);  // step,learning_rate,loss,smoothed_loss

// A gnuplot program that draws the curve into `target` (.png or .svg by its suffix).
std::string lr_plot_script(const LrCurve& curve, const std::optional<LrSuggestion>& suggestion,
                           const std::filesystem::path& target, bool svg);

}  // namespace imgtrain
