#include "format/remote/object_store.h"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <utility>

#include "format/base64.h"
#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"
#include "format/remote/s3_answer.h"

namespace imgpack::remote {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxListBytes = 4 << 20;  // A page of a thousand names of 1,024 bytes, escaped.
constexpr uint32_t kMaxPages = 10'000;
constexpr int kMaxRegionMoves = 3;
constexpr double kFirstAnswer_s = 20;
constexpr double kComplete_s = 300;  // S3 puts large objects together while it answers.
constexpr const char* kNotePrefix = "x-amz-meta-";

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, seconds < 10 ? "%.1f s" : "%.0f s", seconds);
  return text;
}

// The first line, for a message: a web server's error page is a page.
std::string one_line(const std::string& text, size_t most = 200) {
  std::string line = text.substr(0, std::min(text.find_first_of("\r\n"), most));
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return line;
}

bool is_strong(const std::string& etag) {
  return etag.size() >= 2 && etag.front() == '"' && etag.back() == '"';
}

// As S3 wants it in a header: big-endian, in base64.
std::string crc32_of(std::span<const std::byte> bytes) {
  const uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  const char digits[4] = {static_cast<char>(crc >> 24), static_cast<char>(crc >> 16), static_cast<char>(crc >> 8),
                          static_cast<char>(crc)};
  return to_base64({digits, sizeof(digits)});
}

ObjectFacts facts_in(const HttpReply& reply) {
  ObjectFacts facts;
  facts.etag = reply.header("etag");
  facts.modified = reply.header("last-modified");
  for (const auto& [name, value] : reply.headers)
    if (name.starts_with(kNotePrefix)) facts.notes[name.substr(std::string(kNotePrefix).size())] = value;
  return facts;
}

// A file of certificates to trust instead of the system's, named as for the curl command.
std::string named_certificates() {
  for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"})
    if (const char* value = std::getenv(name); value != nullptr && *value != 0) return value;
  return {};
}

std::string range_text(uint64_t first, uint64_t last) {
  return "bytes=" + std::to_string(first) + "-" + std::to_string(last);
}

}  // namespace

RemoteOptions patience(double seconds) {
  RemoteOptions options;
  options.retry.total_s = seconds;
  options.limits.stall_s = std::clamp(seconds / 10, 1.0, 20.0);
  options.limits.connect_s = std::clamp(seconds / 10, 1.0, 10.0);
  return options;
}

std::optional<ContentRange> parse_content_range(std::string_view value) {
  if (!value.starts_with("bytes ")) return std::nullopt;
  value.remove_prefix(6);
  const auto number = [&](char end, std::optional<uint64_t>& to) {
    uint64_t result = 0;
    const auto [rest, error] = std::from_chars(value.data(), value.data() + value.size(), result);
    if (error != std::errc()) return false;
    value.remove_prefix(static_cast<size_t>(rest - value.data()));
    to = result;
    if (end == 0) return value.empty();
    if (value.empty() || value.front() != end) return false;
    value.remove_prefix(1);
    return true;
  };
  ContentRange range;
  if (value.starts_with("*/")) {
    value.remove_prefix(2);
  } else if (!number('-', range.first) || !number('/', range.last) || *range.first > *range.last) {
    return std::nullopt;
  }
  if (value == "*") return range;
  if (!number(0, range.total)) return std::nullopt;
  return range;
}

// One thing that is wanted of a server, however many attempts it takes.
struct ObjectStore::Request {
  const char* doing = "";  // `read`, for messages.
  const std::filesystem::path& path;
  RemoteUrl url;
  HttpMethod method = HttpMethod::kGet;
  std::string query = {};  // In canonical form.
  std::vector<std::string> headers = {};
  std::span<const std::byte> body = {};
  size_t max_text_bytes = 64 << 10;
  double stall_s = 0;  // Where the server may think for longer than silence usually lasts.
  Flag interrupted = nullptr;
  std::optional<uint64_t> offset = {};  // For messages.
  // Completes the call before every attempt: what range is still missing.
  std::function<void(HttpCall&)> prepare = {};
  // Sees every answer first. True: something came, and patience begins anew.
  std::function<bool(const HttpReply&)> arrived = {};
  // Judges an answer that is neither transient nor about region and keys. Empty text: take it. Otherwise why to try
  // again. May throw.
  std::function<std::string(const HttpReply&)> judge = {};
};

