#include "engine/data/local_copy.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "format/checksum.h"
#include "format/error.h"
#include "format/quantity_text.h"

namespace imgtrain::data {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

// The process that writes `NAME.PID.tmp`; 0 where that is no such name.
pid_t writer_of(const std::string& name) {
  const std::string suffix = imgpack::kTemporarySuffix;
  if (!name.ends_with(suffix)) return 0;
  const size_t end = name.size() - suffix.size(), dot = name.rfind('.', end - 1);
  if (dot == std::string::npos || end == 0) return 0;
  pid_t pid = 0;
  const auto [rest, error] = std::from_chars(name.data() + dot + 1, name.data() + end, pid);
  return error == std::errc() && rest == name.data() + end ? pid : 0;
}

}  // namespace

LocalCopy::LocalCopy(imgpack::FileSystem& fs, const LocalCopyOptions& options,
                     std::vector<imgpack::ShardSummary> shards, std::vector<uint32_t> wanted)
    : fs_(fs), options_(options), shards_(std::move(shards)), wanted_(std::move(wanted)), ready_(shards_.size()) {}

LocalCopy::~LocalCopy() {
  stop_ = true;
  wait();
}

void LocalCopy::start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void LocalCopy::wait() {
  if (thread_.joinable()) thread_.join();
}

std::filesystem::path LocalCopy::path(uint32_t shard) const {
  return (ready_[shard].load(std::memory_order_acquire) ? options_.target : options_.source) / shards_[shard].file;
}

std::string LocalCopy::progress() const {
  return std::to_string(copied_) + " of " + std::to_string(wanted_.size()) + " shards of " + options_.split + " in " +
         options_.target.string();
}

std::vector<std::string> LocalCopy::take_notes() {
  const std::lock_guard lock(mutex_);
  return std::exchange(notes_, {});
}

void LocalCopy::note(std::string text) {
  const std::lock_guard lock(mutex_);
  notes_.push_back("local copy: " + std::move(text));
}

void LocalCopy::run() {
  try {
    fs_.make_directories(options_.target);
    remove_abandoned();
    for (const uint32_t shard : wanted_) {
      const Step step = bring(shard);
      if (step == Step::kStopped) return;
      if (step == Step::kNoRoom) {
        note(progress() + "; " + imgpack::format_bytes(fs_.free_bytes(options_.target)) + " are free and " +
             imgpack::format_bytes(options_.keep_free_bytes) + " stay so: the other shards are read where they are");
        return;
      }
    }
    note("complete, " + progress());
  } catch (const std::exception& error) {
    note(progress() + "; the other shards are read where they are: " + error.what());
  }
}

// Temporary files of processes that are no more: each is a shard's worth of the disk.
void LocalCopy::remove_abandoned() {
  for (const imgpack::DirectoryEntry& entry : fs_.list(options_.target)) {
    const pid_t writer = writer_of(entry.name);
    const bool gone = writer > 0 && (writer == getpid() || (kill(writer, 0) != 0 && errno == ESRCH));
    if (gone) imgpack::remove_quietly(fs_, options_.target / entry.name);
  }
}

bool LocalCopy::whole(const std::filesystem::path& file, const imgpack::ShardSummary& shard) {
  const auto opened = fs_.open(file);
  if (opened->size() != shard.bytes) return false;
  imgpack::ChecksumStream digest;
  std::vector<std::byte> chunk(options_.chunk_bytes);
  for (uint64_t at = 0; at < shard.bytes && !stop_;) {
    const std::span<std::byte> part(chunk.data(), std::min<uint64_t>(chunk.size(), shard.bytes - at));
    if (opened->read_at(at, part) != part.size()) return false;
    digest.update(part);
    opened->forget(at, part.size());
    at += part.size();
  }
  return imgpack::same_checksum(shard.digest, digest.digest());
}

LocalCopy::Step LocalCopy::bring(uint32_t number) {
  const imgpack::ShardSummary& shard = shards_[number];
  const std::filesystem::path target = options_.target / shard.file, source = options_.source / shard.file;
  const auto use = [&] {
    ready_[number].store(true, std::memory_order_release);
    ++copied_;
    return Step::kDone;
  };
  if (fs_.exists(target)) {
    if (whole(target, shard)) return use();
    if (stop_) return Step::kStopped;
    note(target.string() + " differs from the manifest's digest: making it anew");
    fs_.remove(target);
  }
  const uint64_t free = fs_.free_bytes(options_.target);
  if (free < shard.bytes || free - shard.bytes < options_.keep_free_bytes) return Step::kNoRoom;

  const std::filesystem::path temporary = target.string() + "." + std::to_string(getpid()) + imgpack::kTemporarySuffix;
  try {
    const auto from = fs_.open(source);
    const auto to = fs_.create(temporary);
    imgpack::ChecksumStream digest;
    std::vector<std::byte> chunk(options_.chunk_bytes);
    for (uint64_t at = 0; at < shard.bytes;) {
      if (stop_) {
        imgpack::remove_quietly(fs_, temporary);
        return Step::kStopped;
      }
      const std::span<std::byte> part(chunk.data(), std::min<uint64_t>(chunk.size(), shard.bytes - at));
      imgpack::read_exactly(*from, at, part);
      digest.update(part);
      to->append(part);
      at += part.size();
    }
    if (!imgpack::same_checksum(shard.digest, digest.digest()))
      throw Error(ErrorKind::kCorruption,
                  "shard differs from the manifest's digest: expected " + imgpack::to_hex(shard.digest) + ", found " +
                      imgpack::to_hex(digest.digest()),
                  source, {}, "imgpack verify " + options_.source.string());
    to->sync();
    to->close();
    fs_.rename(temporary, target);
    fs_.sync_directory(options_.target);
  } catch (...) {
    imgpack::remove_quietly(fs_, temporary);
    throw;
  }
  return use();
}

}  // namespace imgtrain::data
