// The XML that S3 answers with, read with libxml2: no network, no entities, bounded by the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imgpack::remote {

struct S3Error {
  std::string code;     // `NoSuchKey`
  std::string message;  // For people.
  std::string region;   // Where the bucket is, if the answer says so.
};
std::optional<S3Error> parse_s3_error(std::string_view xml);  // nullopt: no <Error>.

struct S3Listed {
  std::string key;
  uint64_t bytes = 0;
};
struct S3Listing {
  std::vector<S3Listed> objects;
  std::vector<std::string> prefixes;  // Of what lies deeper, each with its slash.
  std::string next;                   // Token of the following page; empty: this was the last.
};
std::optional<S3Listing> parse_s3_listing(std::string_view xml);  // nullopt: no <ListBucketResult>.

std::optional<std::string> parse_upload_id(std::string_view xml);
// Of CompleteMultipartUpload, whose status 200 may hold an error: nullopt.
std::optional<std::string> parse_completed_etag(std::string_view xml);

std::string escape_xml(std::string_view text);

}  // namespace imgpack::remote
