#include "engine/report/portable/page_template.h"

#include <boost/json/value.hpp>
#include <kainjow/mustache.hpp>

#include "engine/train/run/json_text.h"
#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using kainjow::mustache::data;

data as_data(const json::value& value) {
  if (const json::object* object = value.if_object()) {
    data members{data::type::object};
    for (const auto& [key, member] : *object) members.set(std::string(key), as_data(member));
    return members;
  }
  if (const json::array* array = value.if_array()) {
    data list{data::type::list};
    for (const json::value& element : *array) list.push_back(as_data(element));
    return list;
  }
  if (const bool* flag = value.if_bool()) return data{*flag};
  // What is empty has no section: Mustache would take an empty text for something.
  if (const json::string* text = value.if_string()) return text->empty() ? data{false} : data{std::string(*text)};
  if (value.is_null()) return data{false};
  return data{compact_json(value)};
}

}  // namespace

std::string render_page(std::string_view page, const json::object& object) {
  kainjow::mustache::mustache compiled{std::string(page)};
  if (!compiled.is_valid())
    throw imgpack::Error(imgpack::ErrorKind::kInternal, "a page's template: " + compiled.error_message());
  return compiled.render(as_data(object));
}

}  // namespace imgtrain
