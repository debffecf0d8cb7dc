#include "format/remote/transfer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/dataset.h"
#include "format/dataset_index.h"
#include "format/error.h"
#include "format/folder_lock.h"
#include "format/label_set.h"
#include "format/layout.h"
#include "format/manifest.h"
#include "format/remote_files.h"

namespace imgpack::remote {
namespace {

constexpr uint64_t kMaxParts = 9000;  // S3 takes 10,000.

// A file that the manifest names. Without a digest, the file's own checks decide (index, label sets).
struct NamedFile {
  std::string name;
  uint64_t bytes = 0;
  std::optional<uint64_t> digest;
};

std::vector<NamedFile> shards_of(const Manifest& manifest) {
  std::vector<NamedFile> files;
  for (const SplitInfo& split : manifest.splits)
    for (const ShardSummary& shard : split.shards) files.push_back({shard.file, shard.bytes, shard.digest});
  return files;
}

// Runs `work` on the files, several at once, and reports meanwhile. The first failure stops all of them.
class Crew {
 public:
  explicit Crew(const TransferOptions& options) : options_(options) {}

  void run(const std::vector<NamedFile>& files, const std::function<void(const NamedFile&)>& work) {
    total_.total_files = files.size();
    for (const NamedFile& file : files) total_.total_bytes += file.bytes;
    std::atomic<size_t> next{0};
    side_by_side(std::clamp<size_t>(files.size(), 1, std::max(options_.connections, 1u)), [&] {
      for (size_t f = next++; f < files.size() && !stop_; f = next++) {
        work(files[f]);
        ++files_;
      }
    });
    if (options_.progress) report();
  }

  // One piece of work that is no file of the dataset's own, so that it can be stopped too.
  void run_alone(const std::function<void()>& work) { side_by_side(1, work); }

  // A file whose reads end at once when everything stops, for as long as the result lives.
  std::shared_ptr<void> stop_with_the_rest(const RandomAccessFile& file) {
    const std::lock_guard lock(mutex_);
    if (stop_) interrupt(file);
    open_.push_back(&file);
    return {nullptr, [this, &file](void*) {
              const std::lock_guard guard(mutex_);
              std::erase(open_, &file);
            }};
  }

  void count(uint64_t bytes) { bytes_ += bytes; }
  const std::atomic<bool>* stopped() const { return &stop_; }
  void throw_if_stopped() const {
    if (stop_) throw Error(ErrorKind::kInterrupted, "the transfer was stopped");
  }

 private:
  // `work` on so many threads at once, or on as many as the system gives.
  void side_by_side(size_t count, const std::function<void()>& work) {
    std::vector<std::thread> threads;
    size_t running = count;
    const auto body = [&] {
      try {
        work();
      } catch (...) {
        fail(std::current_exception());
      }
      const std::lock_guard lock(mutex_);
      --running;
      ended_.notify_all();
    };
    try {
      threads.reserve(count);
      while (threads.size() < count) threads.emplace_back(body);
    } catch (const std::system_error& error) {
      if (threads.empty())
        throw Error(ErrorKind::kIo, std::string("the system gives no thread to work with: ") + error.what());
      const std::lock_guard lock(mutex_);
      running -= count - threads.size();
    }
    std::unique_lock lock(mutex_);
    while (running != 0) {
      ended_.wait_for(lock, std::chrono::milliseconds(100));
      if (!options_.progress || stop_) continue;
      lock.unlock();
      try {
        report();
      } catch (...) {
        fail(std::current_exception());
      }
      lock.lock();
    }
    lock.unlock();
    for (std::thread& thread : threads) thread.join();
    if (failure_ != nullptr) std::rethrow_exception(failure_);
  }

  void report() const {
    TransferProgress now = total_;
    now.files = files_;
    now.bytes = bytes_;
    options_.progress(now);
  }

  void fail(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    // Those that were stopped because of it fail too.
    if (failure_ == nullptr) failure_ = std::move(failure);
    stop_ = true;
    for (const RandomAccessFile* file : open_) interrupt(*file);
  }

