#include "format/strict_json.h"

#include <boost/json.hpp>

#include "format/checksum.h"
#include "format/error.h"
#include "format/utf8.h"

namespace imgpack {

namespace json = boost::json;

json::value parse_json(std::string_view text, const std::filesystem::path& path) {
  json::error_code error;
  json::stream_parser parser;
  const size_t used = parser.write_some(text.data(), text.size(), error);
  if (!error && !parser.done()) parser.finish(error);
  if (!error && parser.done()) {
    const size_t rest = text.find_first_not_of(" \t\r\n", used);
    if (rest != std::string_view::npos)
      throw Error(ErrorKind::kCorruption, "file is not one JSON value: more text follows it", path, rest);
    return parser.release();
  }
  throw Error(ErrorKind::kCorruption, "file is not JSON: " + error.message(), path, used);
}

const char* json_type_name(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "true or false";
    case json::kind::int64:
    case json::kind::uint64:
      return "a whole number";
    case json::kind::double_:
      return "a real number";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
  }
  return "nothing";
}

StrictObject::StrictObject(const json::value& value, std::string where, const std::filesystem::path& path)
    : object_(value.if_object()), where_(std::move(where)), path_(path) {
  if (object_ == nullptr) {
    throw Error(
        ErrorKind::kCorruption,
        (where_.empty() ? std::string("document") : where_) + ": expected an object, found " + json_type_name(value),
        path_);
  }
}

std::string StrictObject::path_of(std::string_view key) const {
  return where_.empty() ? std::string(key) : where_ + "." + std::string(key);
}

void StrictObject::fail(const std::string& key, const std::string& expected, const std::string& found) const {
  throw Error(ErrorKind::kCorruption, path_of(key) + ": expected " + expected + ", found " + found, path_);
}

const json::value& StrictObject::at(const char* key) {
  asked_.insert(key);
  const json::value* value = object_->if_contains(key);
  if (value == nullptr) fail(key, "a value", "no such key");
  return *value;
}

std::string StrictObject::string(const char* key) {
  const json::value& value = at(key);
  if (!value.is_string()) fail(key, "a string", json_type_name(value));
  return std::string(value.get_string());
}

uint64_t StrictObject::integer(const char* key, uint64_t most) {
  const json::value& value = at(key);
  const std::string expected =
      most == UINT64_MAX ? "a whole number from 0" : "a whole number from 0 to " + std::to_string(most);
  if (!value.is_uint64() && !value.is_int64()) fail(key, expected, json_type_name(value));
  if (value.is_int64() && value.get_int64() < 0) fail(key, expected, std::to_string(value.get_int64()));
  const uint64_t number = value.is_uint64() ? value.get_uint64() : static_cast<uint64_t>(value.get_int64());
  if (number > most) fail(key, expected, std::to_string(number));
  return number;
}

uint64_t StrictObject::hex(const char* key) {
  const std::string text = string(key);
  const std::optional<uint64_t> value = parse_hex(text);
  if (!value) fail(key, "16 lower-case hexadecimal digits", "'" + to_printable_utf8(text) + "'");
  return *value;
}

bool StrictObject::boolean(const char* key) {
  const json::value& value = at(key);
  if (!value.is_bool()) fail(key, "true or false", json_type_name(value));
  return value.get_bool();
}

const json::array& StrictObject::array(const char* key) {
  const json::value& value = at(key);
  if (!value.is_array()) fail(key, "an array", json_type_name(value));
  return value.get_array();
}

StrictObject StrictObject::child(const json::value& value, std::string where) const {
  StrictObject object(value, std::move(where), path_);
  object.ignore_unknown_ = ignore_unknown_;
  return object;
}

StrictObject StrictObject::object(const char* key) {
  return child(at(key), path_of(key));
}

std::map<std::string, std::string> StrictObject::strings(const char* key) {
  const json::value& value = at(key);
  if (!value.is_object()) fail(key, "an object", json_type_name(value));
  std::map<std::string, std::string> out;
  for (const auto& [name, element] : value.get_object()) {
    if (!element.is_string()) fail(std::string(key) + "." + std::string(name), "a string", json_type_name(element));
    out.emplace(name, element.get_string());
  }
  return out;
}

StrictObject StrictObject::element(const char* key, const json::array& array, size_t i) {
  return child(array[i], path_of(key) + "[" + std::to_string(i) + "]");
}

void StrictObject::finish() const {
  if (ignore_unknown_) return;
  for (const auto& member : *object_) {
    const std::string_view key(member.key().data(), member.key().size());
    if (asked_.find(key) == asked_.end())
      throw Error(ErrorKind::kCorruption, path_of(to_printable_utf8(key)) + ": unknown key", path_);
  }
}

int64_t json_integer(const json::value& value, const std::string& where, const std::filesystem::path& path) {
  if (!value.is_int64())
    throw Error(ErrorKind::kCorruption, where + ": expected a whole number, found " + json_type_name(value), path);
  return value.get_int64();
}

std::string json_quote(std::string_view text) {
  return json::serialize(json::string(to_printable_utf8(text)));
}

std::string json_strings(const std::map<std::string, std::string>& strings) {
  std::string out = "{";
  for (const auto& [key, value] : strings)
    out += std::string(out.size() > 1 ? "," : "") + "\n    " + json_quote(key) + ": " + json_quote(value);
  return out + (strings.empty() ? "}" : "\n  }");
}

}  // namespace imgpack
