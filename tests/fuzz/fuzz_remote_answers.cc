// Any bytes as what servers and AWS's files say: S3's XML, ranges, dates, a role's keys, a profile.
#include <cstdlib>
#include <string>

#include "format/remote/aws_credentials.h"
#include "format/remote/object_store.h"
#include "format/remote/s3_answer.h"
#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace remote = imgpack::remote;
  const std::string text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(remote::parse_s3_error(text));
  static_cast<void>(remote::parse_upload_id(text));
  static_cast<void>(remote::parse_completed_etag(text));
  if (const auto listing = remote::parse_s3_listing(text))
    for (const auto& object : listing->objects)
      if (object.key.empty()) std::abort();
  if (const auto range = remote::parse_content_range(text))
    if (range->first && (!range->last || *range->first > *range->last)) std::abort();
  if (const auto pause = remote::parse_retry_after(text, 0))
    if (*pause < 0) std::abort();
  // Keys go into headers.
  if (const auto role = remote::parse_role_credentials(text))
    for (const std::string* part : {&role->keys.key_id, &role->keys.secret, &role->keys.token})
      if (part->find_first_of("\r\n ") != std::string::npos) std::abort();
  static_cast<void>(remote::parse_aws_file(text));
  return 0;
}
