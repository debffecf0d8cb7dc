// `imgtrain report`: a run evaluated image by image, explained, and written down. No torch in here: programs include
// it.
//
//   run folder + shards -> evaluation (every prediction) -> Grad-CAM of the worst -> Findings -> HTML, JSON
#pragma once

#include <boost/json/object.hpp>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include "engine/train/run/run_config.h"
#include "engine/train/run/run_listener.h"
#include "format/file.h"

namespace imgtrain {

struct ReportRequest {
  std::filesystem::path run;
  std::string shards;      // Empty: the run's own.
  std::string split;       // Empty: the run's own.
  bool best = false;       // The checkpoint that did best, instead of the final weights.
  ConfigLayer overrides;   // Options of the command line.
  size_t images = 24;      // Wrong ones to show, and as many ReaL disagreements; at most kMostReportImages.
  std::string cam_layer;   // Empty: layer4.
  std::string instance;    // A machine type of the price table; empty: none.
  double price = 0;        // Dollars an hour, instead of a table's; 0: none.
  std::string created_by;  // `imgtrain 0.1.0`
};

struct ReportOutcome {
  std::string page;             // HTML.
  boost::json::object numbers;  // report_json().
  bool stopped = false;         // The listener asked for it: nothing else is filled.
};

// One process. Reads the run folder and the shards, writes nothing but temporary files beside `scratch`. Where gnuplot
// cannot draw, the page is without curves and the listener is warned. Memory: that of an evaluation, 32 bytes for every
// image of the split, and the pictures (report.h). Throws Error: kUsage for options that do not fit, kInvalidInput
// where there is no run, no weights or other classes, kCorruption, kIo.
ReportOutcome report(imgpack::FileSystem& fs, const ReportRequest& request, const std::filesystem::path& scratch,
                     RunListener& listener);

}  // namespace imgtrain
