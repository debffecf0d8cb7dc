// The watcher against a small metadata service in this process. The scripts' own stub, a second implementation, is used
// in tests/e2e.
#include "engine/train/run/spot_notice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <functional>
#include <map>
#include <vector>

#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

using namespace std::chrono_literals;
namespace http = boost::beast::http;
using boost::asio::ip::tcp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Answers one connection after the other until it is destroyed.
class FakeService {
 public:
  FakeService() : acceptor_(context_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)) {
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeService() {
    ending_ = true;
    boost::system::error_code ignored;
    tcp::socket wake(context_);
    wake.connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
  }
  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }
  void set(const std::string& path, std::string body) {
    const std::lock_guard lock(mutex_);
    files_["/latest/meta-data/" + path] = std::move(body);
  }
  void forget_tokens() {
    const std::lock_guard lock(mutex_);
    ++token_;
  }
  void deny(bool value) { deny_ = value; }
  int tokens_given() const { return tokens_given_; }
  int requests() const { return requests_; }

 private:
  void serve() {
    while (true) {
      boost::system::error_code failure;
      tcp::socket socket(context_);
      acceptor_.accept(socket, failure);
      if (ending_ || failure) return;
      boost::beast::flat_buffer buffer;
      http::request<http::empty_body> request;
      http::read(socket, buffer, request, failure);
      if (failure) continue;
      ++requests_;
      http::response<http::string_body> response = answer(request);
      response.prepare_payload();
      http::write(socket, response, failure);
    }
  }
  http::response<http::string_body> answer(const http::request<http::empty_body>& request) {
    const std::lock_guard lock(mutex_);
    http::response<http::string_body> response(http::status::not_found, 11);
    if (deny_) {
      response.result(http::status::forbidden);
    } else if (request.method() == http::verb::put) {
      ++tokens_given_;
      response.result(http::status::ok);
      response.body() = "token" + std::to_string(token_);
    } else if (request["X-aws-ec2-metadata-token"] != "token" + std::to_string(token_)) {
      response.result(http::status::unauthorized);
    } else if (const auto file = files_.find(std::string(request.target())); file != files_.end()) {
      response.result(http::status::ok);
      response.body() = file->second;
    }
    return response;
  }

  boost::asio::io_context context_;
  tcp::acceptor acceptor_;
  std::atomic<bool> ending_{false}, deny_{false};
  std::atomic<int> tokens_given_{0}, requests_{0};
  std::mutex mutex_;
  int token_ = 0;
  std::map<std::string, std::string> files_;
  std::thread thread_;
};

// A watcher and what it said.
struct Watched {
  explicit Watched(const std::string& endpoint, bool expected = true, std::chrono::seconds token_life = 21600s)
      : watcher(
            {endpoint, expected, false, 20ms, 500ms, token_life},
            [this](const SpotNotice& notice) {
              const std::lock_guard lock(mutex);
              notices.push_back((notice.kind == SpotNotice::Kind::kRebalance ? "rebalance" : notice.action) + " " +
                                notice.time);
            },
            [this](const std::string& line) {
              const std::lock_guard lock(mutex);
              warnings.push_back(line);
            }) {}

  static bool wait_until(const std::function<bool()>& condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }
  std::vector<std::string> get(const std::vector<std::string>& list) {
    const std::lock_guard lock(mutex);
    return list;
  }

  std::mutex mutex;
  std::vector<std::string> notices, warnings;
  SpotNoticeWatcher watcher;
};

TEST(SpotNoticeWatcher, TellsOfAnInterruptionOnceAndEnds) {
  FakeService service;
  Watched watched(service.endpoint());
  ASSERT_TRUE(Watched::wait_until([&] { return service.requests() > 5; }));
  EXPECT_THAT(watched.get(watched.notices), IsEmpty());
  service.set("spot/instance-action", R"({"action": "terminate", "time": "2026-11-23T10:20:30Z"})");
  ASSERT_TRUE(Watched::wait_until([&] { return !watched.get(watched.notices).empty(); }));
  const int requests = service.requests();
  std::this_thread::sleep_for(100ms);
  EXPECT_THAT(watched.get(watched.notices), ElementsAre("terminate 2026-11-23T10:20:30Z"));
  EXPECT_EQ(service.requests(), requests);
}

