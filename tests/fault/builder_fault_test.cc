// A whole build() under every fault at every operation: afterwards the dataset is absent, old or complete, and the same
// command goes on to the same bytes.
#include <gtest/gtest.h>

#include <string_view>

#include "format/error.h"
#include "format/ingest/build_state.h"
#include "format/ingest/builder.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/thread_limit.h"
#include "format/manifest.h"
#include "format/verify.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/image_tree.h"

namespace imgpack::ingest {
namespace {

using test::FaultTrial;
using test::ImageTree;
using test::kTreeRoot;
using test::MemoryFileSystem;

constexpr const char* kOut = "/out";
constexpr uint64_t kImages = 10;

using Files = std::map<std::string, std::string>;  // Of the output folder: name -> bytes.

struct Silent : BuildObserver {
  void on_note(const std::string&) override {}
  void on_skip(const SkippedSource&) override {}
  void on_start(uint64_t, uint64_t) override {}
  void on_packed(uint64_t, uint64_t) override {}
};

class BuildUnderFaults : public ::testing::Test {
 protected:
  BuildUnderFaults() {
    tree_.images("train/a", 4).images("train/b", 4).images("val/a", 1).images("val/b", 1);
    tree_.text("train/b/odd.JPEG", "<html>");  // So that a list of skipped images is kept and taken over too.
    options_.pack.shard_count = {{"train", 2}};
    options_.created_by = "imgpack test";
    options_.lock = false;
  }

  void build_on(FileSystem& out, FileSystem& source_fs, const BuildOptions& options) {
    const LabeledSource source = label_source(tree_.fs, scan_folder(tree_.fs, kTreeRoot));
    const auto reader = make_folder_reader(source_fs, source.scan.root);
    Silent observer;
    const std::atomic<bool> stop = false;
    build(out, source, *reader, kOut, options, observer, stop);
  }

  Files whole(const BuildOptions& options) {
    MemoryFileSystem disk;
    build_on(disk, tree_.fs, options);
    return output(disk);
  }

  static Files output(MemoryFileSystem& fs) {
    Files files;
    for (const auto& [path, bytes] : fs.all_files())
      if (path.starts_with("/out/")) files[path.substr(5)] = bytes;
    return files;
  }

  // Without what a finished build may leave beside the dataset when the fault strikes after the manifest.
  static Files dataset(MemoryFileSystem& fs) {
    Files files = output(fs);
    files.erase(kBuildStateFile);
    return files;
  }

  // The same command on what is left, with a sound disk: as a person would.
  Files after_another_run(MemoryFileSystem& fs, const BuildOptions& options) {
    MemoryFileSystem disk;
    for (const auto& [path, bytes] : fs.all_files()) disk.set_bytes(path, bytes);
    build_on(disk, tree_.fs, options);
    return dataset(disk);
  }

  ImageTree tree_;
  BuildOptions options_;
  const ThreadLimit limit_{2};
};

TEST_F(BuildUnderFaults, DatasetIsAbsentOrCompleteAndTheNextRunCompletesIt) {
  const Files complete = whole(options_);
  const FaultTrial trial{[](MemoryFileSystem&) {}, [&](FileSystem& fs) { build_on(fs, tree_.fs, options_); },
                         [&](MemoryFileSystem& fs, bool done) {
                           if (fs.exists(std::filesystem::path(kOut) / kManifestFile)) {
                             ASSERT_EQ(dataset(fs), complete);
                           } else {
                             ASSERT_FALSE(done);
                           }
                           ASSERT_EQ(after_another_run(fs, options_), complete);
                         }};
  EXPECT_GE(try_every_fault(trial), 200u);
}

TEST_F(BuildUnderFaults, FreshBuildLeavesTheOldDatasetOrNoneOrTheNew) {
  const Files old = whole(options_);
  BuildOptions fresh = options_;
  fresh.pack.shard_count = {{"train", 1}};
  const Files complete = whole(fresh);
  fresh.fresh = true;
  const FaultTrial trial{[&](MemoryFileSystem& fs) {
                           for (const auto& [name, bytes] : old)
                             fs.set_bytes(std::filesystem::path(kOut) / name, bytes);
                         },
                         [&](FileSystem& fs) { build_on(fs, tree_.fs, fresh); },
                         [&](MemoryFileSystem& fs, bool done) {
                           if (fs.exists(std::filesystem::path(kOut) / kManifestFile)) {
                             const Files found = dataset(fs);
                             ASSERT_TRUE(found == complete || (!done && found == old));
                           } else {
                             ASSERT_FALSE(done);
                           }
                           ASSERT_EQ(after_another_run(fs, fresh), complete);
                         }};
  EXPECT_GE(try_every_fault(trial), 200u);
}

TEST_F(BuildUnderFaults, UnreadableImageIsListedAndNeverDroppedSilently) {
  // The source lies on the faulty disk too.
  const FaultTrial trial{[&](MemoryFileSystem& fs) {
                           for (const auto& [path, bytes] : tree_.fs.all_files()) fs.set_bytes(path, bytes);
                         },
                         [&](FileSystem& fs) { build_on(fs, fs, options_); },
                         [&](MemoryFileSystem& fs, bool done) {
                           if (!fs.exists(std::filesystem::path(kOut) / kManifestFile)) {
                             ASSERT_FALSE(done);
                             return;
                           }
                           const Manifest manifest = read_manifest(fs, kOut);
                           uint64_t images = manifest.skipped.size();
                           for (const SplitInfo& split : manifest.splits) images += split.records;
                           ASSERT_EQ(images, kImages + 1);
                           for (const SkippedSource& skipped : manifest.skipped)
                             ASSERT_TRUE(skipped.name == "b/odd.JPEG" || skipped.reason.starts_with("unreadable"))
                                 << skipped.reason;
                           VerifyOptions verify;
                           verify.level = VerifyLevel::kChecksums;
                           ASSERT_TRUE(verify_dataset(fs, kOut, verify).ok());
                         }};
  EXPECT_GE(try_every_fault(trial), 200u);
}

}  // namespace
}  // namespace imgpack::ingest
