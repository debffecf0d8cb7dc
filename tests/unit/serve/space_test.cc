#include "engine/serve/space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <map>

#include "engine/serve/examples.h"
#include "engine/serve/lambda_runtime.h"
#include "format/error.h"

namespace imgtrain::serve {
namespace {

using testing::HasSubstr;
using testing::Not;

std::map<std::string, std::string> files(const SpaceDescription& space) {
  std::map<std::string, std::string> out;
  for (auto& [name, text] : space_files(space)) out[name] = text;
  return out;
}

TEST(Space, TheFrontMatterNamesThePortThatTheStartCommandListensOn) {
  auto made = files({"my \"model\"\n", "resnet18.safetensors", "# Card\n", "example.org/imgtrain:0.1.0", false});
  EXPECT_THAT(made["README.md"], testing::StartsWith("---\ntitle: \"my \\\"model\\\"\\n\"\n"));
  EXPECT_THAT(made["README.md"], HasSubstr("\nsdk: docker\napp_port: 7860\n"));
  EXPECT_THAT(made["README.md"], testing::EndsWith("---\n\n# Card\n"));
  EXPECT_THAT(made["Dockerfile"], HasSubstr("ARG IMGTRAIN_IMAGE=example.org/imgtrain:0.1.0\nFROM ${IMGTRAIN_IMAGE}\n"));
  EXPECT_THAT(made["Dockerfile"], HasSubstr("CMD [\"serve\", \"/space/model/resnet18.safetensors\", \"--address\", "
                                            "\"0.0.0.0\", \"--port\", \"7860\"]\n"));
  EXPECT_THAT(made["Dockerfile"], Not(HasSubstr("examples")));
  EXPECT_THAT(made[".gitattributes"], HasSubstr("*.safetensors filter=lfs"));
}

TEST(Space, ExamplesAreCopiedAndShown) {
  auto made = files({"t", "w.safetensors", "", "imgtrain", true});
  EXPECT_THAT(made["Dockerfile"], HasSubstr("COPY --chown=1000:1000 examples /space/examples\n"));
  EXPECT_THAT(made["Dockerfile"], HasSubstr("\"--examples\", \"/space/examples\"]\n"));
}

TEST(Space, NoLicenceIsClaimedForWeightsOfWhoeverTheyAre) {
  EXPECT_THAT(files({"t", "w", "# Card\n", "imgtrain", false})["README.md"], Not(HasSubstr("license")));
}

TEST(Space, ExamplesOfOneNameGetFilesOfTheirOwn) {
  const auto names = example_file_names({{"cat", "image/jpeg", "1"},
                                         {"cat", "image/png", "2"},
                                         {"cat", "image/jpeg", "3"},
                                         {"cat-2", "image/jpeg", "4"}});
  EXPECT_THAT(names, testing::ElementsAre("cat.jpg", "cat.png", "cat-2.jpg", "cat-2-2.jpg"));
}

TEST(Space, AnImageNameThatWouldAddLinesIsRefused) {
  for (const char* image : {"", "a b", "a\nRUN x", "a$b", "a\"b"})
    EXPECT_THROW(files({"t", "w", "", image, false}), imgpack::Error) << image;
}

TEST(LambdaEvent, AFunctionUrlsEventIsARequest) {
  const auto event = boost::json::value({{"rawPath", "/v1/predict"},
                                         {"rawQueryString", "top=2"},
                                         {"headers", {{"content-type", "image/png"}}},
                                         {"requestContext", {{"http", {{"method", "POST"}}}}},
                                         {"body", "eHk="},
                                         {"isBase64Encoded", true}});
  const auto asked = query_of_event(event);
  ASSERT_TRUE(asked);
  const HttpQuery* query = std::get_if<HttpQuery>(&*asked);
  ASSERT_NE(query, nullptr);
  EXPECT_EQ(query->method, "POST");
  EXPECT_EQ(query->path, "/v1/predict");
  EXPECT_EQ(query->content_type, "image/png");
  EXPECT_EQ(query->body, "xy");
  ASSERT_EQ(query->parameters.size(), 1u);
  EXPECT_EQ(query->parameters[0].second, "2");
}

TEST(LambdaEvent, ABodyThatIsNoBase64ThoughTheEventSaysSoIsRefused) {
  const auto event = boost::json::value({{"rawPath", "/v1/predict"},
                                         {"requestContext", {{"http", {{"method", "POST"}}}}},
                                         {"body", "e*k="},
                                         {"isBase64Encoded", true}});
  const auto asked = query_of_event(event);
  ASSERT_TRUE(asked);
  const Refusal* refusal = std::get_if<Refusal>(&*asked);
  ASSERT_NE(refusal, nullptr);
  EXPECT_EQ(refusal->status, 400u);
}

TEST(LambdaEvent, AnythingElseIsNone) {
  for (const char* text :
       {"7", "{}", "[]", R"({"requestContext": 7})", R"({"requestContext": {}})", R"({"images": ["eA=="]})"})
    EXPECT_FALSE(query_of_event(boost::json::parse(text))) << text;
}

TEST(LambdaEvent, AnswersThatAreNoTextGoBackAsBase64) {
  HttpReply picture;
  picture.content_type = "image/png";
  picture.body = "xy";
  picture.headers = {{"X-Class-Index", "7"}};
  const auto answer = boost::json::parse(event_answer(picture));
  EXPECT_EQ(answer.at("body").as_string(), "eHk=");
  EXPECT_TRUE(answer.at("isBase64Encoded").as_bool());
  EXPECT_EQ(answer.at("headers").at("X-Class-Index").as_string(), "7");
}

}  // namespace
}  // namespace imgtrain::serve
