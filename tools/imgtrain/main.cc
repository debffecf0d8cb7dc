// imgtrain: trains and evaluates ResNets from the shards that imgpack builds.
#include "tools/cli/program.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgtrain/verbs.h"

int main(int argc, char** argv) {
  imgpack::cli::catch_stop_signals();
  imgpack::cli::Program program;
  program.name = "imgtrain";
  program.version = IMGPACK_VERSION;
  program.summary = "trains ResNets from the shards that imgpack builds";
  program.description =
      "Training can be stopped and killed at any time: the same command again goes on where it was, with the same "
      "result. The same program runs on a CPU and on a CUDA device.";
  program.verbs = {imgtrain::train_verb(),    imgtrain::eval_verb(),     imgtrain::predict_verb(),
                   imgtrain::export_verb(),   imgtrain::lr_find_verb(),  imgtrain::batch_find_verb(),
                   imgtrain::estimate_verb(), imgtrain::drill_verb(),    imgtrain::recipes_verb(),
                   imgtrain::config_verb(),   imgtrain::schedule_verb(), imgtrain::augment_preview_verb(),
                   imgtrain::summary_verb(),  imgtrain::plot_verb(),     imgtrain::report_verb()};
  program.default_verb = "train";
  program.build_details = {"libtorch " IMGTRAIN_TORCH_VERSION, std::string("compiler ") + __VERSION__};
  return imgpack::cli::run_program(program, argc, argv);
}
