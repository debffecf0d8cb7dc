#include "format/repair.h"

#include <gmock/gmock.h>

#include "format/dataset.h"
#include "format/label_set.h"
#include "format/shard_reader.h"
#include "format/verify.h"
#include "tests/support/damage.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::filesystem::path kFolder = "tiny.shards";

// The dataset's own records, as a source that still has all of them but those named in `gone`.
class MemorySource : public RecordSource {
 public:
  MemorySource(test::MemoryFileSystem& fs, const std::filesystem::path& folder) {
    const Dataset dataset = Dataset::open(fs, folder, ReadNames::kYes);
    classes_ = dataset.manifest().classes;
    for (const SplitInfo& info : dataset.manifest().splits) {
      for (uint32_t s = 0; s < info.shards.size(); ++s) {
        const ShardReader reader(fs, dataset.shard_path(info.name, s));
        std::vector<std::byte> buffer;
        for (uint64_t i = 0; i < reader.records(); ++i) {
          const RecordView view = reader.read(i, buffer);
          Record record{view.meta, {}};
          for (const SectionView& section : view.sections)
            record.sections.push_back(
                {section.type, section.must_understand, {section.bytes.begin(), section.bytes.end()}});
          records_[{info.name, record.meta.name}] = record;
        }
      }
    }
  }
  std::vector<std::string> names(const ShardHeader& shard) override {
    std::vector<std::string> names;
    if (without_records) return names;
    for (const auto& [key, record] : records_) {
      const uint64_t order = order_key(shard.seed, shard.split, key.second);
      if (key.first == shard.split && shard_of_key(order, shard.shard_count) == shard.number)
        names.push_back(key.second);
    }
    return names;
  }
  std::variant<Record, std::string> make(const std::string& split, const std::string& name) override {
    const auto at = records_.find({split, name});
    if (at == records_.end() || gone.contains(name) || without_records) return "the source has no such image";
    return at->second;
  }
  const std::vector<ClassInfo>& classes() const override { return classes_; }

  std::set<std::string> gone;
  bool without_records = false;

 private:
  std::map<std::pair<std::string, std::string>, Record> records_;
  std::vector<ClassInfo> classes_;
};

class RepairTest : public testing::Test {
 protected:
  RepairTest() : before_(test::write_tiny_dataset(fs_, kFolder)), source_(fs_, kFolder) {
    for (const auto& [path, bytes] : fs_.all_files()) files_[path] = bytes;
  }
  RepairReport repair(bool with_source = false, bool accept_loss = false, bool dry_run = false) {
    RepairOptions options;
    options.source = with_source ? &source_ : nullptr;
    options.accept_loss = accept_loss;
    options.dry_run = dry_run;
    options.created_by = before_.created_by;
    options.class_names = [this](const std::string& wnid) {
      for (const ClassInfo& one : before_.classes)
        if (one.wnid == wnid) return one.names;
      return std::string();
    };
    return repair_dataset(fs_, kFolder, options);
  }
  VerifyReport verify() {
    VerifyOptions options;
    options.level = VerifyLevel::kChecksums;
    options.threads = 1;
    return verify_dataset(fs_, kFolder, options);
  }
  // Every file has the bytes that it was written with.
  void expect_as_before() {
    for (const auto& [path, bytes] : files_) EXPECT_EQ(fs_.bytes(path), bytes) << path;
    EXPECT_TRUE(verify().ok());
  }
  std::filesystem::path shard(const std::string& split, uint32_t number) {
    return kFolder / shard_file_name(split, number);
  }
  // The place of record `i` in its shard, and its name.
  uint64_t offset_of(const std::string& split, uint32_t number, uint64_t i, std::string* name = nullptr) {
    const ShardReader reader(fs_, shard(split, number));
    if (name != nullptr) *name = reader.columns().names[i];
    return reader.offsets()[i];
  }

  test::MemoryFileSystem fs_;
  const Manifest before_;
  MemorySource source_;
  std::map<std::string, std::string> files_;
};

TEST_F(RepairTest, WholeDatasetIsLeftAlone) {
  const RepairReport report = repair();
  EXPECT_TRUE(report.ok());
  EXPECT_THAT(report.done, IsEmpty());
  EXPECT_EQ(report.shards, 4u);
  EXPECT_EQ(report.rewritten, 0u);
  EXPECT_EQ(report.dataset_id, before_.dataset_id);
  expect_as_before();
}

