// Ranks that are shells: what the launcher starts, forwards and makes of how they end.
#include "engine/train/run/local_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class LocalRanksTest : public testing::Test {
 protected:
  LocalRanksTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "local_ranks.XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~LocalRanksTest() override { std::filesystem::remove_all(folder_); }

  LocalRanks shells(int count, const std::string& script) {
    LocalRanks ranks;
    ranks.count = count;
    ranks.program = "/bin/sh";
    ranks.arguments = {"-c", "cd " + folder_.string() + "; " + script};
    ranks.warn = [this](const std::string& line) { warnings_.push_back(line); };
    ranks.grace_seconds = 0.5;
    return ranks;
  }
  std::string text(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(folder_ / name).rdbuf();
    return text.str();
  }
  // Sends a signal to the launcher, which is this process, once the file is there.
  std::thread when_there(const std::string& name, int signal) {
    return std::thread([this, name, signal, launcher = ::pthread_self()] {
      for (int i = 0; i < 1000 && !std::filesystem::exists(folder_ / name); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      ::pthread_kill(launcher, signal);
    });
  }

  std::filesystem::path folder_;
  std::vector<std::string> warnings_;
};

TEST_F(LocalRanksTest, EachRankIsToldWhichItIsAndOnlyTheFirstHoldsTheMeetingPoint) {
  const auto ranks =
      shells(3,
             "echo $RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $MASTER_ADDR >$RANK; "
             "echo $MASTER_PORT ${IMGTRAIN_STORE_FD-none} >port.$RANK; [ $RANK != 0 ] || [ -e /proc/self/fd/9 ]");
  EXPECT_EQ(run_local_ranks(ranks), 0);
  EXPECT_EQ(text("0"), "0 3 0 3 127.0.0.1\n");
  EXPECT_EQ(text("2"), "2 3 2 3 127.0.0.1\n");
  EXPECT_THAT(text("port.0"), HasSubstr(" 9\n"));
  EXPECT_THAT(text("port.1"), HasSubstr(" none\n"));
  EXPECT_EQ(text("port.0").substr(0, text("port.0").find(' ')), text("port.2").substr(0, text("port.2").find(' ')));
}

TEST_F(LocalRanksTest, TheFirstFailureDecidesTheCodeAndEndsTheOthers) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(run_local_ranks(shells(3, "[ $RANK = 1 ] && exit 4; exec sleep 60")), 4);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  EXPECT_THAT(warnings_, ElementsAre());
}

TEST_F(LocalRanksTest, AKilledRankIsNamedAndEndsTheOthers) {
  EXPECT_EQ(run_local_ranks(shells(2, "[ $RANK = 1 ] && kill -9 $$; exec sleep 60")), 1);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_THAT(warnings_[0], HasSubstr("rank 1 of 2 (process "));
  EXPECT_THAT(warnings_[0], HasSubstr("was killed by signal 9 (Killed; the kernel does so when memory runs out)"));
}

TEST_F(LocalRanksTest, SigtermGoesToEveryRankAndTheirCodeComesBack) {
  std::thread sender = when_there("up", SIGTERM);
  const int code = run_local_ranks(
      // Rank 1 says so when both have their traps; either ends by itself if the other never comes.
      shells(2,
             "trap 'echo >stopped.$RANK; exit 75' TERM; echo >ready.$RANK; n=0; while [ $n -lt 600 ]; do n=$((n + 1)); "
             "[ $RANK = 1 ] && [ -e ready.0 ] && echo >up; sleep 0.05; done; exit 9"));
  sender.join();
  EXPECT_EQ(code, 75);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "stopped.0") && std::filesystem::exists(folder_ / "stopped.1"));
}

TEST_F(LocalRanksTest, AProgramThatIsNotThereIsAnError) {
  LocalRanks ranks = shells(2, "");
  ranks.program = "/no/such/program";
  EXPECT_ERROR(run_local_ranks(ranks), imgpack::ErrorKind::kIo, "cannot start rank 0");
}

}  // namespace
}  // namespace imgtrain
