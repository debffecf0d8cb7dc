// pull between file systems in memory: what is left behind when anything fails. push is tested against an S3 server
// (tests/cli/remote.bats).
#include "format/remote/transfer.h"

#include <gmock/gmock.h>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "format/dataset.h"
#include "format/label_set.h"
#include "format/manifest.h"
#include "format/remote_files.h"
#include "format/verify.h"
#include "tests/support/expect_error.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack::remote {
namespace {

using test::MemoryFileSystem;

const std::filesystem::path kSource = "/source", kTarget = "/target";

struct Pulling : testing::Test {
  Pulling() {
    test::write_tiny_dataset(source, kSource);
    options.connections = 2;
    options.lock = false;
    options.part_bytes = 500;
  }

  TransferReport pull(FileSystem& target) { return pull_dataset(source, kSource, target, kTarget, options); }

  static bool has_all_of(MemoryFileSystem& source, MemoryFileSystem& target) {
    for (const auto& [path, bytes] : source.all_files()) {
      const std::string there = kTarget / std::filesystem::path(path).filename();
      const auto files = target.all_files();
      if (!files.contains(there) || files.at(there) != bytes) return false;
    }
    return true;
  }

  MemoryFileSystem source;
  TransferOptions options;
};

TEST_F(Pulling, BringsEveryFileAsItIs) {
  MemoryFileSystem target;
  const TransferReport report = pull(target);
  EXPECT_TRUE(has_all_of(source, target));
  EXPECT_EQ(target.all_files().size(), source.all_files().size());
  EXPECT_EQ(report.files, source.all_files().size());
  EXPECT_EQ(report.skipped_files, 0u);
  uint64_t bytes = 0;
  for (const auto& [path, text] : source.all_files()) bytes += text.size();
  EXPECT_EQ(report.bytes, bytes);
}

TEST_F(Pulling, ASecondTimeSkipsWhatIsWholeAndMendsWhatIsNot) {
  MemoryFileSystem target;
  pull(target);
  EXPECT_EQ(pull(target).skipped_files, 6u);  // Four shards, the index and the manifest.
  std::string bytes = target.bytes(kTarget / "train-00001.ipk");
  bytes[bytes.size() / 2] ^= 1;
  target.set_bytes(kTarget / "train-00001.ipk", bytes);
  target.remove(kTarget / "val-00000.ipk");
  EXPECT_EQ(pull(target).skipped_files, 4u);
  EXPECT_TRUE(has_all_of(source, target));
}

TEST_F(Pulling, AnotherDatasetInTheFolderIsLeftAlone) {
  MemoryFileSystem target;
  test::write_dataset(target, kTarget, {{"train", test::make_records("train", 9), 1, true}});
  const auto before = target.all_files();
  EXPECT_ERROR(pull(target), ErrorKind::kInvalidInput, "another dataset");
  for (const auto& [path, bytes] : before) EXPECT_EQ(target.bytes(path), bytes);
}

TEST_F(Pulling, AShardThatDiffersFromTheManifestIsNeverPublished) {
  std::string bytes = source.bytes(kSource / "train-00002.ipk");
  bytes[bytes.size() / 2] ^= 1;
  source.set_bytes(kSource / "train-00002.ipk", bytes);
  MemoryFileSystem target;
  EXPECT_ERROR(pull(target), ErrorKind::kCorruption, "differs from the manifest's digest");
  EXPECT_FALSE(target.exists(kTarget / "train-00002.ipk"));
  EXPECT_FALSE(target.exists(kTarget / "train-00002.ipk.tmp"));
  EXPECT_FALSE(target.exists(kTarget / kManifestFile));
}

// Gives one wrong byte in the first reading of a file.
class OnceWrong : public MemoryFileSystem {
 public:
  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) override {
    auto file = MemoryFileSystem::open(path);
    if (path.filename() != "train-00000.ipk" || done++ > 0) return file;
    std::string bytes(file->size(), '\0');
    read_exactly(*file, 0, std::as_writable_bytes(std::span(bytes)));
    bytes[bytes.size() / 2] ^= 1;
    MemoryFileSystem other;
    other.set_bytes(path, bytes);
    return other.open(path);
  }
  std::atomic<int> done{0};
};

TEST_F(Pulling, AByteLostOnTheWayIsFetchedAgain) {
  OnceWrong from;
  for (const auto& [path, bytes] : source.all_files()) from.set_bytes(path, bytes);
  MemoryFileSystem target;
  pull_dataset(from, kSource, target, kTarget, options);
  EXPECT_TRUE(has_all_of(source, target));
  EXPECT_EQ(from.done, 2);
}

// Counts how often each file is opened.
class Watched : public MemoryFileSystem {
 public:
  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) override {
    const std::lock_guard lock(mutex);
    ++opened[path.filename().string()];
    return MemoryFileSystem::open(path);
  }
  std::mutex mutex;
  std::map<std::string, int> opened;
};

