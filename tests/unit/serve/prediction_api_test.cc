#include "engine/serve/prediction_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <future>

#include "format/base64.h"
#include "tests/unit/serve/fake_service.h"

namespace imgtrain::serve {
namespace {

using testing::HasSubstr;
using testing::Not;

class PredictionApiTest : public testing::Test {
 protected:
  std::future<HttpReply> send(HttpQuery query) {
    auto promise = std::make_shared<std::promise<HttpReply>>();
    api_->handle(std::move(query), [promise](HttpReply reply) { promise->set_value(std::move(reply)); });
    return promise->get_future();
  }
  HttpReply get(const std::string& path, const std::string& method = "GET") {
    return send({method, path, "", "", {}}).get();
  }
  HttpReply predict(const std::string& image, const std::string& type = "image/jpeg") {
    return send({"POST", "/v1/predict", type, image, {}}).get();
  }
  void start(size_t queue = 8) {
    ApiOptions options;
    options.queue = queue;
    options.batch.max_delay = std::chrono::microseconds(0);
    options.decode_threads = 2;
    options.examples = {{"a cat", "image/jpeg", "cat bytes"}};
    api_ = std::make_unique<PredictionApi>(service_, metrics_, options);
  }

  FakeService service_;
  ServerMetrics metrics_;
  std::unique_ptr<PredictionApi> api_;
};

TEST_F(PredictionApiTest, AnImageGetsItsGuessesAndTimes) {
  start();
  const HttpReply reply = predict("abc");
  ASSERT_EQ(reply.status, 200u) << reply.body;
  const boost::json::value value = boost::json::parse(reply.body);
  EXPECT_EQ(value.at("model").as_string(), "fake18");
  const auto& guesses = value.at("predictions").at(0).at("guesses").as_array();
  ASSERT_EQ(guesses.size(), 5u);
  EXPECT_EQ(guesses[0].at("index").as_int64(), 3);
  EXPECT_EQ(guesses[0].at("wnid").as_string(), "n00000003");
  for (const char* key : {"decode", "wait", "model", "total"})
    EXPECT_GE(value.at("milliseconds").at(key).to_number<double>(), 0);
}

TEST_F(PredictionApiTest, ABatchIsAnsweredInTheOrderOfItsImages) {
  start();
  std::string body = R"({"top": 1, "images": [)";
  for (size_t i = 1; i <= 6; ++i) body += (i > 1 ? ",\"" : "\"") + imgpack::to_base64(std::string(i, 'x')) + "\"";
  const HttpReply reply = predict(body + "]}", "application/json");
  ASSERT_EQ(reply.status, 200u) << reply.body;
  const auto value = boost::json::parse(reply.body);
  const auto& predictions = value.at("predictions").as_array();
  ASSERT_EQ(predictions.size(), 6u);
  for (size_t i = 0; i < 6; ++i)
    EXPECT_EQ(predictions[i].at("guesses").at(0).at("index").as_int64(), static_cast<int64_t>(i + 1));
}

TEST_F(PredictionApiTest, WhatIsNoImageIs422AndNamesWhichOneItWas) {
  start();
  EXPECT_EQ(predict("bad").status, 422u);
  const std::string body =
      R"({"images": [")" + imgpack::to_base64("good") + R"(",")" + imgpack::to_base64("bad") + R"("]})";
  const HttpReply reply = predict(body, "application/json");
  EXPECT_EQ(reply.status, 422u);
  EXPECT_EQ(reply.content_type, "application/problem+json");
  EXPECT_THAT(reply.body, HasSubstr("images[1]: not an image"));
}

TEST_F(PredictionApiTest, AFailureOfTheModelIs500AndTheNextRequestIsAnswered) {
  start();
  EXPECT_EQ(predict("broken").status, 500u);
  EXPECT_EQ(predict("fine").status, 200u);
}

TEST_F(PredictionApiTest, BeyondTheQueueRequestsAreTurnedAwayAndToldToComeAgain) {
  start(2);
  service_.shut();
  auto first = send({"POST", "/v1/predict", "image/jpeg", "a", {}});
  service_.wait_until_waiting();
  auto second = send({"POST", "/v1/predict", "image/jpeg", "bb", {}});
  HttpReply third;
  // The second may still be on its way into the queue when the third comes: one of the later ones is turned away.
  for (int i = 0; i < 100 && third.status != 503; ++i) {
    auto answer = send({"POST", "/v1/predict", "image/jpeg", "bad", {}});
    third = answer.get();
  }
  EXPECT_EQ(third.status, 503u);
  ASSERT_EQ(third.headers.size(), 1u);
  EXPECT_EQ(third.headers[0].first, "Retry-After");
  service_.open();
  EXPECT_EQ(first.get().status, 200u);
  EXPECT_EQ(second.get().status, 200u);
  EXPECT_EQ(predict("after").status, 200u) << "places are given back";
  EXPECT_THAT(metrics_.text(""), HasSubstr("imgtrain_queue_images 0\n"));
}

TEST_F(PredictionApiTest, AnExplanationIsAPictureOfTheClassAskedFor) {
  start();
  const HttpReply reply = send({"POST", "/v1/explain", "image/jpeg", "abc", {{"class", "7"}}}).get();
  EXPECT_EQ(reply.status, 200u);
  EXPECT_EQ(reply.content_type, "image/png");
  EXPECT_EQ(reply.body, "picture of abc");
  EXPECT_EQ(reply.headers[0], (std::pair<std::string, std::string>("X-Class-Index", "7")));
}

TEST_F(PredictionApiTest, UnknownPathsAre404AndOtherMethods405WithAllow) {
  start();
  for (const char* path :
       {"/nothing", "/assets/", "/assets/../../etc/passwd", "/assets//etc/passwd", "/assets/page.css/", "//etc/passwd",
        "/examples/1", "/examples/-1", "/examples/0x", "/examples/", "/v1/predict/"})
    EXPECT_EQ(get(path).status, 404u) << path;
  const HttpReply reply = get("/v1/predict");
  EXPECT_EQ(reply.status, 405u);
  EXPECT_EQ(reply.headers[0], (std::pair<std::string, std::string>("Allow", "POST")));
  EXPECT_EQ(get("/", "DELETE").headers[0].second, "GET, HEAD");
}

TEST_F(PredictionApiTest, ThePageItsPartsAndItsExamplesComeFromTheProgram) {
  start();
  EXPECT_THAT(get("/").body, HasSubstr("<title>What is in the picture?"));
  EXPECT_EQ(get("/assets/page.js").content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(get("/examples/0").body, "cat bytes");
  EXPECT_THAT(get("/v1/model").body, HasSubstr("examples/0"));
}

TEST_F(PredictionApiTest, TheOpenApiDocumentKnowsTheModelsLimits) {
  start();
  const auto document = boost::json::parse(get("/openapi.json").body);
  const auto& parameters = document.at("paths").at("/v1/predict").at("post").at("parameters");
  EXPECT_EQ(parameters.at(0).at("schema").at("maximum").as_int64(), 10);
}

TEST_F(PredictionApiTest, MetricsCountImagesAndDescribeTheModel) {
  start();
  predict("abc");
  const std::string text = get("/metrics").body;
  EXPECT_THAT(text, HasSubstr("imgtrain_images_total 1\n"));
  EXPECT_THAT(text, HasSubstr("imgtrain_model_info{name=\"fake18\",weights=\"fake.safetensors\",device=\"cpu\"} 1\n"));
}

TEST(ServerMetrics, HistogramsAreCumulativeAndEndAtInfinity) {
  Histogram histogram({1, 2});
  for (const double value : {0.5, 1.0, 1.5, 9.0}) histogram.add(value);
  EXPECT_EQ(histogram.text("x", "a=\"b\""),
            "x_bucket{a=\"b\",le=\"1\"} 2\nx_bucket{a=\"b\",le=\"2\"} 3\nx_bucket{a=\"b\",le=\"+Inf\"} 4\n"
            "x_sum{a=\"b\"} 12\nx_count{a=\"b\"} 4\n");
}

}  // namespace
}  // namespace imgtrain::serve
