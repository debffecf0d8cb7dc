#include "format/split_dataset.h"

#include <gmock/gmock.h>

#include <set>

#include "format/dataset.h"
#include "format/label_set.h"
#include "format/shard_reader.h"
#include "format/verify.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

using testing::ElementsAre;

class SplitDatasetTest : public testing::Test {
 protected:
  SplitDatasetTest() { test::write_tiny_dataset(fs_, "in.shards"); }
  Dataset source(const std::string& folder = "in.shards") { return Dataset::open(fs_, folder, ReadNames::kYes); }
  Dataset split(const SplitDatasetOptions& options, const std::string& out = "out.shards") {
    split_dataset(fs_, source(), out, options);
    VerifyOptions verify;
    verify.level = VerifyLevel::kChecksums;
    verify.threads = 1;
    const VerifyReport report = verify_dataset(fs_, out, verify);
    EXPECT_TRUE(report.ok()) << to_json(report);
    return source(out);
  }
  static std::map<std::string, std::string> images(test::MemoryFileSystem& fs, const Dataset& dataset,
                                                   const std::string& split) {
    std::map<std::string, std::string> images;
    const SplitView& view = dataset.split(split);
    std::vector<std::byte> buffer;
    for (uint32_t s = 0; s < view.info.shards.size(); ++s) {
      const ShardReader reader(fs, dataset.shard_path(split, s));
      for (uint64_t i = 0; i < reader.records(); ++i) {
        const RecordView record = reader.read(i, buffer);
        images[record.meta.name] =
            std::string(reinterpret_cast<const char*>(record.image().data()), record.image().size());
      }
    }
    return images;
  }
  test::MemoryFileSystem fs_;
};

TEST_F(SplitDatasetTest, HeldOutRecordsMoveWithTheirImagesAndEveryOneIsInOneSplit) {
  const Dataset out = split({.hold_out = HoldOut{"train", "minival", 0.25, 0, 0}});
  const auto train = images(fs_, out, "train"), held = images(fs_, out, "minival");
  EXPECT_GE(held.size(), 8u);
  EXPECT_LE(held.size(), 12u);
  auto all = train;
  all.insert(held.begin(), held.end());
  EXPECT_EQ(train.size() + held.size(), 40u);
  EXPECT_EQ(all, images(fs_, source(), "train"));
  EXPECT_EQ(images(fs_, out, "val"), images(fs_, source(), "val"));
  EXPECT_EQ(out.manifest().provenance.at("derived from"), source().manifest().dataset_id);
}

TEST_F(SplitDatasetTest, SameNumberOfEveryClassAndTheSameChoiceForAnyPack) {
  const HoldOut rule{"train", "minival", 0, 3, 5};
  const Dataset in = source();
  const SplitView& train = in.split("train");
  const auto taken = held_out(train, rule);
  std::map<int32_t, int> per_class;
  for (const uint64_t i : taken) ++per_class[train.columns.label[i]];
  EXPECT_THAT(per_class, ElementsAre(testing::Pair(0, 3), testing::Pair(1, 3), testing::Pair(2, 3)));
  // Another order, other shards: the same names.
  test::TinyOptions options;
  options.seed = 12345;
  test::write_dataset(fs_, "other.shards", {{"train", test::make_records("train", 40), 8, true}}, options);
  const Dataset other = source("other.shards");
  std::set<std::string> names, other_names;
  for (const uint64_t i : taken) names.insert(train.columns.names[i]);
  for (const uint64_t i : held_out(other.split("train"), rule))
    other_names.insert(other.split("train").columns.names[i]);
  EXPECT_EQ(names, other_names);
  // And another seed chooses others.
  HoldOut reseeded = rule;
  reseeded.seed = 6;
  EXPECT_NE(held_out(train, reseeded), taken);
}

TEST_F(SplitDatasetTest, KeptClassesAreNumberedAnewInTheirOrder) {
  const Dataset out = split({.classes = {"n01484850", "n01440764"}});
  ASSERT_EQ(out.manifest().classes.size(), 2u);
  EXPECT_EQ(out.manifest().classes[0].wnid, "n01440764");
  EXPECT_EQ(out.manifest().classes[1].wnid, "n01484850");
  for (const char* name : {"train", "val"}) {
    const SplitView& view = out.split(name);
    for (uint64_t i = 0; i < view.records(); ++i)
      EXPECT_TRUE(view.columns.names[i].starts_with(view.columns.label[i] == 0 ? "n01440764/" : "n01484850/"));
  }
}

TEST_F(SplitDatasetTest, OnlyTheSplitsThatWereAskedFor) {
  const Dataset out = split({.splits = {"val"}});
  EXPECT_EQ(out.manifest().splits.size(), 1u);
  // Records that neither moved nor changed are copied byte for byte, so that the shard has the same records.
  EXPECT_EQ(out.manifest().splits[0].shards[0].content, source().manifest().splits[1].shards[0].content);
}

TEST_F(SplitDatasetTest, LabelSetsFollow) {
  const Dataset in = source();
  const SplitView& val = in.split("val");
  LabelSet set{"real", "val", 3, ids_checksum(val.columns.id), {}};
  for (uint64_t i = 0; i < val.records(); ++i) set.labels.push_back({0, 1, 2});
  add_label_set(fs_, "in.shards", set);
  const Dataset out = split({.classes = {"n01443537", "n01484850"}});
  ASSERT_EQ(out.manifest().label_sets.size(), 1u);
  const LabelSet after = read_label_set(fs_, "out.shards", out.manifest().label_sets[0]);
  EXPECT_EQ(after.labels.size(), out.split("val").records());
  EXPECT_THAT(after.labels[0], ElementsAre(0, 1));
}

TEST_F(SplitDatasetTest, WhatCannotBeIsNamed) {
  const auto with = [&](const SplitDatasetOptions& options) {
    return split_dataset(fs_, source(), "x.shards", options);
  };
  EXPECT_ERROR(with({.classes = {"n01440765"}}), ErrorKind::kInvalidInput,
               "the dataset has no class 'n01440765'. Did you mean 'n01440764'?");
  EXPECT_ERROR(with({.hold_out = HoldOut{"train", "val", 0.5, 0, 0}}), ErrorKind::kInvalidInput,
               "there is a split 'val' already");
  EXPECT_ERROR(with({.hold_out = HoldOut{"train", "a/b", 0.5, 0, 0}}), ErrorKind::kInvalidInput, "not a split's name");
  EXPECT_ERROR(with({.hold_out = HoldOut{"train", "few", 0.001, 0, 0}}), ErrorKind::kInvalidInput,
               "nothing would be held out of 40 records");
  EXPECT_ERROR(with({.hold_out = HoldOut{"train", "all", 0, 1000, 0}}), ErrorKind::kInvalidInput,
               "split 'train' would have no record");
  EXPECT_ERROR(with({.splits = {"test"}}), ErrorKind::kInvalidInput, "the dataset has no split 'test'");
  fs_.set_bytes("full/file", "x");
  EXPECT_ERROR(split_dataset(fs_, source(), "full", {.splits = {"val"}}), ErrorKind::kInvalidInput,
               "output folder is not empty");
  EXPECT_FALSE(fs_.exists("x.shards"));
}

}  // namespace
}  // namespace imgpack
