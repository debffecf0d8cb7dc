#include "format/ingest/builder.h"

#include <gmock/gmock.h>

#include "format/dataset.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/thread_limit.h"
#include "format/shard_reader.h"
#include "format/verify.h"
#include "tests/support/expect_error.h"
#include "tests/support/image_tree.h"

namespace imgpack::ingest {
namespace {

using test::ImageTree;
using test::kTreeRoot;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kOut = "/out";

struct Listener : BuildObserver {
  void on_note(const std::string& note) override { notes.push_back(note); }
  void on_skip(const SkippedSource& one) override { skipped.push_back(one); }
  void on_start(uint64_t, uint64_t already) override { done = already; }
  void on_packed(uint64_t images, uint64_t) override {
    packed += images;
    if (packed >= stop_after) stop = true;
  }
  std::vector<std::string> notes;
  std::vector<SkippedSource> skipped;
  uint64_t done = 0, packed = 0, stop_after = UINT64_MAX;
  std::atomic<bool> stop{false};
};

class BuilderTest : public testing::Test {
 protected:
  BuilderTest() {
    tree_.images("train/a", 20).images("train/b", 20).images("val/a", 3).images("val/b", 2);
    options_.pack.shard_count = {{"train", 4}};
    options_.created_by = "imgpack test";
    options_.lock = false;
  }

  BuildResult build_now() {
    const LabeledSource source = label_source(tree_.fs, scan_folder(tree_.fs, kTreeRoot));
    const auto reader = make_folder_reader(tree_.fs, source.scan.root);
    return build(tree_.fs, source, *reader, kOut, options_, listener_, listener_.stop);
  }

  // What lies in the output folder: name -> bytes.
  std::map<std::string, std::string> output() {
    std::map<std::string, std::string> files;
    for (auto& [path, bytes] : tree_.fs.all_files()) {
      if (path.rfind("/out/", 0) == 0) files[path.substr(5)] = bytes;
    }
    return files;
  }

  bool is_sound() {
    VerifyOptions options;
    options.level = VerifyLevel::kChecksums;
    return verify_dataset(tree_.fs, kOut, options).ok();
  }

  // A build that ends after so many images.
  void build_interrupted(uint64_t images) {
    listener_.stop_after = images;
    EXPECT_ERROR(build_now(), ErrorKind::kInterrupted, "finished shards are kept, run the same command to go on");
    listener_.stop_after = UINT64_MAX;
    listener_.stop = false;
    listener_.packed = 0;
  }

  ImageTree tree_;
  BuildOptions options_;
  Listener listener_;
};

TEST_F(BuilderTest, DatasetHoldsEveryImageWithItsLabelAndBytes) {
  const BuildResult result = build_now();
  EXPECT_EQ(result.outcome, BuildOutcome::kBuilt);
  EXPECT_EQ(listener_.packed, 45u);
  const Dataset dataset = Dataset::open(tree_.fs, kOut, ReadNames::kYes);
  const SplitView& train = dataset.split("train");
  ASSERT_EQ(train.records(), 40u);
  EXPECT_EQ(train.info.shards.size(), 4u);
  std::vector<std::byte> buffer;
  for (uint64_t i = 0; i < train.records(); ++i) {
    const std::string& name = train.columns.names[i];
    EXPECT_EQ(train.columns.label[i], name[0] == 'a' ? 0 : 1);
    const ShardReader reader(tree_.fs, dataset.shard_path("train", train.shard[i]));
    const auto image = reader.read(i - train.first_record[train.shard[i]], buffer).image();
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(image.data()), image.size()),
              tree_.fs.bytes("/source/train/" + name));
  }
  EXPECT_TRUE(is_sound());
  EXPECT_EQ(output().count("build.json"), 0u);
}

TEST_F(BuilderTest, BytesAreTheSameForAnyNumberOfThreads) {
  std::map<std::string, std::string> one;
  {
    const ThreadLimit limit(1);
    build_now();
    one = output();
  }
  const ThreadLimit limit(8);
  options_.fresh = true;
  build_now();
  EXPECT_EQ(output(), one);
}

TEST_F(BuilderTest, InterruptedBuildGoesOnToTheSameBytes) {
  build_now();
  const auto whole = output();
  for (uint64_t images = 1; images < 45; images += 6) {
    options_.fresh = true;
    build_interrupted(images);
    EXPECT_EQ(output().count("manifest.json"), 0u);
    options_.fresh = false;
    build_now();
    EXPECT_EQ(output(), whole) << images;
  }
}

