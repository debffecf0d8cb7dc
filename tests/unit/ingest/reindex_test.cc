#include "format/ingest/reindex.h"

#include <gmock/gmock.h>

#include "format/dataset.h"
#include "format/ingest/builder.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/thread_limit.h"
#include "format/jpeg/index_check.h"
#include "format/shard_reader.h"
#include "format/verify.h"
#include "tests/support/expect_error.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/image_tree.h"

namespace imgpack::ingest {
namespace {

using test::ImageTree;
using test::kTreeRoot;
using test::MemoryFileSystem;
using testing::HasSubstr;

constexpr const char* kOut = "/out";

struct SilentObserver : BuildObserver {
  void on_note(const std::string&) override {}
  void on_skip(const SkippedSource&) override {}
  void on_start(uint64_t, uint64_t) override {}
  void on_packed(uint64_t, uint64_t) override {}
};

class ReindexTest : public testing::Test {
 protected:
  ReindexTest() { tree_.images("train/a", 9).images("train/b", 8).images("val/a", 3).images("val/b", 2); }

  BuildResult build_with(int entropy_index_mcus) {
    BuildOptions options;
    options.pack.shard_count = {{"train", 3}};
    options.pack.normalise.entropy_index_mcus = entropy_index_mcus;
    options.created_by = "imgpack test";
    options.lock = false;
    const LabeledSource source = label_source(tree_.fs, scan_folder(tree_.fs, kTreeRoot));
    const auto reader = make_folder_reader(tree_.fs, source.scan.root);
    SilentObserver observer;
    return build(tree_.fs, source, *reader, kOut, options, observer, stop_);
  }

  ReindexResult reindex_now(FileSystem& fs, int entropy_index_mcus) {
    ReindexOptions options;
    options.entropy_index_mcus = entropy_index_mcus;
    options.lock = false;
    ReindexCallbacks callbacks;
    callbacks.on_note = [&](const std::string& note) { notes_.push_back(note); };
    callbacks.on_record = [&](uint64_t records, uint64_t) {
      records_ += records;
      if (records_ >= stop_after_) stop_ = true;
    };
    return reindex(fs, kOut, options, callbacks, stop_);
  }
  ReindexResult reindex_now(int entropy_index_mcus) { return reindex_now(tree_.fs, entropy_index_mcus); }

  void reindex_interrupted(int entropy_index_mcus, uint64_t records) {
    stop_after_ = records;
    EXPECT_ERROR(reindex_now(entropy_index_mcus), ErrorKind::kInterrupted, "run the same command to go on");
    stop_after_ = UINT64_MAX;
    stop_ = false;
  }

  static std::map<std::string, std::string> output(MemoryFileSystem& fs) {
    std::map<std::string, std::string> files;
    for (auto& [path, bytes] : fs.all_files()) {
      if (path.rfind("/out/", 0) == 0) files[path.substr(5)] = bytes;
    }
    return files;
  }
  std::map<std::string, std::string> output() { return output(tree_.fs); }

  static bool is_sound(FileSystem& fs) {
    VerifyOptions options;
    options.level = VerifyLevel::kChecksums;
    options.threads = 1;
    return verify_dataset(fs, kOut, options).ok();
  }

  // The entropy index of every record, checked against libjpeg's coefficients, by name.
  std::map<std::string, std::vector<std::byte>> indexes() {
    std::map<std::string, std::vector<std::byte>> all;
    const Manifest manifest = read_manifest(tree_.fs, kOut);
    for (const SplitInfo& split : manifest.splits) {
      for (const ShardSummary& shard : split.shards) {
        const ShardReader reader(tree_.fs, std::filesystem::path(kOut) / shard.file);
        std::vector<std::byte> buffer;
        for (uint64_t i = 0; i < reader.records(); i++) {
          const RecordView view = reader.read(i, buffer);
          const auto index = view.entropy_index();
          if (!index.empty()) {
            EXPECT_EQ(jpeg::check_entropy_index(view.image(), index), "") << view.meta.name;
          }
          all[split.name + "/" + view.meta.name] = {index.begin(), index.end()};
        }
      }
    }
    return all;
  }

