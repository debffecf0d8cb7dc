#include "engine/data/local_copy.h"

#include <gmock/gmock.h>

#include <thread>

#include "format/error.h"
#include "tests/support/faulty_file_system.h"
#include "tests/unit/data/pipeline_fixture.h"

namespace imgtrain::data {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

struct Copying : testing::Test {
  Copying() : dataset(photos.open()), shards(dataset.split("train").info.shards) {
    options.source = photos.folder;
    options.target = "/fast/copy";
    options.split = "train";
    options.keep_free_bytes = 0;
    options.chunk_bytes = 1 << 10;
  }

  std::vector<std::string> copy_all(imgpack::FileSystem& fs) {
    LocalCopy copy(fs, options, shards, {0, 1, 2});
    copy.start();
    copy.wait();
    return copy.take_notes();
  }

  // What lies under a shard's name in the target is whole, and nothing else lies there.
  void expect_clean(imgpack::test::MemoryFileSystem& fs, size_t at_least) {
    size_t whole = 0;
    const bool begun = fs.exists(options.target);
    for (const auto& entry : begun ? fs.list(options.target) : std::vector<imgpack::DirectoryEntry>()) {
      EXPECT_EQ(fs.bytes(options.target / entry.name), photos.fs.bytes(photos.folder / entry.name));
      ++whole;
    }
    EXPECT_GE(whole, at_least);
  }

