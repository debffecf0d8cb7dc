// Progress of one long step.
//
//   terminal:  build  [=========>          ]  41 %  52,100/128,000 images  1,930/s  187 MiB/s  ETA 0:39  loss 2.31
//   log:       one such line, without the bar, every `log_interval_s` seconds, and one at the end
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#include "tools/cli/console.h"

namespace imgpack::cli {

struct ProgressOptions {
  std::string title;  // `build`
  std::string unit = "images";
  uint64_t total = 0;        // 0: unknown; then there is no bar, share or ETA.
  uint64_t done_before = 0;  // Of `total`, by an earlier run: counted as done, not into the rate.
  bool quiet = false;
  double redraw_s = 0.1;
  double log_interval_s = 10;
  std::function<double()> now = {};  // Seconds, monotonic. For tests; empty: the steady clock.
};

// advance() may be called by many threads, and costs an atomic addition where nothing is due.
class Progress {
 public:
  Progress(Console& console, ProgressOptions options);
  ~Progress();  // Removes the bar.
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(uint64_t items, uint64_t bytes = 0);
  void set_note(std::string note);  // Stands at the end of the line: `loss 2.31`.
  void finish();                    // Removes the bar and leaves one line with the totals.

  std::string text() const;  // The line without the bar, as of now.

 private:
  void draw(bool last);
  std::string line(double now, bool last) const;
  std::string bar() const;

  Console& console_;
  ProgressOptions options_;
  double started_ = 0;
  std::atomic<uint64_t> items_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<double> next_draw_{0};
  mutable std::mutex mutex_;  // Below: what drawing needs.
  std::string note_;
  // A point of the past, at least kRateWindow seconds ago where there was such a time: the rate shown is since then.
  struct Point {
    double at = 0;
    uint64_t items = 0, bytes = 0;
  };
  Point older_, newer_;
  bool finished_ = false;
};

}  // namespace imgpack::cli
