// The archive builder, part builds and merge under every fault at every operation: afterwards there is no dataset, or a
// complete one; and the same command again, on a sound disk, makes the same bytes.
#include <gtest/gtest.h>

#include "format/error.h"
#include "format/ingest/archive_builder.h"
#include "format/ingest/merge.h"
#include "format/ingest/thread_limit.h"
#include "tests/support/archives.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/image_tree.h"

namespace imgpack::ingest {
namespace {

using test::FaultTrial;
using test::MemoryFileSystem;

struct Quiet : BuildObserver {
  void on_note(const std::string&) override {}
  void on_skip(const SkippedSource&) override {}
  void on_start(uint64_t, uint64_t) override {}
  void on_packed(uint64_t, uint64_t) override {}
};

BuildOptions build_options() {
  BuildOptions options;
  options.created_by = "imgpack test";
  options.lock = false;
  options.pack.shard_count = {{"", 2}};
  return options;
}

const std::string& archive() {
  static const std::string bytes = [] {
    test::ImageTree tree;
    tree.images("train/a", 3).images("train/b", 2).images("val/a", 1).images("val/b", 1);
    return test::gzipped(test::make_tar(test::files_below(tree.fs, "/source")));
  }();
  return bytes;
}

void build_from(FileSystem& fs, const std::string& out, std::optional<PartSelection> part = {}) {
  BuildOptions options = build_options();
  options.part = part;
  Quiet observer;
  const std::atomic<bool> stop{false};
  const auto set = find_archives(fs, "/in/x.tar.gz");
  if (!set) throw Error(ErrorKind::kIo, "no archive");
  build_archives(fs, *set, {}, out, options, observer, stop);
}

std::map<std::string, std::string> below(MemoryFileSystem& fs, const std::string& folder) {
  std::map<std::string, std::string> files;
  for (auto& [path, bytes] : fs.all_files()) {
    if (path.starts_with(folder + "/")) files[path.substr(folder.size() + 1)] = bytes;
  }
  return files;
}

void set_up(MemoryFileSystem& fs) {
  fs.set_bytes("/in/x.tar.gz", archive());
}

const std::map<std::string, std::string>& whole() {
  static const auto files = [] {
    MemoryFileSystem fs;
    set_up(fs);
    build_from(fs, "/out");
    return below(fs, "/out");
  }();
  return files;
}

// Whatever is left: a manifest only with all of its dataset, and the same action finishes it.
void check_left(MemoryFileSystem& fs, bool done, const std::string& last, const std::function<void(FileSystem&)>& again,
                const std::map<std::string, std::string>& complete) {
  auto left = below(fs, "/out");
  if (done) {
    ASSERT_EQ(left, complete);
    return;
  }
  if (left.contains(last)) {
    left.erase("build.json");
    ASSERT_EQ(left, complete) << "a manifest without its dataset";
  }
  again(fs);
  left = below(fs, "/out");
  left.erase("build.json");  // A finished dataset is left alone, with what a failure at the very end left beside it.
  ASSERT_EQ(left, complete);
}

TEST(ArchiveBuilderUnderFaults, LeavesNoDatasetOrAllOfItAndGoesOn) {
  const ThreadLimit limit(1);
  const auto action = [](FileSystem& fs) { build_from(fs, "/out"); };
  const FaultTrial trial{
      set_up, action, [&](MemoryFileSystem& fs, bool done) { check_left(fs, done, "manifest.json", action, whole()); }};
  EXPECT_GE(try_every_fault(trial), 200u);
}

TEST(ArchiveBuilderUnderFaults, LeavesNoPartOrAllOfItAndGoesOn) {
  const ThreadLimit limit(1);
  const auto action = [](FileSystem& fs) { build_from(fs, "/out", PartSelection{2, 2}); };
  MemoryFileSystem sound;
  set_up(sound);
  action(sound);
  const auto complete = below(sound, "/out");
  const FaultTrial trial{set_up, action,
                         [&](MemoryFileSystem& fs, bool done) { check_left(fs, done, "part.json", action, complete); }};
  EXPECT_GE(try_every_fault(trial), 150u);
}

class MergeUnderFaults : public testing::TestWithParam<bool> {};

TEST_P(MergeUnderFaults, LeavesNoDatasetOrAllOfItLosesNoShardAndGoesOn) {
  const ThreadLimit limit(1);
  const bool move = GetParam();
  MemoryFileSystem parts;
  set_up(parts);
  for (uint32_t part : {1u, 2u}) build_from(parts, part_folder("/parts", {part, 2}).string(), PartSelection{part, 2});
  const auto prepare = [&](MemoryFileSystem& fs) {
    for (const auto& [path, bytes] : parts.all_files()) fs.set_bytes(path, bytes);
    fs.make_directories("/out");
  };
  const auto action = [&](FileSystem& fs) {
    Quiet observer;
    const std::atomic<bool> stop{false};
    merge_parts(fs, "/out", {part_folder("/parts", {1, 2}), part_folder("/parts", {2, 2})}, {move, false}, observer,
                stop);
  };
  const FaultTrial trial{prepare, action, [&](MemoryFileSystem& fs, bool done) {
                           check_left(fs, done, "manifest.json", action, whole());
                         }};
  EXPECT_GE(try_every_fault(trial), 100u);
}

INSTANTIATE_TEST_SUITE_P(CopyAndMove, MergeUnderFaults, testing::Bool(),
                         [](const auto& trial) { return trial.param ? "Move" : "Copy"; });

}  // namespace
}  // namespace imgpack::ingest