  PhotoDataset photos;
  const imgpack::Dataset dataset;
  const std::vector<imgpack::ShardSummary> shards;
  LocalCopyOptions options;
};

TEST_F(Copying, EveryShardIsCopiedCheckedAndThenUsed) {
  LocalCopy copy(photos.fs, options, shards, {0, 1, 2});
  EXPECT_EQ(copy.path(1), photos.folder / shards[1].file);
  copy.start();
  copy.wait();
  for (uint32_t s = 0; s < 3; ++s) EXPECT_EQ(copy.path(s), options.target / shards[s].file);
  expect_clean(photos.fs, 3);
  EXPECT_THAT(copy.take_notes(), ElementsAre("local copy: complete, 3 of 3 shards of train in /fast/copy"));
}

TEST_F(Copying, OnlyTheShardsOfThisRankAre) {
  LocalCopy copy(photos.fs, options, shards, {1});
  copy.start();
  copy.wait();
  EXPECT_EQ(copy.path(0), photos.folder / shards[0].file);
  EXPECT_EQ(copy.path(1), options.target / shards[1].file);
  EXPECT_EQ(photos.fs.list(options.target).size(), 1u);
}

TEST_F(Copying, ASecondRunUsesWhatIsThereAndMakesAnewWhatIsDamaged) {
  copy_all(photos.fs);
  const auto path = options.target / shards[2].file;
  std::string bytes = photos.fs.bytes(path);
  bytes[bytes.size() / 2] ^= 1;
  photos.fs.set_bytes(path, bytes);
  EXPECT_THAT(copy_all(photos.fs), ElementsAre(HasSubstr("differs from the manifest's digest"), HasSubstr("complete")));
  expect_clean(photos.fs, 3);
}

TEST_F(Copying, ADamagedSourceIsNeverUsedAsACopy) {
  const auto path = photos.folder / shards[0].file;
  std::string bytes = photos.fs.bytes(path);
  bytes[bytes.size() / 2] ^= 1;
  photos.fs.set_bytes(path, bytes);
  EXPECT_THAT(copy_all(photos.fs), ElementsAre(AllOf(HasSubstr("0 of 3 shards"), HasSubstr("digest"))));
  EXPECT_TRUE(photos.fs.list(options.target).empty());
}

// A disk with room for so many bytes under /fast.
class SmallDisk : public imgpack::test::MemoryFileSystem {
 public:
  uint64_t free_bytes(const std::filesystem::path&) override {
    uint64_t taken = 0;
    for (const auto& [path, bytes] : all_files()) taken += path.starts_with("/fast/") ? bytes.size() : 0;
    return taken > room ? 0 : room - taken;
  }
  uint64_t room = 0;
};

TEST_F(Copying, StopsBeforeTheDiskIsFullAndGoesOnWhenThereIsRoom) {
  SmallDisk disk;
  for (const auto& [path, bytes] : photos.fs.all_files()) disk.set_bytes(path, bytes);
  options.keep_free_bytes = 1000;
  disk.room = shards[0].bytes + shards[1].bytes / 2 + 1000;
  EXPECT_THAT(copy_all(disk), ElementsAre(AllOf(HasSubstr("1 of 3 shards"), HasSubstr("are free"),
                                                HasSubstr("the other shards are read where they are"))));
  expect_clean(disk, 1);
  disk.room = uint64_t{1} << 30;
  EXPECT_THAT(copy_all(disk), ElementsAre(HasSubstr("complete, 3 of 3 shards")));
  expect_clean(disk, 3);
}

TEST_F(Copying, RemovesWhatADeadProcessLeftAndNothingElse) {
  photos.fs.make_directories(options.target);
  const std::string name = shards[0].file;
  photos.fs.set_bytes(options.target / (name + ".999999999.tmp"), "half");
  photos.fs.set_bytes(options.target / (name + ".1.tmp"), "of a process that lives");
  photos.fs.set_bytes(options.target / "notes.tmp", "somebody's own");
  copy_all(photos.fs);
  std::vector<std::string> names;
  for (const auto& entry : photos.fs.list(options.target)) names.push_back(entry.name);
  EXPECT_THAT(names, testing::Not(Contains(name + ".999999999.tmp")));
  EXPECT_THAT(names, Contains(name + ".1.tmp"));
  EXPECT_THAT(names, Contains("notes.tmp"));
}

TEST_F(Copying, StoppingInTheMiddleLeavesNoHalfFile) {
  for (int i = 0; i < 16; ++i) {
    LocalCopy copy(photos.fs, options, shards, {0, 1, 2});
    copy.start();
    for (int spin = 0; spin < i * 4; ++spin) std::this_thread::yield();
  }
  expect_clean(photos.fs, 0);
}

TEST_F(Copying, NoFaultOfTheDiskLeavesSomethingThatLooksWhole) {
  const auto source = photos.fs.all_files();
  imgpack::test::FaultTrial trial;
  trial.setup = [&](imgpack::test::MemoryFileSystem& disk) {
    for (const auto& [path, bytes] : source) disk.set_bytes(path, bytes);
  };
  trial.action = [&](imgpack::FileSystem& fs) {
    LocalCopy copy(fs, options, shards, {0, 1});
    copy.start();
    copy.wait();
  };
  trial.check = [&](imgpack::test::MemoryFileSystem& disk, bool) {
    for (const uint32_t s : {0u, 1u}) {
      const auto path = options.target / shards[s].file;
      if (disk.exists(path)) {
        EXPECT_EQ(disk.bytes(path), source.at((photos.folder / shards[s].file).string()));
      }
    }
  };
  EXPECT_GT(imgpack::test::try_every_fault(trial), 50u);
}

TEST_F(Copying, APipelineGivesTheSameBatchesAndReadsTheCopyAfterwards) {
  BatchPipeline plain(photos.fs, dataset, small_pipeline());
  const auto expected = run_epoch(plain, 1);
  PipelineOptions with = small_pipeline();
  with.local_copy = "/fast";
  {
    BatchPipeline pipeline(photos.fs, dataset, with);
    EXPECT_TRUE(run_epoch(pipeline, 1) == expected);
    EXPECT_THAT(pipeline.reading(), HasSubstr("shards of train in /fast/" + dataset.manifest().dataset_id));
  }
  BatchPipeline pipeline(photos.fs, dataset, with);
  pipeline.start_epoch(0);
  std::vector<std::string> notes;
  while (notes.empty()) {
    pipeline.next();
    notes = pipeline.take_notes();
    std::this_thread::yield();
  }
  EXPECT_THAT(notes, ElementsAre(HasSubstr("complete, 3 of 3 shards")));
  // From here on the source may go.
  for (uint32_t s = 0; s < 3; ++s) photos.fs.remove(dataset.shard_path("train", s));
  EXPECT_TRUE(run_epoch(pipeline, 1) == expected);
}

TEST_F(Copying, ADamagedCopyIsNamedWithWhatToDo) {
  PipelineOptions with = small_pipeline();
  with.local_copy = "/fast";
  BatchPipeline pipeline(photos.fs, dataset, with);
  pipeline.start_epoch(0);
  std::vector<std::string> notes;
  while (notes.empty()) {
    pipeline.next();
    notes = pipeline.take_notes();
    std::this_thread::yield();
  }
  const auto path = std::filesystem::path("/fast") / dataset.manifest().dataset_id / shards[0].file;
  std::string bytes = photos.fs.bytes(path);
  bytes[bytes.size() / 3] ^= 1;
  photos.fs.set_bytes(path, bytes);
  try {
    run_epoch(pipeline, 1);
    ADD_FAILURE() << "no error";
  } catch (const imgpack::Error& failure) {
    EXPECT_EQ(failure.path(), path);
    EXPECT_THAT(failure.hint(), HasSubstr("delete this local copy"));
  }
}

}  // namespace
}  // namespace imgtrain::data
