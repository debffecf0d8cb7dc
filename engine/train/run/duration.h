// Duration: a length of training with its unit, as people write it: `16ep`, `28.8ep`, `500ba`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace imgtrain {

struct Duration {
  enum class Unit { kEpochs, kBatches };
  double value = 0;  // Finite, >= 0; whole for batches.
  Unit unit = Unit::kEpochs;

  bool operator==(const Duration&) const = default;

  // Length in batches (optimizer steps), where an epoch has `batches_per_epoch`. Not rounded.
  double batches(uint64_t batches_per_epoch) const;
  // The same, rounded to the nearest whole batch.
  uint64_t whole_batches(uint64_t batches_per_epoch) const;
};

// Throws Error(kUsage): "expected a number with its unit, as in 16ep or 500ba, found '16'".
Duration parse_duration(std::string_view text);
std::string to_text(const Duration& duration);  // parse_duration(to_text(d)) == d.

}  // namespace imgtrain
