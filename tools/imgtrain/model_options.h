// The options by which verbs choose and open a trained model: which weights of a run, on what device, seen how.
#pragma once

#include <vector>

#include "engine/predict/predictor.h"
#include "tools/cli/arguments.h"
#include "tools/cli/option_table.h"

namespace imgtrain {

imgpack::cli::Positional model_positional();

// --best, --ema, --classes.
std::vector<imgpack::cli::Option> weights_options();
WeightsChoice weights_choice(const imgpack::cli::Arguments& arguments);

// The fields of a run's configuration among the options that were given.
ConfigLayer view_layer(const imgpack::cli::Arguments& arguments);

// weights_options(), --apply-orientation, and the fields of a run's configuration that have a say in predictions.
std::vector<imgpack::cli::Option> predictor_options();
PredictorOptions predictor_options(const imgpack::cli::Arguments& arguments);

}  // namespace imgtrain
