// What archives give is what folders give, byte for byte, whatever happens on the way.
#include "format/ingest/archive_builder.h"

#include <gmock/gmock.h>

#include <functional>

#include "format/dataset.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/merge.h"
#include "format/ingest/thread_limit.h"
#include "format/verify.h"
#include "tests/support/archives.h"
#include "tests/support/expect_error.h"
#include "tests/support/image_tree.h"

namespace imgpack::ingest {
namespace {

using test::files_below;
using test::gzipped;
using test::ImageTree;
using test::kTreeRoot;
using test::make_tar;
using test::make_zip;
using test::PackedFile;
using testing::HasSubstr;

using Files = std::map<std::string, std::string>;

struct Listener : BuildObserver {
  void on_note(const std::string& note) override { notes += note + "\n"; }
  void on_skip(const SkippedSource& one) override { skipped.push_back(one); }
  void on_start(uint64_t, uint64_t already) override { done = already; }
  void on_read(uint64_t, uint64_t images) override {
    read += images;
    if (read >= stop_after_read) stop = true;
  }
  void on_packed(uint64_t images, uint64_t) override {
    packed += images;
    if (packed >= stop_after_packed) stop = true;
  }
  std::string notes;
  std::vector<SkippedSource> skipped;
  uint64_t done = 0, packed = 0, read = 0, stop_after_packed = UINT64_MAX, stop_after_read = UINT64_MAX;
  std::atomic<bool> stop{false};
};

// The most that ever lay in a folder at once.
class PeakMeter : public FileSystem {
 public:
  PeakMeter(test::MemoryFileSystem& base, std::string folder) : base_(base), folder_(std::move(folder)) {}
  uint64_t peak() const { return peak_; }
  uint64_t now() {
    uint64_t sum = 0;
    for (const auto& [path, bytes] : base_.all_files()) sum += path.starts_with(folder_) ? bytes.size() : 0;
    return sum;
  }

  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) override { return base_.open(path); }
  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override {
    return std::make_unique<Writer>(*this, base_.create(path));
  }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override { base_.rename(from, to); }
  void remove(const std::filesystem::path& path) override { base_.remove(path); }
  void make_directories(const std::filesystem::path& path) override { base_.make_directories(path); }
  void sync_directory(const std::filesystem::path& path) override { base_.sync_directory(path); }
  bool exists(const std::filesystem::path& path) override { return base_.exists(path); }
  std::vector<DirectoryEntry> list(const std::filesystem::path& path) override { return base_.list(path); }
  uint64_t free_bytes(const std::filesystem::path& path) override { return base_.free_bytes(path); }

 private:
  struct Writer : WritableFile {
    Writer(PeakMeter& of, std::unique_ptr<WritableFile> to) : meter(of), base(std::move(to)) {}
    void append(std::span<const std::byte> bytes) override {
      base->append(bytes);
      const uint64_t now = meter.now();
      uint64_t before = meter.peak_;
      while (before < now && !meter.peak_.compare_exchange_weak(before, now)) continue;
    }
    void sync() override { base->sync(); }
    void close() override { base->close(); }
    PeakMeter& meter;
    std::unique_ptr<WritableFile> base;
  };

  test::MemoryFileSystem& base_;
  const std::string folder_;
  std::atomic<uint64_t> peak_{0};
};

class ArchiveBuilderTest : public testing::Test {
 protected:
  ArchiveBuilderTest() {
    options_.created_by = "imgpack test";
    options_.lock = false;
    options_.pack.shard_count = {{"train", 4}};
  }

  Files output(const std::string& out) {
    Files files;
    for (auto& [path, bytes] : tree_.fs.all_files()) {
      if (path.starts_with(out + "/")) files[path.substr(out.size() + 1)] = bytes;
    }
    return files;
  }

  Files from_folder(const std::string& root = kTreeRoot, const LabelOptions& labels = {}) {
    const LabeledSource source = label_source(tree_.fs, scan_folder(tree_.fs, root), labels);
    const auto reader = make_folder_reader(tree_.fs, source.scan.root);
    Listener listener;
    build(tree_.fs, source, *reader, "/out-folder", options_, listener, listener.stop);
    return output("/out-folder");
  }

  ArchiveBuild build_archive(const std::string& path, const std::string& out = "/out") {
    const auto set = find_archives(tree_.fs, path);
    if (!set) throw Error(ErrorKind::kInternal, "no archive was found");
    return build_archives(tree_.fs, *set, {}, out, options_, listener_, listener_.stop);
  }
  Files from_archive(const std::string& path) {
    build_archive(path);
    return output("/out");
  }