TEST_F(Pulling, SmallFilesAreReadOnceAndNotAgainWhereTheyAreThere) {
  LabelSet set{"extra", "val", 3, 0, std::vector<std::vector<int32_t>>(6, {1})};
  const Dataset dataset = Dataset::open(source, kSource);
  set.ids = ids_checksum(dataset.split("val").columns.id);
  add_label_set(source, kSource, set);
  Watched from;
  for (const auto& [path, bytes] : source.all_files()) from.set_bytes(path, bytes);
  MemoryFileSystem target;
  pull_dataset(from, kSource, target, kTarget, options);
  EXPECT_TRUE(has_all_of(source, target));
  EXPECT_EQ(from.opened["labels-extra.json"], 1);
  EXPECT_EQ(from.opened["index.ipx"], 1);
  from.opened.clear();
  EXPECT_EQ(pull_dataset(from, kSource, target, kTarget, options).skipped_files, 7u);
  EXPECT_EQ(from.opened["labels-extra.json"], 0);
  EXPECT_EQ(from.opened["index.ipx"], 0);
  // What is damaged in the folder is fetched, what is damaged at the source is not taken.
  for (const char* name : {"labels-extra.json", "index.ipx"}) {
    target.set_bytes(kTarget / name, "damaged");
    pull_dataset(from, kSource, target, kTarget, options);
    EXPECT_EQ(target.bytes(kTarget / name), source.bytes(kSource / name));
    std::string bytes = source.bytes(kSource / name);
    bytes[bytes.size() / 2] ^= 1;
    from.set_bytes(kSource / name, bytes);
    target.remove(kTarget / name);
    EXPECT_THROW(pull_dataset(from, kSource, target, kTarget, options), Error) << name;
    EXPECT_FALSE(target.exists(kTarget / name));
    from.set_bytes(kSource / name, source.bytes(kSource / name));
  }
}

// The size of one file is not known before the network answers, which it does not.
class SilentAtSize : public MemoryFileSystem {
 public:
  explicit SilentAtSize(std::string name) : name_(std::move(name)) {}
  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) override {
    if (path.filename() != name_) return MemoryFileSystem::open(path);
    return std::make_unique<Silent>(*this, path);
  }
  std::atomic<bool> asked{false}, waited_in_vain{false};

 private:
  struct Silent : RandomAccessFile, InterruptibleFile {
    Silent(SilentAtSize& owner, std::filesystem::path path) : owner_(owner), path_(std::move(path)) {}
    uint64_t size() const override {
      owner_.asked = true;
      for (int i = 0; i < 20'000 && !interrupted_; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (!interrupted_) owner_.waited_in_vain = true;
      throw Error(ErrorKind::kInterrupted, "reading was cancelled", path_);
    }
    size_t read_at(uint64_t, std::span<std::byte>) const override { return 0; }
    const std::filesystem::path& path() const override { return path_; }
    void interrupt() const override { interrupted_ = true; }

    SilentAtSize& owner_;
    const std::filesystem::path path_;
    mutable std::atomic<bool> interrupted_{false};
  };
  const std::string name_;
};

TEST_F(Pulling, StopsWhileTheSizeOfAFileIsAskedFor) {
  for (const char* name : {"train-00001.ipk", "manifest.json", "index.ipx"}) {
    SilentAtSize from(name);
    for (const auto& [path, bytes] : source.all_files()) from.set_bytes(path, bytes);
    options.progress = [&](const TransferProgress&) {
      if (from.asked) throw Error(ErrorKind::kInterrupted, "stop");
    };
    MemoryFileSystem target;
    EXPECT_ERROR(pull_dataset(from, kSource, target, kTarget, options), ErrorKind::kInterrupted, "stop");
    EXPECT_FALSE(from.waited_in_vain) << name;
    EXPECT_FALSE(target.exists(kTarget / kManifestFile));
  }
}

TEST_F(Pulling, WhatProgressThrowsStopsItAndComesOut) {
  MemoryFileSystem target;
  options.progress = [](const TransferProgress&) { throw Error(ErrorKind::kInterrupted, "stop"); };
  EXPECT_ERROR(pull(target), ErrorKind::kInterrupted, "stop");
  EXPECT_FALSE(target.exists(kTarget / kManifestFile));
  options.progress = nullptr;
  pull(target);
  EXPECT_TRUE(has_all_of(source, target));
}

TEST_F(Pulling, WhateverFailsThereIsNoManifestBeforeEverythingIsThere) {
  const uint64_t tried =
      test::try_every_fault({[](MemoryFileSystem&) {}, [&](FileSystem& fs) { pull(fs); },
                             [&](MemoryFileSystem& disk, bool done) {
                               if (done) {
                                 EXPECT_TRUE(has_all_of(source, disk));
                               }
                               if (disk.exists(kTarget / kManifestFile)) {
                                 EXPECT_TRUE(has_all_of(source, disk));
                               }
                               for (const auto& [path, bytes] : disk.all_files()) {
                                 if (path.ends_with(".ipk")) {
                                   EXPECT_EQ(bytes, source.bytes(kSource / std::filesystem::path(path).filename()));
                                 }
                               }
                             }});
  EXPECT_GT(tried, 50u);
}

}  // namespace
}  // namespace imgpack::remote
