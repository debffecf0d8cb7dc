#include "engine/serve/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "format/error.h"

namespace imgtrain::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HasSubstr;
using testing::StartsWith;

// Says what it was asked; /hold is answered when release() is called, /never not at all.
class Echo : public HttpHandler {
 public:
  void handle(HttpQuery query, Respond respond) override {
    if (query.path == "/never") return;
    HttpReply reply;
    reply.content_type = "text/plain";
    reply.body = query.method + " " + query.path + " " + std::to_string(query.body.size());
    if (query.path != "/hold") {
      respond(std::move(reply));
      return;
    }
    const std::lock_guard lock(mutex_);
    held_.emplace_back(std::move(respond), std::move(reply));
    changed_.notify_all();
  }
  void wait_for_held() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !held_.empty(); });
  }
  void release() {
    const std::lock_guard lock(mutex_);
    for (auto& [respond, reply] : held_) respond(std::move(reply));
    held_.clear();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<Respond, HttpReply>> held_;
};

// A client that sends what it is told to, right or wrong.
class Client {
 public:
  explicit Client(uint16_t port) : socket_(context_) { socket_.connect({asio::ip::make_address("127.0.0.1"), port}); }
  void send(const std::string& bytes) {
    boost::system::error_code ignored;
    asio::write(socket_, asio::buffer(bytes), ignored);
  }
  void half_close() { socket_.shutdown(tcp::socket::shutdown_send); }
  // Until the server closes.
  std::string rest() {
    std::string out;
    boost::system::error_code end;
    asio::read(socket_, asio::dynamic_buffer(out), end);
    return out;
  }
  // One answer of a connection that is kept: header and body by its length.
  std::string answer() {
    std::string out;
    boost::system::error_code end;
    while (out.find("\r\n\r\n") == std::string::npos) {
      char byte = 0;
      if (asio::read(socket_, asio::buffer(&byte, 1), end) == 0) return out;
      out += byte;
    }
    const size_t at = out.find("Content-Length: ");
    std::string body(at == std::string::npos ? 0 : std::stoul(out.substr(at + 16)), '\0');
    asio::read(socket_, asio::buffer(body), end);
    return out + body;
  }

 private:
  asio::io_context context_;
  tcp::socket socket_;
};

class HttpServerTest : public testing::Test {
 protected:
  void start() {
    server_ = std::make_unique<HttpServer>(echo_, metrics_, limits_, "127.0.0.1", 0);
    server_->start();
  }
  std::string exchange(const std::string& request) {
    Client client(server_->port());
    client.send(request);
    return client.rest();
  }
  bool rejected(const std::string& reason) {
    return metrics_.text("").find("rejected_total{reason=\"" + reason + "\"}") != std::string::npos;
  }

