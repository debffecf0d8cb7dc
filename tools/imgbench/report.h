// What imgbench prints: a table for people, JSON for scripts.
#pragma once

#include <string>
#include <vector>

#include "tools/imgbench/machine.h"
#include "tools/imgbench/measure.h"

namespace imgbench {

struct Report {
  Machine machine;
  BenchSettings settings;
  std::string cache;  // `warm` or `cold`
  std::string version;
  std::string forced_simd;  // The instruction set that the decoders were held to; empty: none.
  std::vector<Measurement> measurements;
};

std::string to_text(const Report& report);
std::string to_json(const Report& report);  // One object on one line; `message_type` is `imgbench`.

}  // namespace imgbench
