#include "engine/train/rank_setup.h"

#include <algorithm>

namespace imgtrain {

GradientSyncOptions sync_options(const RunConfig& config, RunListener& listener) {
  // An exchange outlasts the limit, so that whoever keeps the others waiting is named before their wait fails.
  constexpr std::chrono::seconds kBeyond{30};
  GradientSyncOptions options;
  options.timeout = std::chrono::seconds(config.rank_timeout) + kBeyond;
  options.limits.stage_seconds = static_cast<double>(config.rank_timeout);
  options.limits.silence_seconds = std::min(options.limits.silence_seconds, options.limits.stage_seconds);
  options.compress_bf16 = config.grad_exchange == GradExchange::kBf16;
  options.warn = [&listener](const std::string& line) { listener.warn(line); };
  return options;
}

}  // namespace imgtrain
