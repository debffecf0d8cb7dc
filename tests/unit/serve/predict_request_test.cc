#include "engine/serve/predict_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/base64.h"

namespace imgtrain::serve {
namespace {

using testing::HasSubstr;

RequestLimits limits() {
  RequestLimits limits;
  limits.images = 3;
  limits.classes = 10;
  return limits;
}

std::variant<PredictRequest, Refusal> parse(const std::string& type, const std::string& body,
                                            std::vector<std::pair<std::string, std::string>> parameters = {},
                                            const RequestLimits& within = limits()) {
  HttpQuery query{"POST", "/v1/predict", type, body, std::move(parameters)};
  return parse_predict_request(query, within);
}

PredictRequest taken(const std::variant<PredictRequest, Refusal>& parsed) {
  if (const Refusal* refusal = std::get_if<Refusal>(&parsed)) ADD_FAILURE() << refusal->detail;
  return std::holds_alternative<PredictRequest>(parsed) ? std::get<PredictRequest>(parsed) : PredictRequest();
}

void expect_refused(unsigned status, const std::string& detail, const std::variant<PredictRequest, Refusal>& parsed) {
  const Refusal* refusal = std::get_if<Refusal>(&parsed);
  ASSERT_NE(refusal, nullptr) << "expected a refusal: " << detail;
  EXPECT_EQ(refusal->status, status) << refusal->detail;
  EXPECT_THAT(refusal->detail, HasSubstr(detail));
}

TEST(PredictRequest, ABodyOfBytesIsOneImage) {
  const PredictRequest request = taken(parse("Image/JPEG; q=1", "bytes", {{"top", "3"}}));
  EXPECT_THAT(request.images, testing::ElementsAre("bytes"));
  EXPECT_EQ(request.top, 3u);
}

TEST(PredictRequest, JsonHoldsSeveralImagesAsBase64) {
  const std::string body =
      R"({"images": [")" + imgpack::to_base64("first") + R"(", ")" + imgpack::to_base64("2") + R"("], "top": 2})";
  const PredictRequest request = taken(parse("application/json; charset=utf-8", body));
  EXPECT_THAT(request.images, testing::ElementsAre("first", "2"));
  EXPECT_EQ(request.top, 2u);
}

TEST(PredictRequest, WithoutAWishForTopThereAreFiveOrAllClasses) {
  EXPECT_EQ(taken(parse("image/png", "x")).top, 5u);
  RequestLimits two = limits();
  two.classes = 2;
  EXPECT_EQ(taken(parse("image/png", "x", {}, two)).top, 2u);
}

TEST(PredictRequest, WhatIsWrongIsRefusedWithAStatusAndItsReason) {
  expect_refused(415, "found no Content-Type", parse("", "x"));
  expect_refused(415, "found 'text/html'", parse("text/html", "x"));
  expect_refused(400, "found nothing", parse("image/png", ""));
  expect_refused(400, "from 1 to 10, found '11'", parse("image/png", "x", {{"top", "11"}}));
  expect_refused(400, "found '0'", parse("image/png", "x", {{"top", "0"}}));
  expect_refused(400, "found '3x'", parse("image/png", "x", {{"top", "3x"}}));
  expect_refused(400, "found ''", parse("image/png", "x", {{"top", ""}}));
  expect_refused(400, "unknown parameter 'tpo'", parse("image/png", "x", {{"tpo", "1"}}));
}

TEST(PredictRequest, JsonThatIsNotWhatItMustBeIsRefused) {
  expect_refused(400, "no JSON", parse("application/json", "{"));
  expect_refused(400, "no JSON", parse("application/json", std::string(200, '[')));
  expect_refused(400, "expected a JSON object", parse("application/json", "[]"));
  expect_refused(400, "expected an array", parse("application/json", "{}"));
  expect_refused(400, "expected an array", parse("application/json", R"({"images": "eA=="})"));
  expect_refused(400, "expected 1 to 3", parse("application/json", R"({"images": []})"));
  expect_refused(400, "expected 1 to 3", parse("application/json", R"({"images": ["eA==","eA==","eA==","eA=="]})"));
  std::string many = R"({"images": [1)";
  for (int i = 0; i < 100'000; ++i) many += ",1";
  expect_refused(400, "expected at most 3 of them, found more", parse("application/json", many + "]}"));
  expect_refused(400, "images[1]", parse("application/json", R"({"images": ["eA==", "e"]})"));
  expect_refused(400, "images[0]", parse("application/json", R"({"images": [7]})"));
  expect_refused(400, "top: expected", parse("application/json", R"({"images": ["eA=="], "top": 1.5})"));
  expect_refused(400, "unknown key 'tpo'", parse("application/json", R"({"images": ["eA=="], "tpo": 1})"));
}

TEST(PredictRequest, AnExplanationIsOfOneImageAndMaybeAClass) {
  RequestLimits explain = limits();
  explain.explain = true;
  EXPECT_EQ(taken(parse("image/png", "x", {{"class", "9"}}, explain)).label, 9);
  EXPECT_FALSE(taken(parse("image/png", "x", {}, explain)).label);
  expect_refused(400, "from 0 to 9", parse("image/png", "x", {{"class", "10"}}, explain));
  expect_refused(400, "from 0 to 9", parse("image/png", "x", {{"class", "-1"}}, explain));
  expect_refused(400, "unknown parameter 'top'", parse("image/png", "x", {{"top", "1"}}, explain));
  expect_refused(415, "found 'application/json'", parse("application/json", "{}", {}, explain));
}

TEST(HttpTarget, PathAndQueryAreDecoded) {
  HttpQuery query;
  ASSERT_TRUE(split_target("/a%20b/c?x=1&y=%3D&z", query));
  EXPECT_EQ(query.path, "/a b/c");
  ASSERT_EQ(query.parameters.size(), 3u);
  EXPECT_EQ(query.parameters[1], (std::pair<std::string, std::string>("y", "=")));
  EXPECT_EQ(query.parameters[2], (std::pair<std::string, std::string>("z", "")));
}

TEST(HttpTarget, WhatIsNoPathIsRefused) {
  HttpQuery query;
  for (const char* target : {"", "*", "relative", "http://host/x", "/%zz", "/a b", "/a?%"})
    EXPECT_FALSE(split_target(target, query)) << target;
}

}  // namespace
}  // namespace imgtrain::serve
