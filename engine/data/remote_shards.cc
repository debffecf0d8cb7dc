#include "engine/data/remote_shards.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "format/checksum.h"
#include "format/error.h"
#include "format/quantity_text.h"
#include "format/record.h"
#include "format/remote_files.h"
#include "format/shard_reader.h"

namespace imgtrain::data {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

constexpr int kFetches = 4;
constexpr std::chrono::milliseconds kLockPoll(10);
// Other processes fill the same cache: it is counted anew whenever this share of the limit was added here.
constexpr uint64_t kCountShare = 64;
constexpr const char* kLockFile = "lock";

}  // namespace

// One shard as its readers see it. Opens the source when something is needed from there for the first time.
class RemoteShards::Shard : public imgpack::RandomAccessFile, public imgpack::InterruptibleFile {
 public:
  Shard(RemoteShards& owner, uint32_t number, std::filesystem::path path)
      : owner_(owner),
        summary_(owner.split_.info.shards.at(number)),
        path_(std::move(path)),
        base_(owner.split_.first_record[number]) {
    const imgpack::SplitView& split = owner_.split_;
    const uint64_t end = split.first_record[number + 1];
    for (uint64_t first = base_; first < end;) {
      Unit unit{first, first, split.offset[first], split.offset[first]};
      while (unit.last < end && unit.end - unit.begin < owner_.options_.unit_bytes)
        unit.end += split.columns.record_bytes[unit.last++];
      first = unit.last;
      units_.push_back(unit);
    }
    if (!owner_.folder_.empty()) cache_ = owner_.folder_ / (summary_.file + "." + imgpack::to_hex(summary_.digest));
    const std::lock_guard lock(owner_.mutex_);
    owner_.open_.push_back(this);
  }

  ~Shard() override {
    const std::lock_guard lock(owner_.mutex_);
    std::erase(owner_.open_, this);
  }

  uint64_t size() const override { return summary_.bytes; }
  const std::filesystem::path& path() const override { return path_; }

  void interrupt() const override {
    interrupted_ = true;
    const std::lock_guard lock(mutex_);
    if (source_ != nullptr) imgpack::interrupt(*source_);
  }

