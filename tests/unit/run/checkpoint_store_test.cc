#include "engine/train/run/checkpoint_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "engine/train/run/json_text.h"
#include "format/checksum.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using imgpack::test::MemoryFileSystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::filesystem::path kFolder = "/run/checkpoints";

// A file system whose nth operation that changes something, and every later one, fails: a process killed there.
class StoppingFileSystem : public MemoryFileSystem {
 public:
  explicit StoppingFileSystem(int allowed) : allowed_(allowed) {}
  void allow_all() { allowed_ = 1 << 30; }
  bool ran_out() const { return allowed_ < 0; }

  std::unique_ptr<imgpack::WritableFile> create(const std::filesystem::path& path) override {
    count(path);
    return MemoryFileSystem::create(path);
  }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    count(from);
    MemoryFileSystem::rename(from, to);
  }
  void remove(const std::filesystem::path& path) override {
    count(path);
    MemoryFileSystem::remove(path);
  }
  void sync_directory(const std::filesystem::path& path) override {
    count(path);
    MemoryFileSystem::sync_directory(path);
  }

 private:
  void count(const std::filesystem::path& path) {
    if (--allowed_ < 0) throw imgpack::Error(ErrorKind::kIo, "stopped here", path);
  }
  int allowed_;
};

boost::json::object state_at(uint64_t step) {
  return {{"step", step}, {"text", "state of " + std::to_string(step)}};
}

// Saves a checkpoint whose tensors are made-up bytes that name their step.
void save(imgpack::FileSystem& fs, CheckpointStore& store, uint64_t step) {
  for (const char* part : {"weights", "optimizer"})
    imgpack::publish(fs, store.tensors_path(step, part), std::string(part) + " of step " + std::to_string(step));
  store.publish(step, state_at(step), {"weights", "optimizer"});
}

struct Saved {
  MemoryFileSystem fs;
  CheckpointStore store{fs, kFolder, 3};
  std::vector<std::string> warnings;

  explicit Saved(std::initializer_list<uint64_t> steps) {
    store.prepare();
    for (const uint64_t step : steps) save(fs, store, step);
  }
  std::optional<CheckpointStore::Found> newest() {
    warnings.clear();
    return store.newest([&](const std::string& line) { warnings.push_back(line); });
  }
  std::filesystem::path state(uint64_t step) {
    return kFolder / (store.tensors_path(step, "x").stem().stem().string() + ".json");
  }
};

TEST(CheckpointStore, NewestComesBackWithItsStateAndParts) {
  Saved saved{10, 20, 30};
  const auto found = saved.newest();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, 30u);
  EXPECT_EQ(found->state, state_at(30));
  EXPECT_THAT(found->parts, ElementsAre("weights", "optimizer"));
  EXPECT_EQ(saved.fs.bytes(kFolder / "latest"), "step-000000030\n");
  EXPECT_THAT(saved.warnings, IsEmpty());
}

TEST(CheckpointStore, NoFolderAndNoCheckpointAreNothingFound) {
  MemoryFileSystem fs;
  CheckpointStore store(fs, kFolder, 3);
  EXPECT_FALSE(store.newest([](const std::string&) {}));
  store.prepare();
  EXPECT_FALSE(store.newest([](const std::string&) {}));
}

TEST(CheckpointStore, KeepsTheLatestAndRemovesTheRestWithTheirTensors) {
  Saved saved{10, 20, 30, 40, 50};
  EXPECT_THAT(saved.store.steps(), ElementsAre(30, 40, 50));
  EXPECT_EQ(saved.fs.list(kFolder).size(), 3u * 3 + 1);
}

// A state that stands at the end of `epoch` (0: inside one).
void save_at(imgpack::FileSystem& fs, CheckpointStore& store, uint64_t step, uint64_t epoch) {
  for (const char* part : {"weights", "optimizer"}) imgpack::publish(fs, store.tensors_path(step, part), "bytes");
  boost::json::object state = state_at(step);
  state["position"] = boost::json::object{{"epoch", epoch}, {"batch", epoch > 0 ? 0 : 5}};
  store.publish(step, state, {"weights", "optimizer"});
}