  Echo echo_;
  ServerMetrics metrics_;
  HttpLimits limits_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AConnectionIsKeptForFurtherRequests) {
  start();
  Client client(server_->port());
  client.send("GET /a?x=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.answer(), HasSubstr("\r\n\r\nGET /a 0"));
  client.send("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_THAT(client.answer(), HasSubstr("POST /b 3"));
  client.send("GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.rest(), HasSubstr("GET /c 0"));
}

TEST_F(HttpServerTest, RequestsSentAheadAreAnsweredInOrder) {
  start();
  const std::string answers = exchange(
      "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
      "GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_LT(answers.find("GET /1"), answers.find("GET /2"));
  EXPECT_LT(answers.find("GET /2"), answers.find("GET /3"));
}

TEST_F(HttpServerTest, HeadHasTheHeaderOfGetAndNoBody) {
  start();
  const std::string answer = exchange("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 8\r\n"));
  EXPECT_TRUE(answer.size() >= 4 && answer.substr(answer.size() - 4) == "\r\n\r\n") << answer;
}

TEST_F(HttpServerTest, ChunkedBodiesAreRead) {
  start();
  EXPECT_THAT(exchange("POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"),
              HasSubstr("POST /a 7"));
}

TEST_F(HttpServerTest, ExpectationsOfContinueAreMet) {
  start();
  Client client(server_->port());
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.answer(), StartsWith("HTTP/1.1 100 "));
  client.send("abc");
  EXPECT_THAT(client.rest(), HasSubstr("POST /a 3"));
}

TEST_F(HttpServerTest, BodiesBeyondTheLimitAre413WhetherAnnouncedOrNot) {
  limits_.body_bytes = 1000;
  start();
  EXPECT_THAT(exchange("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(exchange("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"),
              testing::AnyOf(StartsWith("HTTP/1.1 413 "), StartsWith("HTTP/1.1 400 ")));
  EXPECT_THAT(exchange("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3E9\r\n" +
                       std::string(1001, 'x') + "\r\n0\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, AnswersOf413ArriveAlsoWhereTheClientIsStillSending) {
  limits_.body_bytes = 1000;
  start();
  EXPECT_THAT(exchange("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + std::string(3000000, 'x')),
              StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, BodiesTogetherBeyondTheMemoryAllowedAreTurnedAway) {
  limits_.body_bytes = 1000;
  limits_.bodies_bytes = 1500;
  start();
  Client first(server_->port());
  first.send("POST /hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n" +
             std::string(1000, 'x'));
  echo_.wait_for_held();
  const std::string answer = exchange("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 501\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(answer, HasSubstr("Retry-After: 1\r\n"));
  echo_.release();
  EXPECT_THAT(first.rest(), HasSubstr("POST /hold 1000"));
}

TEST_F(HttpServerTest, ABodyThatItsHandlerStillHoldsAfter504TakesItsRoom) {
  limits_.body_bytes = 1000;
  limits_.bodies_bytes = 2000;
  limits_.answer = std::chrono::milliseconds(50);
  start();
  const std::string hold =
      "POST /hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'x');
  const std::string small = "POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
  EXPECT_THAT(exchange(hold), StartsWith("HTTP/1.1 504 "));
  EXPECT_THAT(exchange(hold), StartsWith("HTTP/1.1 504 "));
  EXPECT_THAT(exchange(small), StartsWith("HTTP/1.1 503 "));
  echo_.release();
  EXPECT_THAT(exchange(small), HasSubstr("POST /a 1"));
}

TEST_F(HttpServerTest, AnAnswerIsSentBeforeTheNextBodyOfItsConnectionNeedsItsRoom) {
  limits_.body_bytes = limits_.bodies_bytes = 1000;
  start();
  Client client(server_->port());
  const std::string body = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'x');
  for (int i = 0; i < 100; ++i) {
    client.send(body);
    ASSERT_THAT(client.answer(), HasSubstr("POST /a 1000"));
  }
}

TEST_F(HttpServerTest, AnswersWhileTheServerGoesAwayDisturbNothing) {
  for (int i = 0; i < 50; ++i) {
    start();
    Client client(server_->port());
    client.send("POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    echo_.wait_for_held();
    std::thread answers([&] { echo_.release(); });
    server_.reset();
    answers.join();
  }
}

TEST_F(HttpServerTest, HeadersBeyondTheLimitAre431) {
  start();
  EXPECT_THAT(exchange("GET / HTTP/1.1\r\nX: " + std::string(100000, 'x') + "\r\n\r\n"), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(exchange("GET /" + std::string(100000, 'x') + " HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 431 "));
}

TEST_F(HttpServerTest, WhatIsNoHttpIs400AndClosed) {
  start();
  const auto answer_to = [&](const std::string& request) {
    Client client(server_->port());
    client.send(request);
    client.half_close();
    return client.rest();
  };
  for (const char* request :
       {"\x16\x03\x01\x02", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "GET * HTTP/1.1\r\n\r\n",
        "GET http://other/ HTTP/1.1\r\n\r\n", "GET /%zz HTTP/1.1\r\n\r\n"})
    EXPECT_THAT(answer_to(request), StartsWith("HTTP/1.1 400 ")) << request;
  EXPECT_EQ(answer_to("GET / HTTP/1.1\r\nHost"), "") << "whoever goes away in the middle is not answered";
  EXPECT_THAT(exchange("GET /still HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), HasSubstr("GET /still 0"));
}

TEST_F(HttpServerTest, ATruncatedBodyEndsOnlyItsOwnConnection) {
  start();
  Client client(server_->port());
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
  client.half_close();
  client.rest();
  EXPECT_THAT(exchange("GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), HasSubstr("GET /b 0"));
}

TEST_F(HttpServerTest, AHeaderThatComesInDripsIsCutOffAfterItsTime) {
  limits_.idle = std::chrono::milliseconds(150);
  start();
  Client client(server_->port());
  std::thread drips([&] {
    for (int i = 0; i < 50; ++i) {
      client.send("X");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  EXPECT_EQ(client.rest(), "");
  drips.join();
  EXPECT_TRUE(rejected("slow"));
}

TEST_F(HttpServerTest, ABodyThatComesInDripsIsCutOffAfterItsTime) {
  limits_.receive = std::chrono::milliseconds(150);
  start();
  Client client(server_->port());
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
  std::thread drips([&] {
    for (int i = 0; i < 50; ++i) {
      client.send("X");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  EXPECT_EQ(client.rest(), "");
  drips.join();
  EXPECT_TRUE(rejected("slow"));
}

TEST_F(HttpServerTest, ConnectionsBeyondTheLimitAreTurnedAwayUntilOneLeaves) {
  limits_.connections = 2;
  start();
  {
    Client one(server_->port()), two(server_->port());
    one.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    two.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    one.answer();
    two.answer();
    Client three(server_->port());
    const std::string answer = three.rest();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
    EXPECT_THAT(answer, testing::EndsWith("\"detail\":\"too many connections\"}"));
    const size_t body = answer.find("\r\n\r\n") + 4;
    EXPECT_THAT(answer, HasSubstr("Content-Length: " + std::to_string(answer.size() - body) + "\r\n"));
  }
  // The two have left; the server notices in a moment.
  std::string answer;
  for (int i = 0; i < 200 && answer.find("GET /4") == std::string::npos; ++i) {
    answer = exchange("GET /4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_THAT(answer, HasSubstr("GET /4 0"));
}

TEST_F(HttpServerTest, AHandlerThatNeverAnswersCosts504) {
  limits_.answer = std::chrono::milliseconds(50);
  start();
  EXPECT_THAT(exchange("GET /never HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 504 "));
}

TEST_F(HttpServerTest, AnAnswerThatComesAfterItsDeadlineDisturbsNothing) {
  limits_.answer = std::chrono::milliseconds(50);
  start();
  Client client(server_->port());
  client.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.answer(), StartsWith("HTTP/1.1 504 "));
  echo_.release();
  client.send("GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.rest(), HasSubstr("GET /next 0"));
}

TEST_F(HttpServerTest, StoppingLetsRunningRequestsFinishAndTakesNoNewOnes) {
  start();
  Client running(server_->port()), idle(server_->port());
  idle.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
  idle.answer();
  running.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  echo_.wait_for_held();
  const uint16_t port = server_->port();
  bool all = false;
  std::thread stopper([&] { all = server_->stop(std::chrono::seconds(20)); });
  EXPECT_EQ(idle.rest(), "") << "idle connections are closed";
  echo_.release();
  const std::string answer = running.rest();
  EXPECT_THAT(answer, HasSubstr("GET /hold 0"));
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  stopper.join();
  EXPECT_TRUE(all);
  EXPECT_THROW(Client late(port), boost::system::system_error);
}

TEST_F(HttpServerTest, StoppingDoesNotWaitForEverForAHandler) {
  start();
  Client client(server_->port());
  client.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  echo_.wait_for_held();
  EXPECT_FALSE(server_->stop(std::chrono::milliseconds(20)));
  EXPECT_EQ(client.rest(), "");
}

TEST_F(HttpServerTest, AddressesThatAreNoneAndPortsThatAreTakenAreErrors) {
  start();
  const auto make = [&](const std::string& address, uint16_t port) {
    HttpServer second(echo_, metrics_, limits_, address, port);
  };
  EXPECT_THROW(make("localhost:1", 0), imgpack::Error);
  EXPECT_THROW(make("127.0.0.1", server_->port()), imgpack::Error);
  EXPECT_THAT(server_->url(), StartsWith("http://127.0.0.1:"));
}

TEST_F(HttpServerTest, PagesMayLoadNothingFromElsewhere) {
  start();
  const std::string answer = exchange("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Security-Policy: default-src 'none'; script-src 'self';"));
  EXPECT_THAT(answer, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
}

}  // namespace
}  // namespace imgtrain::serve