TEST(SpotNoticeWatcher, TellsOfARebalanceHintOnceAndGoesOnWatching) {
  FakeService service;
  service.set("events/recommendations/rebalance", R"({"noticeTime": "2026-11-23T10:00:00Z"})");
  Watched watched(service.endpoint());
  ASSERT_TRUE(Watched::wait_until([&] { return service.requests() > 10; }));
  EXPECT_THAT(watched.get(watched.notices), ElementsAre("rebalance 2026-11-23T10:00:00Z"));
  service.set("spot/instance-action", R"({"action": "stop", "time": "t"})");
  ASSERT_TRUE(Watched::wait_until([&] { return watched.get(watched.notices).size() == 2; }));
}

TEST(SpotNoticeWatcher, RenewsAForgottenToken) {
  FakeService service;
  Watched watched(service.endpoint());
  ASSERT_TRUE(Watched::wait_until([&] { return service.requests() > 3; }));
  EXPECT_EQ(service.tokens_given(), 1);
  service.forget_tokens();
  service.set("spot/instance-action", R"({"action": "terminate", "time": "t"})");
  ASSERT_TRUE(Watched::wait_until([&] { return !watched.get(watched.notices).empty(); }));
  EXPECT_EQ(service.tokens_given(), 2);
  EXPECT_THAT(watched.get(watched.warnings), IsEmpty());
}

TEST(SpotNoticeWatcher, RenewsATokenBeforeItsLifeIsOver) {
  FakeService service;
  Watched watched(service.endpoint(), true, 2s);
  ASSERT_TRUE(Watched::wait_until([&] { return service.tokens_given() >= 3; }));
  EXPECT_GT(service.requests(), 3 * service.tokens_given()) << "not one for every question";
  EXPECT_THAT(watched.get(watched.warnings), IsEmpty());
}

TEST(SpotNoticeWatcher, AnswersThatMakeNoSenseAreWarnedOfOnceAndSurvived) {
  FakeService service;
  service.set("spot/instance-action", "<html>");
  Watched watched(service.endpoint());
  ASSERT_TRUE(Watched::wait_until([&] { return service.requests() > 6; }));
  EXPECT_THAT(watched.get(watched.warnings), ElementsAre(HasSubstr("the interruption notice cannot be read")));
  service.set("spot/instance-action", R"({"action": "terminate", "time": "t"})");
  ASSERT_TRUE(Watched::wait_until([&] { return !watched.get(watched.notices).empty(); }));
}

TEST(SpotNoticeWatcher, AServiceThatRefusesIsWarnedOfWhereOneIsExpected) {
  FakeService service;
  service.deny(true);
  Watched watched(service.endpoint());
  ASSERT_TRUE(Watched::wait_until([&] { return service.requests() > 4; }));
  EXPECT_THAT(watched.get(watched.warnings), ElementsAre(HasSubstr("gives no answer")));
  service.deny(false);
  service.set("spot/instance-action", R"({"action": "terminate", "time": "t"})");
  ASSERT_TRUE(Watched::wait_until([&] { return !watched.get(watched.notices).empty(); }));
}

TEST(SpotNoticeWatcher, WhereThereIsNoServiceItEndsInSilence) {
  std::string endpoint;
  {
    FakeService gone;
    endpoint = gone.endpoint();
  }
  Watched watched(endpoint, /*expected=*/false);
  std::this_thread::sleep_for(300ms);
  EXPECT_THAT(watched.get(watched.warnings), IsEmpty());
  EXPECT_THAT(watched.get(watched.notices), IsEmpty());
}

TEST(SpotNoticeWatcher, EndsPromptlyWhileTheServiceIsSilent) {
  boost::asio::io_context context;
  // Accepts connections into its backlog and never answers.
  tcp::acceptor silent(context, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  const auto start = std::chrono::steady_clock::now();
  { Watched watched("http://127.0.0.1:" + std::to_string(silent.local_endpoint().port())); }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
}

TEST(SpotNoticeWatcher, EndpointsThatAreNoUrlAreRefused) {
  for (const char* endpoint : {"", "169.254.169.254", "https://host", "http://", "http://host:port"})
    EXPECT_ERROR(Watched(endpoint), imgpack::ErrorKind::kUsage, "expected http://HOST:PORT");
}

TEST(SpotWatchOptions, ComeFromTheEnvironment) {
  ::setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
  ::setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
  const SpotWatchOptions options = spot_watch_from_environment();
  EXPECT_EQ(options.endpoint, "http://127.0.0.1:1");
  EXPECT_TRUE(options.expected);
  EXPECT_TRUE(options.disabled);
  ::unsetenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  ::unsetenv("AWS_EC2_METADATA_DISABLED");
  EXPECT_FALSE(spot_watch_from_environment().expected);
}

}  // namespace
}  // namespace imgtrain
