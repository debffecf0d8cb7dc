// verify_dataset: one test per kind of damage, each found where it is and called what it is.
#include "format/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "format/checksum.h"
#include "format/dataset.h"
#include "format/label_set.h"
#include "format/layout.h"
#include "format/shard_reader.h"
#include "tests/support/damage.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

using test::cut;
using test::flip_bit;
using test::forge_header;
using ::testing::HasSubstr;

class Verify : public ::testing::Test {
 protected:
  Verify() : manifest_(test::write_tiny_dataset(fs_, folder_)) {}

  VerifyReport verify(VerifyLevel level = VerifyLevel::kChecksums) {
    VerifyOptions options;
    options.level = level;
    options.threads = 2;
    if (level == VerifyLevel::kDecode) options.image_check = [](const RecordView&) { return std::nullopt; };
    return verify_dataset(fs_, folder_, options);
  }
  // The only damage of a report; fails the test if there is another number of them.
  Damage only(const VerifyReport& report) {
    EXPECT_EQ(report.damage_count(), 1u) << to_json(report);
    return report.damages.empty() ? Damage{} : report.damages.front();
  }
  uint64_t offset_of(uint64_t record) { return ShardReader(fs_, shard_).offsets().at(record); }
  std::string name_of(uint64_t record) { return ShardReader(fs_, shard_).columns().names.at(record); }

  test::MemoryFileSystem fs_;
  std::filesystem::path folder_ = "tiny.shards", shard_ = folder_ / "train-00001.ipk";
  Manifest manifest_;
};

TEST_F(Verify, WholeDatasetIsOkAtEveryLevel) {
  for (const VerifyLevel level : {VerifyLevel::kStructure, VerifyLevel::kChecksums, VerifyLevel::kDecode}) {
    const VerifyReport report = verify(level);
    EXPECT_TRUE(report.ok()) << to_json(report);
    EXPECT_EQ(report.shards, 4u);
    EXPECT_EQ(report.records, 46u);
    EXPECT_EQ(report.images, level == VerifyLevel::kDecode ? 46u : 0u);
    EXPECT_EQ(report.dataset_id, manifest_.dataset_id);
  }
}

TEST_F(Verify, EveryByteOfEveryShardIsRead) {
  uint64_t bytes = 0;
  for (const SplitInfo& split : manifest_.splits)
    for (const ShardSummary& shard : split.shards) bytes += shard.bytes;
  EXPECT_EQ(verify().bytes, bytes);
}

TEST_F(Verify, BlocksInAnyOrderCoverEveryRecordOnceAndFindWhatShardsFind) {
  VerifyOptions options;
  options.level = VerifyLevel::kDecode;
  options.threads = 2;
  std::atomic<uint64_t> images = 0;
  options.image_check = [&](const RecordView&) {
    ++images;
    return std::nullopt;
  };
  // Out of order, overlapping, beyond the end, of a split that is not there.
  options.blocks = {{"train", 30, 100}, {"train", 5, 10}, {"train", 0, 8}, {"nowhere", 0, 5}};
  VerifyReport report = verify_dataset(fs_, folder_, options);
  EXPECT_TRUE(report.ok()) << to_json(report);
  EXPECT_EQ(report.records, 46u);
  EXPECT_EQ(images, 46u);
  uint64_t bytes = 0;
  for (const SplitInfo& split : manifest_.splits)
    for (const ShardSummary& shard : split.shards) bytes += shard.index_offset - layout::shard_header::kBytes;
  EXPECT_EQ(report.bytes, bytes);
  flip_bit(fs_, shard_, offset_of(3) - 1);
  report = verify_dataset(fs_, folder_, options);
  EXPECT_EQ(only(report).kind, DamageKind::kRecord);
  EXPECT_EQ(only(report).record, name_of(2));
  fs_.remove(folder_ / "val-00000.ipk");
  EXPECT_EQ(verify_dataset(fs_, folder_, options).counts.count(DamageKind::kShardMissing), 1u);
  fs_.remove(folder_ / manifest_.index_file);  // Then shard by shard.
  EXPECT_EQ(verify_dataset(fs_, folder_, options).counts.count(DamageKind::kRecord), 1u);
}

