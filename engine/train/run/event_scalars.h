// Which numbers of an event are a curve, and what that curve is called: one rule for every sink, so that TensorBoard
// and MLflow show the same.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace imgtrain {

struct EventScalars {
  uint64_t step = 0;                                   // Optimizer steps done.
  std::vector<std::pair<std::string, double>> values;  // `val/accuracy` -> 75.1
};

// Of an event of metrics.jsonl: every finite number but step and epoch, under GROUP/KEY, members of an object under
// GROUP/OBJECT.KEY. GROUP is the event's `stage` where it has one (`train`, `val`), else its type. nullopt: an event
// without a step or without such numbers, and those that only mark a point (start, resume, stop).
std::optional<EventScalars> event_scalars(const char* type, const boost::json::object& fields);

}  // namespace imgtrain
