// HttpServer: HTTP/1.1 over plain TCP, for a handler that answers (prediction_api.h, watch_api.h).
//
//   accept -> session: header -> body -> HttpHandler::handle() -> answer -> next request of the connection
//
// Everything that a client decides has a limit: the sizes of header and body, the bytes of all bodies together, the
// time that each takes to arrive, the time to an answer, and the number of connections. Parsing is Boost.Beast's.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/serve/http_handler.h"
#include "engine/serve/server_metrics.h"

namespace imgtrain::serve {

struct HttpLimits {
  size_t header_bytes = size_t{16} << 10;
  size_t body_bytes = size_t{20} << 20;
  size_t bodies_bytes = size_t{256} << 20;  // Of all requests that are being read or answered.
  size_t connections = 256;
  std::chrono::milliseconds idle{30'000};     // Until a whole header is there, also on a connection that is kept.
  std::chrono::milliseconds receive{30'000};  // For a body.
  std::chrono::milliseconds answer{60'000};   // For the handler; then 504.
  std::chrono::milliseconds send{30'000};     // For the client to take the answer.
};

// The calling thread makes and stops it; the rest happens on one thread of its own.
class HttpServer {
 public:
  // Listens at once; answers nothing before start(). Port 0: a free one. Throws Error(kUsage) for an address that is
  // none, Error(kIo) where the port is taken or not allowed. `handler` and `metrics` outlive this. Answers that the
  // handler gives after this is gone, or while it goes, are let fall.
  HttpServer(HttpHandler& handler, ServerMetrics& metrics, const HttpLimits& limits, const std::string& address,
             uint16_t port);
  ~HttpServer();  // stop() without patience.
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void start();
  // No further connections or requests; answers on their way get `grace` to arrive. True: all of them did.
  bool stop(std::chrono::milliseconds grace);

  uint16_t port() const;
  std::string url() const;  // `http://127.0.0.1:8080/`

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace imgtrain::serve