ObjectStore::ObjectStore(const RemoteOptions& options) : options_(options) {}

CredentialSource& ObjectStore::credentials() {
  const std::lock_guard lock(mutex_);
  if (!settings_) settings_ = aws_settings(process_surroundings());
  if (credentials_ == nullptr) credentials_ = std::make_unique<CredentialSource>(http_, *settings_);
  return *credentials_;
}

std::string ObjectStore::region_of(const RemoteUrl& url) {
  CredentialSource& source = credentials();
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = regions_.find(url.host); found != regions_.end()) return found->second;
  }
  return source.region();
}

std::string ObjectStore::request_url(const RemoteUrl& url, const std::string& query) {
  std::string result;
  if (!url.is_s3()) {
    result = (url.scheme == Scheme::kHttps ? "https://" : "http://") + url.host + "/" + encode_given_path(url.path);
  } else {
    const std::string region = region_of(url), key = percent_encode(url.path, true);
    const std::string& endpoint = settings_->endpoint;
    // A host name of its own for the bucket, unless that is no host name or no certificate has it.
    const bool own_host =
        endpoint.empty() && url.host.find_first_of("._ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos;
    const std::string aws = "s3." + region + (region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
    if (own_host) {
      result = "https://" + url.host + "." + aws + "/" + key;
    } else {
      result = (endpoint.empty() ? "https://" + aws : endpoint) + "/" + url.host + (key.empty() ? "" : "/" + key);
    }
  }
  return query.empty() ? result : result + "?" + query;
}

std::string ObjectStore::place(const RemoteUrl& url) {
  if (!url.is_s3()) return {};
  const AwsCredentials known = credentials().get();
  std::string text = "bucket " + url.host;
  if (!url.path.empty()) text += ", key " + url.path;
  text += ", region " + region_of(url);
  if (!settings_->endpoint.empty()) text += ", endpoint " + settings_->endpoint;
  return text + ", credentials: " + (known.keys ? "from " : "") + known.from;
}

HttpReply ObjectStore::exchange(const Request& request) {
  HttpCall call;
  call.method = request.method;
  call.headers = request.headers;
  call.body = request.body;
  call.limits = options_.limits;
  call.limits.max_text_bytes = request.max_text_bytes;
  call.limits.stall_s = std::max(call.limits.stall_s, request.stall_s);
  call.interrupted = request.interrupted;
  call.follow_redirects = !request.url.is_s3();
  call.ca_bundle = named_certificates();
  Signature signature;
  if (request.url.is_s3()) {
    const AwsCredentials known = credentials().get();
    if (!settings_->ca_bundle.empty()) call.ca_bundle = settings_->ca_bundle;
    if (known.keys) {
      signature.region = region_of(request.url);
      signature.key_id = known.keys->key_id;
      signature.secret = known.keys->secret;
      call.signature = &signature;
      // S3 wants this header in every signed request, and libcurl of 2023 does not add it. The bytes themselves are
      // covered by TLS, by the CRC-32 of an upload, and by the checksums of records.
      call.headers.emplace_back("x-amz-content-sha256: UNSIGNED-PAYLOAD");
      if (!known.keys->token.empty()) call.headers.push_back("x-amz-security-token: " + known.keys->token);
    }
  }
  call.url = request_url(request.url, request.query);
  if (request.prepare) request.prepare(call);
  return http_.exchange(call);
}

// The answer says that the bucket is in another region: true, and from now on it is asked for there.
bool ObjectStore::move_to_region(const RemoteUrl& url, const HttpReply& reply) {
  if (!url.is_s3() || (reply.status != 301 && reply.status != 307 && reply.status != 400 && reply.status != 403))
    return false;
  std::string region = reply.header("x-amz-bucket-region");
  if (region.empty()) {
    if (const auto error = parse_s3_error(reply.text)) region = error->region;
  }
  const bool plausible = !region.empty() && region.size() < 64 &&
                         region.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  if (!plausible || region == region_of(url)) return false;
  const std::lock_guard lock(mutex_);
  regions_[url.host] = region;
  return true;
}

HttpReply ObjectStore::perform(const Request& request) {
  const uint64_t key =
      checksum(request.path.native() + "@" + std::to_string(request.offset.value_or(0)) + request.query);
  Clock::time_point start = Clock::now();
  FailedAttempts failed{0, 0, false, {}};
  int moves = 0;
  bool renewed = false;
  while (true) {
    HttpReply reply = exchange(request);
    if (reply.status != 0) answered_ = true;
    const bool progress = request.arrived && request.arrived(reply);
    if (reply.interrupted) throw Error(ErrorKind::kInterrupted, "reading was cancelled", request.path);
    std::string reason;
    failed.throttled = false;
    failed.retry_after_s.reset();
    // Behind a redirect that was followed nobody has answered yet: its status says nothing of what was asked for.
    const bool redirected = !request.url.is_s3() && reply.status >= 300 && reply.status < 400;
    if (!reply.failure.empty() && (reply.status < 300 || redirected)) {
      // Without an answer, or in the middle of one.
      if (reply.retry_is_futile) fail(request, reply, reply.failure);
      reason = request.judge && reply.status != 0 && !redirected ? request.judge(reply) : reply.failure;
      if (reason.empty()) return reply;
    } else {
      const auto error = reply.status >= 300 ? parse_s3_error(reply.text) : std::nullopt;
      const std::string code = error ? error->code : "";
      if (moves < kMaxRegionMoves && move_to_region(request.url, reply)) {
        ++moves;
        continue;
      }
      const bool old_keys = code == "ExpiredToken" || code == "ExpiredTokenException" || code == "TokenRefreshRequired";
      if (request.url.is_s3() && old_keys && !renewed) {
        renewed = true;
        credentials().renew();
        continue;
      }
      if (is_transient_status(reply.status) || code == "RequestTimeout" || code == "SlowDown") {
        reason = "HTTP " + std::to_string(reply.status) + (code.empty() ? "" : " " + code);
        failed.throttled = is_throttling_status(reply.status);
        failed.retry_after_s = parse_retry_after(reply.header("retry-after"), std::time(nullptr));
      } else {
        reason = request.judge ? request.judge(reply) : std::string();
        if (reason.empty()) return reply;
      }
    }
    if (progress) {
      start = Clock::now();
      failed.count = 0;
    }
    ++failed.count;
    failed.elapsed_s = seconds_since(start);
    RetryPolicy policy = options_.retry;
    if (!answered_) policy.total_s = std::min(policy.total_s, kFirstAnswer_s);
    const auto pause = pause_before_retry(policy, failed, key);
    if (!pause) {
      std::string text = reason + "; given up after " + std::to_string(failed.count) +
                         (failed.count == 1 ? " attempt in " : " attempts in ") + seconds_text(failed.elapsed_s);
      if (failed.retry_after_s)
        text += " (the server asks to come back in " + seconds_text(*failed.retry_after_s) + ")";
      fail(request, reply, text);
    }
    const Clock::time_point until =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*pause));
    while (Clock::now() < until) {
      if (request.interrupted != nullptr && *request.interrupted)
        throw Error(ErrorKind::kInterrupted, "reading was cancelled", request.path);
      std::this_thread::sleep_for(std::min<Clock::duration>(until - Clock::now(), std::chrono::milliseconds(50)));
    }
  }
}

