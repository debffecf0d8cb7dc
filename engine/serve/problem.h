// Errors as programs read them: application/problem+json (RFC 9457).
#pragma once

#include <string>
#include <string_view>

#include "engine/serve/http_handler.h"

namespace imgtrain::serve {

// {"type": "about:blank", "title": "Payload Too Large", "status": 413, "detail": …}. 503 and 429 say when to come
// again.
HttpReply problem(unsigned status, const std::string& detail);

// The words of a status: `Not Found`.
std::string status_title(unsigned status);

}  // namespace imgtrain::serve
