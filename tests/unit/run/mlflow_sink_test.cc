// The sink against a small server in this process; tests/parity/test_sinks.py has the real one.
#include "engine/train/run/mlflow_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"

namespace imgtrain {
namespace {

using namespace std::chrono_literals;
namespace http = boost::beast::http;
using boost::asio::ip::tcp;
using imgpack::test::MemoryFileSystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Knows no experiment until one is made; remembers every call as `METHOD target body`.
class FakeMlflow {
 public:
  FakeMlflow() : acceptor_(context_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)) {
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeMlflow() {
    ending_ = true;
    boost::system::error_code ignored;
    tcp::socket wake(context_);
    wake.connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
  }
  std::string uri() const { return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }
  std::vector<std::string> calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  std::atomic<int> failures{0};  // So many next calls are answered with 500.
  std::atomic<bool> refuse_metrics{false};

 private:
  void serve() {
    while (true) {
      boost::system::error_code failure;
      tcp::socket socket(context_);
      acceptor_.accept(socket, failure);
      if (ending_ || failure) return;
      boost::beast::flat_buffer buffer;
      http::request<http::string_body> request;
      http::read(socket, buffer, request, failure);
      if (failure) continue;
      http::response<http::string_body> response = answer(request);
      response.prepare_payload();
      http::write(socket, response, failure);
    }
  }
  http::response<http::string_body> answer(const http::request<http::string_body>& request) {
    const std::string target(request.target());
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(std::string(request.method_string()) + " " + target + " " + request.body());
    }
    http::response<http::string_body> response(http::status::ok, 11);
    response.body() = "{}";
    if (failures > 0) {
      --failures;
      response.result(http::status::internal_server_error);
    } else if (target.find("get-by-name") != std::string::npos) {
      response.result(http::status::not_found);
      response.body() = R"({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"})";
    } else if (target.find("experiments/create") != std::string::npos) {
      response.body() = R"({"experiment_id": "7"})";
    } else if (target.find("runs/create") != std::string::npos) {
      response.body() = R"({"run": {"info": {"run_id": "abc"}}})";
    } else if (refuse_metrics && request.body().find("metrics") != std::string::npos) {
      response.result(http::status::bad_request);
      response.body() = R"({"message": "bad metric"})";
    }
    return response;
  }

  boost::asio::io_context context_;
  tcp::acceptor acceptor_;
  std::thread thread_;
  std::atomic<bool> ending_{false};
  std::mutex mutex_;
  std::vector<std::string> calls_;
};

struct Sending {
  FakeMlflow server;
  MemoryFileSystem fs;
  std::mutex mutex;
  std::vector<std::string> warnings;

  Sending() { fs.make_directories("/run"); }
  MlflowOptions options() {
    MlflowOptions options;
    options.uri = server.uri();
    options.experiment = "image net";
    options.run_name = "r1";
    options.parameters = {{"lr", "0.1"}};
    options.record = "/run/mlflow.json";
    options.retry = 20ms;
    return options;
  }
  std::unique_ptr<MlflowSink> sink() {
    return std::make_unique<MlflowSink>(fs, options(), [this](const std::string& line) {
      const std::lock_guard lock(mutex);
      warnings.push_back(line);
    });
  }
};

TEST(MlflowSink, MakesExperimentAndRunAndSendsParametersMetricsAndStatus) {
  Sending sending;
  {
    const auto sink = sending.sink();
    sink->log({{"val/accuracy", 75.5, 1700, 12}});
    sink->finish("FINISHED");
  }
  const auto calls = sending.server.calls();
  ASSERT_GE(calls.size(), 5u);
  EXPECT_THAT(calls[0], HasSubstr("GET /api/2.0/mlflow/experiments/get-by-name?experiment_name=image%20net"));
  EXPECT_THAT(calls[1], HasSubstr(R"("name": "image net")"));
  EXPECT_THAT(calls[2], HasSubstr(R"("experiment_id": "7", "run_name": "r1")"));
  EXPECT_THAT(calls[3], HasSubstr(R"("params": [{"key": "lr", "value": "0.1"}])"));
  EXPECT_THAT(calls[4], HasSubstr(R"("key": "val/accuracy", "value":)"));
  EXPECT_THAT(calls.back(), HasSubstr(R"("status": "FINISHED")"));
  EXPECT_THAT(sending.fs.bytes("/run/mlflow.json"), HasSubstr(R"("run_id": "abc")"));
  EXPECT_THAT(sending.warnings, IsEmpty());
}

TEST(MlflowSink, AResumedRunGoesOnWithTheSameOne) {
  Sending sending;
  { sending.sink()->log({{"a", 1, 1, 1}}); }
  const size_t before = sending.server.calls().size();
  { sending.sink()->log({{"a", 2, 2, 2}}); }
  const auto calls = sending.server.calls();
  ASSERT_EQ(calls.size(), before + 2);
  EXPECT_THAT(calls[before], HasSubstr(R"("run_id": "abc", "status": "RUNNING")"));
  EXPECT_THAT(calls[before + 1], HasSubstr(R"("key": "a")"));
}

TEST(MlflowSink, AServerThatFailsForAWhileGetsEverythingLater) {
  Sending sending;
  sending.server.failures = 3;
  const auto sink = sending.sink();
  sink->log({{"a", 1, 1, 1}});
  const auto arrived = [&] {
    const auto calls = sending.server.calls();
    return !calls.empty() && calls.back().find(R"("key": "a")") != std::string::npos;
  };
  for (int i = 0; i < 500; ++i) {
    if (arrived()) break;
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_TRUE(arrived());
  const std::lock_guard lock(sending.mutex);
  EXPECT_THAT(sending.warnings, ElementsAre(HasSubstr("status 500")));
}

TEST(MlflowSink, WhatTheServerRefusesIsDroppedAndTheRestGoesOn) {
  Sending sending;
  sending.server.refuse_metrics = true;
  {
    const auto sink = sending.sink();
    sink->log({{"a", 1, 1, 1}});
    sink->finish("KILLED");
  }
  EXPECT_THAT(sending.warnings, ElementsAre(HasSubstr("bad metric")));
}

TEST(MlflowSink, NoServerCostsOneWarningAndNoTime) {
  Sending sending;
  MlflowOptions options = sending.options();
  options.uri = "http://127.0.0.1:1";
  std::vector<std::string> warnings;
  {
    MlflowSink sink(sending.fs, options, [&](const std::string& line) { warnings.push_back(line); });
    for (int i = 0; i < 10; ++i) sink.log({{"a", 1, 1, 1}});
  }
  EXPECT_THAT(warnings, SizeIs(1));
}

TEST(MlflowSink, AUriThatIsNoneIsAUsageError) {
  MemoryFileSystem fs;
  MlflowOptions options;
  options.uri = "mlruns";
  EXPECT_ERROR(MlflowSink(fs, options, {}), imgpack::ErrorKind::kUsage, "expected http://HOST:PORT");
}

}  // namespace
}  // namespace imgtrain
