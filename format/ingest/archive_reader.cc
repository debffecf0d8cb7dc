#include "format/ingest/archive_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <vector>

#include "format/error.h"
#include "format/ingest/gzip_stream.h"
#include "format/ingest/image_name.h"

namespace imgpack::ingest {
namespace {

constexpr size_t kMinBlock = 4 << 10;
constexpr size_t kMaxBlock = 256 << 10;
constexpr size_t kTarBlock = 512;

// libarchive turns names into the locale's characters; names here are UTF-8 whatever the machine is set to.
class Utf8Locale {
 public:
  Utf8Locale() : before_(utf8() == nullptr ? nullptr : uselocale(utf8())) {}
  ~Utf8Locale() {
    if (before_ != nullptr) uselocale(before_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  static locale_t utf8() {
    static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    return locale;
  }
  locale_t before_;
};

struct ArchiveDeleter {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using Handle = std::unique_ptr<archive, ArchiveDeleter>;

// What libarchive reads through: a stream, how much of it has gone by, and how it ended.
struct Feed {
  ByteStream& bytes;
  std::vector<std::byte> block = std::vector<std::byte>(kMaxBlock);
  size_t next_block = kMinBlock;  // Grows while the stream is read through, so that passing over files reads little.
  uint64_t taken = 0;
  std::array<std::byte, kTarBlock> tail{};  // The last bytes that went by.
  size_t tail_bytes = 0;                    // That count: none after a skip.
  std::exception_ptr failure = nullptr;     // No exception may pass through libarchive.

  explicit Feed(ByteStream& stream) : bytes(stream) {}

  void remember(std::span<const std::byte> got) {
    const auto last = got.last(std::min(got.size(), kTarBlock));
    const size_t keep = std::min(tail_bytes, kTarBlock - last.size());
    std::copy(tail.begin() + static_cast<ptrdiff_t>(tail_bytes - keep),
              tail.begin() + static_cast<ptrdiff_t>(tail_bytes), tail.begin());
    std::copy(last.begin(), last.end(), tail.begin() + static_cast<ptrdiff_t>(keep));
    tail_bytes = keep + last.size();
  }
  bool ended_in_zeros() const {
    return tail_bytes == kTarBlock &&
           std::all_of(tail.begin(), tail.end(), [](std::byte b) { return b == std::byte{}; });
  }
};

la_ssize_t read_feed(archive* reader, void* client, const void** block) {
  Feed& feed = *static_cast<Feed*>(client);
  try {
    if (feed.failure) std::rethrow_exception(feed.failure);
    const size_t got = feed.bytes.read(std::span(feed.block).first(feed.next_block));
    feed.remember(std::span(feed.block).first(got));
    feed.taken += got;
    feed.next_block = std::min(feed.next_block * 2, kMaxBlock);
    *block = feed.block.data();
    return static_cast<la_ssize_t>(got);
  } catch (...) {
    feed.failure = std::current_exception();
    archive_set_error(reader, EIO, "the bytes could not be read");
    return ARCHIVE_FATAL;
  }
}

la_int64_t skip_feed(archive*, void* client, la_int64_t request) {
  Feed& feed = *static_cast<Feed*>(client);
  try {
    const uint64_t passed = feed.bytes.skip(static_cast<uint64_t>(request));
    feed.taken += passed;
    feed.tail_bytes = passed > 0 ? 0 : feed.tail_bytes;
    feed.next_block = kMinBlock;
    return static_cast<la_int64_t>(passed);
  } catch (...) {
    // A negative answer would be asked for again and again; the read that follows one of 0 says what is wrong.
    feed.failure = std::current_exception();
    return 0;
  }
}

la_int64_t seek_feed(archive* reader, void* client, la_int64_t offset, int whence) {
  Feed& feed = *static_cast<Feed*>(client);
  try {
    const auto size = static_cast<la_int64_t>(feed.bytes.size());
    if (whence == SEEK_END) offset += size;
    // A zip reader goes to places only by their distance from the start or the end.
    if (whence == SEEK_CUR || offset < 0 || offset > size) return ARCHIVE_FATAL;
    feed.bytes.seek(static_cast<uint64_t>(offset));
    return offset;
  } catch (...) {
    feed.failure = std::current_exception();
    archive_set_error(reader, EIO, "the bytes could not be read");
    return ARCHIVE_FATAL;
  }
}

[[noreturn]] void fail(const std::string& message, const std::string& name, const std::string& hint = {}) {
  throw Error(ErrorKind::kInvalidInput, message, name, {}, hint);
}

constexpr const char* kDamagedHint = "compare its size and checksum with those of the download, and fetch it again";

[[noreturn]] void fail_damaged(archive* reader, const Feed& feed) {
  if (feed.failure) std::rethrow_exception(feed.failure);
  const char* text = archive_error_string(reader);
  fail(std::string("archive is damaged or cut off: ") + (text == nullptr ? "no reason is known" : printable(text)),
       feed.bytes.name(), kDamagedHint);
}

Handle new_handle() {
  Handle handle(archive_read_new());
  if (!handle) throw Error(ErrorKind::kInternal, "libarchive has no memory");
  return handle;
}

void open_handle(archive* handle, Feed& feed, bool seekable) {
  archive_read_set_read_callback(handle, read_feed);
  archive_read_set_skip_callback(handle, skip_feed);
  if (seekable) archive_read_set_seek_callback(handle, seek_feed);
  archive_read_set_callback_data(handle, &feed);
  if (archive_read_open1(handle) != ARCHIVE_OK) fail_damaged(handle, feed);
}

void check_ratio(uint64_t packed, uint64_t unpacked, const std::string& name) {
  if (unpacked <= kUnpackGrace || unpacked / kMaxUnpackRatio <= packed) return;
  fail("archive unpacks to more than " + std::to_string(kMaxUnpackRatio) +
           " times its size: that is no archive of images",
       name, "see what is in it: tar tf, unzip -l");
}

// The same limit for gzip.
class GuardedGzipStream : public GzipStream {
 public:
  using GzipStream::GzipStream;
  size_t read(std::span<std::byte> out) override {
    const size_t got = GzipStream::read(out);
    unpacked_ += got;
    check_ratio(packed_bytes(), unpacked_, name());
    return got;
  }

 private:
  uint64_t unpacked_ = 0;
};

// What bzip2, xz and zstd data unpacks to.
class UnpackedStream : public ByteStream {
 public:
  explicit UnpackedStream(std::unique_ptr<ByteStream> packed)
      : packed_(std::move(packed)), feed_(*packed_), handle_(new_handle()) {
    archive_read_support_filter_bzip2(handle_.get());
    archive_read_support_filter_xz(handle_.get());
    archive_read_support_filter_zstd(handle_.get());
    archive_read_support_format_raw(handle_.get());
    open_handle(handle_.get(), feed_, false);
    archive_entry* entry = nullptr;
    if (archive_read_next_header(handle_.get(), &entry) != ARCHIVE_OK) fail_damaged(handle_.get(), feed_);
  }

  size_t read(std::span<std::byte> out) override {
    const la_ssize_t got = archive_read_data(handle_.get(), out.data(), out.size());
    if (got < 0) fail_damaged(handle_.get(), feed_);
    unpacked_ += static_cast<uint64_t>(got);
    check_ratio(feed_.taken, unpacked_, name());
    return static_cast<size_t>(got);
  }
  const std::string& name() const override { return packed_->name(); }

 private:
  std::unique_ptr<ByteStream> packed_;
  Feed feed_;
  Handle handle_;
  uint64_t unpacked_ = 0;
};

// Owns what it peeks into.
class OwningPeekStream : public PeekStream {
 public:
  explicit OwningPeekStream(std::unique_ptr<ByteStream> base) : PeekStream(*base), owned_(std::move(base)) {}

 private:
  std::unique_ptr<ByteStream> owned_;
};

using namespace std::string_view_literals;

bool starts_with(std::span<const std::byte> head, std::string_view magic, size_t at = 0) {
  if (head.size() < at + magic.size()) return false;
  return std::equal(magic.begin(), magic.end(), head.begin() + static_cast<ptrdiff_t>(at),
                    [](char a, std::byte b) { return static_cast<uint8_t>(a) == static_cast<uint8_t>(b); });
}

// The header's checksum is what old tars without `ustar` are known by, too.
bool is_tar(std::span<const std::byte> head) {
  if (head.size() < kTarBlock) return false;
  uint64_t sum = 0, stored = 0;
  for (size_t i = 0; i < kTarBlock; ++i) sum += i >= 148 && i < 156 ? uint64_t{' '} : static_cast<uint64_t>(head[i]);
  for (size_t i = 148; i < 156; ++i) {
    const auto digit = static_cast<uint64_t>(head[i]);
    if (digit >= '0' && digit <= '7') stored = stored * 8 + (digit - '0');
  }
  return sum == stored && sum != 8 * uint64_t{' '};
}

std::string compression(std::span<const std::byte> head) {
  if (starts_with(head, "\x1f\x8b"sv)) return "gz";
  if (starts_with(head, "BZh"sv)) return "bz2";
  if (starts_with(head,
                  "\xfd"
                  "7zXZ\0"sv))
    return "xz";
  if (starts_with(head, "\x28\xb5\x2f\xfd"sv)) return "zst";
  return "";
}

bool is_zip(std::span<const std::byte> head) {
  return starts_with(head, "PK\x03\x04"sv) || starts_with(head, "PK\x05\x06"sv) ||
         starts_with(head, "PK00PK\x03\x04"sv);
}

EntryType type_of(archive_entry* entry, std::string* link_target) {
  for (const char* target : {archive_entry_hardlink(entry), archive_entry_symlink(entry)}) {
    if (target == nullptr) continue;
    *link_target = target;
    return EntryType::kLink;
  }
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return EntryType::kFile;
    case AE_IFDIR:
      return EntryType::kFolder;
    case AE_IFLNK:
      return EntryType::kLink;
    default:
      return EntryType::kOther;
  }
}

}  // namespace

std::string archive_kind(std::span<const std::byte> head) {
  if (is_zip(head)) return "zip";
  if (is_tar(head)) return "tar";
  const std::string packed = compression(head);
  return packed.empty() ? "" : "tar." + packed;
}

struct ArchiveReader::State {
  std::unique_ptr<PeekStream> bytes;  // Unpacked.
  std::string kind;
  std::optional<Feed> feed;
  Handle handle;
  bool is_zip = false;
  uint64_t unpacked = 0;  // Of zip entries.