  // Kaggle's tree at kTreeRoot.
  void make_kaggle() {
    const std::string data = "ILSVRC/Data/CLS-LOC/";
    tree_.images(data + "train/a", 9).images(data + "train/b", 7);
    tree_.ilsvrc_images(data + "val", "val", 1, 5).ilsvrc_images(data + "test", "test", 1, 3);
    std::string csv = "ImageId,PredictionString\n";
    for (int i = 1; i <= 5; ++i)
      csv += "ILSVRC2012_val_0000000" + std::to_string(i) + (i % 2 == 0 ? ",a 1 2 3 4 \n" : ",b 1 2 3 4\n");
    tree_.text("LOC_val_solution.csv", csv);
    tree_.text("LOC_synset_mapping.txt", "a first, class\nb second\n");
    tree_.text("ILSVRC/ImageSets/CLS-LOC/val.txt", "ILSVRC2012_val_00000001 1\n");
  }
  std::vector<PackedFile> kaggle_tree() { return files_below(tree_.fs, "/source/ILSVRC", "ILSVRC/"); }
  PackedFile loose(const std::string& name) { return {name, tree_.fs.bytes("/source/" + name)}; }

  ImageTree tree_;
  BuildOptions options_;
  Listener listener_;
};

TEST_F(ArchiveBuilderTest, KaggleZipIsTheKaggleFolderWhateverItsOrder) {
  make_kaggle();
  const Files folder = from_folder();
  const PackedFile inner{"imagenet_object_localization_patched2019.tar.gz", gzipped(make_tar(kaggle_tree()))};
  tree_.fs.set_bytes("/a/first.zip", make_zip({loose("LOC_val_solution.csv"), loose("LOC_synset_mapping.txt"), inner}));
  tree_.fs.set_bytes("/a/last.zip", make_zip({inner, loose("LOC_val_solution.csv"), loose("LOC_synset_mapping.txt")}));
  EXPECT_EQ(from_archive("/a/first.zip"), folder);
  for (const auto& [name, bytes] : output("/out")) tree_.fs.remove("/out/" + name);
  const ArchiveBuild built = build_archive("/a/last.zip");
  EXPECT_EQ(output("/out"), folder);
  EXPECT_THAT(built.source.scan.description,
              HasSubstr("Kaggle or torrent tree (ILSVRC/Data/CLS-LOC), streamed from last.zip (zip) holding "
                        "imagenet_object_localization_patched2019.tar.gz"));
}

TEST_F(ArchiveBuilderTest, TorrentArchiveWithAnnotationsIsItsTree) {
  make_kaggle();
  tree_.fs.remove("/source/LOC_val_solution.csv");
  tree_.fs.remove("/source/LOC_synset_mapping.txt");
  for (int i = 1; i <= 5; ++i) {
    tree_.text("ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_0000000" + std::to_string(i) + ".xml",
               "<annotation><object><name>a</name></object></annotation>");
  }
  const Files folder = from_folder();
  tree_.fs.set_bytes("/a/ILSVRC2017_CLS-LOC.tar.gz", gzipped(make_tar(kaggle_tree())));
  EXPECT_EQ(from_archive("/a/ILSVRC2017_CLS-LOC.tar.gz"), folder);
}

// image-net.org's: train is a tar of tars, val is flat, test has a folder.
TEST_F(ArchiveBuilderTest, FolderOfImageNetTarsIsTheTreeOfTheirContents) {
  tree_.images("train/a", 9).images("train/b", 7).ilsvrc_images("val", "val", 1, 2).ilsvrc_images("test", "test", 1, 3);
  tree_.text("LOC_val_solution.csv",
             "ImageId,PredictionString\nILSVRC2012_val_00000001,a 1 2 3 4\nILSVRC2012_val_00000002,b 1 2 3 4\n");
  const Files folder = from_folder();
  const auto tar_of = [&](const std::string& below) { return make_tar(files_below(tree_.fs, below)); };
  tree_.fs.set_bytes("/in/ILSVRC2012_img_train.tar",
                     make_tar({{"a.tar", tar_of("/source/train/a")}, {"b.tar", tar_of("/source/train/b")}}));
  tree_.fs.set_bytes("/in/ILSVRC2012_img_val.tar", tar_of("/source/val"));
  tree_.fs.set_bytes("/in/ILSVRC2012_img_test_v10102019.tar", make_tar(files_below(tree_.fs, "/source/test", "test/")));
  tree_.fs.set_bytes("/in/ILSVRC2012_img_train_t3.tar", "another task");
  tree_.fs.set_bytes("/in/LOC_val_solution.csv", tree_.fs.bytes("/source/LOC_val_solution.csv"));
  EXPECT_EQ(from_archive("/in"), folder);
}

TEST_F(ArchiveBuilderTest, TrainTarAloneIsItsClassFolders) {
  tree_.images("a", 9).images("b", 7);
  const Files folder = from_folder();
  tree_.fs.set_bytes("/in/ILSVRC2012_img_train.tar",
                     make_tar({{"a.tar", make_tar(files_below(tree_.fs, "/source/a"))},
                               {"b.tar", make_tar(files_below(tree_.fs, "/source/b"))}}));
  build_archive("/in/ILSVRC2012_img_train.tar");
  Files archive = output("/out");
  // What the layout is called differs, and nothing else.
  EXPECT_THAT(archive["manifest.json"], HasSubstr("\"source\": \"split-folders\""));
  EXPECT_THAT(folder.at("manifest.json"), HasSubstr("\"source\": \"class-folders\""));
  EXPECT_EQ(read_manifest(tree_.fs, "/out").dataset_id, read_manifest(tree_.fs, "/out-folder").dataset_id);
  archive.erase("manifest.json");
  Files expected = folder;
  expected.erase("manifest.json");
  EXPECT_EQ(archive, expected);
}

TEST_F(ArchiveBuilderTest, ClassFoldersInAnyKindOfArchiveWithOrWithoutAFolderAround) {
  tree_.images("cat", 9).images("dog", 7).text("cat/notes.md", "no image").text("cat/.hidden.jpg", "no image");
  const Files folder = from_folder();
  const auto bare = files_below(tree_.fs, "/source"), wrapped = files_below(tree_.fs, "/source", "photos/"),
             dotted = files_below(tree_.fs, "/source", "./");
  tree_.fs.set_bytes("/a/1.tar", make_tar(bare));
  tree_.fs.set_bytes("/a/2.tgz", gzipped(make_tar(wrapped)));
  tree_.fs.set_bytes("/a/3.tar.zst", test::zstandard(make_tar(dotted)));
  tree_.fs.set_bytes("/a/4.zip", make_zip(wrapped));
  tree_.fs.set_bytes("/a/5-without-ending", make_tar(bare));
  int number = 0;
  for (const char* name : {"1.tar", "2.tgz", "3.tar.zst", "4.zip", "5-without-ending"}) {
    const std::string out = "/out" + std::to_string(++number);
    build_archive(std::string("/a/") + name, out);
    EXPECT_EQ(output(out), folder) << name;
  }
}

TEST_F(ArchiveBuilderTest, LayoutThatIsClearOnlyAtTheEndTakesASecondPass) {
  tree_.image("ape/deep/1.jpg").images("cat", 3).images("dog", 7);
  const Files folder = from_folder();
  tree_.fs.set_bytes("/a/x.tar", make_tar(files_below(tree_.fs, "/source")));
  EXPECT_EQ(from_archive("/a/x.tar"), folder);
  EXPECT_THAT(listener_.notes, HasSubstr("read once more"));
}

TEST_F(ArchiveBuilderTest, ImagesThatCannotBePackedAreListedAsForAFolder) {
  tree_.images("cat", 9).images("dog", 7).text("cat/broken.jpg", "this is text").text("dog/empty.jpg", "");
  tree_.text(
      "dog/ba\x01"
      "d.jpg",
      "a bad name");
  const Files folder = from_folder();
  tree_.fs.set_bytes("/a/x.zip", make_zip(files_below(tree_.fs, "/source")));
  tree_.fs.set_bytes("/a/x.tar", make_tar(files_below(tree_.fs, "/source")));
  EXPECT_EQ(from_archive("/a/x.tar"), folder);
  EXPECT_EQ(listener_.skipped.size(), 3u);
  build_archive("/a/x.zip", "/out-zip");
  EXPECT_EQ(output("/out-zip"), folder);
}

TEST_F(ArchiveBuilderTest, NumberOfShardsBySizeAgreesWithAFoldersAndBytesDoNotDependOnThreads) {
  tree_.images("cat", 40).images("dog", 30);
  options_.pack.shard_count.clear();
  options_.pack.shard_bytes = 8 << 10;
  options_.pack.reencode_probability = 0.5;
  Files folder;
  {
    const ThreadLimit limit(1);
    folder = from_folder();
  }
  EXPECT_GE(folder.size(), 6u);
  tree_.fs.set_bytes("/a/x.tar", make_tar(files_below(tree_.fs, "/source")));
  const ThreadLimit limit(5);
  EXPECT_EQ(from_archive("/a/x.tar"), folder);
}

TEST_F(ArchiveBuilderTest, LeavesLessThanOneShardMoreOnTheDiskThanTheResult) {
  tree_.images("cat", 300).images("dog", 200);
  tree_.fs.set_bytes("/a/x.tar", make_tar(files_below(tree_.fs, "/source")));
  options_.pack.shard_count.clear();
  options_.pack.shard_bytes = 32 << 10;
  options_.pack.normalise.entropy_index_mcus = kNoEntropyIndex;
  PeakMeter meter(tree_.fs, "/out/");
  const auto set = find_archives(tree_.fs, "/a/x.tar");
  build_archives(meter, *set, {}, "/out", options_, listener_, listener_.stop);
  uint64_t largest = 0;
  for (const auto& [name, bytes] : output("/out")) {
    if (name.ends_with(".ipk")) largest = std::max<uint64_t>(largest, bytes.size());
    EXPECT_THAT(name, testing::Not(HasSubstr(".spill")));
  }
  EXPECT_GE(output("/out").size(), 10u);
  EXPECT_LE(meter.peak(), meter.now() + largest) << "result " << meter.now() << ", largest shard " << largest;
}

TEST_F(ArchiveBuilderTest, InterruptedBuildReadsTheArchiveAgainAndKeepsFinishedShards) {
  make_kaggle();
  const Files folder = from_folder();
  tree_.fs.set_bytes("/a/x.tar.gz", gzipped(make_tar(files_below(tree_.fs, "/source"))));
  for (uint64_t images = 1; images < 24; images += 5) {
    SCOPED_TRACE(images);
    for (const auto& [name, bytes] : output("/out")) tree_.fs.remove("/out/" + name);
    listener_.packed = listener_.read = 0;
    listener_.stop_after_read = images;
    EXPECT_ERROR(build_archive("/a/x.tar.gz"), ErrorKind::kInterrupted, "stopped");
    listener_.stop_after_read = UINT64_MAX;
    listener_.stop_after_packed = images;
    listener_.stop = false;
    EXPECT_ERROR(build_archive("/a/x.tar.gz"), ErrorKind::kInterrupted, "finished shards are kept");
    listener_.stop_after_packed = UINT64_MAX;
    listener_.stop = false;
    build_archive("/a/x.tar.gz");
    EXPECT_EQ(output("/out"), folder);
  }
  EXPECT_GT(listener_.done, 0u);
}

TEST_F(ArchiveBuilderTest, FinishedDatasetIsLeftAloneAndAnotherIsRefused) {
  tree_.images("cat", 9).images("dog", 7);
  tree_.fs.set_bytes("/a/x.tar", make_tar(files_below(tree_.fs, "/source")));
  const Files first = from_archive("/a/x.tar");
  EXPECT_EQ(build_archive("/a/x.tar").result.outcome, BuildOutcome::kAlreadyFinished);
  EXPECT_EQ(output("/out"), first);
  tree_.images("eel", 2);
  tree_.fs.set_bytes("/a/x.tar", make_tar(files_below(tree_.fs, "/source")));
  EXPECT_ERROR(build_archive("/a/x.tar"), ErrorKind::kInvalidInput, "images of train: 16 there, 18 now");
  options_.fresh = true;
  build_archive("/a/x.tar");
  EXPECT_NE(output("/out"), first);
}

TEST_F(ArchiveBuilderTest, FolderWithImagesIsAFolderEvenIfArchivesLieInIt) {
  tree_.images("cat", 2);
  tree_.fs.set_bytes("/source/x.tar", make_tar(files_below(tree_.fs, "/source")));
  EXPECT_EQ(find_archives(tree_.fs, kTreeRoot), std::nullopt);
}

TEST_F(ArchiveBuilderTest, TwoArchivesOfOneSplitAndArchivesOfOtherTasksAreRefused) {
  tree_.fs.set_bytes("/in/train.tar", make_tar({{"a/1.jpg", "x"}}));
  tree_.fs.set_bytes("/in/ILSVRC2012_img_train.tar", make_tar({{"a/1.jpg", "x"}}));
  EXPECT_ERROR(find_archives(tree_.fs, "/in"), ErrorKind::kInvalidInput, "two archives of one split");
  tree_.fs.set_bytes("/t/ILSVRC2012_img_train_t3.tar", make_tar({{"a/1.jpg", "x"}}));
  EXPECT_ERROR(find_archives(tree_.fs, "/t/ILSVRC2012_img_train_t3.tar"), ErrorKind::kInvalidInput, "another task");
  EXPECT_ERROR(find_archives(tree_.fs, "/nowhere/x.tar"), ErrorKind::kIo, "");
}

TEST_F(ArchiveBuilderTest, LabelsOfAnArchiveAreKnownWithoutPackingIt) {
  make_kaggle();
  tree_.fs.set_bytes("/a/x.tar", make_tar(files_below(tree_.fs, "/source")));
  const auto set = find_archives(tree_.fs, "/a/x.tar");
  const LabeledSource archive = label_archives(tree_.fs, *set, {}, listener_, listener_.stop);
  const LabeledSource folder = label_source(tree_.fs, scan_folder(tree_.fs, kTreeRoot));
  EXPECT_EQ(make_plan(archive, options_.pack).plan_id, make_plan(folder, options_.pack).plan_id);
}

// Of folders and of archives alike: n parts, merged, are the whole.
class PartsTest : public ArchiveBuilderTest {
 protected:
  PartsTest() {
    make_kaggle();
    tree_.text("ILSVRC/Data/CLS-LOC/train/a/broken.JPEG", "no image");
    tree_.fs.set_bytes("/a/x.tar.gz", gzipped(make_tar(files_below(tree_.fs, "/source"))));
    whole_ = from_folder();
  }

