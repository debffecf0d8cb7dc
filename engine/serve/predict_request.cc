#include "engine/serve/predict_request.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <utility>

#include "format/base64.h"

namespace imgtrain::serve {
namespace {

namespace json = boost::json;

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

std::string range_text(const std::string& what, int64_t low, int64_t high, const std::string& found) {
  return what + ": expected a whole number from " + std::to_string(low) + " to " + std::to_string(high) + ", found " +
         found;
}

// nullopt: fine.
std::optional<Refusal> read_parameters(const HttpQuery& query, const RequestLimits& limits, PredictRequest& request) {
  const std::string known = limits.explain ? "class" : "top";
  for (const auto& [name, value] : query.parameters) {
    if (name != known) return Refusal{400, "unknown parameter '" + name + "': expected only '" + known + "'"};
    const auto number = whole_number(value);
    const int64_t low = limits.explain ? 0 : 1, high = limits.explain ? limits.classes - 1 : limits.classes;
    if (!number || *number < low || *number > high) return Refusal{400, range_text(name, low, high, "'" + value + "'")};
    if (limits.explain) {
      request.label = *number;
    } else {
      request.top = static_cast<size_t>(*number);
    }
  }
  return std::nullopt;
}

std::optional<Refusal> read_json(const std::string& body, const RequestLimits& limits, PredictRequest& request) {
  // Parsed values take many times the bytes of a short text: their number is bounded before there are any. Base64 holds
  // no comma.
  constexpr int64_t kOtherCommas = 2;
  if (std::count(body.begin(), body.end(), ',') > static_cast<int64_t>(limits.images) + kOtherCommas)
    return Refusal{400, "images: expected at most " + std::to_string(limits.images) + " of them, found more"};
  boost::system::error_code failure;
  const json::value value = json::parse(body, failure);
  if (failure) return Refusal{400, "the body is no JSON: " + failure.message()};
  if (!value.is_object()) return Refusal{400, "expected a JSON object with 'images'"};
  const json::object& object = value.get_object();
  for (const auto& member : object) {
    if (member.key() != "images" && member.key() != "top")
      return Refusal{400, "unknown key '" + std::string(member.key()) + "': expected 'images' and 'top'"};
  }
  if (const json::value* top = object.if_contains("top")) {
    if (!top->is_int64() || top->get_int64() < 1 || top->get_int64() > limits.classes)
      return Refusal{400, range_text("top", 1, limits.classes, json::serialize(*top).substr(0, 40))};
    request.top = static_cast<size_t>(top->get_int64());
  }
  const json::value* images = object.if_contains("images");
  if (images == nullptr || !images->is_array()) return Refusal{400, "images: expected an array of base64 texts"};
  const json::array& list = images->get_array();
  if (list.empty() || list.size() > limits.images) {
    return Refusal{400, "images: expected 1 to " + std::to_string(limits.images) + " of them, found " +
                            std::to_string(list.size())};
  }
  for (size_t i = 0; i < list.size(); ++i) {
    std::optional<std::string> bytes;
    if (list[i].is_string()) bytes = imgpack::from_base64({list[i].get_string().data(), list[i].get_string().size()});
    if (!bytes) return Refusal{400, "images[" + std::to_string(i) + "]: expected an image as base64"};
    request.images.push_back(std::move(*bytes));
  }
  return std::nullopt;
}

}  // namespace

std::string media_type(const std::string& content_type) {
  std::string type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.pop_back();
  std::transform(type.begin(), type.end(), type.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return type;
}

std::variant<PredictRequest, Refusal> parse_predict_request(HttpQuery& query, const RequestLimits& limits) {
  PredictRequest request;
  request.top = static_cast<size_t>(std::min<int64_t>(static_cast<int64_t>(limits.top), limits.classes));
  if (auto refusal = read_parameters(query, limits, request)) return *refusal;
  const std::string type = media_type(query.content_type);
  const bool is_json = type == "application/json" && !limits.explain;
  if (!is_json && type.rfind("image/", 0) != 0 && type != "application/octet-stream") {
    return Refusal{415, std::string("expected an image as the body (image/jpeg, image/png, image/webp or "
                                    "application/octet-stream)") +
                            (limits.explain ? "" : " or application/json") + ", found " +
                            (type.empty() ? "no Content-Type" : "'" + type + "'")};
  }
  if (is_json) {
    if (auto refusal = read_json(query.body, limits, request)) return *refusal;
    return request;
  }
  if (query.body.empty()) return Refusal{400, "expected an image as the body, found nothing"};
  request.images.push_back(std::move(query.body));
  return request;
}

}  // namespace imgtrain::serve
