#include "format/remote/remote_url.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace imgpack::remote {
namespace {

TEST(RemoteUrl, SplitsBucketAndKeyAndDropsSlashesAtTheEnds) {
  const RemoteUrl url = parse_remote_url("s3://my-bucket//data sets/imagenet.shards/");
  EXPECT_EQ(url.scheme, Scheme::kS3);
  EXPECT_EQ(url.host, "my-bucket");
  EXPECT_EQ(url.path, "data sets/imagenet.shards");
  EXPECT_EQ(parse_remote_url("S3://bucket").path, "");
  const RemoteUrl web = parse_remote_url("https://example.org:8443/a/b%20c/");
  EXPECT_EQ(web.scheme, Scheme::kHttps);
  EXPECT_EQ(web.host, "example.org:8443");
  EXPECT_EQ(web.path, "a/b%20c");
}

TEST(RemoteUrl, APathStaysWhatItWasGivenWhenAFileNameIsAppended) {
  const std::filesystem::path folder = "s3://bucket/prefix";
  EXPECT_TRUE(is_remote(folder));
  EXPECT_EQ((folder / "manifest.json").native(), "s3://bucket/prefix/manifest.json");
  EXPECT_EQ((folder / "manifest.json").filename(), "manifest.json");
  EXPECT_FALSE(is_remote("/mnt/s3:/bucket"));
  EXPECT_FALSE(is_remote("s3:/bucket"));
  EXPECT_FALSE(is_remote("gs://bucket"));
}

TEST(RemoteUrl, RefusesWhatIsNone) {
  for (const char* text :
       {"gs://bucket/x", "s3://", "s3:///key", "https:///path", "s3://a/b", "s3://../key", "s3://b%20cd/k",
        "https://host/path?list=1", "https://host/path#part", "s3://bucket/a\nb", "ftp://host/x"})
    EXPECT_ERROR(parse_remote_url(text), ErrorKind::kUsage, "");
}

TEST(RemoteUrl, NeverRepeatsAPassword) {
  try {
    parse_remote_url("https://user:secret@host/path");
    FAIL() << "was taken";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos);
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  }
}

TEST(RemoteUrl, KeysAreEncodedAsSignatureVersion4WantsThem) {
  EXPECT_EQ(percent_encode("a b/c+d~e=ü", true), "a%20b/c%2Bd~e%3D%C3%BC");
  EXPECT_EQ(percent_encode("a/b", false), "a%2Fb");
  EXPECT_EQ(encode_given_path("a b%20c/d\"e"), "a%20b%20c/d%22e");
}

}  // namespace
}  // namespace imgpack::remote
