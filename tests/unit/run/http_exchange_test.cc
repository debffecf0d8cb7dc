#include "engine/train/run/http_exchange.h"

#include <gtest/gtest.h>

namespace imgtrain {
namespace {

TEST(HttpEndpoint, ReadsHostAndPort) {
  const auto plain = parse_http_endpoint("http://localhost");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->host, "localhost");
  EXPECT_EQ(plain->port, "80");
  const auto numbered = parse_http_endpoint("http://127.0.0.1:5000/");
  ASSERT_TRUE(numbered);
  EXPECT_EQ(numbered->port, "5000");
  const auto six = parse_http_endpoint("http://[::1]:8080");
  ASSERT_TRUE(six);
  EXPECT_EQ(six->host, "::1");
  EXPECT_EQ(six->port, "8080");
}

TEST(HttpEndpoint, AnythingElseIsNone) {
  for (const char* url :
       {"", "localhost:80", "https://a", "http://", "http://:80", "http://a:", "http://a:b", "http://a/b"})
    EXPECT_FALSE(parse_http_endpoint(url)) << url;
}

TEST(HttpExchange, NobodyThereIsNoAnswer) {
  EXPECT_FALSE(http_exchange({"127.0.0.1", "1"}, {"GET", "/", {}, {}}, std::chrono::milliseconds(500), 1000));
}

}  // namespace
}  // namespace imgtrain