  ImageTree tree_;
  std::vector<std::string> notes_;
  uint64_t records_ = 0, stop_after_ = UINT64_MAX;
  std::atomic<bool> stop_{false};
};

TEST_F(ReindexTest, AddsTheIndexesThatABuildWouldHaveMade) {
  const std::string id = build_with(1).manifest.dataset_id;
  const auto expected = indexes();
  tree_.fs.remove("/out/manifest.json");
  for (const auto& [file, bytes] : output()) tree_.fs.remove("/out/" + file);
  ASSERT_EQ(build_with(kNoEntropyIndex).manifest.dataset_id, id);
  for (const auto& [name, index] : indexes()) EXPECT_TRUE(index.empty()) << name;

  const ReindexResult result = reindex_now(1);
  EXPECT_EQ(result.outcome, ReindexOutcome::kDone);
  EXPECT_EQ(result.records, 22u);
  EXPECT_EQ(result.with_index, 22u);
  EXPECT_EQ(result.manifest.dataset_id, id);
  EXPECT_EQ(result.manifest.options.at("entropy_index"), "1");
  EXPECT_EQ(indexes(), expected);
  EXPECT_TRUE(is_sound(tree_.fs));
  EXPECT_FALSE(tree_.fs.exists("/out/reindex.json"));
}

TEST_F(ReindexTest, ReplacesAndRemovesAndComesBackToTheSameBytes) {
  build_with(1);
  const auto before = output();
  reindex_now(kEntropyIndexPerRow);
  const auto per_row = indexes();
  EXPECT_NE(output(), before);
  EXPECT_EQ(reindex_now(kNoEntropyIndex).with_index, 0u);
  reindex_now(kEntropyIndexPerRow);
  EXPECT_EQ(indexes(), per_row);
  reindex_now(1);
  EXPECT_EQ(output(), before);
}

TEST_F(ReindexTest, LeavesADatasetAloneThatHasTheIndexesAlready) {
  build_with(1);
  const auto before = output();
  const ReindexResult result = reindex_now(1);
  EXPECT_EQ(result.outcome, ReindexOutcome::kAlreadyThere);
  EXPECT_EQ(result.with_index, 22u);
  EXPECT_EQ(output(), before);
}

TEST_F(ReindexTest, AnInterruptedRunGoesOnToTheSameBytes) {
  build_with(kNoEntropyIndex);
  const auto before = output();
  reindex_now(1);
  const auto expected = output();
  for (uint64_t records : {1, 7, 13, 21}) {
    for (const auto& [file, bytes] : before) tree_.fs.set_bytes("/out/" + file, bytes);
    records_ = 0;
    reindex_interrupted(1, records);
    EXPECT_FALSE(tree_.fs.exists("/out/manifest.json")) << "half of a reindexed dataset must not be readable";
    EXPECT_ERROR(Dataset::open(tree_.fs, kOut), ErrorKind::kIo, "this dataset is being reindexed");
    reindex_now(1);
    EXPECT_EQ(output(), expected) << records;
  }
}

TEST_F(ReindexTest, AnInterruptedRunMayEndWithAnotherSpacing) {
  build_with(1);
  reindex_now(kEntropyIndexPerRow);
  const auto expected = output();
  reindex_interrupted(kNoEntropyIndex, 15);
  reindex_now(kEntropyIndexPerRow);
  EXPECT_THAT(notes_.back(), HasSubstr("all shards are done again, to row"));
  EXPECT_EQ(output(), expected);
}

TEST_F(ReindexTest, WhateverBreaksTheSameCallGoesOn) {
  build_with(kNoEntropyIndex);
  const auto before = output();
  reindex_now(1);
  const auto expected = output();
  const ThreadLimit one_thread(1);
  const test::FaultTrial trial{[&](MemoryFileSystem& fs) {
                                 fs.make_directories(kOut);
                                 for (const auto& [file, bytes] : before) fs.set_bytes("/out/" + file, bytes);
                               },
                               [&](FileSystem& fs) { reindex_now(fs, 1); },
                               [&](MemoryFileSystem& fs, bool done) {
                                 if (fs.exists("/out/manifest.json")) {
                                   ASSERT_TRUE(is_sound(fs)) << "a manifest of shards that it does not describe";
                                 } else {
                                   ASSERT_FALSE(done);
                                 }
                                 reindex_now(fs, 1);
                                 ASSERT_EQ(output(fs), expected);
                               }};
  EXPECT_GE(test::try_every_fault(trial), 100u);
}

TEST_F(ReindexTest, ADamagedRecordStopsItAndItsShardIsUntouched) {
  build_with(1);
  std::string bytes = tree_.fs.bytes("/out/train-00001.ipk");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  tree_.fs.set_bytes("/out/train-00001.ipk", bytes);
  EXPECT_ERROR(reindex_now(kNoEntropyIndex), ErrorKind::kCorruption, "train-00001.ipk");
  EXPECT_EQ(tree_.fs.bytes("/out/train-00001.ipk"), bytes);
}

TEST_F(ReindexTest, ABuildIntoAnUnfinishedRunIsRefused) {
  build_with(1);
  reindex_interrupted(kNoEntropyIndex, 5);
  EXPECT_ERROR(build_with(1), ErrorKind::kInvalidInput, "imgpack reindex finishes it");
}

TEST_F(ReindexTest, WithoutADatasetItSaysSo) {
  tree_.fs.make_directories(kOut);
  EXPECT_ERROR(reindex_now(1), ErrorKind::kIo, "there is no dataset here");
}

}  // namespace
}  // namespace imgpack::ingest
