#include "engine/train/run/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using imgpack::posix_file_system;

class RunFolderTest : public ::testing::Test {
 protected:
  RunFolderTest() {
    char name[] = "/tmp/run-folder-XXXXXX";
    base_ = ::mkdtemp(name);
  }
  ~RunFolderTest() override { std::filesystem::remove_all(base_); }

  RunIdentity identity(double lr = 0.1) {
    RunIdentity identity;
    identity.config.lr = lr;
    identity.config.out = run().string();
    identity.config.bn_group = 256;
    identity.dataset_id = "d1";
    identity.recipe = "tiny";
    identity.created_by = "test";
    return identity;
  }
  std::filesystem::path run() const { return base_ / "run"; }

  std::filesystem::path base_;
};

TEST_F(RunFolderTest, ANewOneIsMadeBegunAndFinished) {
  {
    RunFolder folder(posix_file_system(), run());
    EXPECT_EQ(folder.status(), RunStatus::kNew);
    folder.begin(identity());
    EXPECT_EQ(folder.status(), RunStatus::kUnfinished);
  }
  {
    RunFolder folder(posix_file_system(), run());
    EXPECT_EQ(folder.status(), RunStatus::kUnfinished);
    EXPECT_NO_THROW(folder.require_same(identity()));
    folder.finish({{"accuracy", 59.5}});
  }
  RunFolder folder(posix_file_system(), run());
  EXPECT_EQ(folder.status(), RunStatus::kFinished);
  EXPECT_EQ(folder.result().at("accuracy"), 59.5);
  EXPECT_EQ(read_run_config(posix_file_system(), run()).lr, 0.1);
}

TEST_F(RunFolderTest, AnotherConfigurationOrDataSetIsListedAsADifference) {
  RunFolder folder(posix_file_system(), run());
  folder.begin(identity());
  EXPECT_ERROR(folder.require_same(identity(0.2)), ErrorKind::kUsage, "lr: 0.1 before, 0.2 now");
  RunIdentity other = identity();
  other.dataset_id = "d2";
  EXPECT_ERROR(folder.require_same(other), ErrorKind::kUsage, "data set: d1 before, d2 now");
}

TEST_F(RunFolderTest, AFolderThatIsSomethingElseIsLeftAlone) {
  std::filesystem::create_directories(run());
  std::ofstream(run() / "thesis.txt") << "precious";
  EXPECT_ERROR(RunFolder(posix_file_system(), run()), ErrorKind::kInvalidInput, "found other files ('thesis.txt')");
  EXPECT_FALSE(std::filesystem::exists(run() / ".lock"));
}

TEST_F(RunFolderTest, AStartThatWasKilledBeforeItBeganIsNew) {
  std::filesystem::create_directories(run());
  for (const char* name : {".lock", "config.json", "run.json.tmp"}) std::ofstream(run() / name) << "{";
  EXPECT_EQ(RunFolder(posix_file_system(), run()).status(), RunStatus::kNew);
}

TEST_F(RunFolderTest, TwoProgramsCannotHoldOneRun) {
  const RunFolder first(posix_file_system(), run());
  EXPECT_ERROR(RunFolder(posix_file_system(), run()), ErrorKind::kInvalidInput, "another program is training");
}

TEST_F(RunFolderTest, FreshTakesTheFirstFreeNameBeside) {
  EXPECT_EQ(fresh_folder(posix_file_system(), run()), run());
  std::filesystem::create_directories(run());
  EXPECT_EQ(fresh_folder(posix_file_system(), run()), base_ / "run-2");
  std::filesystem::create_directories(base_ / "run-2");
  EXPECT_EQ(fresh_folder(posix_file_system(), run()), base_ / "run-3");
}

TEST_F(RunFolderTest, WhereNoRunIsNoConfigurationIsRead) {
  EXPECT_ERROR(read_run_config(posix_file_system(), run()), ErrorKind::kInvalidInput, "expected a run folder");
}

}  // namespace
}  // namespace imgtrain
