#include "engine/serve/http_session.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/write.hpp>
#include <utility>

#include "engine/serve/problem.h"

namespace imgtrain::serve {

namespace beast = boost::beast;
namespace http = beast::http;

namespace {

// After a refusal, what the client may still send before the connection is cut.
constexpr size_t kMaxWasteBytes = size_t{4} << 20;
constexpr std::chrono::milliseconds kDrainTime{2'000};

// Pages show only what comes from here; a picture may be one that the page itself has at hand.
constexpr const char* kContentPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'";

template <class Response>
void set_common(Response& response, const HttpReply& reply, bool keep) {
  response.set(http::field::server, "imgtrain");
  if (!reply.content_type.empty()) response.set(http::field::content_type, reply.content_type);
  for (const auto& [name, value] : reply.headers) response.set(name, value);
  response.set("X-Content-Type-Options", "nosniff");
  response.set("Referrer-Policy", "no-referrer");
  response.set("Content-Security-Policy", kContentPolicy);
  if (response.find(http::field::cache_control) == response.end()) response.set(http::field::cache_control, "no-store");
  response.keep_alive(keep);
}

}  // namespace

HttpSession::HttpSession(boost::asio::ip::tcp::socket socket, std::shared_ptr<SessionGround> ground,
                         std::function<void(HttpSession*)> on_end)
    : ground_(std::move(ground)),
      on_end_(std::move(on_end)),
      stream_(std::move(socket)),
      buffer_(ground_->limits.header_bytes + (size_t{64} << 10)),
      deadline_(stream_.get_executor()) {
  ground_->metrics.connections(1);
}

HttpSession::~HttpSession() {
  ground_->metrics.connections(-1);
  on_end_(this);
}

void HttpSession::run() {
  beast::error_code ignored;
  stream_.socket().set_option(boost::asio::ip::tcp::no_delay(true), ignored);
  read_header();
}

void HttpSession::finish() {
  keep_ = false;
  if (stage_ == Stage::kIdle) abort();
}

void HttpSession::abort() {
  deadline_.cancel();
  stream_.close();
}

void HttpSession::read_header() {
  stage_ = Stage::kIdle;
  body_.reset();
  response_.reset();
  bare_response_.reset();
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(ground_->limits.header_bytes));
  parser_->body_limit(ground_->limits.body_bytes);
  // One time for the whole header: a client that sends a byte now and then gains nothing.
  stream_.expires_after(ground_->limits.idle);
  http::async_read_header(stream_, buffer_, *parser_,
                          [self = shared_from_this()](beast::error_code error, size_t) { self->on_header(error); });
}

void HttpSession::on_header(beast::error_code error) {
  if (error) {
    refuse_unreadable(error);
    return;
  }
  stage_ = Stage::kBusy;
  version_ = parser_->get().version();
  keep_ = parser_->get().keep_alive() && !ground_->stopping;
  head_ = parser_->get().method() == http::verb::head;
  if (parser_->is_done()) {
    on_body({});
    return;
  }
  const auto length = parser_->content_length();
  const size_t wanted = length ? static_cast<size_t>(*length) : ground_->limits.body_bytes;
  auto place = ground_->bodies.enter(wanted);
  if (!place) {
    ground_->metrics.rejected("memory");
    refuse(503, "too many large requests at once; come again in a moment");
    return;
  }
  body_ = std::make_shared<BodyHold>(BodyHold{ground_, std::move(*place)});
  if (beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
    ask_for_body();
  } else {
    read_body();
  }
}

void HttpSession::ask_for_body() {
  bare_response_.emplace(http::status::continue_, version_);
  stream_.expires_after(ground_->limits.send);
  http::async_write(stream_, *bare_response_, [self = shared_from_this()](beast::error_code error, size_t) {
    self->bare_response_.reset();
    if (!error) self->read_body();
  });
}

void HttpSession::read_body() {
  stream_.expires_after(ground_->limits.receive);
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](beast::error_code error, size_t) { self->on_body(error); });
}

void HttpSession::on_body(beast::error_code error) {
  if (error) {
    refuse_unreadable(error);
    return;
  }
  stream_.expires_never();  // While the handler works; it has a deadline of its own.
  arrived_ = Clock::now();
  dispatch();
}