TEST_F(Verify, OneThreadReadsBlocksInTheOrderGiven) {
  VerifyOptions options;
  options.level = VerifyLevel::kDecode;
  options.threads = 1;
  std::vector<std::string> read;
  options.image_check = [&](const RecordView& record) {
    read.push_back(record.meta.name);
    return std::nullopt;
  };
  options.blocks = {{"val", 2, 2}, {"train", 10, 1}};
  verify_dataset(fs_, folder_, options);
  const Dataset dataset = Dataset::open(fs_, folder_, ReadNames::kYes);
  const auto &val = dataset.split("val").columns.names, &train = dataset.split("train").columns.names;
  ASSERT_EQ(read.size(), 46u);
  EXPECT_EQ(std::vector<std::string>(read.begin(), read.begin() + 4),
            (std::vector<std::string>{val[2], val[3], train[10], train[0]}));
}

TEST_F(Verify, FolderWithoutAnythingIsNoDataset) {
  fs_.make_directories("empty");
  folder_ = "empty";
  EXPECT_ERROR(verify(), ErrorKind::kIo, "there is no dataset here");
}

TEST_F(Verify, FlippedBitInAnImageIsFoundInItsRecord) {
  flip_bit(fs_, shard_, offset_of(3) - 1);  // The last byte of record 2.
  const Damage damage = only(verify());
  EXPECT_EQ(damage.kind, DamageKind::kRecord);
  EXPECT_EQ(damage.file, "train-00001.ipk");
  EXPECT_EQ(damage.record, name_of(2));
  EXPECT_THAT(damage.message, HasSubstr("record checksum mismatch"));
  EXPECT_EQ(damage.expected.size(), 16u);
  EXPECT_EQ(damage.found.size(), 16u);
}

TEST_F(Verify, FlippedBitInARecordHeaderIsFoundAtItsOffset) {
  const uint64_t offset = offset_of(2);
  flip_bit(fs_, shard_, offset + layout::record_header::kLabel.offset);
  const Damage damage = only(verify());
  EXPECT_EQ(damage.kind, DamageKind::kRecord);
  EXPECT_EQ(damage.offset, offset);
}

TEST_F(Verify, EveryDamageIsReportedNotOnlyTheFirst) {
  flip_bit(fs_, shard_, offset_of(1) - 1);
  flip_bit(fs_, shard_, offset_of(3) - 1);
  flip_bit(fs_, folder_ / "val-00000.ipk", 200);
  flip_bit(fs_, folder_ / "train-00000.ipk", 100);
  const VerifyReport report = verify();
  ASSERT_EQ(report.damage_count(), 4u) << to_json(report);
  EXPECT_EQ(report.damages[0].kind, DamageKind::kShardHeader);  // In the order of files and offsets.
  EXPECT_EQ(report.damages[1].record, name_of(0));
  EXPECT_EQ(report.damages[2].record, name_of(2));
  EXPECT_EQ(report.damages[3].file, "val-00000.ipk");
}

TEST_F(Verify, StructureLevelDoesNotReadRecords) {
  flip_bit(fs_, shard_, offset_of(3) - 1);
  EXPECT_TRUE(verify(VerifyLevel::kStructure).ok());
}

TEST_F(Verify, DamagedHeaderHidesNothingElse) {
  flip_bit(fs_, shard_, offset_of(3) - 1);
  flip_bit(fs_, shard_, 30);
  const VerifyReport report = verify();
  ASSERT_EQ(report.damage_count(), 2u) << to_json(report);
  EXPECT_EQ(report.damages[0].kind, DamageKind::kShardHeader);
  EXPECT_EQ(report.damages[1].kind, DamageKind::kRecord);
}

TEST_F(Verify, DamagedFooterIsFound) {
  const uint64_t bytes = fs_.bytes(shard_).size();
  flip_bit(fs_, shard_, bytes - layout::shard_footer::kBytes);
  EXPECT_EQ(only(verify()).kind, DamageKind::kShardFooter);
}

