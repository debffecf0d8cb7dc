#include "format/remote/http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <new>

#include "format/error.h"

namespace imgpack::remote {
namespace {

constexpr long kBufferBytes = 512 << 10;  // The most that libcurl takes.
constexpr size_t kMaxHeaderBytes = 64 << 10;
constexpr long kMaxRedirects = 5;

void initialise_curl() {
  static const CURLcode once = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (once != CURLE_OK) throw Error(ErrorKind::kInternal, std::string("libcurl: ") + curl_easy_strerror(once));
}

// OpenSSL writes to sockets without MSG_NOSIGNAL: a server that hangs up would end the program. libcurl's own remedy
// changes the process's handler, which is no thread's to change.
class NoBrokenPipe {
 public:
  NoBrokenPipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoBrokenPipe() {
    if (!was_pending_) {
      const timespec now{};
      while (sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoBrokenPipe(const NoBrokenPipe&) = delete;
  NoBrokenPipe& operator=(const NoBrokenPipe&) = delete;

 private:
  sigset_t pipe_, before_;
  bool was_pending_ = false;
};

class HeaderList {
 public:
  explicit HeaderList(const std::vector<std::string>& lines) {
    for (const std::string& line : lines) {
      curl_slist* longer = curl_slist_append(list_, line.c_str());
      if (longer == nullptr) {
        curl_slist_free_all(list_);
        throw std::bad_alloc();
      }
      list_ = longer;
    }
  }
  ~HeaderList() { curl_slist_free_all(list_); }
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

// One exchange while it goes on.
struct Transfer {
  CURL* curl;
  const HttpCall& call;
  HttpReply& reply;
  size_t header_bytes = 0;
  size_t sent = 0;
  bool decided = false, accepted = false;
  const char* broken = nullptr;  // Why a callback ended it.
};

size_t take_header(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  const std::string_view line(data, bytes);
  transfer.header_bytes += bytes;
  if (transfer.header_bytes > kMaxHeaderBytes) {
    transfer.broken = "the answer's headers are too long";
    return 0;
  }
  // Of a redirect or of `100 Continue` before: another answer begins.
  if (line.starts_with("HTTP/")) {
    transfer.reply.headers.clear();
    return bytes;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return bytes;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  std::string_view value = line.substr(colon + 1);
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!value.empty() && blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && blank(value.back())) value.remove_suffix(1);
  transfer.reply.headers[name] = value;
  return bytes;
}

size_t take_body(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  HttpReply& reply = transfer.reply;
  const size_t bytes = size * count;
  if (!transfer.decided) {
    transfer.decided = true;
    curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &reply.status);
    transfer.accepted = transfer.call.accept && transfer.call.accept(reply);
  }
  if (transfer.accepted) {
    if (bytes > transfer.call.into.size() - reply.placed) {
      transfer.broken = "more bytes came than were asked for";
      return 0;
    }
    std::memcpy(transfer.call.into.data() + reply.placed, data, bytes);
    reply.placed += bytes;
    return bytes;
  }
  if (bytes > transfer.call.limits.max_text_bytes - reply.text.size()) {
    // Of an answer that is an error anyway, the beginning will do.
    reply.text.append(data, transfer.call.limits.max_text_bytes - reply.text.size());
    transfer.broken = "the answer is too long";
    return 0;
  }
  reply.text.append(data, bytes);
  return bytes;
}

size_t give_body(char* to, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = std::min(size * count, transfer.call.body.size() - transfer.sent);
  if (bytes != 0) std::memcpy(to, transfer.call.body.data() + transfer.sent, bytes);
  transfer.sent += bytes;
  return bytes;
}

// For a connection that was closed while the request was on its way: curl sends it again on a new one.
int seek_body(void* user, curl_off_t offset, int origin) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (origin != SEEK_SET || offset < 0 || static_cast<uint64_t>(offset) > transfer.call.body.size())
    return CURL_SEEKFUNC_FAIL;
  transfer.sent = static_cast<size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

int look_for_interruption(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& transfer = *static_cast<Transfer*>(user);
  return transfer.call.interrupted != nullptr && *transfer.call.interrupted ? 1 : 0;
}

bool stays(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_TOO_MANY_REDIRECTS:
      return true;
    default:
      return false;
  }
}

long milliseconds(double seconds) {
  return std::max(1L, static_cast<long>(seconds * 1000));
}

}  // namespace

std::string HttpReply::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

struct HttpClient::Handle {
  Handle() : curl(curl_easy_init()) {
    if (curl == nullptr) throw std::bad_alloc();
  }
  ~Handle() { curl_easy_cleanup(curl); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  CURL* curl;
};

HttpClient::HttpClient() {
  initialise_curl();
}

HttpClient::~HttpClient() {
  const NoBrokenPipe guard;
  idle_.clear();
}

HttpReply HttpClient::exchange(const HttpCall& call) {
  const NoBrokenPipe guard;
  std::unique_ptr<Handle> handle;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      handle = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (handle == nullptr) handle = std::make_unique<Handle>();
  CURL* const curl = handle->curl;
  curl_easy_reset(curl);  // Options only: the connection stays.

  HttpReply reply;
  Transfer transfer{curl, call, reply};
  const HeaderList headers(call.headers);
  char error_text[CURL_ERROR_SIZE] = "";
  const auto set = [&](CURLoption option, auto value) {
    const CURLcode code = curl_easy_setopt(curl, option, value);
    if (code != CURLE_OK)
      throw Error(ErrorKind::kInternal,
                  "libcurl refuses option " + std::to_string(option) + ": " + curl_easy_strerror(code));
  };
  set(CURLOPT_URL, call.url.c_str());
  set(CURLOPT_ERRORBUFFER, error_text);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  // A page that was reached under TLS never leads away from it.
  set(CURLOPT_REDIR_PROTOCOLS_STR, call.url.starts_with("https:") ? "https" : "http,https");
  set(CURLOPT_FOLLOWLOCATION, call.follow_redirects ? 1L : 0L);
  set(CURLOPT_MAXREDIRS, kMaxRedirects);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_BUFFERSIZE, kBufferBytes);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_USERAGENT, "imgpack");
  set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(call.limits.connect_s));
  set(CURLOPT_LOW_SPEED_LIMIT, 1024L);
  set(CURLOPT_LOW_SPEED_TIME, std::max(1L, static_cast<long>(call.limits.stall_s)));
  if (call.limits.whole_s > 0) set(CURLOPT_TIMEOUT_MS, milliseconds(call.limits.whole_s));
  if (call.no_proxy) set(CURLOPT_NOPROXY, "*");
  if (!call.ca_bundle.empty()) set(CURLOPT_CAINFO, call.ca_bundle.c_str());
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_HEADERFUNCTION, &take_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_WRITEFUNCTION, &take_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &look_for_interruption);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  switch (call.method) {
    case HttpMethod::kGet:
      set(CURLOPT_HTTPGET, 1L);
      break;
    case HttpMethod::kDelete:
      set(CURLOPT_CUSTOMREQUEST, "DELETE");
      break;
    case HttpMethod::kPut:
      set(CURLOPT_UPLOAD, 1L);
      set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
      set(CURLOPT_READFUNCTION, &give_body);
      set(CURLOPT_READDATA, static_cast<void*>(&transfer));
      set(CURLOPT_SEEKFUNCTION, &seek_body);
      set(CURLOPT_SEEKDATA, static_cast<void*>(&transfer));
      break;
    case HttpMethod::kPost:
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
      set(CURLOPT_POSTFIELDS, call.body.empty() ? "" : reinterpret_cast<const char*>(call.body.data()));
      break;
  }
  std::string scope, keys;
  if (call.signature != nullptr) {
    scope = "aws:amz:" + call.signature->region + ":s3";
    set(CURLOPT_AWS_SIGV4, scope.c_str());
    set(CURLOPT_USERNAME, call.signature->key_id.c_str());
    set(CURLOPT_PASSWORD, call.signature->secret.c_str());
  }

  const CURLcode code = curl_easy_perform(curl);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
  if (code != CURLE_OK) {
    reply.interrupted = code == CURLE_ABORTED_BY_CALLBACK;
    reply.retry_is_futile = stays(code);
    reply.failure = transfer.broken != nullptr ? transfer.broken
                    : error_text[0] != 0       ? error_text
                                               : curl_easy_strerror(code);
  }
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(handle));
  return reply;
}

}  // namespace imgpack::remote
