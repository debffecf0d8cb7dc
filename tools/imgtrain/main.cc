// imgtrain: trains and evaluates ResNets from the shards that imgpack builds.
#include "engine/train/run/local_ranks.h"
#include "tools/cli/build_details.h"
#include "tools/cli/program.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgtrain/topics.h"
#include "tools/imgtrain/torch_facts.h"
#include "tools/imgtrain/verbs.h"

namespace {

std::vector<std::string> build_details() {
  std::vector<std::string> lines = imgpack::cli::build_details();
  lines.insert(lines.begin(), imgtrain::torch_build_text());
  return lines;
}

}  // namespace

int main(int argc, char** argv) {
  imgpack::cli::catch_stop_signals();
  imgtrain::tie_to_launcher();
  imgpack::cli::Program program;
  program.name = "imgtrain";
  program.version = IMGPACK_VERSION;
  program.summary = "trains ResNets from the shards that imgpack builds";
  program.description =
      "Training can be stopped and killed at any time: the same command again goes on where it was, with the same "
      "result. The same program runs on a CPU and on a CUDA device.";
  program.verbs = {imgtrain::train_verb(),    imgtrain::eval_verb(),       imgtrain::predict_verb(),
                   imgtrain::export_verb(),   imgtrain::serve_verb(),      imgtrain::watch_verb(),
                   imgtrain::report_verb(),   imgtrain::plot_verb(),       imgtrain::summary_verb(),
                   imgtrain::lr_find_verb(),  imgtrain::batch_find_verb(), imgtrain::profile_verb(),
                   imgtrain::estimate_verb(), imgtrain::drill_verb(),      imgtrain::recipes_verb(),
                   imgtrain::config_verb(),   imgtrain::schedule_verb(),   imgtrain::augment_preview_verb(),
                   imgtrain::doctor_verb()};
  program.default_verb = "train";
  program.build_details = build_details();
  program.topics = imgtrain::topics();
  return imgpack::cli::run_program(program, argc, argv);
}
