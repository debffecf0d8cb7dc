// Changing what a run may be given on its way: how long it goes on, its batch, its learning rate and schedule. All else
// would make it another experiment.
//
//   old configuration, new one, where the checkpoint stands  ->  Seam: where the run goes on, and the rates on both
//   sides
#pragma once

#include <string>
#include <vector>

#include "engine/train/run/run_config.h"
#include "engine/train/run/run_state.h"
#include "engine/train/run/schedule.h"

namespace imgtrain {

// Differences between two configurations of one run that --extend does not cover, in the words of differences().
std::vector<std::string> beyond_extension(const RunConfig& before, const RunConfig& now);

struct Seam {
  Position position;      // In steps of the new configuration.
  double lr_before = 0;   // Of the last step that was taken; 0: none was.
  double lr_planned = 0;  // Of the next one, had nothing been changed; 0 where training had been over.
  double lr_now = 0;      // Of the next one.
};

// Whether the order of samples of the two differs, so that a run can only change from one to the other between epochs.
bool changes_order(const RunConfig& before, const RunConfig& now);

// REQUIRES: at.batch == 0 if changes_order(). Throws Error(kUsage) where nothing is left to train, or where the run
// ended inside an epoch (a duration of 1.5ep), which cannot be gone on with.
Seam seam_of(const Position& at, const RunConfig& before, const LrSchedule& schedule_before, const RunConfig& now,
             const LrSchedule& schedule_now);

// `extended at step 30: duration 2ep before, 4ep now; learning rate 0.001 at the last step, 0.04 at the next (…)`
std::string describe(const Seam& seam, const std::vector<std::string>& changes);

}  // namespace imgtrain
