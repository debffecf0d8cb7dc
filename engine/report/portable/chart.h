// Charts as values, and the gnuplot script that draws them: lines over epochs, or stacked bars.
//
//   RunRecord… --run_charts--> Chart… --draw_charts--> loss.png, loss.svg, …, overview.png, overview.svg
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/train/run/plot_style.h"
#include "format/file.h"

namespace imgtrain {

struct ChartSeries {
  std::string label;
  std::vector<std::pair<double, double>> points;  // Ascending in x; values that are no numbers are left out.
  size_t colour = 0;                              // plot_colour().
  bool dashed = false;
};

struct Chart {
  std::string id;       // `top1`: of its files and in ids of a page; lower-case letters, digits and dashes.
  std::string title;    // `top-1 accuracy`
  std::string x_label;  // `epoch`
  std::string y_label;  // `%`
  std::vector<ChartSeries> series = {};
  bool stacked = false;  // Bars, the first series at the bottom; every series has the same x.
  bool from_zero = false;
  std::optional<double> ceiling = {};   // The y axis ends there,
  std::optional<double> at_least = {};  // and reaches this.
  std::vector<std::string> ticks = {};  // Names of x = 1, 2, … instead of numbers.
  bool diagonal = false;                // y = x, thin, behind the rest.

  bool empty() const;  // Of points.
};

// The plot alone, for an output that is set.
std::string chart_script(const Chart& chart);

// ID.png and ID.svg of every chart that has points, and overview.png and overview.svg of all of them, into `folder`
// (which is made). One run of gnuplot. Returns the files. Throws Error(kIo) as plot() does.
std::vector<std::filesystem::path> draw_charts(imgpack::FileSystem& fs, const std::vector<Chart>& charts,
                                               const std::filesystem::path& folder);

// Charts as SVG for a page: elements without prolog, background and namespace declarations, ids led by the chart's id.
// In the order of `charts`; empty text for one without points. `scratch` is a file name beside which temporary files
// may lie. Throws Error(kIo).
std::vector<std::string> inline_charts(imgpack::FileSystem& fs, const std::vector<Chart>& charts,
                                       const std::filesystem::path& scratch);

// gnuplot's SVG file as a page takes it.
std::string inline_svg(std::string_view file, std::string_view id);

}  // namespace imgtrain