void ObjectStore::fail(const Request& request, const HttpReply& reply, const std::string& reason) {
  std::string text = std::string("cannot ") + request.doing + ": ", hint;
  const auto error = reply.status >= 300 ? parse_s3_error(reply.text) : std::nullopt;
  const std::string code = error ? error->code : "";
  if (!reason.empty()) {
    text += reason;
    if (error && !error->message.empty() && reason.find(code) != std::string::npos)
      text += " (" + one_line(error->message) + ")";
  } else {
    text += "HTTP " + std::to_string(reply.status);
    if (error) text += " " + code + ": " + one_line(error->message);
  }
  const std::string where = place(request.url);
  if (!request.url.is_s3()) {
    if (reply.status == 401 || reply.status == 403) hint = "this server wants to know who asks, which is not done here";
    if (reply.retry_is_futile) hint = "CURL_CA_BUNDLE=FILE names certificates to trust";
  } else if (code == "NoSuchBucket") {
    hint = "there is no such bucket: " + where;
  } else if (code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch" || code == "InvalidToken" ||
             code == "ExpiredToken") {
    hint = "the keys are not taken: " + where;
  } else if (code == "RequestTimeTooSkewed") {
    hint = "set this machine's clock";
  } else if (reply.status == 403 || reply.status == 401) {
    hint =
        "who asks may not do that, or the object is not there and the bucket may not be listed (s3:GetObject, "
        "s3:ListBucket; to write, s3:PutObject): " +
        where;
  } else {
    hint = where;
  }
  throw Error(ErrorKind::kIo, text, request.path, request.offset, hint);
}

