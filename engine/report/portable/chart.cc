#include "engine/report/portable/chart.h"

#include <algorithm>
#include <cmath>

#include "engine/train/run/gnuplot.h"
#include "engine/train/run/json_text.h"
#include "format/error.h"

namespace imgtrain {
namespace {

constexpr size_t kMarkedPoints = 40;  // A line of more points has no room for marks.
constexpr uint64_t kMaxSvgBytes = uint64_t{64} << 20;
constexpr int kOverviewColumns = 2;

struct Range {
  double low = INFINITY, high = -INFINITY;
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  // Never empty, with a margin of `share` on both sides.
  Range widened(double share) const {
    const double span = high - low > 0 ? high - low : std::max(std::abs(high) * 0.1, 0.1);
    return {low - share * span, high + share * span};
  }
  std::string text() const { return "[" + number_text(low) + ":" + number_text(high) + "]"; }
};

bool drawable(const std::pair<double, double>& point) {
  return std::isfinite(point.first) && std::isfinite(point.second);
}

std::string block_name(size_t series) {
  return "$s" + std::to_string(series);
}

std::string colour_text(size_t colour) {
  return "lc rgb '" + std::string(plot_colour(colour)) + "'";
}

std::string line_plot(const Chart& chart, Range& x, Range& y, std::string& data) {
  std::string plots;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const ChartSeries& series = chart.series[i];
    std::string rows;
    size_t points = 0;
    for (const auto& point : series.points) {
      if (!drawable(point)) continue;
      x.add(point.first);
      y.add(point.second);
      rows += number_text(point.first) + " " + number_text(point.second) + "\n";
      ++points;
    }
    if (points == 0) continue;
    data += block_name(i) + " << END\n" + rows + "END\n";
    // Marks differ too: gnuplot's filled ones are every second from 5 on.
    const std::string mark = " pt " + std::to_string(5 + 2 * (series.colour % 5)) + " ps 0.7";
    plots += (plots.empty() ? "" : ", ") + block_name(i) + " using 1:2 with " +
             (points <= kMarkedPoints ? "linespoints" + mark : std::string("lines")) + " lw 2 " +
             (series.dashed ? "dt (6,4) " : "") + colour_text(series.colour) + " title " + plot_text(series.label) +
             " noenhanced";
  }
  return plots;
}

// Boxes from the top of the stack down, each from 0, so that the ones below cover the rest.
std::string stacked_plot(const Chart& chart, Range& x, Range& y, std::string& data) {
  if (chart.series.empty()) return {};
  std::string rows;
  for (size_t p = 0; p < chart.series.front().points.size(); ++p) {
    rows += number_text(chart.series.front().points[p].first);
    x.add(chart.series.front().points[p].first);
    double sum = 0;
    for (const ChartSeries& series : chart.series) {
      const double value =
          p < series.points.size() && std::isfinite(series.points[p].second) ? series.points[p].second : 0;
      sum += value;
      rows += " " + number_text(sum);
    }
    y.add(sum);
    rows += "\n";
  }
  if (rows.empty()) return {};
  data += "$stack << END\n" + rows + "END\n";
  std::string plots;
  for (size_t i = chart.series.size(); i-- > 0;) {
    plots += (plots.empty() ? "" : ", ") + std::string("$stack using 1:") + std::to_string(i + 2) + " with boxes " +
             colour_text(chart.series[i].colour) + " title " + plot_text(chart.series[i].label) + " noenhanced";
  }
  return plots;
}

// Whole numbers, at most about ten of them.
double tick_step(double span) {
  double step = 1;
  for (int i = 0; span / step > 10; ++i) step *= i % 3 == 1 ? 2.5 : 2;
  return step;
}

}  // namespace

bool Chart::empty() const {
  return std::none_of(series.begin(), series.end(), [](const ChartSeries& line) {
    return std::any_of(line.points.begin(), line.points.end(), drawable);
  });
}

