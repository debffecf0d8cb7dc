#include "engine/train/run/duration.h"

#include <charconv>
#include <cmath>

#include "engine/train/run/json_text.h"
#include "format/error.h"

namespace imgtrain {
namespace {

// Far beyond any run, and small enough that products with batches per epoch stay exact in a double.
constexpr double kMaxValue = 1e9;

}  // namespace

double Duration::batches(uint64_t batches_per_epoch) const {
  return unit == Unit::kBatches ? value : value * static_cast<double>(batches_per_epoch);
}

uint64_t Duration::whole_batches(uint64_t batches_per_epoch) const {
  return static_cast<uint64_t>(std::llround(batches(batches_per_epoch)));
}

Duration parse_duration(std::string_view text) {
  Duration duration;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, duration.value);
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  duration.unit = unit == "ba" ? Duration::Unit::kBatches : Duration::Unit::kEpochs;
  const bool known_unit = unit == "ep" || unit == "ba";
  // The comparison is false for NaN too.
  const bool in_range = duration.value >= 0 && duration.value <= kMaxValue;
  const bool whole = duration.unit == Duration::Unit::kEpochs || duration.value == std::floor(duration.value);
  if (error != std::errc() || !known_unit || !in_range || !whole) {
    throw imgpack::Error(imgpack::ErrorKind::kUsage,
                         "expected a number with its unit, as in 16ep or 500ba, found '" + std::string(text) + "'");
  }
  return duration;
}

std::string to_text(const Duration& duration) {
  return number_text(duration.value) + (duration.unit == Duration::Unit::kEpochs ? "ep" : "ba");
}

}  // namespace imgtrain
