// The numbers of a pass over images, and the two files they go to: metrics.csv (one row per epoch and stage, in the
// columns that plotting scripts of this field expect) and metrics.jsonl (every event, one JSON object per line).
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "format/file.h"

namespace imgtrain {

// Sums over samples; the means follow. Sums of any partition of the samples add up to the same.
struct Totals {
  double loss_sum = 0;
  uint64_t top1 = 0, top5 = 0;  // Samples whose label is among the 1 and 5 highest logits.
  uint64_t samples = 0;
  double seconds = 0;

  double loss() const { return samples == 0 ? 0 : loss_sum / static_cast<double>(samples); }
  double top1_percent() const { return percent(top1); }
  double top5_percent() const { return percent(top5); }
  bool operator==(const Totals&) const = default;

 private:
  double percent(uint64_t count) const {
    return samples == 0 ? 0 : 100.0 * static_cast<double>(count) / static_cast<double>(samples);
  }
};

// A line of metrics.csv. Loss is a mean per sample, accuracies are percent.
struct MetricRow {
  std::string stage;   // `train` or `val`
  uint64_t epoch = 0;  // From 1.
  double loss = 0, accuracy = 0, accuracy_top5 = 0;
  double learning_rate = 0;  // Of the epoch's last step.
  double epoch_time = 0;     // Seconds.
  bool operator==(const MetricRow&) const = default;
};

std::string metrics_csv(const std::vector<MetricRow>& rows);

// metrics.jsonl. Each flush() publishes the whole text atomically, so that a reader never sees half a line and a crash
// leaves the last published state. Events of a lost piece of training are lost with it. Not thread-safe.
class EventLog {
 public:
  // Continues what is there. Throws Error(kIo).
  EventLog(imgpack::FileSystem& fs, std::filesystem::path path);

  // Returns the line (live_feed.h, event_line()), with its newline.
  std::string append(const char* type, const boost::json::object& fields);
  void flush();  // Throws Error(kIo).

 private:
  imgpack::FileSystem& fs_;
  std::filesystem::path path_;
  std::string text_;
  bool changed_ = false;
};

}  // namespace imgtrain
