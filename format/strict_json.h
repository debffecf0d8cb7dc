// JSON objects of our own files, read strictly: every key must be there, have its type and be known. Errors name the
// JSON path: `manifest.json: splits[0].records: expected a whole number from 0, found a string`.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace imgpack {

// Throws Error(kCorruption) with the place of the syntax error.
boost::json::value parse_json(std::string_view text, const std::filesystem::path& path);

// One JSON object being read: ask for every key, then finish(). Every call throws Error(kCorruption).
class StrictObject {
 public:
  // `where` is the object's JSON path, empty for the document.
  StrictObject(const boost::json::value& value, std::string where, const std::filesystem::path& path);

  const std::string& where() const { return where_; }
  std::string string(const char* key);
  uint64_t integer(const char* key, uint64_t most = UINT64_MAX);
  uint64_t hex(const char* key);  // 16 lower-case digits.
  bool boolean(const char* key);
  const boost::json::array& array(const char* key);
  StrictObject object(const char* key);
  std::map<std::string, std::string> strings(const char* key);  // An object whose values are all strings.
  // Of element `i` of array `key`, which must be an object.
  StrictObject element(const char* key, const boost::json::array& array, size_t i);
  // Unknown keys of this object, and of those taken from it from now on, are ignored: a newer minor version's.
  void ignore_unknown_keys() { ignore_unknown_ = true; }
  void finish() const;  // Throws Error(kCorruption) naming a key that nobody asked for.

  // Throws Error(kCorruption) saying that `key` is not what it must be.
  [[noreturn]] void fail(const std::string& key, const std::string& expected, const std::string& found) const;
  std::string path_of(std::string_view key) const;

 private:
  const boost::json::value& at(const char* key);
  StrictObject child(const boost::json::value& value, std::string where) const;

  const boost::json::object* object_ = nullptr;
  std::string where_;
  std::filesystem::path path_;
  std::set<std::string, std::less<>> asked_;
  bool ignore_unknown_ = false;
};

const char* json_type_name(const boost::json::value& value);

// A whole number within an array. Throws Error(kCorruption).
int64_t json_integer(const boost::json::value& value, const std::string& where, const std::filesystem::path& path);

// `text` as a JSON string literal, quotes included. Bytes that are not UTF-8 are written as \xNN of text.
std::string json_quote(std::string_view text);

// An object of strings, one per line, as the value of a key of the document's outermost object.
std::string json_strings(const std::map<std::string, std::string>& strings);

}  // namespace imgpack