  const TransferOptions& options_;
  TransferProgress total_;
  std::atomic<uint64_t> files_{0}, bytes_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable ended_;
  std::exception_ptr failure_;
  std::vector<const RandomAccessFile*> open_;
};

[[noreturn]] void differs(const std::filesystem::path& path, uint64_t expected, uint64_t found,
                          const std::string& hint) {
  throw Error(ErrorKind::kCorruption,
              "file differs from the manifest's digest: expected " + to_hex(expected) + ", found " + to_hex(found),
              path, {}, hint);
}

// What is being added up by all workers.
struct Skipped {
  std::atomic<uint64_t> files{0}, bytes{0};
  void add(const NamedFile& file) {
    ++files;
    bytes += file.bytes;
  }
};

class Push {
 public:
  Push(FileSystem& local, std::filesystem::path folder, ObjectStore& store, std::filesystem::path url,
       const TransferOptions& options)
      : local_(local),
        folder_(std::move(folder)),
        store_(store),
        url_(std::move(url)),
        options_(options),
        crew_(options) {}

  TransferReport run() {
    const Manifest manifest = Dataset::open(local_, folder_, ReadNames::kYes).manifest();
    const std::string text = read_text(local_, folder_ / kManifestFile, layout::kMaxManifestBytes);
    bool complete = false;
    crew_.run_alone([&] { complete = look_at_manifest(text); });

    std::vector<NamedFile> files = shards_of(manifest);
    for (const LabelSetInfo& set : manifest.label_sets) {
      read_label_set(local_, folder_, set);
      files.push_back(small(set.file, layout::kMaxLabelSetBytes));
    }
    files.push_back(small(manifest.index_file, layout::kMaxIndexBytes));
    crew_.run(files, [this](const NamedFile& file) { send(file); });
    const NamedFile last{kManifestFile, text.size(), checksum(text)};
    if (complete) {
      skipped_.add(last);
    } else {
      crew_.run_alone([&] { store_.put(url_ / kManifestFile, as_bytes(text), notes(*last.digest), crew_.stopped()); });
    }
    TransferReport report{manifest.dataset_id, files.size() + 1, text.size(), skipped_.files, skipped_.bytes};
    for (const NamedFile& file : files) report.bytes += file.bytes;
    return report;
  }

 private:
  // True: it is this dataset's.
  bool look_at_manifest(const std::string& text) {
    const std::filesystem::path path = url_ / kManifestFile;
    const auto facts = store_.look(path, crew_.stopped());
    if (!facts) return false;
    if (facts->bytes == text.size()) {
      std::string there(text.size(), '\0');
      store_.read(path, *facts, 0, std::as_writable_bytes(std::span(there)), crew_.stopped());
      if (there == text) return true;
    }
    throw Error(ErrorKind::kInvalidInput, "another dataset lies here, or another state of this one", url_, {},
                "push to another prefix: runs that read this one would find it replaced");
  }

  NamedFile small(const std::string& name, uint64_t limit_bytes) {
    const std::string text = read_text(local_, folder_ / name, limit_bytes);
    return {name, text.size(), checksum(text)};
  }

  static std::map<std::string, std::string> notes(uint64_t digest) { return {{kDigestNote, to_hex(digest)}}; }

  void send(const NamedFile& file) {
    const std::filesystem::path target = url_ / file.name;
    const auto there = store_.look(target, crew_.stopped());
    if (there && there->bytes == file.bytes) {
      const auto note = there->notes.find(kDigestNote);
      if (note != there->notes.end() && note->second == to_hex(*file.digest)) {
        skipped_.add(file);
        crew_.count(file.bytes);
        return;
      }
    }
    const auto opened = local_.open(folder_ / file.name);
    if (opened->size() != file.bytes) {
      throw Error(ErrorKind::kCorruption,
                  "file has the wrong length: expected " + std::to_string(file.bytes) + " bytes, found " +
                      std::to_string(opened->size()),
                  folder_ / file.name, {}, "imgpack verify " + folder_.string());
    }
    const uint64_t part_bytes = std::max(options_.part_bytes, (file.bytes + kMaxParts - 1) / kMaxParts);
    std::vector<std::byte> part(std::min(part_bytes, file.bytes));
    if (file.bytes <= part_bytes) {
      read_exactly(*opened, 0, part);
      require_digest(file, checksum(part));
      store_.put(target, part, notes(*file.digest), crew_.stopped());
      crew_.count(file.bytes);
      return;
    }
    const std::string upload = store_.begin_upload(target, notes(*file.digest), crew_.stopped());
    try {
      ChecksumStream digest;
      std::vector<UploadedPart> parts;
      for (uint64_t at = 0; at < file.bytes; at += part.size()) {
        const std::span<std::byte> bytes(part.data(), std::min<uint64_t>(part.size(), file.bytes - at));
        read_exactly(*opened, at, bytes);
        digest.update(bytes);
        parts.push_back(
            store_.put_part(target, upload, static_cast<uint32_t>(parts.size() + 1), bytes, crew_.stopped()));
        crew_.count(bytes.size());
      }
      require_digest(file, digest.digest());
      store_.complete_upload(target, upload, parts, file.bytes, notes(*file.digest), crew_.stopped());
    } catch (...) {
      store_.abandon_upload(target, upload);
      throw;
    }
  }

