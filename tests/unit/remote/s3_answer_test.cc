#include "format/remote/s3_answer.h"

#include <gtest/gtest.h>

#include "format/remote/object_store.h"

namespace imgpack::remote {
namespace {

TEST(S3Answer, AnErrorsCodeMessageAndRegion) {
  const auto error = parse_s3_error(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>PermanentRedirect</Code><Message>go &amp; ask "
      "there</Message><Region>eu-central-1</Region><RequestId>x</RequestId></Error>");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, "PermanentRedirect");
  EXPECT_EQ(error->message, "go & ask there");
  EXPECT_EQ(error->region, "eu-central-1");
  for (const char* text : {"", "<html><body>502</body></html>", "<Error>", "not XML"})
    EXPECT_FALSE(parse_s3_error(text)) << text;
}

TEST(S3Answer, AListingWithPagesAndFolders) {
  const auto listing = parse_s3_listing(
      "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>true</IsTruncated>"
      "<NextContinuationToken>a+b=</NextContinuationToken>"
      "<Contents><Key>p/x &lt;1&gt;.ipk</Key><Size>5368709120</Size></Contents>"
      "<Contents><Key>p/y</Key><Size>0</Size></Contents>"
      "<CommonPrefixes><Prefix>p/deeper/</Prefix></CommonPrefixes></ListBucketResult>");
  ASSERT_TRUE(listing);
  ASSERT_EQ(listing->objects.size(), 2u);
  EXPECT_EQ(listing->objects[0].key, "p/x <1>.ipk");
  EXPECT_EQ(listing->objects[0].bytes, 5368709120u);
  EXPECT_EQ(listing->prefixes, std::vector<std::string>{"p/deeper/"});
  EXPECT_EQ(listing->next, "a+b=");
}

TEST(S3Answer, AListingThatIsNotWholeIsNone) {
  for (const char* text :
       {"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>", "<ListBucketResult>", "<Other/>"})
    EXPECT_FALSE(parse_s3_listing(text)) << text;
}

TEST(S3Answer, WhatBringsADoctypeIsNoAnswer) {
  EXPECT_FALSE(parse_s3_error(
      "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/hostname\">]><Error><Code>&e;</Code><Message>m</Message></Error>"));
  EXPECT_FALSE(parse_s3_error("<!DOCTYPE x [<!ENTITY e \"inside\">]><Error><Code>&e;</Code></Error>"));
  EXPECT_FALSE(parse_s3_error("<!DOCTYPE Error><Error><Code>c</Code></Error>"));
}

TEST(S3Answer, UploadsBeginAndEnd) {
  EXPECT_EQ(parse_upload_id("<InitiateMultipartUploadResult><UploadId>id.1</UploadId></InitiateMultipartUploadResult>"),
            "id.1");
  EXPECT_FALSE(parse_upload_id("<InitiateMultipartUploadResult/>"));
  EXPECT_EQ(parse_completed_etag("<CompleteMultipartUploadResult><ETag>\"e-2\"</ETag></CompleteMultipartUploadResult>"),
            "\"e-2\"");
  EXPECT_FALSE(parse_completed_etag("<Error><Code>InternalError</Code></Error>"));
  EXPECT_EQ(escape_xml("\"a&b<c>\""), "&quot;a&amp;b&lt;c&gt;&quot;");
}

TEST(ContentRange, IsReadInAllItsForms) {
  const auto range = parse_content_range("bytes 5-9/1234");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 5u);
  EXPECT_EQ(range->last, 9u);
  EXPECT_EQ(range->total, 1234u);
  EXPECT_EQ(parse_content_range("bytes */0")->total, 0u);
  EXPECT_FALSE(parse_content_range("bytes 5-9/*")->total);
  for (const char* text : {"", "bytes", "bytes 5-9", "bytes 9-5/10", "bytes 5-/10", "bytes -5/10", "lines 1-2/3",
                           "bytes 5-9/12x", "bytes 99999999999999999999999-9/1"})
    EXPECT_FALSE(parse_content_range(text)) << text;
}

}  // namespace
}  // namespace imgpack::remote