TEST_F(Verify, DamagedShardIndexIsFoundAndRecordsAreStillChecked) {
  const ShardReader reader(fs_, shard_);
  flip_bit(fs_, shard_, reader.index_offset() + 200);
  flip_bit(fs_, shard_, reader.offsets()[1] - 1);
  const VerifyReport report = verify();
  ASSERT_EQ(report.damage_count(), 2u) << to_json(report);
  EXPECT_EQ(report.damages[0].kind, DamageKind::kRecord);
  EXPECT_EQ(report.damages[1].kind, DamageKind::kShardIndex);
  EXPECT_EQ(report.records, 46u);
}

TEST_F(Verify, TruncatedShardNamesHowManyRecordsAreMissing) {
  const uint64_t records = ShardReader(fs_, shard_).records();
  cut(fs_, shard_, offset_of(4) + 10);
  const VerifyReport report = verify();
  EXPECT_EQ(report.counts.at(DamageKind::kShardSize), 1u);
  EXPECT_EQ(report.counts.at(DamageKind::kShardFooter), 1u);
  const auto missing = std::find_if(report.damages.begin(), report.damages.end(),
                                    [](const Damage& d) { return d.kind == DamageKind::kRecord; });
  ASSERT_NE(missing, report.damages.end());
  EXPECT_EQ(missing->expected, std::to_string(records));
  EXPECT_EQ(missing->found, "4");
}

TEST_F(Verify, MissingShardIsFound) {
  fs_.remove(shard_);
  const Damage damage = only(verify());
  EXPECT_EQ(damage.kind, DamageKind::kShardMissing);
  EXPECT_EQ(damage.file, "train-00001.ipk");
}

TEST_F(Verify, ShardOfAnotherBuildIsFoundThoughItIsWhole) {
  forge_header(fs_, shard_, {"train", 1, 3, 7, 1});
  const VerifyReport report = verify();
  EXPECT_EQ(report.counts.count(DamageKind::kShardIdentity), 1u) << to_json(report);
  EXPECT_THAT(report.damages[0].message, HasSubstr("another build"));
}

TEST_F(Verify, ShardsThatChangedPlacesAreFound) {
  const std::string first = fs_.bytes(folder_ / "train-00000.ipk"), second = fs_.bytes(shard_);
  fs_.set_bytes(folder_ / "train-00000.ipk", second);
  fs_.set_bytes(shard_, first);
  const VerifyReport report = verify();
  EXPECT_FALSE(report.ok());
  EXPECT_GE(report.counts.at(DamageKind::kShardIdentity), 2u);
}

TEST_F(Verify, DigestIsComparedEvenWhenEveryPartOfTheShardIsWhole) {
  manifest_.splits[0].shards[1].digest ^= 1;
  publish_manifest(fs_, folder_, manifest_);
  const Damage damage = only(verify());
  EXPECT_EQ(damage.kind, DamageKind::kShardIdentity);
  EXPECT_THAT(damage.message, HasSubstr("digest differs from the manifest"));
}

TEST_F(Verify, DamagedManifestIsFoundAndShardsAreStillChecked) {
  flip_bit(fs_, folder_ / kManifestFile, 50);
  flip_bit(fs_, shard_, offset_of(3) - 1);
  const VerifyReport report = verify();
  ASSERT_EQ(report.damage_count(), 2u) << to_json(report);
  EXPECT_EQ(report.damages[0].kind, DamageKind::kManifest);
  EXPECT_EQ(report.damages[1].kind, DamageKind::kRecord);
  EXPECT_EQ(report.shards, 4u);
}

