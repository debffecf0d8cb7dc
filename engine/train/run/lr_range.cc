#include "engine/train/run/lr_range.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/train/run/json_text.h"
#include "engine/train/run/plot_style.h"

namespace imgtrain {
namespace {

// Of the loss: below it nothing was learned.
constexpr double kLeastFall = 1e-6;

// The first tenth of the curve is the smoothing's warm-up: nothing is read from it.
size_t first_of_interest(size_t points) {
  return points / 10;
}

std::string short_number(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.2g", value);
  return buffer;
}

}  // namespace

double rate_at(const LrRange& range, uint64_t step) {
  if (range.steps < 2) return range.from;
  const double share = static_cast<double>(step) / static_cast<double>(range.steps - 1);
  return range.from * std::pow(range.to / range.from, share);
}

bool LrCurve::add(double loss) {
  const uint64_t step = points_.size();
  if (!std::isfinite(loss)) {
    points_.push_back({step, rate_at(range_, step), loss, loss});
    return false;
  }
  mean_ = range_.smoothing * mean_ + (1 - range_.smoothing) * loss;
  weight_ = range_.smoothing * weight_ + (1 - range_.smoothing);
  const double smoothed = mean_ / weight_;
  points_.push_back({step, rate_at(range_, step), loss, smoothed});
  lowest_ = step == 0 ? smoothed : std::min(lowest_, smoothed);
  return !(points_.size() > range_.steps / 10 && smoothed > range_.stop_factor * lowest_);
}

std::optional<LrSuggestion> suggest(const LrCurve& curve) {
  std::vector<LrPoint> points;
  for (const LrPoint& point : curve.points())
    if (std::isfinite(point.smoothed)) points.push_back(point);
  const size_t begin = first_of_interest(points.size());
  if (points.size() < begin + 5) return std::nullopt;
  const auto lowest = std::min_element(points.begin() + static_cast<std::ptrdiff_t>(begin), points.end(),
                                       [](const LrPoint& a, const LrPoint& b) { return a.smoothed < b.smoothed; });
  const auto end = static_cast<size_t>(lowest - points.begin());
  // A loss that stays the same falls by what its mean is rounded by.
  if (points[begin].smoothed - lowest->smoothed <= kLeastFall * std::abs(points[begin].smoothed)) return std::nullopt;
  // Slopes over a few steps on either side: one step's is mostly noise.
  const size_t reach = std::max<size_t>(2, points.size() / 25);
  double steepest = 0;
  std::optional<size_t> at;
  for (size_t i = begin + reach; i + reach <= end; ++i) {
    const double slope = (points[i + reach].smoothed - points[i - reach].smoothed) /
                         (std::log10(points[i + reach].lr) - std::log10(points[i - reach].lr));
    if (slope < steepest) {
      steepest = slope;
      at = i;
    }
  }
  if (!at) return std::nullopt;
  return LrSuggestion{points[*at].lr, lowest->lr, lowest->lr / 10};
}

std::string lr_curve_csv(const LrCurve& curve) {
  std::string out = "step,learning_rate,loss,smoothed_loss\n";
  const auto text = [](double value) { return std::isfinite(value) ? number_text(value) : std::string("nan"); };
  for (const LrPoint& point : curve.points()) {
    out +=
        std::to_string(point.step) + "," + text(point.lr) + "," + text(point.loss) + "," + text(point.smoothed) + "\n";
  }
  return out;
}

std::string lr_plot_script(const LrCurve& curve, const std::optional<LrSuggestion>& suggestion,
                           const std::filesystem::path& target, bool svg) {
  double low = INFINITY, high = -INFINITY, highest = -INFINITY;
  std::string data;
  for (const LrPoint& point : curve.points()) {
    if (!std::isfinite(point.smoothed)) continue;
    data += number_text(point.lr) + " " + number_text(point.loss) + " " + number_text(point.smoothed) + "\n";
    highest = std::max(highest, point.smoothed);
    if (point.smoothed >= low) continue;
    low = point.smoothed;
    high = highest;  // Of what came before the lowest point.
  }
  // The blow-up at the end would press everything else flat: the axis ends a little above where the fall began.
  const double span = std::max(high - low, 1e-3);
  const std::string blue(plot_colour(0)), red(plot_colour(1)), note(kPlotNote);
  std::string out =
      plot_output(target, svg ? PlotFormat::kSvg : PlotFormat::kPng, "learning-rate-range") + plot_frame();
  out += "set logscale x\nset format x '10^{%L}'\nset xlabel 'learning rate'\nset ylabel 'training loss'\n";
  out += "set yrange [" + number_text(low - 0.15 * span) + ":" + number_text(high + 0.35 * span) + "]\n";
  out += "$curve << END\n" + data + "END\n";
  std::string plot = "plot $curve using 1:2 with points pt 7 ps 0.3 lc rgb '" + std::string(kPlotFaint) +
                     "' title 'loss of each batch', ";
  plot += "$curve using 1:3 with lines lw 2 lc rgb '" + blue + "' title 'smoothed'";
  if (suggestion) {
    const std::string lr = number_text(suggestion->lr), lowest = number_text(suggestion->lowest);
    out += "set arrow 1 from " + lr + ", graph 0 to " + lr + ", graph 1 nohead lw 2 lc rgb '" + red + "'\n";
    out += "set arrow 2 from " + lowest + ", graph 0 to " + lowest + ", graph 1 nohead dt 2 lc rgb '" + note + "'\n";
    plot += ", NaN with lines lw 2 lc rgb '" + red + "' title 'suggestion " + short_number(suggestion->lr) + "'";
    plot += ", NaN with lines dt 2 lc rgb '" + note + "' title 'lowest loss " + short_number(suggestion->lowest) + "'";
  }
  return out + plot + "\n";
}

}  // namespace imgtrain
