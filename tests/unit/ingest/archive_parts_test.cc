// The pieces that the archive builder stands on: the tree of names, the spill, the list of images, the estimate.
#include <gmock/gmock.h>

#include "format/ingest/archive_tree.h"
#include "format/ingest/build_estimate.h"
#include "format/ingest/builder.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/list_source.h"
#include "format/ingest/spill_store.h"
#include "format/record.h"
#include "tests/support/expect_error.h"
#include "tests/support/image_tree.h"

namespace imgpack::ingest {
namespace {

using test::ImageTree;
using test::kTreeRoot;
using testing::ElementsAre;

std::vector<std::string> names(const std::vector<DirectoryEntry>& entries) {
  std::vector<std::string> out;
  for (const DirectoryEntry& entry : entries) out.push_back(entry.name + (entry.is_directory ? "/" : ""));
  return out;
}

TEST(ArchiveTree, ListsFoldersThatHaveEntriesOfTheirOwnAndFoldersThatHaveNone) {
  test::MemoryFileSystem fs;
  fs.set_bytes("/elsewhere/labels.csv", "of the user");
  ArchiveContents contents;
  contents.images = {{"train/b/1.jpg", 5}, {"train/a/1.jpg", 7}, {"train/a.jpg", 9}};
  contents.folders = {"train", "train/a", "empty"};
  contents.texts = {{"LOC.csv", "text"}};
  ArchiveTree tree(fs, "/x.tar", contents);
  EXPECT_THAT(names(tree.list("/x.tar")), ElementsAre("LOC.csv", "empty/", "train/"));
  EXPECT_THAT(names(tree.list("/x.tar/train")), ElementsAre("a/", "a.jpg", "b/"));
  EXPECT_EQ(tree.list("/x.tar/train/a").front().bytes, 7u);
  EXPECT_EQ(tree.image_at("train/a/1.jpg"), 1u);
  EXPECT_TRUE(tree.exists("/x.tar/train/b") && tree.exists("/x.tar/LOC.csv") && !tree.exists("/x.tar/trai"));
  EXPECT_FALSE(tree.exists("/y"));
  EXPECT_EQ(read_text(tree, "/x.tar/LOC.csv", 100), "text");
  EXPECT_EQ(read_text(tree, "/elsewhere/labels.csv", 100), "of the user");
}

TEST(ArchiveTree, RefusesTwoFilesOfOneName) {
  test::MemoryFileSystem fs;
  ArchiveContents contents;
  contents.images = {{"a/1.jpg", 5}, {"a/1.jpg", 7}};
  EXPECT_ERROR(ArchiveTree(fs, "/x.tar", contents), ErrorKind::kInvalidInput, "two files of one name: a/1.jpg");
  contents.images = {{"a", 5}};
  contents.folders = {"a"};
  EXPECT_ERROR(ArchiveTree(fs, "/x.tar", contents), ErrorKind::kInvalidInput, "a file and a folder of one name: a");
  contents.images = {{"a.jpg", 5}, {"a.jpg/b.jpg", 5}};
  contents.folders = {};
  ArchiveTree tree(fs, "/x.tar", contents);
  EXPECT_ERROR(tree.list("/x.tar"), ErrorKind::kInvalidInput, "a file and a folder of one name");
}

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

TEST(SpillStore, GivesBackWhatWasAddedAndRemovesEachRangeWithItsLastRecord) {
  test::MemoryFileSystem fs;
  fs.make_directories("/out");
  // A buffer so small that ranges are written again and again.
  SpillStore store(fs, "/out", "train", 8, 100);
  std::vector<std::pair<uint64_t, SpillPlace>> places;
  for (uint64_t i = 0; i < 200; ++i) {
    const uint64_t key = order_key(3, i);
    places.emplace_back(key, store.add(key, bytes_of("record " + std::to_string(i))));
  }
  store.finish_adding();
  EXPECT_EQ(fs.all_files().size(), 8u);
  const uint64_t most = store.bytes_on_disk();
  for (uint64_t i = 0; i < 199; ++i) {
    if (i % 10 == 9) {
      store.drop(places[i].first);
    } else {
      EXPECT_EQ(store.read(places[i].first, places[i].second), bytes_of("record " + std::to_string(i)));
    }
  }
  EXPECT_EQ(fs.all_files().size(), 1u);
  EXPECT_LT(store.bytes_on_disk(), most / 2);
  store.read(places[199].first, places[199].second);
  EXPECT_TRUE(fs.all_files().empty());
  EXPECT_EQ(store.bytes_on_disk(), 0u);
}

TEST(SpillStore, RemovesItsFilesWhenItEndsEarly) {
  test::MemoryFileSystem fs;
  fs.make_directories("/out");
  {
    SpillStore store(fs, "/out", "val", 4, 10);
    for (uint64_t i = 0; i < 20; ++i) store.add(order_key(3, i), bytes_of("some record"));
    EXPECT_FALSE(fs.all_files().empty());
  }
  EXPECT_TRUE(fs.all_files().empty());
}

TEST(SpillStore, RangesAreAQuarterOfAShardWithinLimits) {
  EXPECT_EQ(spill_ranges(0, 512 << 20), 16u);
  EXPECT_EQ(spill_ranges(8ull << 30, 512 << 20), 64u);
  EXPECT_EQ(spill_ranges(166ull << 30, 512 << 20), 512u);
  EXPECT_EQ(spill_ranges(UINT64_MAX, 1), 512u);
}

TEST(ImageList, IsTheTreeThatItLists) {
  ImageTree tree;
  tree.images("train/a", 9).images("train/b", 7).images("val/a", 2).ilsvrc_images("test", "test", 1, 2);
  std::string csv = "path,label,split\n", tsv;
  for (const auto& [path, bytes] : tree.fs.all_files()) {
    const std::string relative = path.substr(std::string(kTreeRoot).size() + 1);
    const std::string split = relative.substr(0, relative.find('/'));
    const std::string label = split == "test" ? "" : relative.substr(split.size() + 1, 1);
    csv += relative + "," + label + "," + split + "\n";
    tsv += path + "\t" + label + "\t" + (split == "train" ? "" : split) + "\r\n";
  }
  tree.text("list.csv", csv).text("list.Tsv", tsv);
  const PackOptions options;
  const LabeledSource folder = label_source(tree.fs, scan_folder(tree.fs, kTreeRoot));
  const LabeledSource list = read_image_list(tree.fs, "/source/list.csv");
  EXPECT_EQ(make_plan(list, options).plan_id, make_plan(folder, options).plan_id);
  EXPECT_EQ(list.scan.splits[0].images[0].bytes, folder.scan.splits[0].images[0].bytes);
  const auto reader = make_folder_reader(tree.fs, list.scan.root);
  EXPECT_EQ(reader->read(list.scan.splits[0], list.scan.splits[0].images[0]).size(),
            list.scan.splits[0].images[0].bytes);
  const LabeledSource absolute = read_image_list(tree.fs, "/source/list.Tsv");
  EXPECT_EQ(absolute.scan.splits[0].images[0].name(), "source/train/a/a_0.JPEG");
  EXPECT_EQ(absolute.splits[2].labeled, false);
}

TEST(ImageList, NumbersAreThePositionsOfTheClassesThatTheyName) {
  ImageTree tree;
  tree.image("x/1.jpg").image("x/2.jpg").image("x/3.jpg");
  tree.text("list.csv", "x/1.jpg,0\nx/2.jpg,11\nx/3.jpg,2\n");
  const LabeledSource source = read_image_list(tree.fs, "/source/list.csv");
  EXPECT_EQ(source.classes.classes.size(), 12u);
  EXPECT_EQ(source.classes.classes[2].wnid, "02");
  EXPECT_THAT(source.splits[0].labels, ElementsAre(0, 11, 2));
}

TEST(ImageList, NamesTheLineOfWhatIsWrong) {
  const auto parse = [](const std::string& text) { return parse_image_list(text, ',', "list.csv"); };
  EXPECT_ERROR(parse(""), ErrorKind::kInvalidInput, "list is empty");
  EXPECT_ERROR(parse("path,label\n"), ErrorKind::kInvalidInput, "list is empty");
  EXPECT_ERROR(parse("a.jpg\n"), ErrorKind::kInvalidInput, "line 1: expected path,label");
  EXPECT_ERROR(parse("a.jpg,x\n,y\n"), ErrorKind::kInvalidInput, "line 2: path is empty");
  EXPECT_ERROR(parse("a.jpg,x,holdout\n"), ErrorKind::kInvalidInput, "expected the split train, val or test");
  EXPECT_ERROR(parse("a.jpg,../x\n"), ErrorKind::kInvalidInput, "expected a label");
  ImageTree tree;
  tree.image("1.jpg").image("train/1.jpg").text("list.csv", "1.jpg,a\n2.jpg,a\n");
  EXPECT_ERROR(read_image_list(tree.fs, "/source/list.csv"), ErrorKind::kInvalidInput,
               "1 of the 2 files of the list are not there:\n  line 2: 2.jpg");
  tree.text("list.csv", "1.jpg,a\ntrain/1.jpg,b\n");
  EXPECT_ERROR(read_image_list(tree.fs, "/source/list.csv"), ErrorKind::kInvalidInput, "two rows for one image");
  tree.text("list.csv", "1.jpg,\n");
  EXPECT_ERROR(read_image_list(tree.fs, "/source/list.csv"), ErrorKind::kInvalidInput, "no image of train has a label");
}

TEST(BuildEstimate, IsInProportionToTheTrial) {
  const PackTrial trial{10, 1000, 500, 2.0};
  PackOptions options;
  const BuildEstimate folder = estimate_build({1000, 100'000, 1, false}, trial, options, 4);
  EXPECT_EQ(folder.disk_bytes, 50'000u + 24'000u);
  EXPECT_EQ(folder.extra_disk_bytes, 0u);
  EXPECT_DOUBLE_EQ(*folder.seconds, 50.0);
  const BuildEstimate archive = estimate_build({0, 600ull << 30, 3, true}, trial, options, 4);
  EXPECT_EQ(archive.extra_disk_bytes, (300ull << 30) / 512);
  EXPECT_GT(archive.memory_bytes, folder.memory_bytes);
  EXPECT_EQ(estimate_build({5, 100, 1, false}, {}, options, 4).seconds, std::nullopt);
}

TEST(BuildEstimate, TrialPacksImagesOfEverySplit) {
  ImageTree tree;
  tree.images("train/a", 9).images("val/a", 2).text("val/a/bad.jpg", "text");
  const LabeledSource source = label_source(tree.fs, scan_folder(tree.fs, kTreeRoot));
  const auto reader = make_folder_reader(tree.fs, source.scan.root);
  const PackTrial trial = try_images(source.scan, *reader, {});
  EXPECT_EQ(trial.images, 11u);
  EXPECT_GT(trial.packed_bytes, trial.source_bytes);
}

}  // namespace
}  // namespace imgpack::ingest