TEST_F(RepairTest, HeaderIndexAndFooterAreRebuiltToTheByte) {
  const uint64_t size = fs_.bytes(shard("train", 0)).size();
  test::flip_bit(fs_, shard("train", 0), 24);  // Header.
  test::flip_bit(fs_, shard("train", 1), before_.splits[0].shards[1].index_offset + 30);
  test::flip_bit(fs_, shard("train", 2), fs_.bytes(shard("train", 2)).size() - 20);  // Footer.
  test::cut(fs_, shard("val", 0), before_.splits[1].shards[0].index_offset + 3);
  const RepairReport report = repair();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.rewritten, 4u);
  EXPECT_THAT(report.lost, IsEmpty());
  EXPECT_THAT(report.done, testing::Each(HasSubstr("every byte as it was")));
  EXPECT_EQ(report.dataset_id, report.dataset_id_before);
  EXPECT_EQ(fs_.bytes(shard("train", 0)).size(), size);
  expect_as_before();
}

TEST_F(RepairTest, DamagedRecordComesBackFromTheSource) {
  test::flip_bit(fs_, shard("train", 1), offset_of("train", 1, 2) + 5);  // Its header.
  test::flip_bit(fs_, shard("val", 0), offset_of("val", 0, 1) - 1);      // The last byte of a section.
  const RepairReport report = repair(true);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.restored, 2u);
  expect_as_before();
}

TEST_F(RepairTest, WithoutASourceADamagedRecordStandsInTheWay) {
  std::string name;
  const uint64_t at = offset_of("train", 1, 2, &name);
  test::flip_bit(fs_, shard("train", 1), at + 5);
  const auto damaged = fs_.all_files();
  const RepairReport report = repair();
  EXPECT_FALSE(report.ok());
  ASSERT_EQ(report.lost.size(), 1u);
  EXPECT_EQ(report.lost[0].name, name);
  EXPECT_THAT(report.left, ElementsAre(HasSubstr("train-00001.ipk: ")));
  EXPECT_THAT(report.left[0], HasSubstr("1 record cannot be brought back"));
  EXPECT_EQ(fs_.all_files(), damaged);
}

TEST_F(RepairTest, AcceptedLossIsTakenOutAndListed) {
  std::string name;
  const uint64_t at = offset_of("train", 1, 2, &name);
  test::flip_bit(fs_, shard("train", 1), at + 5);
  const RepairReport report = repair(false, true);
  EXPECT_TRUE(report.ok());
  EXPECT_NE(report.dataset_id, before_.dataset_id);
  EXPECT_TRUE(verify().ok()) << to_json(verify());
  const Dataset after = Dataset::open(fs_, kFolder, ReadNames::kYes);
  EXPECT_EQ(after.split("train").records(), 39u);
  ASSERT_EQ(after.manifest().skipped.size(), 1u);
  EXPECT_EQ(after.manifest().skipped[0].name, name);
  EXPECT_THAT(after.manifest().skipped[0].reason, HasSubstr("taken out by repair"));
  // A source that turns up later brings it back: all is as it was, but for who wrote it.
  const RepairReport again = repair(true);
  EXPECT_EQ(again.restored, 1u);
  EXPECT_EQ(again.dataset_id, before_.dataset_id);
  expect_as_before();
}

TEST_F(RepairTest, MissingShardComesBackFromTheSource) {
  fs_.remove(shard("train", 2));
  EXPECT_FALSE(repair().ok());
  const RepairReport report = repair(true);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.restored, before_.splits[0].shards[2].records);
  expect_as_before();
}

TEST_F(RepairTest, ShardInAnothersPlaceIsReplacedNotMixedIn) {
  fs_.set_bytes(shard("train", 2), fs_.bytes(shard("train", 0)));
  EXPECT_TRUE(repair(true).ok());
  expect_as_before();
}

TEST_F(RepairTest, ImageThatTheSourceLacksTooIsLost) {
  std::string name;
  const uint64_t at = offset_of("train", 0, 0, &name);
  test::flip_bit(fs_, shard("train", 0), at);
  source_.gone = {name};
  const RepairReport report = repair(true);
  EXPECT_FALSE(report.ok());
  ASSERT_EQ(report.lost.size(), 1u);
  EXPECT_THAT(report.lost[0].reason, HasSubstr("the source has no such image"));
}

