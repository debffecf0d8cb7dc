// Which of a run's weights are meant.
#pragma once

namespace imgtrain {

enum class AverageChoice {
  kWhereKept,  // The average over training where the run keeps one, else the weights as they were trained.
  kRequired,   // The average; a run without one is an error.
  kNever,      // The weights as they were trained.
};

struct WeightsChoice {
  bool best = false;  // The checkpoint that did best in evaluation, instead of the final weights.
  AverageChoice average = AverageChoice::kWhereKept;
};

}  // namespace imgtrain