void HttpSession::dispatch() {
  auto& request = parser_->get();
  HttpQuery query;
  query.method = std::string(head_ ? "GET" : request.method_string());
  query.content_type = std::string(request[http::field::content_type]);
  answered_ = false;
  const uint64_t number = ++request_;
  if (!split_target({request.target().data(), request.target().size()}, query)) {
    answer(problem(400, "the request's target is no path"));
    return;
  }
  query.body = std::move(request.body());
  deadline_.expires_after(ground_->limits.answer);
  deadline_.async_wait([self = shared_from_this(), number](beast::error_code cancelled) {
    if (cancelled || self->answered_ || self->request_ != number) return;
    self->ground_->metrics.rejected("timeout");
    self->answer(problem(504, "no answer within the time limit"));
  });
  // The deadline keeps this alive meanwhile, not the handler: a server that stops can let go of a session at any time.
  // The body's room goes along with the body: after a 504 the handler still holds both.
  ground_->handler.handle(std::move(query), [server = ground_->server, weak = weak_from_this(), number,
                                             body = std::move(body_)](HttpReply reply) mutable {
    const auto alive = server.lock();
    const auto self = weak.lock();
    if (!alive || !self) return;
    boost::asio::post(self->stream_.get_executor(),
                      [self, number, body = std::move(body), reply = std::move(reply)]() mutable {
                        if (self->answered_ || self->request_ != number) return;  // After its deadline.
                        self->body_ = std::move(body);                            // Until the answer is written.
                        self->answer(std::move(reply));
                      });
  });
}

void HttpSession::refuse(unsigned status, const std::string& detail) {
  keep_ = false;
  stage_ = Stage::kBusy;
  arrived_ = Clock::now();
  answer(problem(status, detail));
}

void HttpSession::refuse_unreadable(beast::error_code error) {
  if (error == http::error::body_limit) {
    ground_->metrics.rejected("body");
    refuse(413, "expected a body of at most " + std::to_string(ground_->limits.body_bytes) + " bytes");
  } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    ground_->metrics.rejected("header");
    refuse(431, "expected a header of at most " + std::to_string(ground_->limits.header_bytes) + " bytes");
  } else if (error == beast::error::timeout) {
    if (stage_ == Stage::kBusy || buffer_.size() > 0) ground_->metrics.rejected("slow");
    stream_.close();
  } else if (error.category() == http::make_error_code(http::error::bad_method).category() &&
             error != http::error::end_of_stream && error != http::error::partial_message) {
    ground_->metrics.rejected("parse");
    refuse(400, "not a readable HTTP request: " + error.message());
  }
  // Otherwise the client is gone, and so is this in a moment.
}

void HttpSession::answer(HttpReply reply) {
  answered_ = true;
  deadline_.cancel();
  if (ground_->stopping) keep_ = false;
  const std::chrono::duration<double> seconds = Clock::now() - arrived_;
  ground_->metrics.answered(reply.route, reply.status, seconds.count());
  stream_.expires_after(ground_->limits.send);
  const auto written = [self = shared_from_this()](beast::error_code error, size_t) { self->on_written(error); };
  if (head_) {
    bare_response_.emplace(http::int_to_status(reply.status), version_);
    set_common(*bare_response_, reply, keep_);
    bare_response_->content_length(reply.body.size());
    http::async_write(stream_, *bare_response_, written);
    return;
  }
  response_.emplace(http::int_to_status(reply.status), version_);
  set_common(*response_, reply, keep_);
  response_->body() = std::move(reply.body);
  response_->prepare_payload();
  http::async_write(stream_, *response_, written);
}

void HttpSession::on_written(beast::error_code error) {
  body_.reset();
  if (error) return;
  if (keep_) {
    read_header();
    return;
  }
  // Closing while bytes of the client are unread would reset the connection, and the answer with it.
  beast::error_code ignored;
  stream_.socket().shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  stream_.expires_after(kDrainTime);
  drain();
}

void HttpSession::drain() {
  stream_.async_read_some(boost::asio::buffer(waste_),
                          [self = shared_from_this()](beast::error_code error, size_t bytes) {
                            self->wasted_ += bytes;
                            if (!error && self->wasted_ < kMaxWasteBytes) self->drain();
                          });
}

}  // namespace imgtrain::serve