TEST_F(BuilderTest, FinishedShardsOfAnInterruptedBuildAreNotPackedAgain) {
  build_interrupted(35);
  const BuildResult result = build_now();
  EXPECT_EQ(result.outcome, BuildOutcome::kResumed);
  EXPECT_GT(listener_.done, 0u);
  EXPECT_EQ(listener_.packed, 45 - listener_.done);
}

TEST_F(BuilderTest, ShardThatVanishedOrChangedIsPackedAgain) {
  build_interrupted(35);
  const auto partial = output();
  ASSERT_EQ(partial.count("train-00000.ipk"), 1u);
  tree_.fs.set_bytes("/out/train-00000.ipk", partial.at("train-00000.ipk").substr(0, 100));
  tree_.fs.set_bytes("/out/train-00003.ipk.tmp", "left by a kill");
  build_now();
  EXPECT_THAT(listener_.notes, testing::Contains(HasSubstr("the shard is packed again")));
  const auto resumed = output();
  options_.fresh = true;
  build_now();
  EXPECT_EQ(output(), resumed);
}

TEST_F(BuilderTest, ABuildThatEndedRightAfterItsManifestLeavesNothingBesideTheDataset) {
  build_now();
  const auto before = output();
  tree_.fs.set_bytes("/out/build.json", "what it was to remove last");
  EXPECT_EQ(build_now().outcome, BuildOutcome::kAlreadyFinished);
  EXPECT_FALSE(tree_.fs.exists("/out/build.json"));
  EXPECT_EQ(output(), before);
}

TEST_F(BuilderTest, FinishedBuildIsLeftAlone) {
  build_now();
  const auto before = output();
  EXPECT_EQ(build_now().outcome, BuildOutcome::kAlreadyFinished);
  EXPECT_EQ(output(), before);
}

TEST_F(BuilderTest, OtherOptionsOnAFinishedBuildAreAnErrorThatListsThem) {
  build_now();
  options_.pack.seed = 7;
  options_.pack.normalise.resize_max = 8;
  EXPECT_ERROR(build_now(), ErrorKind::kInvalidInput,
               "a finished dataset of another source or with other options is here:\n  resize_max: 0 there, 8 now\n  "
               "seed: 0 there, 7 now");
}

TEST_F(BuilderTest, OtherSourceOnAnUnfinishedBuildIsAnErrorThatSaysWhat) {
  build_interrupted(30);
  tree_.images("train/b", 25);
  EXPECT_ERROR(
      build_now(), ErrorKind::kInvalidInput,
      "an unfinished build of another source or with other options is here:\n  images of train: 40 there, 45 now");
  tree_.fs.remove("/source/train/b/b_24.JPEG");
  for (int i = 20; i < 24; ++i) tree_.fs.remove("/source/train/b/b_" + std::to_string(i) + ".JPEG");
  tree_.text("train/a/a_0.JPEG", "another file");
  EXPECT_ERROR(build_now(), ErrorKind::kInvalidInput, "names, sizes or labels of the source's images");
}

TEST_F(BuilderTest, FreshBuildReplacesAnotherOneAndLeavesStrangersAlone) {
  build_now();
  tree_.fs.set_bytes("/out/notes.txt", "mine");
  options_.fresh = true;
  options_.pack.shard_count = {{"train", 1}};
  build_now();
  EXPECT_EQ(output().count("train-00003.ipk"), 0u);
  EXPECT_EQ(output().at("notes.txt"), "mine");
}

TEST_F(BuilderTest, FolderOfSomethingElseIsRefusedEvenFresh) {
  tree_.fs.set_bytes("/out/thesis.tex", "x");
  EXPECT_ERROR(
      build_now(), ErrorKind::kInvalidInput,
      "/out: output folder is something else: expected a new or empty folder, or an earlier build, found 'thesis.tex'");
  options_.fresh = true;
  EXPECT_ERROR(build_now(), ErrorKind::kInvalidInput, "found 'thesis.tex'");
  tree_.fs.remove("/out/thesis.tex");
  tree_.fs.set_bytes("/out/manifest.json", "{}");
  EXPECT_ERROR(build_now(), ErrorKind::kInvalidInput, "'manifest.json' without shards");
  EXPECT_EQ(tree_.fs.bytes("/out/manifest.json"), "{}");
}

