#include "engine/serve/http_server.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "engine/serve/http_session.h"
#include "engine/serve/problem.h"
#include "format/error.h"

namespace imgtrain::serve {

namespace asio = boost::asio;
using asio::ip::tcp;
using imgpack::Error;
using imgpack::ErrorKind;

namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};

// For connections beyond the limit: short enough to fit into any socket's buffer, so that it is sent without waiting.
constexpr std::string_view kTooMany =
    "HTTP/1.1 503 Service Unavailable\r\nServer: imgtrain\r\nRetry-After: 1\r\nConnection: close\r\n"
    "Content-Type: application/problem+json\r\nContent-Length: 97\r\n\r\n"
    "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many "
    "connections\"}";

}  // namespace

struct HttpServer::State {
  State(HttpHandler& handler, ServerMetrics& metrics, const HttpLimits& limits)
      : ground(new SessionGround{handler, metrics, limits, Admission(limits.bodies_bytes)}),
        acceptor(context),
        pause(context) {}

  void accept();
  void open(tcp::socket socket);
  void ended(HttpSession* session);

  std::shared_ptr<SessionGround> ground;
  std::mutex mutex;  // Of the two below. They outlive the context: sessions that end with it still report.
  std::condition_variable changed;
  std::set<HttpSession*> sessions;
  asio::io_context context{1};
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::thread thread;
  std::string address;
};

void HttpServer::State::accept() {
  acceptor.async_accept([this](boost::system::error_code error, tcp::socket socket) {
    if (!acceptor.is_open()) return;
    if (!error) {
      open(std::move(socket));
      accept();
      return;
    }
    // Out of descriptors, or a client that left again: a pause, so that the former does not burn a core.
    pause.expires_after(kAcceptPause);
    pause.async_wait([this](boost::system::error_code) {
      if (acceptor.is_open()) accept();
    });
  });
}

void HttpServer::State::open(tcp::socket socket) {
  size_t count = 0;
  {
    const std::lock_guard lock(mutex);
    count = sessions.size();
  }
  if (count >= ground->limits.connections) {
    ground->metrics.rejected("connections");
    boost::system::error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(kTooMany), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    return;
  }
  const auto session =
      std::make_shared<HttpSession>(std::move(socket), ground, [this](HttpSession* which) { ended(which); });
  {
    const std::lock_guard lock(mutex);
    sessions.insert(session.get());
  }
  session->run();
}

void HttpServer::State::ended(HttpSession* session) {
  const std::lock_guard lock(mutex);
  sessions.erase(session);
  changed.notify_all();
}

HttpServer::HttpServer(HttpHandler& handler, ServerMetrics& metrics, const HttpLimits& limits,
                       const std::string& address, uint16_t port)
    : state_(std::make_shared<State>(handler, metrics, limits)) {
  boost::system::error_code error;
  const asio::ip::address parsed = asio::ip::make_address(address, error);
  if (error) {
    throw Error(ErrorKind::kUsage,
                "address: expected an IP address such as 127.0.0.1 or 0.0.0.0, found '" + address + "'");
  }
  const tcp::endpoint endpoint(parsed, port);
  const auto check = [&](const char* what) {
    if (!error) return;
    throw Error(ErrorKind::kIo,
                std::string("cannot ") + what + " " + address + ":" + std::to_string(port) + ": " + error.message(), {},
                {}, "another --port, or 0 for a free one");
  };
  tcp::acceptor& acceptor = state_->acceptor;
  acceptor.open(endpoint.protocol(), error);
  check("open a socket for");
  acceptor.set_option(asio::socket_base::reuse_address(true), error);
  check("set up");
  acceptor.bind(endpoint, error);
  check("listen on");
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  check("listen on");
  state_->ground->server = state_;
  state_->address = parsed.is_v6() ? "[" + address + "]" : address;
}

HttpServer::~HttpServer() {
  stop(std::chrono::milliseconds(0));
}

void HttpServer::start() {
  state_->work.emplace(asio::make_work_guard(state_->context));
  state_->accept();
  state_->thread = std::thread([state = state_] { state->context.run(); });
}

bool HttpServer::stop(std::chrono::milliseconds grace) {
  if (!state_->thread.joinable()) return true;
  State& state = *state_;
  const auto each_session = [&state](void (HttpSession::*act)()) {
    std::vector<std::shared_ptr<HttpSession>> alive;
    {
      // One that is being destroyed waits for this lock in ended(); it has no owner any more, and is left out.
      const std::lock_guard lock(state.mutex);
      for (HttpSession* session : state.sessions)
        if (auto owned = session->weak_from_this().lock()) alive.push_back(std::move(owned));
    }
    for (const auto& session : alive) (session.get()->*act)();
  };
  asio::post(state.context, [&state, each_session] {
    boost::system::error_code ignored;
    state.acceptor.close(ignored);
    state.pause.cancel();
    state.ground->stopping = true;
    each_session(&HttpSession::finish);
  });
  bool all = false;
  {
    std::unique_lock lock(state.mutex);
    all = state.changed.wait_for(lock, grace, [&] { return state.sessions.empty(); });
  }
  if (!all) asio::post(state.context, [each_session] { each_session(&HttpSession::abort); });
  state.work.reset();
  {
    std::unique_lock lock(state.mutex);
    // What a handler still holds is let go without an answer.
    state.changed.wait_for(lock, std::chrono::milliseconds(200), [&] { return state.sessions.empty(); });
  }
  state.context.stop();
  state.thread.join();
  return all;
}

uint16_t HttpServer::port() const {
  return state_->acceptor.local_endpoint().port();
}

std::string HttpServer::url() const {
  return "http://" + state_->address + ":" + std::to_string(port()) + "/";
}

}  // namespace imgtrain::serve
