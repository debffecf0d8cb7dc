#include "engine/train/run/run_extension.h"

#include <algorithm>
#include <string_view>

#include "engine/train/run/json_text.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

constexpr std::string_view kExtendable[] = {
    "duration",
    "batch",
    "bn_group",
    "lr",
    "lr_per_batch",
    "schedule",
    "warmup",
    "warmup_start",
    "decay_from_start",
    "lr_final",
    "poly_power",
    "step_at",
    "step_factor",
    "lr_hold",
    "onecycle_pct_start",
    "onecycle_div",
    "onecycle_final_div",
    "onecycle_anneal",
    "onecycle_three_phase",
    "onecycle_cycle_momentum",
    "evaluate_every",
};

}  // namespace

std::vector<std::string> beyond_extension(const RunConfig& before, const RunConfig& now) {
  std::vector<std::string> beyond;
  for (const std::string& line : differences(before, now)) {
    const std::string_view name = std::string_view(line).substr(0, line.find(':'));
    if (std::find(std::begin(kExtendable), std::end(kExtendable), name) == std::end(kExtendable))
      beyond.push_back(line);
  }
  return beyond;
}

bool changes_order(const RunConfig& before, const RunConfig& now) {
  return before.batch != now.batch;
}

Seam seam_of(const Position& at, const RunConfig& before, const LrSchedule& schedule_before, const RunConfig& now,
             const LrSchedule& schedule_now) {
  if (at.batch == 0 && at.step != at.epoch * schedule_before.steps_per_epoch()) {
    throw Error(ErrorKind::kUsage, "the run ended inside epoch " + std::to_string(at.epoch) + " (duration " +
                                       to_text(before.duration) + "): only one of whole epochs can be extended");
  }
  Seam seam;
  seam.position = at;
  if (changes_order(before, now)) {
    if (at.batch != 0) throw Error(ErrorKind::kInternal, "the batch of a run was changed inside an epoch");
    seam.position.step = at.epoch * schedule_now.steps_per_epoch();
  }
  if (seam.position.step >= schedule_now.total_steps()) {
    throw Error(ErrorKind::kUsage,
                "nothing is left to train: the run has done " + std::to_string(seam.position.step) + " steps, and " +
                    to_text(now.duration) + " are " + std::to_string(schedule_now.total_steps()),
                {}, {}, "give a longer --duration");
  }
  if (at.step > 0) seam.lr_before = schedule_before.at_step(at.step - 1).lr;
  if (at.step < schedule_before.total_steps()) seam.lr_planned = schedule_before.at_step(at.step).lr;
  seam.lr_now = schedule_now.at_step(seam.position.step).lr;
  return seam;
}

std::string describe(const Seam& seam, const std::vector<std::string>& changes) {
  std::string text = "extended at step " + std::to_string(seam.position.step);
  for (size_t i = 0; i < changes.size(); ++i) text += (i == 0 ? ": " : "; ") + changes[i];
  text += "\nlearning rate at the seam: " + number_text(seam.lr_before) + " at the last step, " +
          number_text(seam.lr_now) + " at the next (";
  text += seam.lr_planned > 0 ? number_text(seam.lr_planned) + " without the change)"
                              : std::string("training had been over without the change)");
  return text;
}

}  // namespace imgtrain
