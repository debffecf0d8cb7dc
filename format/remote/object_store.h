// Objects of S3 and files of web servers: looked at, read in ranges, listed and written, each request signed, judged
// and made again as long as that may help.
//
//   RemoteFileSystem, transfer -> ObjectStore -> HttpClient
//                                   |  CredentialSource, RetryPolicy, the region of each bucket
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/file.h"
#include "format/remote/aws_credentials.h"
#include "format/remote/http_client.h"
#include "format/remote/remote_url.h"
#include "format/remote/retry_policy.h"

namespace imgpack::remote {

struct RemoteOptions {
  RetryPolicy retry;
  HttpLimits limits;
};

// How patient to be: a request that brings nothing is repeated for `seconds`, a connection that is silent for a tenth
// of that (1 to 20 s) is given up.
RemoteOptions patience(double seconds);

struct ObjectFacts {
  uint64_t bytes = 0;
  std::string etag, modified;                // As the server writes them; may be empty.
  std::map<std::string, std::string> notes;  // S3's user metadata: `x-amz-meta-NAME`, names in lower case.
};

struct UploadedPart {
  std::string etag, crc32;  // The latter in base64.
};

// Thread-safe. Paths are URLs. Every call throws Error(kIo) that names the URL, what the server said, and for S3
// bucket, key, region and where the credentials are from; Error(kUsage) for URLs that are none; Error(kInterrupted)
// soon after
// `*interrupted` became true.
class ObjectStore {
 public:
  using Flag = const std::atomic<bool>*;

  explicit ObjectStore(const RemoteOptions& options = {});

  std::optional<ObjectFacts> look(const std::filesystem::path& path,
                                  Flag interrupted = nullptr);  // nullopt: not there.
  // Fills `out` from `offset`. REQUIRES: the range lies within the object. An object that is another one than `facts`
  // are of is an error. What came before a connection broke is kept.
  void read(const std::filesystem::path& path, const ObjectFacts& facts, uint64_t offset, std::span<std::byte> out,
            Flag interrupted = nullptr);
  // What lies under the path and a slash, sorted by name. S3 only: Error(kUsage) for web servers.
  std::vector<DirectoryEntry> list(const std::filesystem::path& path, Flag interrupted = nullptr);

  // S3 only. `notes` as in ObjectFacts. The store compares a CRC-32 of the bytes with what arrived.
  void put(const std::filesystem::path& path, std::span<const std::byte> bytes,
           const std::map<std::string, std::string>& notes, Flag interrupted = nullptr);
  std::string begin_upload(const std::filesystem::path& path, const std::map<std::string, std::string>& notes,
                           Flag interrupted = nullptr);
  UploadedPart put_part(const std::filesystem::path& path, const std::string& upload, uint32_t number,
                        std::span<const std::byte> bytes, Flag interrupted = nullptr);
  // `notes` are those that the upload was begun with: by them and its size the object is known where the answer was
  // lost.
  void complete_upload(const std::filesystem::path& path, const std::string& upload,
                       const std::vector<UploadedPart>& parts, uint64_t bytes,
                       const std::map<std::string, std::string>& notes, Flag interrupted = nullptr);
  void abandon_upload(const std::filesystem::path& path, const std::string& upload) noexcept;

 private:
  struct Request;
  HttpReply perform(const Request& request);
  HttpReply exchange(const Request& request);
  bool move_to_region(const RemoteUrl& url, const HttpReply& reply);
  std::string region_of(const RemoteUrl& url);
  std::string request_url(const RemoteUrl& url, const std::string& query);
  std::string place(const RemoteUrl& url);  // For hints.
  [[noreturn]] void fail(const Request& request, const HttpReply& reply, const std::string& reason);
  void require_s3(const RemoteUrl& url, const std::filesystem::path& path) const;
  CredentialSource& credentials();

  const RemoteOptions options_;
  HttpClient http_;
  std::atomic<bool> answered_{false};  // Somebody, once.
  std::mutex mutex_;
  std::optional<AwsSettings> settings_;  // Read when S3 is first asked for something.
  std::unique_ptr<CredentialSource> credentials_;
  std::map<std::string, std::string> regions_;  // Of buckets that turned out to be elsewhere.
};

// `bytes 0-9/1234`; the total may be `*`, the range too (of a refusal). nullopt: not that.
struct ContentRange {
  std::optional<uint64_t> first, last, total;
};
std::optional<ContentRange> parse_content_range(std::string_view value);

}  // namespace imgpack::remote
