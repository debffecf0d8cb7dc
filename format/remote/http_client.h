// One HTTP exchange after another through libcurl, each within time limits: the only place that knows curl.
//
//   HttpCall --a pooled handle with its connection--> status, headers, body      (nothing is retried here)
//
// A body that was asked for goes straight to the caller's memory; any other (an error's) becomes text of bounded
// length.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace imgpack::remote {

struct HttpLimits {
  double connect_s = 10;
  // A transfer that moves less than 1 KiB a second for so long is given up.
  double stall_s = 20;
  double whole_s = 0;                // Of the whole exchange; 0: only the two above.
  size_t max_text_bytes = 64 << 10;  // Of a body that becomes text.
};

// For SigV4 by libcurl, to S3. It signs the URL as it stands: the query must be in canonical form (sorted, encoded, `=`
// after every name), and `x-amz-content-sha256` must be among the headers.
struct Signature {
  std::string region;
  std::string key_id, secret;
};

enum class HttpMethod { kGet, kPut, kPost, kDelete };

struct HttpReply {
  // What went wrong with the exchange, in curl's words; empty: there is a whole answer. The rest is what came until
  // then.
  std::string failure;
  bool interrupted = false;
  bool retry_is_futile = false;  // The failure is of a kind that stays: no such protocol, a certificate not trusted.
  long status = 0;
  std::map<std::string, std::string> headers;  // Names in lower case. Of the last answer, after redirects.
  std::string text;
  uint64_t placed = 0;  // Bytes of the body in HttpCall::into.

  std::string header(const std::string& name) const;  // Empty: none.
};

struct HttpCall {
  HttpMethod method = HttpMethod::kGet;
  std::string url;
  std::vector<std::string> headers;              // `Name: value`
  std::span<const std::byte> body;               // Of PUT and POST.
  std::span<std::byte> into;                     // Where a body goes that `accept` takes; one byte more is a failure.
  std::function<bool(const HttpReply&)> accept;  // Asked once all headers are there. Empty: the body becomes text.
  const Signature* signature = nullptr;
  bool follow_redirects = false;
  bool no_proxy = false;
  HttpLimits limits;
  std::string ca_bundle;                           // Empty: the system's.
  const std::atomic<bool>* interrupted = nullptr;  // Looked at about every second, and whenever bytes arrive.
};

// Thread-safe. Keeps as many connections as there were exchanges at once.
class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  HttpReply exchange(const HttpCall& call);

 private:
  struct Handle;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Handle>> idle_;  // The one used last is taken first: its connection is the freshest.
};

}  // namespace imgpack::remote