TEST_F(Verify, WithoutAnyIndexRecordsAreFoundByTheirHeaders) {
  const ShardReader reader(fs_, shard_);
  fs_.remove(folder_ / kManifestFile);
  flip_bit(fs_, shard_, reader.index_offset() + 200);
  flip_bit(fs_, shard_, reader.offsets()[3] - 1);
  flip_bit(fs_, shard_, 40);
  const VerifyReport report = verify();
  ASSERT_EQ(report.damage_count(), 4u) << to_json(report);
  EXPECT_EQ(report.damages[0].kind, DamageKind::kManifest);
  EXPECT_EQ(report.damages[1].kind, DamageKind::kShardHeader);
  EXPECT_EQ(report.damages[2].kind, DamageKind::kRecord);
  EXPECT_EQ(report.damages[3].kind, DamageKind::kShardIndex);
  EXPECT_EQ(report.records, 46u);
}

TEST_F(Verify, DamagedDatasetIndexIsFoundAndShardsAreStillChecked) {
  flip_bit(fs_, folder_ / kDatasetIndexFile, fs_.bytes(folder_ / kDatasetIndexFile).size() - 1);  // In the names.
  flip_bit(fs_, shard_, offset_of(3) - 1);
  const VerifyReport report = verify();
  ASSERT_EQ(report.damage_count(), 2u) << to_json(report);
  EXPECT_EQ(report.damages[0].kind, DamageKind::kDatasetIndex);
  EXPECT_EQ(report.damages[1].kind, DamageKind::kRecord);
}

TEST_F(Verify, RecordWithAnotherLabelThanTheIndexIsFound) {
  // A whole shard of other content under the manifest and dataset index of the first.
  std::vector<Record> train = test::make_records("train", 40);
  for (Record& record : train) record.meta.label = 0;
  test::MemoryFileSystem other;
  test::write_dataset(other, folder_, {{"train", train, 3, true}});
  fs_.set_bytes(shard_, other.bytes(shard_));
  const VerifyReport report = verify();
  EXPECT_GE(report.counts.count(DamageKind::kShardIndex), 1u) << to_json(report);
  EXPECT_GE(report.counts.count(DamageKind::kShardIdentity), 1u) << to_json(report);
}

TEST_F(Verify, DamagedLabelSetIsFound) {
  const SplitView view = Dataset::open(fs_, folder_).split("val");
  LabelSet set{"real", "val", 3, ids_checksum(view.columns.id), std::vector<std::vector<int32_t>>(6, {0, 2})};
  manifest_.label_sets.push_back(publish_label_set(fs_, folder_, set));
  publish_manifest(fs_, folder_, manifest_);
  EXPECT_TRUE(verify().ok());
  flip_bit(fs_, folder_ / "labels-real.json", 20);
  EXPECT_EQ(only(verify()).kind, DamageKind::kLabelSet);
  set.ids ^= 1;
  manifest_.label_sets = {publish_label_set(fs_, folder_, set)};
  publish_manifest(fs_, folder_, manifest_);
  EXPECT_THAT(only(verify()).message, HasSubstr("belongs to other records"));
}

TEST_F(Verify, LabelOutsideTheClassListIsFound) {
  test::TinyOptions two_classes;
  two_classes.classes.pop_back();
  test::write_dataset(fs_, folder_, {{"train", test::make_records("train", 9), 1, true}}, two_classes);
  fs_.remove(folder_ / "train-00002.ipk");
  const VerifyReport report = verify();
  EXPECT_EQ(report.counts.at(DamageKind::kLabel), 3u) << to_json(report);
}

TEST_F(Verify, UndecodableImageIsFoundAtLevelDecodeOnly) {
  const std::string bad = name_of(1);
  VerifyOptions options;
  options.image_check = [&](const RecordView& record) -> std::optional<std::string> {
    if (record.meta.name == bad) return "premature end of the stream";
    return std::nullopt;
  };
  const Damage damage = only(verify_dataset(fs_, folder_, options));
  EXPECT_EQ(damage.kind, DamageKind::kImage);
  EXPECT_EQ(damage.record, bad);
  EXPECT_THAT(damage.message, HasSubstr("premature end of the stream"));
  EXPECT_TRUE(verify().ok());
}

