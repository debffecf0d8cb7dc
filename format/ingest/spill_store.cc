#include "format/ingest/spill_store.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "format/error.h"
#include "format/record.h"

namespace imgpack::ingest {
namespace {

constexpr uint32_t kMinRanges = 16;
constexpr uint32_t kMaxRanges = 512;
constexpr uint64_t kRangesPerShard = 4;

}  // namespace

uint32_t spill_ranges(uint64_t archive_bytes, uint64_t shard_bytes) {
  uint32_t ranges = kMinRanges;
  while (ranges < kMaxRanges && archive_bytes / ranges > shard_bytes / kRangesPerShard) ranges *= 2;
  return ranges;
}

SpillStore::SpillStore(FileSystem& fs, std::filesystem::path folder, std::string split, uint32_t ranges,
                       uint64_t buffer_bytes)
    : fs_(fs), folder_(std::move(folder)), split_(std::move(split)), buffer_bytes_(buffer_bytes), ranges_(ranges) {}

SpillStore::~SpillStore() {
  for (size_t range = 0; range < ranges_.size(); ++range) {
    if (ranges_[range].written == 0) continue;
    ranges_[range].writer.reset();
    ranges_[range].file.reset();
    remove_quietly(fs_, file_of(range));
  }
}

std::filesystem::path SpillStore::file_of(size_t range) const {
  char number[32];
  std::snprintf(number, sizeof number, "-%05zu", range);
  return temporary_path(folder_ / (split_ + number + kSpillEnding));
}

size_t SpillStore::range_of(uint64_t key) const {
  return shard_of_key(key, static_cast<uint32_t>(ranges_.size()));
}

SpillPlace SpillStore::add(uint64_t key, std::span<const std::byte> bytes) {
  if (bytes.size() > std::numeric_limits<uint32_t>::max())
    throw Error(ErrorKind::kInternal, "record is too large to be spilled");
  Range& range = ranges_[range_of(key)];
  const SpillPlace place{range.bytes, static_cast<uint32_t>(bytes.size())};
  range.buffer.insert(range.buffer.end(), bytes.begin(), bytes.end());
  range.bytes += bytes.size();
  ++range.left;
  buffered_ += bytes.size();
  if (buffered_ > buffer_bytes_) flush_the_fullest();
  return place;
}

void SpillStore::flush(size_t number) {
  Range& range = ranges_[number];
  if (range.buffer.empty()) return;
  if (!range.writer) range.writer = fs_.create(file_of(number));
  // Set first: a write that fails half way has made the file all the same.
  const uint64_t size = range.buffer.size();
  range.written += size;
  on_disk_ += size;
  range.writer->append(range.buffer);
  buffered_ -= size;
  // Freed, not only cleared: what a range once needed must not stay with each of them.
  std::vector<std::byte>().swap(range.buffer);
}

// All that hold more than the average, so that writes are large and the next time is far.
void SpillStore::flush_the_fullest() {
  const uint64_t average = buffered_ / ranges_.size();
  for (size_t range = 0; range < ranges_.size(); ++range) {
    if (ranges_[range].buffer.size() >= average) flush(range);
  }
}

void SpillStore::finish_adding() {
  for (size_t number = 0; number < ranges_.size(); ++number) {
    flush(number);
    if (ranges_[number].writer) ranges_[number].writer->close();
    ranges_[number].writer.reset();
  }
}

std::vector<std::byte> SpillStore::read(uint64_t key, const SpillPlace& place) {
  const size_t number = range_of(key);
  RandomAccessFile* file = nullptr;
  {
    const std::lock_guard lock(mutex_);
    Range& range = ranges_[number];
    if (!range.file) range.file = fs_.open(file_of(number));
    file = range.file.get();
  }
  std::vector<std::byte> bytes(place.bytes);
  read_exactly(*file, place.offset, bytes);
  release(number);
  return bytes;
}

void SpillStore::drop(uint64_t key) {
  release(range_of(key));
}

void SpillStore::release(size_t number) {
  {
    const std::lock_guard lock(mutex_);
    Range& range = ranges_[number];
    if (--range.left > 0) return;
    range.file.reset();
    on_disk_ -= range.written;
    range.written = 0;
  }
  fs_.remove(file_of(number));
}

}  // namespace imgpack::ingest