  size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
    const uint64_t end = std::min<uint64_t>(offset + out.size(), size());
    for (uint64_t at = offset; at < end;) {
      // Header, index and footer belong to no unit, and training asks for none of them.
      const auto next = std::upper_bound(units_.begin(), units_.end(), at,
                                         [](uint64_t value, const Unit& unit) { return value < unit.end; });
      const bool inside = next != units_.end() && next->begin <= at;
      const uint64_t stop = inside ? (cache_.empty() ? end_of_records(next, end) : next->end)
                                   : (next != units_.end() ? next->begin : size());
      const std::span<std::byte> part = out.subspan(at - offset, std::min(stop, end) - at);
      if (!inside) {
        fetch(at, part);
      } else if (cache_.empty()) {
        fetch_checked(at, part);
      } else {
        read_unit(*next, at, part);
      }
      at += part.size();
    }
    return end > offset ? end - offset : 0;
  }

 private:
  struct Unit {
    uint64_t first, last;  // Records, in the split's order; `last` is the one after.
    uint64_t begin, end;   // Bytes of the shard.
  };
  using UnitPlace = std::vector<Unit>::const_iterator;

  // Without a cache, consecutive units are fetched in one piece.
  uint64_t end_of_records(UnitPlace unit, uint64_t wanted) const {
    while (unit->end < wanted && unit + 1 != units_.end()) ++unit;
    return unit->end;
  }

  void throw_if_interrupted() const {
    if (interrupted_) throw Error(ErrorKind::kInterrupted, "reading was cancelled", path_);
  }

  void fetch(uint64_t at, std::span<std::byte> out) const {
    throw_if_interrupted();
    const std::shared_ptr<const imgpack::RandomAccessFile> file = source();
    imgpack::read_exactly(*file, at, out);
    owner_.fetched_bytes_ += out.size();
  }

  // The lock is not held while the network is asked for the object's size: interrupt() must get through.
  std::shared_ptr<const imgpack::RandomAccessFile> source() const {
    std::shared_ptr<imgpack::RandomAccessFile> file;
    {
      const std::lock_guard lock(mutex_);
      if (source_ == nullptr) source_ = owner_.fs_.open(path_);
      file = source_;
      if (interrupted_) imgpack::interrupt(*file);
    }
    if (file->size() != size()) {
      throw Error(ErrorKind::kIo,
                  "shard is not the manifest's: expected " + std::to_string(size()) + " bytes, found " +
                      std::to_string(file->size()),
                  path_, {}, "imgpack verify " + owner_.dataset_.folder().string());
    }
    return file;
  }

  // Whether all records that lie wholly within bytes [at, at + size) are intact and the index's.
  bool intact(uint64_t at, std::span<const std::byte> bytes) const {
    const imgpack::SplitView& split = owner_.split_;
    const auto first_offset = split.offset.begin() + static_cast<ptrdiff_t>(units_.front().first);
    const auto last_offset = split.offset.begin() + static_cast<ptrdiff_t>(units_.back().last);
    auto record = static_cast<uint64_t>(std::lower_bound(first_offset, last_offset, at) - split.offset.begin());
    for (; record < units_.back().last; ++record) {
      const uint64_t begin = split.offset[record] - at, size = split.columns.record_bytes[record];
      if (begin + size > bytes.size()) break;
      try {
        const auto view = imgpack::parse_record(bytes.subspan(begin, size), path_, split.offset[record]);
        imgpack::check_against_index(view, split.columns, record, path_, split.offset[record]);
      } catch (const Error&) {
        return false;
      }
    }
    return true;
  }

  // Returns whether the records are intact. If they are not, the bytes came twice as they are.
  bool fetch_checked(uint64_t at, std::span<std::byte> out) const {
    std::optional<uint64_t> before;
    for (int attempt = 1; attempt <= kFetches; ++attempt) {
      fetch(at, out);
      if (intact(at, out)) return true;
      const uint64_t now = imgpack::checksum(out);
      if (before == now) return false;
      before = now;
      ++owner_.refetched_;
      owner_.note("wrong bytes came over the network, fetched again: " + path_.string() + "@" + std::to_string(at));
    }
    throw Error(
        ErrorKind::kIo,
        "every fetch brings other bytes, and never those that the checksums are of: the connection or the store "
        "damages what it carries",
        path_, at, "imgpack verify " + owner_.dataset_.folder().string());
  }

  std::filesystem::path unit_path(const Unit& unit) const {
    char name[24];
    std::snprintf(name, sizeof name, "%08llu", static_cast<unsigned long long>(unit.first - base_));
    return cache_ / name;
  }

  void read_unit(const Unit& unit, uint64_t at, std::span<std::byte> out) const {
    if (from_cache(unit, at, out)) return;
    std::unique_ptr<imgpack::ByteLock> lock;
    if (owner_.storing_) {
      lock = take_turn(unit);
      // Whoever had it has fetched the unit.
      if (from_cache(unit, at, out)) return;
    }
    const uint64_t bytes = unit.end - unit.begin;
    if (lock == nullptr) {  // Nothing will be kept: what was asked for is enough.
      fetch_checked(at, out);
      return;
    }
    std::vector<std::byte> scratch;
    std::span<std::byte> whole = out;
    if (out.size() != bytes) {
      scratch.resize(bytes);
      whole = scratch;
    }
    const bool good = fetch_checked(unit.begin, whole);
    if (good) store(unit, whole);
    if (whole.data() != out.data()) std::memcpy(out.data(), whole.data() + (at - unit.begin), out.size());
  }

  // nullptr: whoever has the unit does not let go of it, or there is no cache any more.
  std::unique_ptr<imgpack::ByteLock> take_turn(const Unit& unit) const {
    try {
      owner_.fs_.make_directories(cache_);
      const auto until = std::chrono::steady_clock::now() + owner_.options_.turn;
      while (true) {
        throw_if_interrupted();
        if (auto lock = owner_.options_.try_lock(cache_ / kLockFile, unit.first - base_)) return lock;
        if (std::chrono::steady_clock::now() >= until) break;
        std::this_thread::sleep_for(kLockPoll);
      }
      owner_.note(unit_path(unit).string() + ": another process has been fetching it for too long, read from " +
                  owner_.dataset_.folder().string() + " without it");
      return nullptr;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kInterrupted) throw;
      owner_.give_up_cache(error.what());
      return nullptr;
    }
  }

  bool from_cache(const Unit& unit, uint64_t at, std::span<std::byte> out) const {
    const std::filesystem::path file = unit_path(unit);
    try {
      if (!owner_.fs_.exists(file)) return false;
      const auto opened = owner_.fs_.open(file);
      if (opened->size() == unit.end - unit.begin && opened->read_at(at - unit.begin, out) == out.size() &&
          intact(at, out)) {
        owner_.cached_bytes_ += out.size();
        return true;
      }
      ++owner_.refetched_;
      owner_.note(file.string() + " is damaged: fetching it again");
    } catch (const Error&) {
      // Deleted under our eyes, or a disk that fails: the source has it.
    }
    imgpack::remove_quietly(owner_.fs_, file);
    return false;
  }

  void store(const Unit& unit, std::span<const std::byte> bytes) const {
    const std::filesystem::path file = unit_path(unit), temporary = imgpack::temporary_path(file);
    bool reserved = false, stored = false;
    try {
      reserved = owner_.reserve(bytes.size());
      if (!reserved) return;
      const auto written = owner_.fs_.create(temporary);
      written->append(bytes);
      written->close();
      owner_.fs_.rename(temporary, file);
      stored = true;
    } catch (const Error& error) {
      imgpack::remove_quietly(owner_.fs_, temporary);
      owner_.give_up_cache(error.what());
    }
    if (reserved) owner_.settle(bytes.size(), stored);
  }

  RemoteShards& owner_;
  const imgpack::ShardSummary& summary_;
  const std::filesystem::path path_;
  const uint64_t base_;  // The shard's first record.
  std::filesystem::path cache_;
  std::vector<Unit> units_;
  mutable std::atomic<bool> interrupted_{false};
  mutable std::mutex mutex_;
  mutable std::shared_ptr<imgpack::RandomAccessFile> source_;
};

