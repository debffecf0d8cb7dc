// The writers of format/ under every fault at every operation: afterwards the target is absent, old or complete.
#include <gtest/gtest.h>

#include "format/dataset.h"
#include "format/error.h"
#include "format/label_set.h"
#include "format/repair.h"
#include "format/shard_reader.h"
#include "format/shard_writer.h"
#include "format/split_dataset.h"
#include "format/staged_folder.h"
#include "format/verify.h"
#include "tests/support/damage.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

using test::FaultTrial;
using test::MemoryFileSystem;

constexpr const char* kPath = "folder/file";

// Bytes of `path`, or "absent".
std::string state(MemoryFileSystem& fs, const std::filesystem::path& path) {
  return fs.exists(path) ? fs.bytes(path) : "absent";
}

// A trial of something that puts `complete` in the place of `before` ("absent": nothing was there).
FaultTrial replacing(const std::filesystem::path& path, const std::string& before, const std::string& complete,
                     std::function<void(FileSystem&)> action) {
  return {[=](MemoryFileSystem& fs) {
            fs.make_directories(path.parent_path());
            if (before != "absent") fs.set_bytes(path, before);
          },
          std::move(action),
          [=](MemoryFileSystem& fs, bool done) {
            const std::string after = state(fs, path);
            if (done) {
              ASSERT_EQ(after, complete);
            } else {
              ASSERT_TRUE(after == before || after == complete) << "half-written: " << after.size() << " bytes";
            }
          }};
}

TEST(PublishUnderFaults, LeavesNothingOrEverything) {
  const FaultTrial trial = replacing(kPath, "absent", "new", [](FileSystem& fs) { publish(fs, kPath, "new"); });
  EXPECT_GE(try_every_fault(trial), 15u);
}

TEST(PublishUnderFaults, LeavesTheOldOrTheNew) {
  const FaultTrial trial = replacing(kPath, "old", "new", [](FileSystem& fs) { publish(fs, kPath, "new"); });
  EXPECT_GE(try_every_fault(trial), 15u);
}

class ShardWriterUnderFaults : public ::testing::Test {
 protected:
  static void write(FileSystem& fs) {
    std::vector<Record> records = test::make_records("train", 5);
    // Larger than the writer's buffer, so that records are written before finish().
    records[2].sections[0].bytes.resize(1'200'000, std::byte{7});
    test::sort_by_key(records, 7, "train");
    ShardWriter writer(fs, kPath, {"train", 0, 1, 7, 42});
    for (const Record& record : records) writer.append(record);
    writer.finish();
  }
  static std::string complete() {
    MemoryFileSystem fs;
    fs.make_directories("folder");
    write(fs);
    return fs.bytes(kPath);
  }
};

TEST_F(ShardWriterUnderFaults, LeaveNothingOrEverything) {
  EXPECT_GE(try_every_fault(replacing(kPath, "absent", complete(), write)), 20u);
}

TEST_F(ShardWriterUnderFaults, LeaveTheOldShardOrTheNew) {
  MemoryFileSystem fs;
  fs.make_directories("folder");
  ShardWriter(fs, kPath, {"train", 0, 1, 7, 1}).finish();
  EXPECT_GE(try_every_fault(replacing(kPath, fs.bytes(kPath), complete(), write)), 20u);
}