  std::filesystem::path build_part(uint32_t part, uint32_t parts, bool from_archive = false) {
    options_.part = PartSelection{part, parts};
    const auto out = part_folder("/parts", *options_.part);
    if (from_archive) {
      build_archive("/a/x.tar.gz", out.string());
    } else {
      const LabeledSource source = label_source(tree_.fs, scan_folder(tree_.fs, kTreeRoot));
      const auto reader = make_folder_reader(tree_.fs, source.scan.root);
      build(tree_.fs, source, *reader, out, options_, listener_, listener_.stop);
    }
    options_.part.reset();
    return out;
  }
  std::vector<std::filesystem::path> build_parts(uint32_t parts, bool from_archive = false) {
    std::vector<std::filesystem::path> folders;
    for (uint32_t part = 1; part <= parts; ++part) folders.push_back(build_part(part, parts, from_archive));
    return folders;
  }
  BuildResult merge(const std::vector<std::filesystem::path>& parts, bool move = false) {
    return merge_parts(tree_.fs, "/out", parts, {move, false}, listener_, listener_.stop);
  }
  void clear() {
    for (const auto& [path, bytes] : tree_.fs.all_files()) {
      if (path.starts_with("/out/") || path.starts_with("/parts.")) tree_.fs.remove(path);
    }
  }

