// A report of a run: its numbers as JSON, and the same as one HTML file that needs nothing else.
//
//   RunRecord (curves, times)  +  Findings (every prediction on a split, some images)  --> report_json, report_page
//
// Size: pictures are at most kReportPictureSide pixels a side and about 25 KB each, two for a wrong image and one for a
// ReaL disagreement; the rest of the page is below 1 MB for 1,000 classes.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/report/portable/calibration.h"
#include "engine/report/portable/chart.h"
#include "engine/report/portable/confusion.h"
#include "engine/report/portable/prediction.h"
#include "engine/report/portable/run_record.h"
#include "engine/train/run/class_report.h"
#include "engine/train/run/metrics.h"
#include "format/manifest.h"

namespace imgtrain {

inline constexpr uint32_t kReportPictureSide = 256;  // Larger evaluation crops are shown at this size.
inline constexpr size_t kMostReportImages = 200;     // Of each kind.
inline constexpr size_t kMostMatrixClasses = 24;     // What fits the width of a page.
inline constexpr size_t kConfusedPairs = 30;

struct ReportImage {
  Prediction prediction;
  std::string name;                  // The record's.
  std::string jpeg;                  // File bytes.
  std::string overlay;               // The same with Grad-CAM of the predicted class; empty: none was made.
  std::vector<int32_t> real_labels;  // Empty: none, or not known.
};

// What ReaL says of the images that have ReaL labels.
struct RealFindings {
  RealTotals totals;
  uint64_t label_disputed = 0;     // The split's label is not among them.
  uint64_t wrong_but_right = 0;    // Of these or others: wrong by the split's label, right by ReaL.
  uint64_t right_but_wrong = 0;    // Right by the split's label, wrong by ReaL.
  std::vector<ReportImage> shown;  // Disputed labels, those first whose prediction ReaL agrees with.
};

struct CostFindings {
  std::string machine;                    // `g5.12xlarge`, or empty where a price was given.
  std::optional<double> spot, on_demand;  // Dollars an hour.
  std::string source;                     // Of the price.
};

struct Findings {
  std::string split, model, weights;  // Names: `val`, `resnet50`, a path.
  int64_t eval_size = 0, eval_resize = 0;
  std::vector<imgpack::ClassInfo> classes;
  Totals totals;
  std::vector<Prediction> predictions;
  std::vector<ReportImage> wrong;  // Most confident first.
  std::string cam_layer;
  std::optional<RealFindings> real;
  CostFindings cost;
  std::string created_by;  // The program and version that made the report.
};

// The name that people know a class by: the first of its names, else what its folder is called.
std::string class_title(const imgpack::ClassInfo& info);

// One object: message_type `report`, run, model, split, accuracies, per-class counts, confused pairs, calibration,
// ReaL, time, cost, how to reproduce. Percentages in 0 to 100, calibration in 0 to 1.
boost::json::object report_json(const RunRecord& run, const Findings& findings);

// The page. `pictures` are charts as inline_charts() gives them, in the order of `charts`; the chart `reliability`
// stands in its own section. Everything that comes from data is escaped.
std::string report_page(const RunRecord& run, const Findings& findings, const std::vector<Chart>& charts,
                        const std::vector<std::string>& pictures);

}  // namespace imgtrain
