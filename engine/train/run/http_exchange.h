// One HTTP/1.1 request and its answer over a plain connection, within a time limit: what the metadata watcher and the
// MLflow sink need, and nothing more (no TLS, no redirects, no connection kept).
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace imgtrain {

struct HttpEndpoint {
  std::string host;         // A name or an address, without brackets.
  std::string port = "80";  // Digits.
};

// `http://HOST[:PORT][/]`, HOST possibly [::1]. nullopt: anything else.
std::optional<HttpEndpoint> parse_http_endpoint(std::string_view url);

struct HttpRequest {
  std::string method = "GET";  // GET, PUT, POST or PATCH.
  std::string target;          // `/latest/api/token`
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // Sent with a Content-Length where the method has one.
};

struct HttpAnswer {
  unsigned status = 0;
  std::string body;
};

// nullopt: no connection, no answer within `timeout`, an answer of more than `max_answer_bytes`, or none that is HTTP.
// Thread-safe.
std::optional<HttpAnswer> http_exchange(const HttpEndpoint& endpoint, const HttpRequest& request,
                                        std::chrono::milliseconds timeout, size_t max_answer_bytes);

}  // namespace imgtrain
