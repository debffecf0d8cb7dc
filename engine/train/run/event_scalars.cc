#include "engine/train/run/event_scalars.h"

#include <boost/json/value.hpp>
#include <cmath>
#include <string_view>

namespace imgtrain {
namespace {

namespace json = boost::json;

std::optional<double> number_of(const json::value& value) {
  if (!value.is_number()) return std::nullopt;
  const double number = value.to_number<double>();
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

}  // namespace

std::optional<EventScalars> event_scalars(const char* type, const json::object& fields) {
  const std::string_view kind = type;
  if (kind == "start" || kind == "resume" || kind == "stop" || kind == "finish") return std::nullopt;
  const json::value* step = fields.if_contains("step");
  if (step == nullptr || !step->is_number()) return std::nullopt;
  const json::value* stage = fields.if_contains("stage");
  const std::string group =
      (stage != nullptr && stage->is_string() ? std::string(stage->get_string()) : std::string(kind)) + "/";
  EventScalars scalars{step->to_number<uint64_t>(), {}};
  for (const auto& [key, value] : fields) {
    if (key == "step" || key == "epoch") continue;
    if (const auto number = number_of(value)) scalars.values.emplace_back(group + std::string(key), *number);
    if (const json::object* members = value.if_object())
      for (const auto& [name, member] : *members)
        if (const auto number = number_of(member))
          scalars.values.emplace_back(group + std::string(key) + "." + std::string(name), *number);
  }
  if (scalars.values.empty()) return std::nullopt;
  return scalars;
}

}  // namespace imgtrain
