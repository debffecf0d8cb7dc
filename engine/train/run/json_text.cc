#include "engine/train/run/json_text.h"

#include <boost/json/serialize.hpp>
#include <charconv>
#include <cstdio>
#include <system_error>

namespace imgtrain {
namespace {

namespace json = boost::json;

void append_json(std::string& out, const json::value& value, int depth, bool pretty) {
  const auto new_line = [&](int at) {
    if (pretty) out += '\n' + std::string(static_cast<size_t>(at) * 2, ' ');
  };
  if (const json::object* object = value.if_object()) {
    bool first = true;
    out += '{';
    for (const auto& [key, member] : *object) {
      if (!first) out += pretty ? "," : ", ";
      first = false;
      new_line(depth + 1);
      out += json::serialize(json::string(key));
      out += ": ";
      append_json(out, member, depth + 1, pretty);
    }
    if (!first) new_line(depth);
    out += '}';
  } else if (const json::array* array = value.if_array()) {
    // Lists of plain values stay on one line: they are short and are compared at a glance.
    bool nested = false;
    for (const json::value& element : *array) nested |= element.is_object() || element.is_array();
    bool first = true;
    out += '[';
    for (const json::value& element : *array) {
      if (!first) out += nested && pretty ? "," : ", ";
      first = false;
      if (nested) new_line(depth + 1);
      append_json(out, element, depth + 1, pretty);
    }
    if (nested) new_line(depth);
    out += ']';
  } else if (const double* number = value.if_double()) {
    out += number_text(*number);
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

std::string fixed_text(double value, int digits) {
  char buffer[400];  // The largest double has 309 digits before the point.
  std::snprintf(buffer, sizeof(buffer), "%.*f", digits, value);
  return buffer;
}

std::string number_text(double value) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return error == std::errc() ? std::string(buffer, end) : std::string("0");
}

std::string pretty_json(const json::value& value) {
  std::string out;
  append_json(out, value, 0, true);
  out += '\n';
  return out;
}

std::string compact_json(const json::value& value) {
  std::string out;
  append_json(out, value, 0, false);
  return out;
}

}  // namespace imgtrain
