// What a request is to those who answer it, free of how it came: over a socket (http_server.h) or as an event of AWS
// Lambda (lambda_runtime.h).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace imgtrain::serve {

struct HttpQuery {
  std::string method;        // `GET`. HEAD arrives as GET.
  std::string path;          // Percent-decoded, without the query.
  std::string content_type;  // As it was sent.
  std::string body;
  std::vector<std::pair<std::string, std::string>> parameters;  // Of the query, decoded, in order.
};

struct HttpReply {
  unsigned status = 200;
  std::string content_type;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string route = "other";  // One of a few names, for the metrics: never what the client chose.
};

using Respond = std::function<void(HttpReply)>;

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Calls `respond` exactly once, now or later, from any thread, and lets go of it then: the room of the query's body
  // is taken until both are gone. Thread-safe. Throws nothing.
  virtual void handle(HttpQuery query, Respond respond) = 0;
};

// Path and query of a request line's target. False: not an absolute path, or no URL at all.
bool split_target(std::string_view target, HttpQuery& query);

}  // namespace imgtrain::serve
