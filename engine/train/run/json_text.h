// JSON as people read it: indented, keys in their order, numbers in the shortest decimal form that reads back the same.
#pragma once

#include <boost/json/value.hpp>
#include <string>

namespace imgtrain {

// 0.1, 256, 1e-05. REQUIRES: finite.
std::string number_text(double value);
// 2.50: so many digits behind the point, for people.
std::string fixed_text(double value, int digits);

std::string pretty_json(const boost::json::value& value);   // Several lines, ends in a newline.
std::string compact_json(const boost::json::value& value);  // One line, no newline.

}  // namespace imgtrain
