// The charts of runs: loss, top-1, top-5, learning rate, throughput and where the time went.
#pragma once

#include <span>
#include <vector>

#include "engine/report/portable/chart.h"
#include "engine/report/portable/run_record.h"

namespace imgtrain {

inline constexpr size_t kMaxChartedRuns = 12;  // Beyond, no legend is readable.

// One run: training dashed and validation solid; stage times as a bar per epoch. Several: a colour each, named after
// their folders; stage times as a bar per run. Charts that nothing is known for have no points.
std::vector<Chart> run_charts(std::span<const RunRecord> runs);

// Draws the charts of a run into its folder (plots/), as every run does at its end. Empty: done. Otherwise why not: an
// Error comes back as text, since pictures are no part of a result.
std::string draw_run(imgpack::FileSystem& fs, const std::filesystem::path& run);

}  // namespace imgtrain
