#include "format/ingest/part_selection.h"

#include <cmath>

#include "format/error.h"
#include "format/ingest/plain_text.h"
#include "format/record.h"

namespace imgpack::ingest {
namespace {

using Environment = std::function<std::optional<std::string>(const char*)>;

[[noreturn]] void fail(const std::string& text, const std::string& why) {
  throw Error(ErrorKind::kUsage, "--part " + text + ": " + why);
}

std::optional<uint64_t> variable(const std::string& text, const Environment& environment, const char* name) {
  const auto value = environment(name);
  if (!value) return std::nullopt;
  const auto number = whole_number(*value);
  if (!number) fail(text, std::string("expected a number in ") + name + ", found '" + *value + "'");
  return number;
}

PartSelection checked(const std::string& text, uint64_t part, uint64_t parts) {
  if (parts < 1 || parts > kMaxParts || part < 1 || part > parts) {
    fail(text, "expected i/n with n from 1 to " + std::to_string(kMaxParts) + " and i from 1 to n, found " +
                   std::to_string(part) + "/" + std::to_string(parts));
  }
  return {static_cast<uint32_t>(part), static_cast<uint32_t>(parts)};
}

PartSelection from_slurm(const std::string& text, const Environment& environment, uint64_t id, uint64_t wanted) {
  const uint64_t first = variable(text, environment, "SLURM_ARRAY_TASK_MIN").value_or(0);
  const uint64_t step = variable(text, environment, "SLURM_ARRAY_TASK_STEP").value_or(1);
  const auto count = variable(text, environment, "SLURM_ARRAY_TASK_COUNT");
  if (!count) fail(text, "SLURM_ARRAY_TASK_ID is set and SLURM_ARRAY_TASK_COUNT is not");
  if (wanted > 0 && wanted != *count) {
    fail(text, "this Slurm array has " + std::to_string(*count) + " tasks (SLURM_ARRAY_TASK_COUNT)");
  }
  if (id < first || step == 0 || (id - first) % step != 0) fail(text, "SLURM_ARRAY_TASK_ID is none of the array's");
  return checked(text, (id - first) / step + 1, *count);
}

}  // namespace

bool PartSelection::owns(uint32_t shard, uint32_t shards) const {
  return uint64_t{shard} * parts / shards == part - 1;
}

bool PartSelection::may_own(uint64_t key, uint32_t least_shards) const {
  // A record lies behind the beginning of its shard by less than one shard; a hair is added for rounding.
  const double at = std::ldexp(static_cast<double>(key), -64), slack = 1e-9;
  const double begin = static_cast<double>(part - 1) / parts, end = static_cast<double>(part) / parts;
  return at >= begin - slack && at <= end + 1.0 / least_shards + slack;
}

std::string PartSelection::text() const {
  return std::to_string(part) + "/" + std::to_string(parts);
}

PartSelection parse_part(const std::string& text, const Environment& environment) {
  const size_t slash = text.find('/');
  const std::string first = text.substr(0, slash), second = slash == std::string::npos ? "" : text.substr(slash + 1);
  const auto parts = whole_number(second);
  if (first != "auto") {
    const auto part = whole_number(first);
    if (!part || !parts) fail(text, "expected i/n, auto or auto/n");
    return checked(text, *part, *parts);
  }
  if (slash != std::string::npos && !parts) fail(text, "expected i/n, auto or auto/n");
  if (const auto id = variable(text, environment, "SLURM_ARRAY_TASK_ID"))
    return from_slurm(text, environment, *id, parts.value_or(0));
  if (const auto index = variable(text, environment, "AWS_BATCH_JOB_ARRAY_INDEX")) {
    if (!parts) fail(text, "AWS Batch does not say how many tasks there are: expected auto/n");
    return checked(text, *index + 1, *parts);
  }
  fail(text,
       "expected a task of a Slurm array (SLURM_ARRAY_TASK_ID) or of an AWS Batch array job "
       "(AWS_BATCH_JOB_ARRAY_INDEX)");
}

}  // namespace imgpack::ingest