TEST_F(RepairTest, WithoutAnyIndexTheNumberOfLostRecordsIsKnown) {
  const uint64_t at = offset_of("train", 1, 3);
  test::flip_bit(fs_, shard("train", 1), at + 5);
  test::flip_bit(fs_, shard("train", 1), before_.splits[0].shards[1].index_offset + 30);
  fs_.remove(kFolder / before_.index_file);
  const RepairReport report = repair();
  EXPECT_FALSE(report.ok());
  ASSERT_EQ(report.lost.size(), 1u);
  EXPECT_EQ(report.lost[0].name, "");
  EXPECT_EQ(report.lost[0].count, 1u);
  EXPECT_TRUE(repair(true).ok());  // The source knows the names.
  expect_as_before();
}

TEST_F(RepairTest, DatasetIndexIsGatheredFromTheShards) {
  fs_.remove(kFolder / before_.index_file);
  EXPECT_THAT(repair().done, ElementsAre("dataset index: it is missing; rebuilt"));
  expect_as_before();
  test::flip_bit(fs_, kFolder / before_.index_file, 100);
  EXPECT_TRUE(repair().ok());
  expect_as_before();
}

TEST_F(RepairTest, IndexOfAnotherDatasetIsNotBelieved) {
  test::MemoryFileSystem other;
  test::TinyOptions options;
  options.seed = 99;
  test::write_dataset(
      other, kFolder,
      {{"train", test::make_records("train", 40), 3, true}, {"val", test::make_records("val", 6), 1, true}}, options);
  fs_.set_bytes(kFolder / before_.index_file, other.bytes(kFolder / before_.index_file));
  const RepairReport report = repair();
  EXPECT_TRUE(report.ok());
  EXPECT_THAT(report.lost, IsEmpty());
  expect_as_before();
}

TEST_F(RepairTest, ManifestIsRebuiltFromTheShards) {
  for (const bool missing : {true, false}) {
    if (missing) {
      fs_.remove(kFolder / kManifestFile);
    } else {
      test::flip_bit(fs_, kFolder / kManifestFile, 200);
    }
    const RepairReport report = repair();
    EXPECT_TRUE(report.ok());
    EXPECT_EQ(report.dataset_id, before_.dataset_id);
    EXPECT_TRUE(verify().ok());
    const Manifest after = read_manifest(fs_, kFolder);
    EXPECT_THAT(after.provenance.at("repaired"), HasSubstr("rebuilt from the shards"));
    ASSERT_EQ(after.classes.size(), before_.classes.size());
    EXPECT_EQ(after.classes[1].names, before_.classes[1].names);
  }
}

TEST_F(RepairTest, ManifestAndAShardHeaderAtOnce) {
  fs_.remove(kFolder / kManifestFile);
  test::flip_bit(fs_, shard("train", 1), 3);
  EXPECT_TRUE(repair().ok());
  EXPECT_EQ(read_manifest(fs_, kFolder).dataset_id, before_.dataset_id);
  EXPECT_TRUE(verify().ok());
}

TEST_F(RepairTest, NothingIsGuessedWhereTooLittleIsLeft) {
  fs_.remove(kFolder / kManifestFile);
  test::flip_bit(fs_, shard("val", 0), 24);
  EXPECT_ERROR(repair(), ErrorKind::kInvalidInput, "manifest and every shard header of split val are damaged");
  test::MemoryFileSystem empty;
  empty.make_directories("x");
  EXPECT_ERROR(repair_dataset(empty, "x", {}), ErrorKind::kInvalidInput,
               "there is neither a manifest nor a shard here");
}

TEST_F(RepairTest, ShardsOfTwoBuildsWithoutAManifestAreNotMixed) {
  test::MemoryFileSystem other;
  test::TinyOptions options;
  options.plan_id = 5;
  test::write_dataset(other, kFolder, {{"train", test::make_records("train", 40), 3, true}}, options);
  fs_.set_bytes(shard("train", 1), other.bytes(shard("train", 1)));
  fs_.remove(kFolder / kManifestFile);
  EXPECT_ERROR(repair(), ErrorKind::kInvalidInput, "shards of different builds lie here");
}

TEST_F(RepairTest, ClassesThatDoNotFollowFromNamesComeFromTheSource) {
  // Val alone, flat names: labels name no folder.
  test::MemoryFileSystem flat;
  std::vector<Record> records;
  for (int i = 0; i < 4; ++i)
    records.push_back(
        test::make_record("val", "ILSVRC2012_val_0000000" + std::to_string(i + 1) + ".JPEG", i % 3, "image"));
  const Manifest manifest = test::write_dataset(flat, kFolder, {{"val", records, 1, true}});
  flat.remove(kFolder / kManifestFile);
  EXPECT_ERROR(repair_dataset(flat, kFolder, {}), ErrorKind::kInvalidInput,
               "the list of classes was in the manifest and does not follow from the names");
  RepairOptions options;
  options.source = &source_;
  EXPECT_EQ(repair_dataset(flat, kFolder, options).dataset_id, manifest.dataset_id);
}