  void require_digest(const NamedFile& file, uint64_t found) const {
    if (!same_checksum(*file.digest, found))
      differs(folder_ / file.name, *file.digest, found, "imgpack verify " + folder_.string());
  }

  FileSystem& local_;
  const std::filesystem::path folder_;
  ObjectStore& store_;
  const std::filesystem::path url_;
  const TransferOptions& options_;
  Crew crew_;
  Skipped skipped_;
};

class Pull {
 public:
  Pull(FileSystem& from, std::filesystem::path source, FileSystem& local, std::filesystem::path folder,
       const TransferOptions& options)
      : from_(from),
        source_(std::move(source)),
        local_(local),
        folder_(std::move(folder)),
        options_(options),
        crew_(options) {}

  TransferReport run() {
    std::string text;
    crew_.run_alone([&] { text = read_source(kManifestFile, layout::kMaxManifestBytes); });
    const Manifest manifest = parse_manifest(text, source_ / kManifestFile);
    if (!local_.exists(folder_)) local_.make_directories(folder_);
    std::unique_ptr<FolderLock> lock;
    if (options_.lock) lock = std::make_unique<FolderLock>(folder_);
    const bool complete = local_.exists(folder_ / kManifestFile);
    if (complete && read_text(local_, folder_ / kManifestFile, layout::kMaxManifestBytes) != text) {
      throw Error(ErrorKind::kInvalidInput, "the folder holds another dataset, or another state of this one", folder_,
                  {}, "name another folder");
    }
    const std::vector<NamedFile> files = shards_of(manifest);
    require_room(files);
    crew_.run(files, [this](const NamedFile& file) { fetch(file); });
    TransferReport report{manifest.dataset_id, files.size() + 2 + manifest.label_sets.size(), text.size(), 0, 0};
    for (const NamedFile& file : files) report.bytes += file.bytes;
    crew_.run_alone([&] {
      report.bytes += fetch_index(manifest);
      for (const LabelSetInfo& set : manifest.label_sets) report.bytes += fetch_label_set(set);
    });
    if (complete) {
      skipped_.add({kManifestFile, text.size(), {}});
    } else {
      publish(local_, folder_ / kManifestFile, text);
    }
    report.skipped_files = skipped_.files;
    report.skipped_bytes = skipped_.bytes;
    return report;
  }

 private:
  void require_room(const std::vector<NamedFile>& files) {
    uint64_t missing = 0;
    for (const NamedFile& file : files)
      if (!local_.exists(folder_ / file.name)) missing += file.bytes;
    const uint64_t free = local_.free_bytes(folder_);
    if (missing > free) {
      throw Error(ErrorKind::kIo,
                  "not enough space: expected " + std::to_string(missing) + " bytes, found " + std::to_string(free),
                  folder_);
    }
  }

  // Of the bytes as `each` is given them one after another.
  uint64_t digest_of(const RandomAccessFile& file, const std::function<void(std::span<const std::byte>)>& each) const {
    ChecksumStream digest;
    std::vector<std::byte> part(std::min<uint64_t>(options_.part_bytes, file.size()));
    for (uint64_t at = 0; at < file.size(); at += part.size()) {
      crew_.throw_if_stopped();
      const std::span<std::byte> bytes(part.data(), std::min<uint64_t>(part.size(), file.size() - at));
      read_exactly(file, at, bytes);
      digest.update(bytes);
      each(bytes);
    }
    return digest.digest();
  }

  bool is_whole(const NamedFile& file) {
    if (!local_.exists(folder_ / file.name)) return false;
    const auto opened = local_.open(folder_ / file.name);
    return opened->size() == file.bytes &&
           same_checksum(*file.digest, digest_of(*opened, [](std::span<const std::byte>) {}));
  }

