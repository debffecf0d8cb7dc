// What POST /v1/predict and /v1/explain are asked for: parsed, compared with limits, and refused with a status.
//
//   image/…, application/octet-stream   the body is one image
//   application/json                    {"images": ["BASE64", …], "top": 5}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/serve/http_handler.h"

namespace imgtrain::serve {

struct PredictRequest {
  std::vector<std::string> images;  // As files.
  size_t top = 5;
  std::optional<int64_t> label;  // Of explain: the class to explain. Without: the most probable one.
};

struct RequestLimits {
  size_t images = 64;
  size_t top = 5;        // Where the request says nothing.
  int64_t classes = 1;   // `top` and `class` are within these.
  bool explain = false;  // One image, by its bytes; `class` instead of `top`.
};

struct Refusal {
  unsigned status = 400;
  std::string detail;
};

// Pure. Takes the body out of `query`.
std::variant<PredictRequest, Refusal> parse_predict_request(HttpQuery& query, const RequestLimits& limits);

// `Image/JPEG; q=1` -> `image/jpeg`.
std::string media_type(const std::string& content_type);

}  // namespace imgtrain::serve