void ObjectStore::require_s3(const RemoteUrl& url, const std::filesystem::path& path) const {
  if (!url.is_s3()) throw Error(ErrorKind::kUsage, "web servers are only read from: expected s3://BUCKET/PREFIX", path);
}

std::optional<ObjectFacts> ObjectStore::look(const std::filesystem::path& path, Flag interrupted) {
  std::byte first{};
  std::optional<ObjectFacts> found;
  Request request{"read", path, parse_remote_url(path)};
  request.interrupted = interrupted;
  // Not HEAD: its errors have no text, and whether the server knows ranges would stay open.
  request.prepare = [&](HttpCall& call) {
    call.headers.push_back("Range: " + range_text(0, 0));
    call.into = {&first, 1};
    call.accept = [](const HttpReply& reply) { return reply.status == 206; };
  };
  request.judge = [&](const HttpReply& reply) -> std::string {
    const auto range = parse_content_range(reply.header("content-range"));
    if (reply.status == 404) {
      const auto error = parse_s3_error(reply.text);
      if (error && error->code == "NoSuchBucket") fail(request, reply, {});
      return {};
    }
    if (reply.status == 206) {
      if (!range || range->first != 0u || range->last != 0u || !range->total)
        return "the answer is of another range: '" + one_line(reply.header("content-range")) + "'";
      if (!reply.failure.empty()) return reply.failure;
      found = facts_in(reply);
      found->bytes = *range->total;
      return {};
    }
    if ((reply.status == 416 && range && range->total == 0u) ||
        (reply.status == 200 && reply.header("content-length") == "0")) {
      found = facts_in(reply);
      return {};
    }
    if (reply.status == 200)
      fail(request, reply, "the server does not answer with the range that was asked for (HTTP 200 instead of 206)");
    fail(request, reply, {});
  };
  perform(request);
  return found;
}

void ObjectStore::read(const std::filesystem::path& path, const ObjectFacts& facts, uint64_t offset,
                       std::span<std::byte> out, Flag interrupted) {
  size_t done = 0;
  Request request{"read", path, parse_remote_url(path)};
  request.interrupted = interrupted;
  request.offset = offset;
  const auto replaced = [&](const HttpReply& reply, const std::string& found) {
    fail(request, reply,
         "the object was replaced while it was in use: expected " + std::to_string(facts.bytes) + " bytes, ETag " +
             facts.etag + ", found " + found + ". Start again, and push another dataset to another prefix");
  };
  const auto right_range = [&](const HttpReply& reply) {
    if (reply.status == 200) return offset + done == 0 && out.size() == facts.bytes;
    const auto range = parse_content_range(reply.header("content-range"));
    return reply.status == 206 && range && range->first == offset + done && range->last == offset + out.size() - 1 &&
           (!range->total || range->total == facts.bytes);
  };
  const auto same_object = [&](const HttpReply& reply) {
    const std::string etag = reply.header("etag"), modified = reply.header("last-modified");
    if (!etag.empty() && !facts.etag.empty()) return etag == facts.etag;
    return modified.empty() || facts.modified.empty() || modified == facts.modified;
  };
  request.prepare = [&](HttpCall& call) {
    call.headers.push_back("Range: " + range_text(offset + done, offset + out.size() - 1));
    if (is_strong(facts.etag)) call.headers.push_back("If-Match: " + facts.etag);
    call.into = out.subspan(done);
    call.accept = [&](const HttpReply& reply) { return right_range(reply) && same_object(reply); };
  };
  uint64_t expected_at = 0;  // `done` before the attempt that is being judged.
  request.arrived = [&](const HttpReply& reply) {
    expected_at = done;
    done += reply.placed;
    return reply.placed > 0;
  };
  request.judge = [&](const HttpReply& reply) -> std::string {
    if (reply.status == 412) replaced(reply, "another ETag");
    if (reply.status == 404) replaced(reply, "nothing");
    if (reply.status == 206 || reply.status == 200) {
      if (!same_object(reply))
        replaced(reply, "ETag " + one_line(reply.header("etag")) + " of " + one_line(reply.header("last-modified")));
      if (done == out.size()) return {};
      if (reply.placed > 0) return reply.failure.empty() ? "the answer ended early" : reply.failure;
      if (reply.status == 200)
        fail(request, reply, "the server does not answer with the range that was asked for (HTTP 200 instead of 206)");
      const auto range = parse_content_range(reply.header("content-range"));
      if (range && range->total && range->total != facts.bytes)
        replaced(reply, std::to_string(*range->total) + " bytes");
      const bool right = range && range->first == offset + expected_at && range->last == offset + out.size() - 1;
      if (!right)
        return "the answer is of another range: expected " + range_text(offset + expected_at, offset + out.size() - 1) +
               ", found '" + one_line(reply.header("content-range")) + "'";
      return reply.failure.empty() ? "the answer ended early" : reply.failure;
    }
    fail(request, reply, {});
  };
  if (out.empty()) return;
  perform(request);
}