TEST_F(RepairTest, SourceOfClassesAloneDoesNotMakeALossUnseen) {
  fs_.remove(kFolder / kManifestFile);
  fs_.remove(kFolder / before_.index_file);
  fs_.remove(shard("train", 1));
  const auto damaged = fs_.all_files();
  source_.without_records = true;
  const RepairReport report = repair(true);
  EXPECT_FALSE(report.ok());
  ASSERT_EQ(report.lost.size(), 1u);
  EXPECT_EQ(report.lost[0].name, "");
  EXPECT_EQ(fs_.all_files(), damaged);
}

TEST_F(RepairTest, SourceOfOtherClassesIsRefused) {
  test::MemoryFileSystem other;
  test::TinyOptions options;
  options.classes = {{"n01440764", ""}, {"n01443537", ""}};
  test::write_dataset(other, "o.shards", {{"val", {test::make_record("val", "a.JPEG", 1, "x")}, 1, true}}, options);
  MemorySource source(other, "o.shards");
  RepairOptions repair_options;
  repair_options.source = &source;
  EXPECT_ERROR(repair_dataset(fs_, kFolder, repair_options), ErrorKind::kInvalidInput,
               "the source has other classes than the dataset: expected 3 classes");
}

TEST_F(RepairTest, DryRunSaysWhatWouldBeDoneAndChangesNothing) {
  test::flip_bit(fs_, shard("train", 0), 24);
  fs_.remove(kFolder / before_.index_file);
  const auto damaged = fs_.all_files();
  const RepairReport report = repair(false, false, true);
  EXPECT_TRUE(report.ok());
  EXPECT_THAT(report.done, ElementsAre(HasSubstr("train-00000.ipk: "), "dataset index: it is missing; to be rebuilt"));
  EXPECT_EQ(fs_.all_files(), damaged);
}

TEST_F(RepairTest, LabelSetFollowsItsRecords) {
  const Dataset dataset = Dataset::open(fs_, kFolder, ReadNames::kYes);
  const SplitView& val = dataset.split("val");
  LabelSet set{"real", "val", 3, ids_checksum(val.columns.id), {}};
  for (uint64_t i = 0; i < val.records(); ++i) set.labels.push_back({static_cast<int32_t>(i % 3)});
  add_label_set(fs_, kFolder, set);
  test::flip_bit(fs_, shard("val", 0), offset_of("val", 0, 2) + 5);
  EXPECT_TRUE(repair(false, true).ok());
  EXPECT_TRUE(verify().ok()) << to_json(verify());
  const Manifest after = read_manifest(fs_, kFolder);
  auto expected = set.labels;
  expected.erase(expected.begin() + 2);
  EXPECT_EQ(read_label_set(fs_, kFolder, after.label_sets.at(0)).labels, expected);
}

TEST_F(RepairTest, DamagedLabelSetIsLeftUnlessLossIsAccepted) {
  const Dataset dataset = Dataset::open(fs_, kFolder, ReadNames::kYes);
  const SplitView& val = dataset.split("val");
  add_label_set(fs_, kFolder,
                {"real", "val", 3, ids_checksum(val.columns.id), std::vector<std::vector<int32_t>>(val.records())});
  test::flip_bit(fs_, kFolder / "labels-real.json", 60);
  EXPECT_THAT(repair().left, ElementsAre(HasSubstr("labels-real.json: it is damaged; add it again")));
  EXPECT_TRUE(repair(false, true).ok());
  EXPECT_TRUE(verify().ok());
}

TEST_F(RepairTest, EveryFlippedBitOfASmallShardIsRepairedFromTheSource) {
  const std::string whole = fs_.bytes(shard("val", 0));
  for (size_t byte = 0; byte < whole.size(); ++byte) {
    std::string damaged = whole;
    damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << (byte % 8)));
    fs_.set_bytes(shard("val", 0), damaged);
    try {
      ASSERT_TRUE(repair(true).ok()) << "byte " << byte;
    } catch (const Error& error) {
      ADD_FAILURE() << "byte " << byte << ": " << error.what();
      return;
    }
    ASSERT_EQ(fs_.bytes(shard("val", 0)), whole) << "byte " << byte;
  }
}

}  // namespace
}  // namespace imgpack