TEST_F(BuilderTest, ImagesThatCannotBePackedAreListedWithTheirReason) {
  const std::string whole = tree_.fs.bytes("/source/train/a/a_0.JPEG");
  tree_.text("train/a/a_0.JPEG", whole.substr(0, whole.size() / 2))
      .text("train/a/a_1.JPEG", "<html>")
      .text("val/b/b_0.JPEG", "");
  const Manifest manifest = build_now().manifest;
  ASSERT_THAT(manifest.skipped, SizeIs(3));
  EXPECT_THAT(listener_.skipped, SizeIs(3));
  std::map<std::string, SkippedSource> by_name;
  for (const SkippedSource& one : manifest.skipped) by_name[one.split + "/" + one.name] = one;
  EXPECT_THAT(by_name["train/a/a_0.JPEG"].reason, HasSubstr("damaged"));
  EXPECT_THAT(by_name["train/a/a_1.JPEG"].reason, HasSubstr("not-an-image"));
  EXPECT_THAT(by_name["val/b/b_0.JPEG"].reason, HasSubstr("empty"));
  EXPECT_THAT(by_name["train/a/a_0.JPEG"].digest, SizeIs(16));
  EXPECT_EQ(manifest.splits[0].records, 38u);
  EXPECT_TRUE(is_sound());
}

TEST_F(BuilderTest, SkippedImagesSurviveAnInterruption) {
  tree_.text("train/a/a_1.JPEG", "<html>");
  build_now();
  const auto whole = output();
  options_.fresh = true;
  build_interrupted(38);
  options_.fresh = false;
  EXPECT_THAT(build_now().manifest.skipped, SizeIs(1));
  EXPECT_EQ(output(), whole);
}

TEST_F(BuilderTest, TooManyBadImagesEndTheBuild) {
  for (int i = 0; i < 4; ++i) tree_.text("train/a/a_" + std::to_string(i) + ".JPEG", "<html>");
  options_.max_skipped = 3;
  EXPECT_ERROR(build_now(), ErrorKind::kInvalidInput, "more than 3 images cannot be packed");
  EXPECT_EQ(output().count("manifest.json"), 0u);
  for (const auto& [name, bytes] : output()) EXPECT_THAT(name, testing::Not(HasSubstr(".tmp")));
}

TEST_F(BuilderTest, SplitWithoutOneGoodImageIsAnError) {
  for (const char* file : {"val/a/a_0.JPEG", "val/a/a_1.JPEG", "val/a/a_2.JPEG", "val/b/b_0.JPEG", "val/b/b_1.JPEG"})
    tree_.text(file, "x");
  EXPECT_ERROR(build_now(), ErrorKind::kInvalidInput, "no image of val could be packed");
}

TEST_F(BuilderTest, FileThatChangesMeanwhileEndsTheBuild) {
  const LabeledSource source = label_source(tree_.fs, scan_folder(tree_.fs, kTreeRoot));
  const auto reader = make_folder_reader(tree_.fs, source.scan.root);
  tree_.text("train/a/a_0.JPEG", "still being copied");
  EXPECT_ERROR(build(tree_.fs, source, *reader, kOut, options_, listener_, listener_.stop), ErrorKind::kInvalidInput,
               "train/a/a_0.JPEG: file changed while it was being packed");
}

TEST_F(BuilderTest, NameThatNoRecordMayHaveIsSkipped) {
  tree_.image("train/a/bad\nname.JPEG");
  const Manifest manifest = build_now().manifest;
  ASSERT_THAT(manifest.skipped, SizeIs(1));
  EXPECT_EQ(manifest.skipped[0].name, "a/bad\\x0aname.JPEG");
  EXPECT_THAT(manifest.skipped[0].reason, HasSubstr("bad-name"));
}

class FullDisk : public test::MemoryFileSystem {
 public:
  uint64_t free_bytes(const std::filesystem::path&) override { return 1000; }
};

TEST_F(BuilderTest, DiskThatIsTooSmallIsNoticedBeforeAnythingIsWritten) {
  FullDisk disk;
  for (const auto& [path, bytes] : tree_.fs.all_files()) disk.set_bytes(path, bytes);
  const LabeledSource source = label_source(disk, scan_folder(disk, kTreeRoot));
  const auto reader = make_folder_reader(disk, source.scan.root);
  const auto before = disk.all_files();
  EXPECT_ERROR(build(disk, source, *reader, kOut, options_, listener_, listener_.stop), ErrorKind::kIo,
               "/out: not enough space on this disk");
  EXPECT_EQ(disk.all_files(), before);
  EXPECT_FALSE(disk.exists(kOut));
}

TEST_F(BuilderTest, DatasetIdIsThatOfTheContent) {
  const std::string id = build_now().manifest.dataset_id;
  options_.fresh = true;
  options_.pack.shard_count = {{"train", 1}};
  EXPECT_EQ(build_now().manifest.dataset_id, id);
  options_.pack.seed = 1;
  EXPECT_NE(build_now().manifest.dataset_id, id);
}

}  // namespace
}  // namespace imgpack::ingest
