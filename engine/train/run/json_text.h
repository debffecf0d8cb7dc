// JSON as people read it: indented, keys in their order, numbers in the shortest decimal form that reads back the same.
#pragma once

#include <boost/json/value.hpp>
#include <string>

namespace imgtrain {

// 0.1, 256, 1e-05. REQUIRES: finite.
std::string number_text(double value);

std::string pretty_json(const boost::json::value& value);   // Several lines, ends in a newline.
std::string compact_json(const boost::json::value& value);  // One line, no newline.

}  // namespace imgtrain