RemoteShards::RemoteShards(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const std::string& split,
                           const RemoteShardsOptions& options)
    : fs_(fs),
      dataset_(dataset),
      split_(dataset.split(split)),
      options_(options),
      folder_(options.cache.empty() ? options.cache : options.cache / dataset.manifest().dataset_id),
      storing_(!options.cache.empty()) {}

RemoteShards::~RemoteShards() = default;

std::unique_ptr<imgpack::RandomAccessFile> RemoteShards::open(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const auto& shards = split_.info.shards;
  const auto found = std::find_if(shards.begin(), shards.end(),
                                  [&](const imgpack::ShardSummary& shard) { return shard.file == name; });
  if (found == shards.end()) throw Error(ErrorKind::kInternal, "no shard of this split", path);
  return std::make_unique<Shard>(*this, static_cast<uint32_t>(found - shards.begin()), path);
}

void RemoteShards::interrupt() {
  const std::lock_guard lock(mutex_);
  for (const Shard* shard : open_) shard->interrupt();
}

RemoteCounters RemoteShards::counters() const {
  return {fetched_bytes_, cached_bytes_, refetched_};
}

uint64_t RemoteShards::unit_memory_bytes() const {
  const auto& sizes = split_.columns.record_bytes;
  return options_.unit_bytes + (sizes.empty() ? 0 : *std::max_element(sizes.begin(), sizes.end()));
}

std::string RemoteShards::describe() const {
  std::string text = dataset_.folder().string() + " over the network, ";
  if (options_.cache.empty()) return text + "no cache: every epoch is read from there";
  text += "cache " + folder_.string();
  if (options_.cache_limit > 0) text += " of at most " + imgpack::format_bytes(options_.cache_limit);
  return text;
}

std::vector<std::string> RemoteShards::take_notes() {
  const std::lock_guard lock(mutex_);
  return std::exchange(notes_, {});
}

void RemoteShards::note(std::string text) {
  constexpr size_t kMaxNotes = 100;
  const std::lock_guard lock(mutex_);
  if (notes_.size() < kMaxNotes) notes_.push_back(std::move(text));
}

void RemoteShards::give_up_cache(const std::string& why) {
  if (storing_.exchange(false)) note("cache: nothing more is kept there: " + why);
}

uint64_t RemoteShards::bytes_in(const std::filesystem::path& folder, int depth) const {
  uint64_t bytes = 0;
  for (const imgpack::DirectoryEntry& entry : fs_.list(folder)) {
    if (!entry.is_directory) {
      bytes += entry.bytes;
    } else if (depth > 0 && !entry.is_link) {
      bytes += bytes_in(folder / entry.name, depth - 1);
    }
  }
  return bytes;
}

// Whether the cache may take so many bytes more; settle() then says what became of them. Other processes are seen when
// the cache is counted: each may exceed the limit by a 64th and by what it is writing.
bool RemoteShards::reserve(uint64_t bytes) {
  constexpr int kDepth = 2;  // Dataset, shard.
  const std::unique_lock lock(mutex_);
  if (!storing_) return false;
  std::string full;
  const uint64_t free = fs_.free_bytes(folder_), wanted = bytes + writing_;
  if (free < wanted || free - wanted < options_.keep_free_bytes)
    full = imgpack::format_bytes(free) + " of the disk are free and " +
           imgpack::format_bytes(options_.keep_free_bytes) + " stay so";
  if (options_.cache_limit > 0 && full.empty()) {
    if (!counted_ || since_counted_ + bytes > options_.cache_limit / kCountShare) {
      used_ = bytes_in(options_.cache, kDepth);
      since_counted_ = 0;
      counted_ = true;
    }
    const uint64_t there = used_ + since_counted_ + bytes;
    // What is being written may be counted twice: no reason to give up for good.
    if (there <= options_.cache_limit && there + writing_ > options_.cache_limit) return false;
    if (there > options_.cache_limit)
      full = "the limit of " + imgpack::format_bytes(options_.cache_limit) + " is reached";
  }
  if (full.empty()) {
    writing_ += bytes;
    return true;
  }
  storing_ = false;
  notes_.push_back("cache: " + full + ": what is not in " + folder_.string() + " is read from " +
                   dataset_.folder().string() + " in every epoch");
  return false;
}

void RemoteShards::settle(uint64_t bytes, bool stored) {
  const std::lock_guard lock(mutex_);
  writing_ -= bytes;
  if (stored) since_counted_ += bytes;
}

}  // namespace imgtrain::data