TEST(CheckpointStore, KeepsTheNewestThatClosesAnEpochHoweverManyFollow) {
  MemoryFileSystem fs;
  CheckpointStore store(fs, kFolder, 2);
  store.prepare();
  save_at(fs, store, 10, 1);
  save_at(fs, store, 20, 2);
  for (const uint64_t step : {21, 22, 23, 24}) save_at(fs, store, step, 0);
  EXPECT_THAT(store.steps(), ElementsAre(20, 23, 24));
}

TEST(CheckpointStore, KeepsEveryManyEpochsForGoodAlsoAfterARestart) {
  MemoryFileSystem fs;
  for (uint64_t epoch = 1; epoch <= 9; ++epoch) {
    CheckpointStore store(fs, kFolder, 2, {.every_epochs = 3});
    store.prepare();
    save_at(fs, store, 10 * epoch, epoch);
  }
  EXPECT_THAT(CheckpointStore(fs, kFolder, 2).steps(), ElementsAre(30, 60, 80, 90));
}

TEST(CheckpointStore, TheBestStaysUntilAnotherIsNamed) {
  MemoryFileSystem fs;
  CheckpointStore store(fs, kFolder, 2);
  store.prepare();
  EXPECT_FALSE(store.best());
  save_at(fs, store, 10, 1);
  store.mark_best(10);
  for (uint64_t epoch = 2; epoch <= 5; ++epoch) save_at(fs, store, 10 * epoch, epoch);
  EXPECT_EQ(store.best(), 10u);
  EXPECT_THAT(store.steps(), ElementsAre(10, 40, 50));
  store.mark_best(50);
  save_at(fs, store, 60, 6);
  EXPECT_THAT(store.steps(), ElementsAre(50, 60));
  EXPECT_EQ(fs.bytes(kFolder / "best"), "step-000000050\n");
}

TEST(CheckpointStore, WhatIsNotAcceptedIsPassedOverAndLeftAsItIs) {
  Saved saved{10, 20, 30};
  const auto found = saved.store.newest([](const std::string&) {}, [](const auto& f) { return f.step < 25; });
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, 20u);
  EXPECT_THAT(saved.store.steps(), ElementsAre(10, 20, 30));
}

TEST(CheckpointStore, EveryFlippedBitOfTheNewestFallsBackLoudlyToTheOneBefore) {
  for (const char* which : {"weights", "optimizer", "state"}) {
    Saved fresh{10, 20};
    const auto path = std::string(which) == "state" ? fresh.state(20) : fresh.store.tensors_path(20, which);
    const std::string whole = fresh.fs.bytes(path);
    for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
      Saved saved{10, 20};
      std::string damaged = whole;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      saved.fs.set_bytes(path, damaged);
      const auto found = saved.newest();
      ASSERT_TRUE(found) << which << " bit " << bit;
      ASSERT_EQ(found->step, 10u) << which << " bit " << bit;
      ASSERT_EQ(saved.warnings.size(), 1u);
      ASSERT_THAT(saved.warnings[0], HasSubstr("damaged checkpoint set aside"));
    }
  }
}

TEST(CheckpointStore, EveryTruncationFallsBackToTheOneBefore) {
  for (const char* which : {"weights", "optimizer", "state"}) {
    Saved fresh{10, 20};
    const auto path = std::string(which) == "state" ? fresh.state(20) : fresh.store.tensors_path(20, which);
    const std::string whole = fresh.fs.bytes(path);
    for (size_t length = 0; length < whole.size(); ++length) {
      Saved saved{10, 20};
      saved.fs.set_bytes(path, whole.substr(0, length));
      const auto found = saved.newest();
      ASSERT_TRUE(found);
      ASSERT_EQ(found->step, 10u) << which << " cut at " << length;
    }
  }
}

TEST(CheckpointStore, MissingTensorsFallBackToo) {
  Saved saved{10, 20};
  saved.fs.remove(saved.store.tensors_path(20, "optimizer"));
  EXPECT_EQ(saved.newest()->step, 10u);
  EXPECT_THAT(saved.warnings, ElementsAre(HasSubstr("tensors of the checkpoint are missing")));
}