  Files whole_;
};

TEST_F(PartsTest, MergedPartsAreTheSingleHostBuildByteForByte) {
  for (const bool from_archive : {false, true}) {
    for (const uint32_t parts : {1u, 2u, 3u, 9u}) {
      SCOPED_TRACE(std::to_string(parts) + (from_archive ? " parts of an archive" : " parts of a folder"));
      clear();
      auto folders = build_parts(parts, from_archive);
      std::reverse(folders.begin(), folders.end());
      merge(folders);
      EXPECT_EQ(output("/out"), whole_);
    }
  }
}

TEST_F(PartsTest, PartHasItsShardsOnlyAndIsLeftAloneWhenFinished) {
  const auto part = build_part(2, 2);
  const Files files = output(part.string());
  EXPECT_TRUE(files.contains("train-00003.ipk") && !files.contains("train-00000.ipk"));
  EXPECT_TRUE(files.contains("part.json") && !files.contains("manifest.json") && !files.contains("build.json"));
  listener_.packed = 0;
  build_part(2, 2);
  EXPECT_EQ(listener_.packed, 0u);
  EXPECT_EQ(output(part.string()), files);
}

TEST_F(PartsTest, UnfinishedPartGoesOnAndIsNotTakenForAnother) {
  listener_.stop_after_packed = 3;
  EXPECT_ERROR(build_part(1, 2), ErrorKind::kInterrupted, "stopped");
  listener_.stop_after_packed = UINT64_MAX;
  listener_.stop = false;
  tree_.fs.rename(part_folder("/parts", {1, 2}) / "build.json", "/parts.part-2-of-2-build.json");
  tree_.fs.make_directories(part_folder("/parts", {2, 2}));
  tree_.fs.rename("/parts.part-2-of-2-build.json", part_folder("/parts", {2, 2}) / "build.json");
  EXPECT_ERROR(build_part(2, 2), ErrorKind::kInvalidInput, "part: 1/2 there, 2/2 now");
  EXPECT_ERROR(build_part(2, 2, true), ErrorKind::kInvalidInput, "part: 1/2 there, 2/2 now");
}

TEST_F(PartsTest, MovedPartsAreGoneAndTheDatasetIsWhole) {
  const auto folders = build_parts(3);
  merge(folders, true);
  EXPECT_EQ(output("/out"), whole_);
  for (const auto& folder : folders) EXPECT_TRUE(output(folder.string()).empty());
  EXPECT_EQ(find_parts(tree_.fs, "/parts").size(), 3u);
}

TEST_F(PartsTest, MergeAgainIsLeftAloneAndAnInterruptedOneGoesOn) {
  const auto folders = build_parts(3);
  listener_.packed = 0;
  listener_.stop_after_packed = 5;
  EXPECT_ERROR(merge(folders), ErrorKind::kInterrupted, "merged shards are kept");
  listener_.stop_after_packed = UINT64_MAX;
  listener_.stop = false;
  EXPECT_EQ(merge(folders).outcome, BuildOutcome::kResumed);
  EXPECT_EQ(output("/out"), whole_);
  EXPECT_EQ(merge(folders).outcome, BuildOutcome::kAlreadyFinished);
}

TEST_F(PartsTest, WrongSetsOfPartsAreRefusedByName) {
  const auto folders = build_parts(3);
  EXPECT_ERROR(merge({folders[0], folders[2]}), ErrorKind::kInvalidInput, "parts are missing: 2/3");
  EXPECT_ERROR(merge({folders[0], folders[1], folders[1], folders[2]}), ErrorKind::kInvalidInput,
               "part 2/3 is given twice");
  EXPECT_ERROR(merge({folders[0], folders[1], "/nowhere"}), ErrorKind::kIo, "no such folder");
  EXPECT_ERROR(merge({"/source"}), ErrorKind::kIo, "no finished part is here");
  EXPECT_ERROR(merge({}), ErrorKind::kInvalidInput, "no part to merge");
  const auto other = build_part(1, 2);
  EXPECT_ERROR(merge({folders[0], folders[1], other}), ErrorKind::kInvalidInput, "parts: ");
  tree_.fs.remove(folders[2] / "part.json");
  for (const auto& [name, bytes] : output(folders[2].string())) tree_.fs.remove(folders[2] / name);
  options_.pack.seed = 9;
  build_part(3, 3);
  EXPECT_ERROR(merge(folders), ErrorKind::kInvalidInput, "seed: 0 there, 9 here");
}

TEST_F(PartsTest, DamagedPartsAreRefusedWithTheirName) {
  const auto folders = build_parts(2);
  const auto shard = folders[1] / "train-00003.ipk";
  const std::string sound = tree_.fs.bytes(shard);
  std::string flipped = sound;
  flipped[flipped.size() / 2] ^= 1;
  for (const bool move : {false, true}) {
    tree_.fs.set_bytes(shard, flipped);
    EXPECT_ERROR(merge(folders, move), ErrorKind::kCorruption, "shard of a part is damaged: expected digest");
    tree_.fs.set_bytes(shard, sound.substr(0, sound.size() - 1));
    EXPECT_ERROR(merge(folders, move), ErrorKind::kCorruption, "shard of a part is damaged: expected ");
    tree_.fs.remove(shard);
    EXPECT_ERROR(merge(folders, move), ErrorKind::kCorruption, "shard of a part is missing");
  }
  std::string json = tree_.fs.bytes(folders[0] / "part.json");
  json[json.size() / 2] ^= 1;
  tree_.fs.set_bytes(folders[0] / "part.json", json);
  EXPECT_ERROR(merge(folders), ErrorKind::kCorruption, "");
  EXPECT_FALSE(tree_.fs.exists("/out/manifest.json"));
}

}  // namespace
}  // namespace imgpack::ingest