TEST_F(Verify, NewerShardIsUnsupportedNotDamaged) {
  std::string bytes = fs_.bytes(shard_);
  bytes[8] = 2;
  const uint64_t sum = checksum(std::string_view(bytes).substr(0, 120));
  bytes.replace(120, 8, reinterpret_cast<const char*>(&sum), 8);
  fs_.set_bytes(shard_, bytes);
  const VerifyReport report = verify();
  EXPECT_EQ(only(report).kind, DamageKind::kUnsupported);
  EXPECT_TRUE(report.only_unsupported());
}

TEST_F(Verify, PartsTogetherCheckEveryShardOnce) {
  uint64_t shards = 0, bytes = 0;
  for (uint32_t part = 1; part <= 3; ++part) {
    VerifyOptions options;
    options.level = VerifyLevel::kChecksums;
    options.part = part;
    options.parts = 3;
    const VerifyReport report = verify_dataset(fs_, folder_, options);
    shards += report.shards;
    bytes += report.bytes;
  }
  EXPECT_EQ(shards, 4u);
  EXPECT_EQ(bytes, verify().bytes);
}

TEST_F(Verify, PartThatDoesNotExistIsAUsageError) {
  VerifyOptions options;
  options.level = VerifyLevel::kChecksums;
  options.part = 4;
  options.parts = 3;
  EXPECT_ERROR(verify_dataset(fs_, folder_, options), ErrorKind::kUsage, "part 4 of 3");
}

TEST_F(Verify, DamagesBeyondTheLimitAreCounted) {
  for (uint64_t i = 1; i <= 5; ++i) flip_bit(fs_, shard_, offset_of(i) - 1);
  VerifyOptions options;
  options.level = VerifyLevel::kChecksums;
  options.max_damages = 2;
  const VerifyReport report = verify_dataset(fs_, folder_, options);
  EXPECT_EQ(report.damages.size(), 2u);
  EXPECT_EQ(report.damage_count(), 5u);
}

TEST_F(Verify, WhatProgressThrowsStopsTheVerification) {
  VerifyOptions options;
  options.level = VerifyLevel::kChecksums;
  options.progress = [](const VerifyProgress&) { throw Error(ErrorKind::kInterrupted, "stopped by a request"); };
  EXPECT_ERROR(verify_dataset(fs_, folder_, options), ErrorKind::kInterrupted, "stopped by a request");
}

TEST_F(Verify, ProgressEndsAtTheTotals) {
  VerifyOptions options;
  options.level = VerifyLevel::kChecksums;
  VerifyProgress last;
  options.progress = [&](const VerifyProgress& progress) { last = progress; };
  verify_dataset(fs_, folder_, options);
  EXPECT_EQ(last.bytes, last.total_bytes);
  EXPECT_EQ(last.records, 46u);
}

TEST_F(Verify, ReadingSpeedIsKept) {
  VerifyOptions options;
  options.level = VerifyLevel::kChecksums;
  const uint64_t bytes = verify().bytes;
  options.bytes_per_second = bytes * 10;  // A tenth of a second, plus the indexes read twice.
  EXPECT_GE(verify_dataset(fs_, folder_, options).seconds, 0.05);
}

TEST_F(Verify, StrangersAndUnfinishedFilesAreNotedNotDamage) {
  fs_.set_bytes(folder_ / "notes.txt", "x");
  fs_.set_bytes(folder_ / "train-00009.ipk.tmp", "x");
  const VerifyReport report = verify();
  EXPECT_TRUE(report.ok());
  ASSERT_EQ(report.notes.size(), 2u);
  EXPECT_THAT(report.notes[0], HasSubstr("notes.txt does not belong"));
  EXPECT_THAT(report.notes[1], HasSubstr("unfinished file"));
}

TEST(DamageText, HasPlaceExpectedFoundAndRecord) {
  const Damage damage =
      to_damage(DamageKind::kRecord, "train-00007.ipk",
                Error(ErrorKind::kCorruption, "record checksum mismatch: expected 9f, found 8e", "", 8192));
  EXPECT_EQ(to_text(damage), "train-00007.ipk@8192: record checksum mismatch: expected 9f, found 8e");
}

}  // namespace
}  // namespace imgpack