TEST(CheckpointStore, ADamagedOneIsKeptAsideAndItsStepCanBeSavedAgain) {
  Saved saved{10, 20};
  saved.fs.set_bytes(saved.store.tensors_path(20, "weights"), "garbage");
  EXPECT_EQ(saved.newest()->step, 10u);
  EXPECT_TRUE(saved.fs.exists(saved.store.tensors_path(20, "weights").string() + ".damaged"));
  save(saved.fs, saved.store, 20);
  EXPECT_EQ(saved.newest()->step, 20u);
  EXPECT_THAT(saved.warnings, IsEmpty());
}

TEST(CheckpointStore, AllDamagedIsNothingFound) {
  Saved saved{10, 20};
  for (const uint64_t step : {10, 20}) saved.fs.set_bytes(saved.state(step), "{}");
  EXPECT_FALSE(saved.newest());
  EXPECT_EQ(saved.warnings.size(), 2u);
}

TEST(CheckpointStore, ANewerProgramsCheckpointIsRefusedNotSetAside) {
  Saved saved{10};
  std::string text = saved.fs.bytes(saved.state(10));
  const size_t at = text.find("\"version\": 1");
  text.replace(at, 12, "\"version\": 2");
  const std::string covered = text.substr(0, text.rfind(",\n  \"checksum\""));
  saved.fs.set_bytes(saved.state(10),
                     covered + ",\n  \"checksum\": \"" + imgpack::to_hex(imgpack::checksum(covered)) + "\"\n}\n");
  EXPECT_ERROR(saved.newest(), ErrorKind::kUnsupportedVersion, "expected 1, found 2");
}

TEST(CheckpointStore, PrepareRemovesWhatAnInterruptedSaveLeftAndNothingElse) {
  Saved saved{10};
  saved.fs.set_bytes(saved.store.tensors_path(20, "weights"), "no state ever came");
  saved.fs.set_bytes(saved.store.tensors_path(30, "weights").string() + ".tmp", "half");
  saved.fs.set_bytes(kFolder / "notes.txt", "a person's");
  saved.store.prepare();
  EXPECT_FALSE(saved.fs.exists(saved.store.tensors_path(20, "weights")));
  EXPECT_FALSE(saved.fs.exists(saved.store.tensors_path(30, "weights").string() + ".tmp"));
  EXPECT_TRUE(saved.fs.exists(kFolder / "notes.txt"));
  EXPECT_EQ(saved.newest()->step, 10u);
}

TEST(CheckpointStore, StoppedAtAnyOperationLeavesTheOldOrTheNewAndNeverHalf) {
  bool completed = false;
  for (int allowed = 0; !completed; ++allowed) {
    StoppingFileSystem fs(1 << 30);
    CheckpointStore store(fs, kFolder, 2);
    store.prepare();
    for (const uint64_t step : {10, 20}) save(fs, store, step);
    StoppingFileSystem stopping(allowed);
    for (const auto& [path, bytes] : fs.all_files()) stopping.set_bytes(path, bytes);
    CheckpointStore next(stopping, kFolder, 2);
    try {
      save(stopping, next, 30);
      completed = true;
    } catch (const imgpack::Error&) {
      EXPECT_TRUE(stopping.ran_out());
    }
    stopping.allow_all();
    stopping.crash();
    CheckpointStore after(stopping, kFolder, 2);
    const auto found = after.newest([](const std::string& line) { ADD_FAILURE() << line; });
    ASSERT_TRUE(found) << "stopped after " << allowed;
    EXPECT_EQ(found->state, state_at(found->step));
    EXPECT_GE(found->step, 20u) << "stopped after " << allowed;
    if (completed) {
      EXPECT_EQ(found->step, 30u);
    }
    after.prepare();
    save(stopping, after, 40);
    EXPECT_EQ(after.newest([](const std::string&) {})->step, 40u);
  }
}

TEST(CheckpointStore, StepsOfAPastThatWasGivenUpDisappearWithTheNextSave) {
  Saved saved{10, 20, 30};
  save(saved.fs, saved.store, 15);
  EXPECT_EQ(saved.newest()->step, 15u);
}

}  // namespace
}  // namespace imgtrain
