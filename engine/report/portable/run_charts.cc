#include "engine/report/portable/run_charts.h"

#include <algorithm>

#include "format/error.h"

namespace imgtrain {
namespace {

using Points = std::vector<std::pair<double, double>>;

// Names of runs are of their folders; where two are the same, with the folder above.
std::vector<std::string> names_of(std::span<const RunRecord> runs) {
  std::vector<std::string> names;
  for (const RunRecord& run : runs) {
    const auto same =
        std::count_if(runs.begin(), runs.end(), [&](const RunRecord& other) { return other.name == run.name; });
    names.push_back(same > 1 ? run.folder.string() : run.name);
  }
  return names;
}

template <class Row, class Value>
Points over_epochs(const std::vector<Row>& rows, Value&& value) {
  Points points;
  for (const Row& row : rows) points.emplace_back(static_cast<double>(row.epoch), value(row));
  return points;
}

// `training` may be nullptr.
Chart curve(std::span<const RunRecord> runs, Chart chart, double TrainedEpoch::*training,
            double EvaluatedEpoch::*validation) {
  const std::vector<std::string> names = names_of(runs);
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::string lead = runs.size() > 1 ? names[i] + " " : "";
    // With one run the two lines have a colour each.
    const size_t second = runs.size() > 1 ? i : 1;
    chart.series.push_back({lead + "training",
                            over_epochs(runs[i].epochs, [&](const TrainedEpoch& row) { return row.*training; }), second,
                            true});
    chart.series.push_back(
        {lead + "validation",
         over_epochs(runs[i].evaluations, [&](const EvaluatedEpoch& row) { return row.*validation; }), i, false});
  }
  return chart;
}

struct Stage {
  const char* label;
  double StageTimes::*seconds;
};
// What a step consists of, one after the other.
constexpr Stage kStages[] = {{"forward and backward", &StageTimes::forward_backward},
                             {"gradient exchange", &StageTimes::exchange},
                             {"optimizer", &StageTimes::optimizer},
                             {"waiting for images", &StageTimes::wait}};

double milliseconds(const StageTimes& times, double StageTimes::*seconds) {
  return times.steps == 0 ? 0 : 1000 * times.*seconds / static_cast<double>(times.steps);
}

Chart stage_chart(std::span<const RunRecord> runs) {
  Chart chart{"stage-times", "time of a step", "epoch", "milliseconds", {}, true};
  const bool several = runs.size() > 1;
  if (several) {
    chart.x_label = "run";
    chart.ticks = names_of(runs);
  }
  for (size_t s = 0; s < std::size(kStages); ++s) {
    ChartSeries series{kStages[s].label, {}, s == 3 ? 4 : s, false};
    if (!several && !runs.empty()) {
      for (const TrainedEpoch& epoch : runs.front().epochs)
        if (epoch.stages.steps > 0)
          series.points.emplace_back(epoch.epoch, milliseconds(epoch.stages, kStages[s].seconds));
    }
    for (size_t i = 0; several && i < runs.size(); ++i) {
      StageTimes sum;
      for (const TrainedEpoch& epoch : runs[i].epochs) {
        sum.steps += epoch.stages.steps;
        sum.*kStages[s].seconds += epoch.stages.*kStages[s].seconds;
      }
      series.points.emplace_back(i + 1, milliseconds(sum, kStages[s].seconds));
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

Chart input_chart(std::span<const RunRecord> runs) {
  Chart chart{"input", "share of the time", "epoch", "%", {}, false, true, 105, 100};
  const auto share = [](const RunRecord& run, double InputShares::*part) {
    return over_epochs(run.epochs, [&](const TrainedEpoch& row) { return 100 * row.shares.*part; });
  };
  if (runs.size() == 1) {
    chart.series = {{"model waits for images", share(runs[0], &InputShares::wait), 4, false},
                    {"reading", share(runs[0], &InputShares::read), 0, false},
                    {"decoding (of the input threads)", share(runs[0], &InputShares::decode), 2, false},
                    {"copying to the device", share(runs[0], &InputShares::copy), 3, false}};
    return chart;
  }
  chart.title = "share of the time that the model waits for images";
  const std::vector<std::string> names = names_of(runs);
  for (size_t i = 0; i < runs.size(); ++i)
    chart.series.push_back({names[i], share(runs[i], &InputShares::wait), i, false});
  return chart;
}

}  // namespace

std::vector<Chart> run_charts(std::span<const RunRecord> runs) {
  std::vector<Chart> charts;
  charts.push_back(
      curve(runs, {"loss", "loss", "epoch", "mean of an image", {}}, &TrainedEpoch::loss, &EvaluatedEpoch::loss));
  charts.push_back(
      curve(runs, {"top1", "top-1 accuracy", "epoch", "%", {}}, &TrainedEpoch::top1, &EvaluatedEpoch::top1));
  charts.push_back(
      curve(runs, {"top5", "top-5 accuracy", "epoch", "%", {}}, &TrainedEpoch::top5, &EvaluatedEpoch::top5));
  for (Chart* chart : {&charts[1], &charts[2]}) chart->ceiling = 101;
  const std::vector<std::string> names = names_of(runs);
  Chart rate{"learning-rate", "learning rate", "epochs done", "learning rate", {}, false, true};
  Chart throughput{"throughput", "training throughput", "epoch", "images a second", {}, false, true};
  for (size_t i = 0; i < runs.size(); ++i) {
    Points points;
    for (const RateSample& sample : runs[i].rates) points.emplace_back(sample.epochs, sample.learning_rate);
    rate.series.push_back({names[i], std::move(points), i, false});
    throughput.series.push_back(
        {names[i], over_epochs(runs[i].epochs, [](const TrainedEpoch& row) { return row.images_per_second; }), i,
         false});
  }
  charts.push_back(std::move(rate));
  charts.push_back(std::move(throughput));
  charts.push_back(stage_chart(runs));
  charts.push_back(input_chart(runs));
  return charts;
}

std::string draw_run(imgpack::FileSystem& fs, const std::filesystem::path& run) {
  try {
    const RunRecord record = read_run(fs, run);
    draw_charts(fs, run_charts({&record, 1}), run / "plots");
  } catch (const imgpack::Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace imgtrain
