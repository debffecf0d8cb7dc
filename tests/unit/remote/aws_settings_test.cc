#include "format/remote/aws_settings.h"

#include <gmock/gmock.h>

#include "format/remote/aws_credentials.h"
#include "tests/support/expect_error.h"

namespace imgpack::remote {
namespace {

using testing::HasSubstr;

// Variables and files as a test writes them down.
struct World {
  std::map<std::string, std::string> variables{{"HOME", "/home/u"}}, files;

  AwsSettings settings() const { return aws_settings(surroundings()); }
  AwsSurroundings surroundings() const {
    return {[this](const std::string& name) -> std::optional<std::string> {
              const auto found = variables.find(name);
              if (found == variables.end() || found->second.empty()) return std::nullopt;
              return found->second;
            },
            [this](const std::filesystem::path& path) -> std::optional<std::string> {
              const auto found = files.find(path.string());
              if (found == files.end()) return std::nullopt;
              return found->second;
            }};
  }
};

constexpr const char* kCredentials = "/home/u/.aws/credentials";
constexpr const char* kConfig = "/home/u/.aws/config";

TEST(AwsSettings, WithoutAnythingThereAreNoKeysAndTheMachineIsAsked) {
  const AwsSettings settings = World{}.settings();
  EXPECT_FALSE(settings.keys);
  EXPECT_EQ(settings.region, "");
  EXPECT_EQ(settings.endpoint, "");
  EXPECT_EQ(settings.metadata_url, "http://169.254.169.254");
}

TEST(AwsSettings, TheEnvironmentComesBeforeTheFiles) {
  World world;
  world.variables["AWS_ACCESS_KEY_ID"] = "AKENV";
  world.variables["AWS_SECRET_ACCESS_KEY"] = "s";
  world.variables["AWS_SESSION_TOKEN"] = "t";
  world.variables["AWS_REGION"] = "eu-west-1";
  world.variables["AWS_DEFAULT_REGION"] = "eu-west-2";
  world.files[kCredentials] = "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = f\n";
  world.files[kConfig] = "[default]\nregion = us-west-2\n";
  const AwsSettings settings = world.settings();
  EXPECT_EQ(settings.keys, (AwsKeys{"AKENV", "s", "t"}));
  EXPECT_EQ(settings.keys_from, "the environment");
  EXPECT_EQ(settings.region, "eu-west-1");
}

TEST(AwsSettings, AProfileIsTakenFromBothFiles) {
  World world;
  world.variables["AWS_PROFILE"] = "train";
  world.files[kCredentials] =
      "# comment\n[default]\naws_access_key_id=no\naws_secret_access_key=no\n[train]\r\n"
      "aws_access_key_id = AK=1\r\nAWS_SECRET_ACCESS_KEY = a+/b=\r\n";
  world.files[kConfig] =
      "[profile train]\nregion = ap-south-1\nendpoint_url = http://store:9000/\ns3 =\n  region = nested\n";
  const AwsSettings settings = world.settings();
  EXPECT_EQ(settings.keys, (AwsKeys{"AK=1", "a+/b=", ""}));
  EXPECT_THAT(settings.keys_from, HasSubstr("profile train in /home/u/.aws/credentials"));
  EXPECT_EQ(settings.region, "ap-south-1");
  EXPECT_EQ(settings.endpoint, "http://store:9000");
}

TEST(AwsSettings, EndpointOfS3ComesBeforeThatOfAllServices) {
  World world;
  world.variables["AWS_ENDPOINT_URL"] = "https://all.example";
  EXPECT_EQ(world.settings().endpoint, "https://all.example");
  world.variables["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:9000";
  EXPECT_EQ(world.settings().endpoint, "http://127.0.0.1:9000");
  for (const char* wrong : {"store:9000", "ftp://x", "http://", "http://user@host"}) {
    world.variables["AWS_ENDPOINT_URL_S3"] = wrong;
    EXPECT_ERROR(world.settings(), ErrorKind::kUsage, "AWS_ENDPOINT_URL_S3");
  }
}

TEST(AwsSettings, HalfAPairOfKeysAndAMissingProfileAreErrors) {
  World half;
  half.variables["AWS_ACCESS_KEY_ID"] = "AK";
  EXPECT_ERROR(half.settings(), ErrorKind::kUsage, "half a pair");
  World missing;
  missing.variables["AWS_PROFILE"] = "nowhere";
  EXPECT_ERROR(missing.settings(), ErrorKind::kUsage, "'nowhere'");
}

TEST(AwsSettings, KeysThatWouldBeginAnotherHeaderAreRefused) {
  World world;
  world.variables["AWS_ACCESS_KEY_ID"] = "AK";
  world.variables["AWS_SECRET_ACCESS_KEY"] = "s";
  world.variables["AWS_SESSION_TOKEN"] = "t\r\nX-Other: 1";
  EXPECT_ERROR(world.settings(), ErrorKind::kUsage, "session token");
}

TEST(AwsSettings, WhatIsNotReadHereIsNamed) {
  World world;
  world.files[kConfig] = "[default]\nsso_start_url = https://x\n";
  EXPECT_THAT(world.settings().unsupported, HasSubstr("sso_start_url of profile default"));
}

TEST(AwsSettings, AContainersTokenOnlyGoesWhereAwsWouldSendIt) {
  World world;
  world.variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/creds";
  EXPECT_EQ(world.settings().container_url, "http://169.254.170.2/v2/creds");
  world.variables.erase("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  world.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:1/x";
  world.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = "/token";
  for (const char* elsewhere : {"http://example.org/x", "http://127.0.0.1.example.org/x",
                                "http://127.0.0.1@example.org/", "http://127.0.0.1:1@example.org/"}) {
    world.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = elsewhere;
    EXPECT_ERROR(world.settings(), ErrorKind::kUsage, elsewhere);
  }
}

TEST(AwsSettings, AContainersTokenIsReadAnewEachTimeItIsSent) {
  World world;
  world.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:1/x";
  world.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = "/token";
  world.files["/token"] = "Bearer abc\n";
  const AwsSettings settings = world.settings();
  EXPECT_EQ(container_authorization(settings, world.surroundings()), "Bearer abc");
  world.files["/token"] = "Bearer def\n";
  EXPECT_EQ(container_authorization(settings, world.surroundings()), "Bearer def");
}

TEST(AwsSettings, AContainersTokenThatWouldBeginAnotherHeaderIsRefused) {
  World world;
  world.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:1/x";
  for (const char* token : {"abc\r\nX-Other: 1", "abc\x01", "abc\x7f"}) {
    world.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = token;
    EXPECT_ERROR(container_authorization(world.settings(), world.surroundings()), ErrorKind::kUsage, "one line");
    world.files["/token"] = token;
    World file = world;
    file.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = "/token";
    EXPECT_ERROR(container_authorization(file.settings(), file.surroundings()), ErrorKind::kUsage, "one line");
  }
}

TEST(AwsSettings, TheMachinesServiceCanBeMovedAndSwitchedOff) {
  World world;
  world.variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://[fd00:ec2::254]/";
  EXPECT_EQ(world.settings().metadata_url, "http://[fd00:ec2::254]");
  world.variables["AWS_EC2_METADATA_DISABLED"] = "TRUE";
  EXPECT_EQ(world.settings().metadata_url, "");
}

TEST(RoleCredentials, AreReadFromTheServicesAnswer) {
  const auto found = parse_role_credentials(
      R"({"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"s","Token":"t","Expiration":"2026-11-29T19:30:00Z"})");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->keys, (AwsKeys{"ASIA", "s", "t"}));
  EXPECT_EQ(found->expires, 1795980600);
}

TEST(RoleCredentials, AnythingElseIsNone) {
  for (const char* text :
       {"", "no role", "[]", "{}", R"({"AccessKeyId":"A"})", R"({"AccessKeyId":"A\n","SecretAccessKey":"s"})",
        R"({"AccessKeyId":1,"SecretAccessKey":"s"})"})
    EXPECT_FALSE(parse_role_credentials(text)) << text;
}

TEST(UtcTime, IsAwsOwnFormAlone) {
  EXPECT_EQ(parse_utc_time("1970-01-02T00:00:01Z"), 86401);
  for (const char* text : {"", "1970-01-02", "1970-01-02T00:00:01", "1970-01-02T00:00:01+02:00"})
    EXPECT_FALSE(parse_utc_time(text)) << text;
}

}  // namespace
}  // namespace imgpack::remote
