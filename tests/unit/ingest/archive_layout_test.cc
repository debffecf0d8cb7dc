#include "format/ingest/archive_layout.h"

#include <gmock/gmock.h>

#include "format/ingest/part_selection.h"
#include "format/record.h"
#include "tests/support/expect_error.h"

namespace imgpack::ingest {
namespace {

using testing::Optional;

TEST(ArchiveLayout, RolesAreToldFromTheNamesOfTheDownloads) {
  EXPECT_EQ(role_of("ILSVRC2012_img_train.tar"), ArchiveRole::kTrain);
  EXPECT_EQ(role_of("/data/ILSVRC2012_img_val.tar"), ArchiveRole::kVal);
  EXPECT_EQ(role_of("ILSVRC2012_img_test_v10102019.tar"), ArchiveRole::kTest);
  EXPECT_EQ(role_of("ILSVRC2012_img_train_t3.tar"), ArchiveRole::kOther);
  EXPECT_EQ(role_of("ILSVRC2012_bbox_val_v3.tgz"), ArchiveRole::kBoxes);
  EXPECT_EQ(role_of("ILSVRC2012_bbox_train_v2.tar.gz"), ArchiveRole::kOther);
  EXPECT_EQ(role_of("ILSVRC2012_devkit_t12.tar.gz"), ArchiveRole::kPlain);
  EXPECT_EQ(role_of("ILSVRC2017_CLS-LOC.tar.gz"), ArchiveRole::kPlain);
  EXPECT_EQ(role_of("train.zip"), ArchiveRole::kTrain);
  EXPECT_EQ(role_of("validation.tar.zst"), ArchiveRole::kVal);
  EXPECT_EQ(role_of("trains.tar"), ArchiveRole::kPlain);
}

TEST(ArchiveLayout, ArchivesAreKnownByTheirEndings) {
  for (const char* name : {"a.tar", "a.TAR.GZ", "a.tgz", "a.tar.zst", "a.zip", "a.b.tar.xz"})
    EXPECT_TRUE(is_archive_name(name)) << name;
  for (const char* name : {"tar", ".tar", "a.gz", "a.rar", "zip", ""}) EXPECT_FALSE(is_archive_name(name)) << name;
  EXPECT_EQ(archive_stem("n01440764.tar"), "n01440764");
  EXPECT_EQ(archive_stem("x/imagenet.tar.gz"), "imagenet");
}

TEST(ArchiveLayout, NamesBecomePlainPathsOrAreRefused) {
  EXPECT_THAT(plain_path("a/b.jpg"), Optional(std::string("a/b.jpg")));
  EXPECT_THAT(plain_path("./a//./b.jpg"), Optional(std::string("a/b.jpg")));
  EXPECT_THAT(plain_path("./"), Optional(std::string()));
  EXPECT_THAT(plain_path("a/..b/c"), Optional(std::string("a/..b/c")));
  for (const char* name : {"../a", "a/../b", "a/..", "/etc/passwd", ""})
    EXPECT_EQ(plain_path(name), std::nullopt) << name;
  EXPECT_EQ(plain_path(std::string(5000, 'a')), std::nullopt);
}

TEST(ArchiveLayout, FilesAreMountedWhereAFolderWouldHaveThem) {
  const Mount train{"", ArchiveRole::kTrain, "ILSVRC2012_img_train", false};
  EXPECT_EQ(mounted_path(train, "n01440764.tar"), "train/n01440764.tar");
  EXPECT_EQ(mounted_path({"train/", ArchiveRole::kPlain, "n01440764", true}, "n01440764_1.JPEG"),
            "train/n01440764/n01440764_1.JPEG");
  EXPECT_EQ(mounted_path({"", ArchiveRole::kVal, "ILSVRC2012_img_val", false}, "ILSVRC2012_val_00000001.JPEG"),
            "val/ILSVRC2012_val_00000001.JPEG");
  const Mount test{"", ArchiveRole::kTest, "ILSVRC2012_img_test_v10102019", false};
  EXPECT_EQ(mounted_path(test, "test/ILSVRC2012_test_00000001.JPEG"), "test/ILSVRC2012_test_00000001.JPEG");
  EXPECT_EQ(mounted_path(test, "ILSVRC2012_test_00000001.JPEG"), "test/ILSVRC2012_test_00000001.JPEG");
  EXPECT_EQ(mounted_path(test, "test"), "test");
  const Mount plain{"", ArchiveRole::kPlain, "imagenet", true};
  EXPECT_EQ(mounted_path(plain, "ILSVRC/Data/CLS-LOC/train/a/b.JPEG"), "ILSVRC/Data/CLS-LOC/train/a/b.JPEG");
  EXPECT_EQ(mounted_path(plain, "LOC_val_solution.csv"), "LOC_val_solution.csv");
  // A renamed validation tar is known by the names in it.
  EXPECT_EQ(mounted_path({"", ArchiveRole::kPlain, "x", false}, "ILSVRC2012_val_00000001.JPEG"),
            "val/ILSVRC2012_val_00000001.JPEG");
  EXPECT_EQ(mounted_path({"", ArchiveRole::kBoxes, "ILSVRC2012_bbox_val_v3", true}, "val/ILSVRC2012_val_00000001.xml"),
            "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml");
}

void expect_place(PlaceGuess& guess, const std::string& path, const std::string& split, const std::string& name) {
  const auto place = guess.place(path, 1);
  ASSERT_TRUE(place.has_value()) << path;
  EXPECT_EQ(place->split, split) << path;
  EXPECT_EQ(place->image.name(), name) << path;
}

TEST(ArchiveLayout, PlacesAreGuessedFromThePathAlone) {
  PlaceGuess guess;
  expect_place(guess, "ILSVRC/Data/CLS-LOC/train/a/a_1.JPEG", "train", "a/a_1.JPEG");
  expect_place(guess, "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG", "val", "ILSVRC2012_val_00000001.JPEG");
  expect_place(guess, "imagenet/validation/cat/1.jpg", "val", "cat/1.jpg");
  PlaceGuess wrapped;
  expect_place(wrapped, "photos/cat/1.jpg", "train", "cat/1.jpg");
  PlaceGuess bare;
  expect_place(bare, "cat/1.jpg", "train", "cat/1.jpg");
  PlaceGuess known(std::vector<std::pair<std::string, std::string>>{{"x/cats/", "train"}});
  expect_place(known, "x/cats/a/1.jpg", "train", "a/1.jpg");
  EXPECT_EQ(known.place("y/1.jpg", 1), std::nullopt);
}

TEST(PartSelection, EveryShardHasOneOwnerWhateverTheNumbers) {
  for (uint32_t shards : {1u, 2u, 3u, 8u, 17u, 512u}) {
    for (uint32_t parts : {1u, 2u, 3u, 7u, 16u, 700u}) {
      uint32_t most = 0, owned = 0;
      for (uint32_t part = 1; part <= parts; ++part) {
        uint32_t mine = 0;
        for (uint32_t shard = 0; shard < shards; ++shard)
          mine += PartSelection{part, parts}.owns(shard, shards) ? 1 : 0;
        most = std::max(most, mine);
        owned += mine;
      }
      EXPECT_EQ(owned, shards);
      EXPECT_EQ(most, (shards + parts - 1) / parts) << shards << " shards, " << parts << " parts";
    }
  }
}

TEST(PartSelection, NoRecordOfAPartIsPassedOverWhileTheNumberOfShardsIsNotKnown) {
  for (uint32_t shards : {1u, 4u, 6u, 64u}) {
    for (uint32_t i = 0; i < 2000; ++i) {
      const uint64_t key = order_key(7, "train", std::to_string(i));
      for (uint32_t part = 1; part <= 5; ++part) {
        const PartSelection selection{part, 5};
        if (!selection.owns(shard_of_key(key, shards), shards)) continue;
        for (uint32_t least = 1; least <= shards; least *= 2) EXPECT_TRUE(selection.may_own(key, least));
      }
    }
  }
}

struct Variables {
  std::map<std::string, std::string> set;
  PartSelection parse(const std::string& text) const {
    return parse_part(text, [this](const char* name) {
      const auto at = set.find(name);
      return at == set.end() ? std::nullopt : std::optional(at->second);
    });
  }
};

TEST(PartSelection, IsReadFromTheCommandLineSlurmAndAwsBatch) {
  EXPECT_EQ(Variables{}.parse("2/8"), (PartSelection{2, 8}));
  const Variables slurm{{{"SLURM_ARRAY_TASK_ID", "7"},
                         {"SLURM_ARRAY_TASK_MIN", "3"},
                         {"SLURM_ARRAY_TASK_COUNT", "4"},
                         {"SLURM_ARRAY_TASK_STEP", "2"}}};
  EXPECT_EQ(slurm.parse("auto"), (PartSelection{3, 4}));
  EXPECT_EQ(slurm.parse("auto/4"), (PartSelection{3, 4}));
  EXPECT_ERROR(slurm.parse("auto/5"), ErrorKind::kUsage, "this Slurm array has 4 tasks");
  const Variables batch{{{"AWS_BATCH_JOB_ARRAY_INDEX", "0"}}};
  EXPECT_EQ(batch.parse("auto/8"), (PartSelection{1, 8}));
  EXPECT_ERROR(batch.parse("auto"), ErrorKind::kUsage, "expected auto/n");
}

TEST(PartSelection, RefusesWhatIsNoPart) {
  for (const char* text : {"0/4", "5/4", "1/0", "1/70000"})
    EXPECT_ERROR(Variables{}.parse(text), ErrorKind::kUsage, "expected i/n with n from 1");
  for (const char* text : {"", "1", "1/", "/4", "a/b", "-1/4", "auto/x"})
    EXPECT_ERROR(Variables{}.parse(text), ErrorKind::kUsage, "expected i/n, auto or auto/n");
  EXPECT_ERROR(Variables{}.parse("auto/4"), ErrorKind::kUsage, "expected a task of a Slurm array");
}

}  // namespace
}  // namespace imgpack::ingest
