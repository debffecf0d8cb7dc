#include "engine/train/run/bottleneck.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace imgtrain {
namespace {

// Below this share of waiting the input side keeps up.
constexpr double kKeepsUp = 0.05;

std::string number(double value, int digits) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.*f", digits, value);
  return buffer;
}

}  // namespace

double starved_share(const EpochTiming& timing) {
  return timing.seconds <= 0 ? 0 : std::clamp(timing.stages.wait_for_batch / timing.seconds, 0.0, 1.0);
}

std::string bottleneck_sentence(const EpochTiming& timing) {
  const double starved = starved_share(timing);
  const std::string waited = "the model waited " + number(100 * starved, 0) + " % of the time for images";
  if (timing.images == 0 || timing.seconds <= 0) return "nothing was measured";
  // What decoding would cost if it were all there is, in threads at work at once.
  const double per_image = timing.stages.decode / static_cast<double>(timing.images);
  const double compute_rate = static_cast<double>(timing.images) / std::max(timing.seconds * (1 - starved), 1e-9);
  const double threads_needed = per_image * compute_rate;
  const std::string cost = "decoding takes " + number(1e3 * per_image, 2) + " ms per image and thread";
  if (starved < kKeepsUp) {
    return "compute-bound: " + waited + "; " + cost + ", " + number(threads_needed, 1) + " of " +
           std::to_string(timing.input_threads) + " input threads were needed";
  }
  // Decoders that stood still for the disk point to the disk; otherwise there are too few of them.
  if (timing.stages.wait_for_read > timing.stages.wait_for_batch / 2) {
    const double mib = static_cast<double>(timing.stages.bytes_read) / (1024 * 1024);
    return "read-bound: " + waited + "; the disk gave " + number(mib / timing.seconds, 0) + " MiB/s, " +
           number(mib / static_cast<double>(timing.images) * compute_rate, 0) + " MiB/s would keep the model busy";
  }
  return "decode-bound: " + waited + "; " + cost + ": " + number(threads_needed, 1) + " threads needed, " +
         std::to_string(timing.input_threads) + " present";
}

}  // namespace imgtrain