TEST_F(ShardWriterUnderFaults, CannotBeFinishedAfterAFailedAppend) {
  // The disk fills up at some write, the caller goes on regardless: no shard with a hole may appear.
  for (uint64_t n = 0; n < 12; ++n) {
    MemoryFileSystem disk;
    disk.make_directories("folder");
    test::FaultyFileSystem fs(disk, test::Fault::kShortWrite, n);
    try {
      ShardWriter writer(fs, kPath, {"train", 0, 1, 7, 42});
      std::vector<Record> records = test::make_records("train", 6);
      for (Record& record : records) record.sections[0].bytes.resize(700'000, std::byte{7});
      test::sort_by_key(records, 7, "train");
      for (const Record& record : records) {
        try {
          writer.append(record);
        } catch (const Error&) {
          continue;
        }
      }
      writer.finish();
    } catch (const Error&) {
      EXPECT_TRUE(fs.struck());
    }
    if (disk.exists(kPath)) {
      const ShardReader reader(disk, kPath);
      EXPECT_EQ(reader.records(), 6u) << n;
    }
  }
}

TEST(LabelSetUnderFaults, LeaveTheOldSetOrTheNew) {
  const LabelSet old_set{"real", "val", 3, 1, {{0}}}, new_set{"real", "val", 3, 1, {{1, 2}}};
  const FaultTrial trial = replacing("folder/labels-real.json", to_json(old_set), to_json(new_set),
                                     [&](FileSystem& fs) { publish_label_set(fs, "folder", new_set); });
  EXPECT_GE(try_every_fault(trial), 15u);
}

TEST(AddLabelSetUnderFaults, LeavesADatasetWithTheOldSetNoneOrTheNew) {
  const std::filesystem::path folder = "tiny.shards";
  const auto set_of = [&](FileSystem& fs, int32_t label) {
    const Dataset dataset = Dataset::open(fs, folder);
    const SplitView& val = dataset.split("val");
    return LabelSet{"real", "val", 3, ids_checksum(val.columns.id),
                    std::vector<std::vector<int32_t>>(val.records(), {label})};
  };
  const FaultTrial trial{[&](MemoryFileSystem& fs) {
                           test::write_tiny_dataset(fs, folder);
                           add_label_set(fs, folder, set_of(fs, 0));
                         },
                         [&](FileSystem& fs) { add_label_set(fs, folder, set_of(fs, 1)); },
                         [&](MemoryFileSystem& fs, bool done) {
                           const Manifest manifest = read_manifest(fs, folder);
                           ASSERT_LE(manifest.label_sets.size(), 1u);
                           ASSERT_TRUE(!done || manifest.label_sets.size() == 1u);
                           for (const LabelSetInfo& info : manifest.label_sets) {
                             const int32_t label = read_label_set(fs, folder, info).labels[0][0];
                             ASSERT_TRUE(label == 1 || !done);
                           }
                         }};
  EXPECT_GE(try_every_fault(trial), 60u);
}

// A repair that is struck by anything: no intact record is lost, and the same repair again puts all in order.
class RepairUnderFaults : public ::testing::Test {
 protected:
  static constexpr const char* kFolder = "tiny.shards";

  // A damaged record in one shard, a damaged header in the next, a lost dataset index.
  static void damage(MemoryFileSystem& fs) {
    const Manifest manifest = test::write_tiny_dataset(fs, kFolder);
    uint64_t at = 0;
    {
      const ShardReader reader(fs, std::filesystem::path(kFolder) / "train-00001.ipk");
      at = reader.offsets()[2] + 5;
    }
    test::flip_bit(fs, std::filesystem::path(kFolder) / "train-00001.ipk", at);
    test::flip_bit(fs, std::filesystem::path(kFolder) / "train-00002.ipk", 24);
    fs.remove(std::filesystem::path(kFolder) / manifest.index_file);
    fs.sync_directory(kFolder);
  }
  static RepairReport repair(FileSystem& fs) {
    RepairOptions options;
    options.accept_loss = true;
    return repair_dataset(fs, kFolder, options);
  }
};

TEST_F(RepairUnderFaults, TheSameRepairAgainPutsAllInOrder) {
  const FaultTrial trial{damage, [](FileSystem& fs) { repair(fs); },
                         [&](MemoryFileSystem& fs, bool) {
                           MemoryFileSystem copy;
                           for (const auto& [path, bytes] : fs.all_files()) copy.set_bytes(path, bytes);
                           ASSERT_TRUE(repair(copy).ok());
                           VerifyOptions options;
                           options.level = VerifyLevel::kChecksums;
                           options.threads = 1;
                           const VerifyReport report = verify_dataset(copy, kFolder, options);
                           ASSERT_TRUE(report.ok()) << to_json(report);
                           const Dataset dataset = Dataset::open(copy, kFolder);
                           ASSERT_EQ(dataset.split("train").records(), 39u);
                           ASSERT_EQ(dataset.split("val").records(), 6u);
                           // The one that was taken out is listed, whatever happened on the way.
                           ASSERT_EQ(dataset.manifest().skipped.size(), 1u);
                         }};
  EXPECT_GE(try_every_fault(trial), 100u);
}

TEST(StagedFolderUnderFaults, IsAbsentOrWhole) {
  const FaultTrial trial{[](MemoryFileSystem& fs) { fs.make_directories("work/out.tmp"); },
                         [](FileSystem& fs) {
                           StagedFolder folder(fs, "work/out");
                           for (const char* name : {"a/1", "a/2", "b/c/3"}) folder.write(name, test::to_bytes(name));
                           folder.commit();
                         },
                         [](MemoryFileSystem& fs, bool done) {
                           const bool there = fs.exists("work/out");
                           ASSERT_TRUE(there || !done);
                           if (!there) return;
                           for (const std::string name : {"a/1", "a/2", "b/c/3"})
                             ASSERT_EQ(fs.bytes("work/out/" + name), name);
                         }};
  EXPECT_GE(try_every_fault(trial), 40u);
}

TEST(SplitUnderFaults, IsAbsentOrWhole) {
  const FaultTrial trial{[](MemoryFileSystem& fs) {
                           fs.make_directories("work");
                           test::write_tiny_dataset(fs, "work/tiny.shards");
                         },
                         [](FileSystem& fs) {
                           const Dataset source = Dataset::open(fs, "work/tiny.shards", ReadNames::kYes);
                           SplitDatasetOptions options;
                           options.hold_out = HoldOut{"train", "holdout", 0.25, 0, 0};
                           split_dataset(fs, source, "work/out", options);
                         },
                         [](MemoryFileSystem& fs, bool done) {
                           const bool there = fs.exists("work/out");
                           ASSERT_TRUE(there || !done);
                           if (!there) return;
                           VerifyOptions options;
                           options.level = VerifyLevel::kChecksums;
                           options.threads = 1;
                           const VerifyReport report = verify_dataset(fs, "work/out", options);
                           ASSERT_TRUE(report.ok()) << to_json(report);
                         }};
  EXPECT_GE(try_every_fault(trial), 100u);
}

// A whole dataset, manifest last: whatever happens there is no dataset or a whole one.
TEST(DatasetUnderFaults, IsAbsentOrComplete) {
  const std::filesystem::path folder = "tiny.shards";
  const std::vector<test::SplitRecords> splits = {{"train", test::make_records("train", 5), 2, true}};
  const FaultTrial trial{[](MemoryFileSystem&) {}, [&](FileSystem& fs) { test::write_dataset(fs, folder, splits); },
                         [&](MemoryFileSystem& fs, bool done) {
                           const bool there = fs.exists(folder / kManifestFile);
                           ASSERT_TRUE(there || !done);
                           if (!there) return;
                           VerifyOptions options;
                           options.level = VerifyLevel::kChecksums;
                           options.threads = 1;
                           const VerifyReport report = verify_dataset(fs, folder, options);
                           ASSERT_TRUE(report.ok()) << to_json(report);
                         }};
  EXPECT_GE(try_every_fault(trial), 60u);
}

// Reading under faults: an Error(kIo), never other contents.
TEST(DatasetUnderFaults, IsReadWholeOrNotAtAll) {
  const std::filesystem::path folder = "tiny.shards";
  const FaultTrial trial{[&](MemoryFileSystem& fs) { test::write_tiny_dataset(fs, folder); },
                         [&](FileSystem& fs) {
                           const Dataset dataset = Dataset::open(fs, folder, ReadNames::kYes);
                           ASSERT_EQ(dataset.split("train").records(), 40u);
                           const ShardReader reader(fs, dataset.shard_path("val", 0));
                           std::vector<std::byte> buffer;
                           for (uint64_t i = 0; i < reader.records(); ++i) reader.read(i, buffer);
                         },
                         [](MemoryFileSystem&, bool) {}};
  EXPECT_GE(try_every_fault(trial), 10u);
}

// Verification goes on behind an unreadable place and says where it was.
TEST(VerifyUnderFaults, ReportsWhatCannotBeReadAndGoesOn) {
  MemoryFileSystem disk;
  const std::filesystem::path folder = "tiny.shards";
  test::write_tiny_dataset(disk, folder);
  VerifyOptions options;
  options.level = VerifyLevel::kChecksums;
  options.threads = 1;
  uint64_t unreadable = 0;
  for (uint64_t n = 0;; ++n) {
    test::FaultyFileSystem fs(disk, test::Fault::kFail, n);
    try {
      const VerifyReport report = verify_dataset(fs, folder, options);
      if (!fs.struck()) {
        EXPECT_TRUE(report.ok());
        break;
      }
      ASSERT_FALSE(report.ok()) << n;
      EXPECT_LE(report.damage_count(), 2u) << to_json(report);
      unreadable += report.counts.count(DamageKind::kUnreadable);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kIo);
      EXPECT_EQ(n, 0u) << "only the folder itself may be unreadable";
    }
  }
  EXPECT_GE(unreadable, 10u);
}

}  // namespace
}  // namespace imgpack
