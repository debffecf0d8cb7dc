// The smallest run that trains: a ResNet-18 in fp32.
#pragma once

#include <cstdint>

#include "engine/train/run/run_config.h"

namespace imgtrain {

inline RunConfig small_run(int64_t batch, int64_t group) {
  RunConfig config;
  config.depth = 18;
  config.batch = batch;
  config.bn_group = group;
  config.precision = Precision::kFp32;
  return config;
}

}  // namespace imgtrain