std::vector<DirectoryEntry> ObjectStore::list(const std::filesystem::path& path, Flag interrupted) {
  const RemoteUrl url = parse_remote_url(path);
  if (!url.is_s3()) throw Error(ErrorKind::kUsage, "a web server's folders cannot be listed", path);
  const std::string prefix = url.path.empty() ? std::string() : url.path + "/";
  std::vector<DirectoryEntry> entries;
  std::string token;
  for (uint32_t page = 0; page < kMaxPages; ++page) {
    Request request{"list", path, url};
    request.url.path.clear();
    request.interrupted = interrupted;
    request.max_text_bytes = kMaxListBytes;
    if (!token.empty()) request.query = "continuation-token=" + percent_encode(token, false) + "&";
    request.query += "delimiter=%2F&list-type=2&prefix=" + percent_encode(prefix, false);
    std::optional<S3Listing> listing;
    request.judge = [&](const HttpReply& reply) -> std::string {
      if (!reply.failure.empty()) return reply.failure;
      if (reply.status != 200) fail(request, reply, {});
      listing = parse_s3_listing(reply.text);
      return listing ? "" : "the answer is no listing";
    };
    perform(request);
    const auto name_of = [&](const std::string& key) {
      return key.starts_with(prefix) ? key.substr(prefix.size()) : "";
    };
    for (const S3Listed& object : listing->objects)
      if (const std::string name = name_of(object.key); !name.empty()) entries.push_back({name, false, object.bytes});
    for (const std::string& folder : listing->prefixes) {
      std::string name = name_of(folder);
      while (!name.empty() && name.back() == '/') name.pop_back();
      if (!name.empty()) entries.push_back({name, true, 0});
    }
    if (!listing->next.empty() && listing->next == token)
      throw Error(ErrorKind::kIo, "cannot list: the server says that the page after this one is this one again", path);
    token = listing->next;
    if (token.empty()) break;
  }
  if (!token.empty()) {
    throw Error(ErrorKind::kIo, "cannot list: there are more than " + std::to_string(kMaxPages) + " pages of names",
                path);
  }
  std::sort(entries.begin(), entries.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  return entries;
}

namespace {

void add_notes(std::vector<std::string>& headers, const std::map<std::string, std::string>& notes) {
  for (const auto& [name, value] : notes)
    headers.push_back(std::string(kNotePrefix).append(name).append(": ").append(value));
}

}  // namespace

void ObjectStore::put(const std::filesystem::path& path, std::span<const std::byte> bytes,
                      const std::map<std::string, std::string>& notes, Flag interrupted) {
  Request request{"write", path, parse_remote_url(path)};
  require_s3(request.url, path);
  request.method = HttpMethod::kPut;
  request.headers = {"Content-Type: application/octet-stream", "x-amz-checksum-crc32: " + crc32_of(bytes)};
  add_notes(request.headers, notes);
  request.body = bytes;
  request.interrupted = interrupted;
  request.judge = [&](const HttpReply& reply) -> std::string {
    if (!reply.failure.empty()) return reply.failure;
    if (reply.status != 200) fail(request, reply, {});
    return {};
  };
  perform(request);
}

std::string ObjectStore::begin_upload(const std::filesystem::path& path,
                                      const std::map<std::string, std::string>& notes, Flag interrupted) {
  Request request{"begin to write", path, parse_remote_url(path)};
  require_s3(request.url, path);
  request.method = HttpMethod::kPost;
  request.query = "uploads=";
  request.headers = {"Content-Type: application/octet-stream", "x-amz-checksum-algorithm: CRC32"};
  add_notes(request.headers, notes);
  request.interrupted = interrupted;
  std::string id;
  request.judge = [&](const HttpReply& reply) -> std::string {
    if (!reply.failure.empty()) return reply.failure;
    if (reply.status != 200) fail(request, reply, {});
    const auto found = parse_upload_id(reply.text);
    if (!found) return "the answer names no upload";
    id = *found;
    return {};
  };
  perform(request);
  return id;
}

UploadedPart ObjectStore::put_part(const std::filesystem::path& path, const std::string& upload, uint32_t number,
                                   std::span<const std::byte> bytes, Flag interrupted) {
  UploadedPart part{{}, crc32_of(bytes)};
  Request request{"write", path, parse_remote_url(path)};
  request.method = HttpMethod::kPut;
  request.query = "partNumber=" + std::to_string(number) + "&uploadId=" + percent_encode(upload, false);
  request.headers = {"Content-Type: application/octet-stream", "x-amz-checksum-crc32: " + part.crc32};
  request.body = bytes;
  request.interrupted = interrupted;
  request.judge = [&](const HttpReply& reply) -> std::string {
    if (!reply.failure.empty()) return reply.failure;
    if (reply.status != 200) fail(request, reply, {});
    part.etag = reply.header("etag");
    return part.etag.empty() ? "the answer has no ETag" : "";
  };
  perform(request);
  return part;
}

void ObjectStore::complete_upload(const std::filesystem::path& path, const std::string& upload,
                                  const std::vector<UploadedPart>& parts, uint64_t bytes,
                                  const std::map<std::string, std::string>& notes, Flag interrupted) {
  std::string xml = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (size_t i = 0; i < parts.size(); ++i) {
    xml += "<Part><PartNumber>" + std::to_string(i + 1) + "</PartNumber><ETag>" + escape_xml(parts[i].etag) +
           "</ETag><ChecksumCRC32>" + parts[i].crc32 + "</ChecksumCRC32></Part>";
  }
  xml += "</CompleteMultipartUpload>";
  Request request{"finish to write", path, parse_remote_url(path)};
  request.method = HttpMethod::kPost;
  request.query = "uploadId=" + percent_encode(upload, false);
  request.headers = {"Content-Type: application/xml"};
  request.body = as_bytes(xml);
  request.stall_s = kComplete_s;
  request.interrupted = interrupted;
  request.judge = [&](const HttpReply& reply) -> std::string {
    if (!reply.failure.empty()) return reply.failure;
    // An attempt whose answer was lost may have done it.
    const auto error = parse_s3_error(reply.text);
    if (reply.status == 404 && error && error->code == "NoSuchUpload") {
      const auto there = look(path, interrupted);
      // Of the right size may also be what lay there before.
      const auto noted = [&](const auto& note) {
        const auto found = there->notes.find(note.first);
        return found != there->notes.end() && found->second == note.second;
      };
      if (there && there->bytes == bytes && std::all_of(notes.begin(), notes.end(), noted)) return {};
    }
    if (reply.status != 200) fail(request, reply, {});
    if (parse_completed_etag(reply.text)) return {};
    return error ? error->code + ": " + one_line(error->message) : "the answer does not say that it was done";
  };
  perform(request);
}

void ObjectStore::abandon_upload(const std::filesystem::path& path, const std::string& upload) noexcept {
  try {
    Request request{"abandon what was begun", path, parse_remote_url(path)};
    request.method = HttpMethod::kDelete;
    request.query = "uploadId=" + percent_encode(upload, false);
    exchange(request);
  } catch (...) {
    // What led here is what is to be reported; the bucket's lifecycle rule removes what stays.
    return;
  }
}

}  // namespace imgpack::remote