  void fetch(const NamedFile& file) {
    if (is_whole(file)) {
      skipped_.add(file);
      crew_.count(file.bytes);
      return;
    }
    const std::filesystem::path target = folder_ / file.name, temporary = temporary_path(target);
    // Once more where the digest is wrong: a byte may have been lost on the way.
    for (bool again : {false, true}) {
      const auto opened = from_.open(source_ / file.name);
      const auto stops = crew_.stop_with_the_rest(*opened);  // Its size is asked of the network too.
      if (opened->size() != file.bytes) {
        throw Error(ErrorKind::kCorruption,
                    "file has the wrong length: expected " + std::to_string(file.bytes) + " bytes, found " +
                        std::to_string(opened->size()),
                    source_ / file.name);
      }
      try {
        const auto written = local_.create(temporary);
        const uint64_t found = digest_of(*opened, [&](std::span<const std::byte> bytes) {
          written->append(bytes);
          if (!again) crew_.count(bytes.size());
        });
        if (same_checksum(*file.digest, found)) {
          written->sync();
          written->close();
          local_.rename(temporary, target);
          local_.sync_directory(folder_);
          return;
        }
        if (again)
          differs(source_ / file.name, *file.digest, found,
                  "imgpack verify " + source_.string() + " says what is wrong");
      } catch (...) {
        remove_quietly(local_, temporary);
        throw;
      }
    }
  }

  // A small file as a whole, in a way that ends when everything stops.
  std::string read_source(const std::string& name, uint64_t limit_bytes) {
    const std::filesystem::path path = source_ / name;
    const auto opened = from_.open(path);
    const auto stops = crew_.stop_with_the_rest(*opened);
    if (opened->size() > limit_bytes) {
      throw Error(ErrorKind::kCorruption,
                  "file is too large: expected at most " + std::to_string(limit_bytes) + " bytes, found " +
                      std::to_string(opened->size()),
                  path);
    }
    std::string text(opened->size(), '\0');
    read_exactly(*opened, 0, std::as_writable_bytes(std::span(text)));
    return text;
  }

  // What `check` throws for is not published; where it lies in the folder already, it is fetched again.
  uint64_t fetch_small(const std::string& name, uint64_t limit_bytes,
                       const std::function<void(const std::string&, const std::filesystem::path&)>& check) {
    const std::filesystem::path target = folder_ / name;
    if (local_.exists(target)) {
      try {
        const std::string there = read_text(local_, target, limit_bytes);
        check(there, target);
        skipped_.add({name, there.size(), {}});
        return there.size();
      } catch (const Error& error) {
        if (error.kind() == ErrorKind::kIo) throw;
      }
    }
    const std::string text = read_source(name, limit_bytes);
    check(text, source_ / name);
    publish(local_, target, text);
    return text.size();
  }

  uint64_t fetch_index(const Manifest& manifest) {
    return fetch_small(manifest.index_file, layout::kMaxIndexBytes,
                       [&](const std::string& text, const std::filesystem::path& path) {
                         const DatasetIndexHead head = parse_dataset_index_head(as_bytes(text), text.size(), path);
                         if (text.size() != manifest.index_bytes || !same_checksum(manifest.index_digest, head.digest))
                           throw Error(ErrorKind::kCorruption, "dataset index is not the manifest's", path);
                         decode_dataset_index(head, as_bytes(text), ReadNames::kYes, path);
                       });
  }

  uint64_t fetch_label_set(const LabelSetInfo& set) {
    return fetch_small(
        set.file, layout::kMaxLabelSetBytes,
        [&](const std::string& text, const std::filesystem::path& path) { check_label_set(text, set, path); });
  }

  FileSystem& from_;
  const std::filesystem::path source_;
  FileSystem& local_;
  const std::filesystem::path folder_;
  const TransferOptions& options_;
  Crew crew_;
  Skipped skipped_;
};

}  // namespace

TransferReport push_dataset(FileSystem& local, const std::filesystem::path& folder, ObjectStore& store,
                            const std::filesystem::path& url, const TransferOptions& options) {
  if (!parse_remote_url(url).is_s3())
    throw Error(ErrorKind::kUsage, "web servers are only read from: expected s3://BUCKET/PREFIX", url);
  return Push(local, folder, store, url, options).run();
}

TransferReport pull_dataset(FileSystem& from, const std::filesystem::path& source, FileSystem& local,
                            const std::filesystem::path& folder, const TransferOptions& options) {
  return Pull(from, source, local, folder, options).run();
}

}  // namespace imgpack::remote