std::string chart_script(const Chart& chart) {
  Range x, y;
  std::string data;
  const std::string plots = chart.stacked ? stacked_plot(chart, x, y, data) : line_plot(chart, x, y, data);
  if (plots.empty()) return {};
  if (chart.from_zero || chart.stacked) y.low = 0;
  Range y_axis = y.widened(0.05);
  if (chart.from_zero || chart.stacked) y_axis.low = 0;
  if (chart.at_least) y_axis.high = std::max(y_axis.high, *chart.at_least);
  if (chart.ceiling) y_axis.high = std::min(y_axis.high, *chart.ceiling);
  Range x_axis = chart.stacked ? Range{x.low - 0.6, x.high + 0.6} : x;
  if (chart.diagonal) x_axis = y_axis = {0, 1};
  if (!(x_axis.high > x_axis.low)) x_axis = {x.low - 0.5, x.high + 0.5};
  std::string out = "reset\n" + plot_frame();
  out += "set title " + plot_text(chart.title) + " noenhanced\n";
  out += "set xlabel " + plot_text(chart.x_label) + " offset 0,0.8 noenhanced\nset ylabel " + plot_text(chart.y_label) +
         " noenhanced\n";
  out += "set xrange " + x_axis.text() + "\nset yrange " + y_axis.text() + "\n";
  if (!chart.ticks.empty()) {
    out += "set xtics noenhanced (";
    for (size_t i = 0; i < chart.ticks.size(); ++i)
      out += (i == 0 ? "" : ", ") + plot_text(chart.ticks[i], 24) + " " + std::to_string(i + 1);
    out += ")\n";
  } else if (!chart.diagonal) {
    out += "set xtics " + number_text(tick_step(x_axis.high - x_axis.low)) + "\n";
  }
  if (chart.stacked)
    out += "set boxwidth " + std::string(chart.ticks.empty() ? "0.8" : "0.5") +
           "\nset style fill solid noborder\nset key invert\n";
  out += data + "plot " + plots;
  if (chart.diagonal) out += ", x with lines dt 2 lc rgb '" + std::string(kPlotNote) + "' title 'perfectly calibrated'";
  return out + "\n";
}

std::vector<std::filesystem::path> draw_charts(imgpack::FileSystem& fs, const std::vector<Chart>& charts,
                                               const std::filesystem::path& folder) {
  std::vector<const Chart*> shown;
  for (const Chart& chart : charts)
    if (!chart.empty()) shown.push_back(&chart);
  if (shown.empty()) return {};
  fs.make_directories(folder);
  std::vector<std::filesystem::path> targets;
  for (const char* suffix : {".png", ".svg"}) {
    for (const Chart* chart : shown) targets.push_back(folder / (chart->id + suffix));
    targets.push_back(folder / (std::string("overview") + suffix));
  }
  plot(fs, targets, [&](const std::vector<std::filesystem::path>& files) {
    std::string script;
    size_t next = 0;
    const int rows = static_cast<int>(shown.size() + kOverviewColumns - 1) / kOverviewColumns;
    for (const PlotFormat format : {PlotFormat::kPng, PlotFormat::kSvg}) {
      for (const Chart* chart : shown) {
        script += plot_output(files[next++], format, chart->id) + chart_script(*chart) + "set output\n";
      }
      const int columns = std::min<int>(kOverviewColumns, static_cast<int>(shown.size()));
      script += plot_output(files[next++], format, "overview", 720 * columns, 440 * rows);
      script += "set multiplot layout " + std::to_string(rows) + "," + std::to_string(columns) + "\n";
      for (const Chart* chart : shown) script += chart_script(*chart);
      script += "unset multiplot\nset output\n";
    }
    return script;
  });
  return targets;
}

std::vector<std::string> inline_charts(imgpack::FileSystem& fs, const std::vector<Chart>& charts,
                                       const std::filesystem::path& scratch) {
  std::vector<std::filesystem::path> targets;
  for (const Chart& chart : charts) {
    if (chart.empty()) continue;
    targets.push_back(scratch);
    targets.back() += "." + chart.id + ".svg";
  }
  // They are read and gone; where drawing or reading fails too.
  struct Remove {
    ~Remove() {
      for (const std::filesystem::path& target : targets) imgpack::remove_quietly(fs, target);
    }
    imgpack::FileSystem& fs;
    const std::vector<std::filesystem::path>& targets;
  };
  const Remove remove{fs, targets};
  plot(fs, targets, [&](const std::vector<std::filesystem::path>& files) {
    std::string script;
    size_t next = 0;
    for (const Chart& chart : charts) {
      if (chart.empty()) continue;
      script +=
          plot_output(files[next++], PlotFormat::kSvgInline, chart.id, 720, 400) + chart_script(chart) + "set output\n";
    }
    return script;
  });
  std::vector<std::string> pictures;
  size_t next = 0;
  for (const Chart& chart : charts) {
    if (chart.empty()) {
      pictures.emplace_back();
      continue;
    }
    pictures.push_back(inline_svg(imgpack::read_text(fs, targets[next++], kMaxSvgBytes), chart.id));
  }
  return pictures;
}

std::string inline_svg(std::string_view file, std::string_view id) {
  const size_t begin = file.find("<svg");
  if (begin == std::string_view::npos)
    throw imgpack::Error(imgpack::ErrorKind::kIo, "gnuplot drew something that is no SVG");
  std::string out(file.substr(begin));
  const auto replace = [&](std::string_view from, const std::string& to) {
    for (size_t at = out.find(from); at != std::string::npos; at = out.find(from, at + to.size()))
      out.replace(at, from.size(), to);
  };
  replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
  replace(" xmlns:xlink=\"http://www.w3.org/1999/xlink\"", "");
  const std::string prefix = std::string(id) + "-";
  replace(" id='", " id='" + prefix);
  replace(" id=\"", " id=\"" + prefix);
  replace("xlink:href='#", "href='#" + prefix);
  replace("url(#", "url(#" + prefix);
  return out;
}

}  // namespace imgtrain
