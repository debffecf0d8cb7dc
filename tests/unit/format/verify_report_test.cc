// The report of a verification as text and JSON; what it finds is verify_test.cc's.
#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <set>
#include <string>

#include "format/verify.h"

namespace imgpack {
namespace {

using testing::HasSubstr;

Damage bad_record() {
  Damage damage;
  damage.kind = DamageKind::kRecord;
  damage.file = "train-00007.ipk";
  damage.offset = 8192;
  damage.record = "n01440764/n01440764_10026.JPEG";
  damage.message = "record checksum mismatch";
  damage.expected = "1f";
  damage.found = "2e";
  return damage;
}

TEST(VerifyReport, EveryLevelIsReadByItsName) {
  for (const VerifyLevel level : {VerifyLevel::kStructure, VerifyLevel::kChecksums, VerifyLevel::kDecode})
    EXPECT_EQ(parse_verify_level(to_string(level)), level);
  EXPECT_EQ(parse_verify_level("everything"), std::nullopt);
}

TEST(VerifyReport, EveryDamageHasANameOfItsOwn) {
  std::set<std::string> names;
  for (int kind = 0; kind <= static_cast<int>(DamageKind::kUnsupported); ++kind)
    names.insert(to_string(static_cast<DamageKind>(kind)));
  EXPECT_EQ(names.size(), static_cast<size_t>(DamageKind::kUnsupported) + 1);
  EXPECT_EQ(names.count("?"), 0u);
}

TEST(VerifyReport, TextNamesFilePlaceFindingAndRecordOnce) {
  EXPECT_EQ(to_text(bad_record()),
            "train-00007.ipk@8192: record checksum mismatch: expected 1f, found 2e (n01440764/n01440764_10026.JPEG)");
  Damage damage;
  damage.file = "val-00000.ipk";
  damage.record = "a.JPEG";
  damage.message = "a.JPEG does not decode";
  EXPECT_EQ(to_text(damage), "val-00000.ipk: a.JPEG does not decode");
}

TEST(VerifyReport, AnErrorIsTakenApart) {
  const Damage cut =
      to_damage(DamageKind::kShardSize, "a.ipk",
                Error(ErrorKind::kCorruption, "file is cut off: expected 10 bytes, found 7", "a.ipk", 3));
  EXPECT_EQ(cut.kind, DamageKind::kShardSize);
  EXPECT_EQ(cut.offset, 3u);
  EXPECT_EQ(cut.message, "file is cut off");
  EXPECT_EQ(cut.expected, "10 bytes");
  EXPECT_EQ(cut.found, "7");
  EXPECT_EQ(to_damage(DamageKind::kRecord, "a", Error(ErrorKind::kIo, "no such file")).kind, DamageKind::kUnreadable);
  EXPECT_EQ(to_damage(DamageKind::kRecord, "a", Error(ErrorKind::kUnsupportedVersion, "newer")).kind,
            DamageKind::kUnsupported);
}

TEST(VerifyReport, JsonOfAWholeDatasetOffersNoRepair) {
  VerifyReport report;
  report.dataset = "imagenet.shards";
  report.dataset_id = "00c0ffee";
  report.records = 12;
  const auto json = boost::json::parse(to_json(report)).as_object();
  EXPECT_EQ(json.at("result"), "ok");
  EXPECT_EQ(json.at("records"), 12);
  EXPECT_EQ(json.at("damage_count"), 0);
  EXPECT_TRUE(json.at("damages").as_array().empty());
  EXPECT_TRUE(json.at("repair").is_null());
}

TEST(VerifyReport, JsonListsDamagesCountsNotesAndTheRepair) {
  VerifyReport report;
  report.dataset = "imagenet.shards";
  report.counts = {{DamageKind::kRecord, 2}, {DamageKind::kUnsupported, 1}};
  report.damages = {bad_record(), to_damage(DamageKind::kRecord, "b\"c.ipk", Error(ErrorKind::kCorruption, "damaged"))};
  report.notes = {"leftover.tmp belongs to no dataset"};
  EXPECT_EQ(report.damage_count(), 3u);
  EXPECT_FALSE(report.only_unsupported());
  const auto json = boost::json::parse(to_json(report)).as_object();
  EXPECT_EQ(json.at("result"), "damaged");
  EXPECT_TRUE(json.at("dataset_id").is_null());
  EXPECT_EQ(json.at("counts").at("record"), 2);
  EXPECT_EQ(json.at("damages").at(0).at("offset"), 8192);
  EXPECT_EQ(json.at("damages").at(0).at("expected"), "1f");
  EXPECT_EQ(json.at("damages").at(1).at("file"), "b\"c.ipk");
  EXPECT_TRUE(json.at("damages").at(1).at("offset").is_null());
  EXPECT_EQ(json.at("notes").at(0), "leftover.tmp belongs to no dataset");
  EXPECT_EQ(json.at("repair"), "imgpack repair imagenet.shards");
}

TEST(VerifyReport, WhatNeedsANewerReaderIsNoDamage) {
  VerifyReport report;
  report.counts = {{DamageKind::kUnsupported, 4}};
  EXPECT_TRUE(report.only_unsupported());
  EXPECT_THAT(to_json(report), HasSubstr("\"result\": \"unsupported\""));
  EXPECT_THAT(to_json(report), HasSubstr("\"repair\": null"));
}

}  // namespace
}  // namespace imgpack