  std::span<const std::byte> head() { return bytes->peek(kArchiveHeadBytes); }
};

ArchiveReader::ArchiveReader(std::unique_ptr<ByteStream> bytes) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.bytes = std::make_unique<OwningPeekStream>(std::move(bytes));
  s.kind = archive_kind(s.head());
  if (s.kind.empty()) {
    fail(s.head().empty() ? "archive is empty"
                          : "not an archive: expected a tar or zip file, packed by gzip, bzip2, xz "
                            "or zstd or not at all",
         name(), kDamagedHint);
  }
  if (s.kind.starts_with("tar.")) {
    std::unique_ptr<ByteStream> unpacked;
    if (s.kind == "tar.gz") {
      unpacked = std::make_unique<GuardedGzipStream>(std::move(s.bytes));
    } else {
      unpacked = std::make_unique<UnpackedStream>(std::move(s.bytes));
    }
    s.bytes = std::make_unique<OwningPeekStream>(std::move(unpacked));
    if (!is_tar(s.head()))
      fail("not an archive: expected a tar in the " + s.kind.substr(4) + " data", name(), kDamagedHint);
  }
  s.is_zip = s.kind == "zip";
  s.feed.emplace(*s.bytes);
  s.handle = new_handle();
  if (s.is_zip) {
    archive_read_support_format_zip(s.handle.get());
  } else {
    archive_read_support_format_tar(s.handle.get());
    // All of the stream is read: what follows an end marker, and whether there is one.
    archive_read_set_option(s.handle.get(), "tar", "read_concatenated_archives", "1");
  }
  open_handle(s.handle.get(), *s.feed, s.is_zip && s.bytes->size() > 0);
}

ArchiveReader::~ArchiveReader() = default;

const std::string& ArchiveReader::name() const {
  return state_->bytes->name();
}

const std::string& ArchiveReader::kind() const {
  return state_->kind;
}

std::optional<ArchiveEntry> ArchiveReader::next() {
  State& s = *state_;
  const Utf8Locale utf8;
  archive_entry* entry = nullptr;
  const int status = archive_read_next_header(s.handle.get(), &entry);
  if (s.feed->failure) std::rethrow_exception(s.feed->failure);
  if (status == ARCHIVE_EOF) {
    // A tar that is cut off between two files looks whole but for this.
    if (!s.is_zip && !s.feed->ended_in_zeros()) {
      fail("archive ends without an end marker: it is cut off", name(),
           std::string(kDamagedHint) + "; if it is known to be whole, `truncate -s +1024` adds the marker");
    }
    return std::nullopt;
  }
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) fail_damaged(s.handle.get(), *s.feed);
  ArchiveEntry result;
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr) path = archive_entry_pathname_utf8(entry);
  if (path == nullptr) fail("archive has an entry without a readable name", name());
  result.name = path;
  if (archive_entry_is_encrypted(entry) != 0) {
    fail("archive is encrypted: " + printable(result.name), name(), "unpack it with its password and name the folder");
  }
  result.type = type_of(entry, &result.link_target);
  if (archive_entry_size_is_set(entry) != 0) {
    const la_int64_t size = archive_entry_size(entry);
    if (size < 0) fail("archive gives a size below zero: " + printable(result.name), name(), kDamagedHint);
    result.size = static_cast<uint64_t>(size);
  }
  return result;
}

size_t ArchiveReader::read(std::span<std::byte> out) {
  State& s = *state_;
  const la_ssize_t got = archive_read_data(s.handle.get(), out.data(), out.size());
  if (got < 0) fail_damaged(s.handle.get(), *s.feed);
  s.unpacked += static_cast<uint64_t>(got);
  if (s.is_zip) check_ratio(s.feed->taken, s.unpacked, name());
  return static_cast<size_t>(got);
}

}  // namespace imgpack::ingest
