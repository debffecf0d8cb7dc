// One connection: requests are read and answered in turn.
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/serve/admission.h"
#include "engine/serve/http_handler.h"
#include "engine/serve/http_server.h"

namespace imgtrain::serve {

// What sessions share. Lives as long as any of them, and as any request's body.
struct SessionGround {
  HttpHandler& handler;
  ServerMetrics& metrics;
  const HttpLimits limits;
  Admission bodies;  // Counts bytes.
  bool stopping = false;
  // What the sessions run on. A handler's thread that answers holds it meanwhile: else the server could go away under
  // it.
  std::weak_ptr<const void> server = {};
};

// The room of a request's body, until whoever holds that body lets go of it.
struct BodyHold {
  std::shared_ptr<SessionGround> ground;  // Before the place, which it has to outlive.
  Admission::Place place;
};

// Everything but the handler's answer happens on the thread of the socket's context. Keeps itself alive.
class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(boost::asio::ip::tcp::socket socket, std::shared_ptr<SessionGround> ground,
              std::function<void(HttpSession*)> on_end);
  ~HttpSession();

  void run();
  void finish();  // The server stops: an idle connection closes now, another after its answer.
  void abort();   // Closes at once.

 private:
  using Clock = std::chrono::steady_clock;
  enum class Stage { kIdle, kBusy };

  void read_header();
  void on_header(boost::beast::error_code error);
  void ask_for_body();  // `100 Continue`
  void read_body();
  void on_body(boost::beast::error_code error);
  void dispatch();
  void refuse(unsigned status, const std::string& detail);  // Answers, and closes: what follows cannot be read.
  void refuse_unreadable(boost::beast::error_code error);
  void answer(HttpReply reply);
  void on_written(boost::beast::error_code error);
  void drain();  // Reads on for a moment after the last answer, so that the client gets it.

  const std::shared_ptr<SessionGround> ground_;
  const std::function<void(HttpSession*)> on_end_;
  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  boost::asio::steady_timer deadline_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  std::shared_ptr<BodyHold> body_;  // Null while the handler has it.
  std::optional<boost::beast::http::response<boost::beast::http::string_body>> response_;
  std::optional<boost::beast::http::response<boost::beast::http::empty_body>> bare_response_;  // To HEAD; 100.
  Stage stage_ = Stage::kIdle;
  bool keep_ = false, head_ = false, answered_ = false;
  unsigned version_ = 11;
  uint64_t request_ = 0;  // Number of the request, so that a late answer to an earlier one is not taken for this one's.
  Clock::time_point arrived_;
  std::array<char, 4096> waste_;
  size_t wasted_ = 0;
};

}  // namespace imgtrain::serve
