#include "engine/train/run/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using Environment = std::map<std::string, std::string>;

Environment torchrun() {
  return {{"RANK", "5"},
          {"WORLD_SIZE", "8"},
          {"LOCAL_RANK", "1"},
          {"LOCAL_WORLD_SIZE", "4"},
          {"MASTER_ADDR", "10.0.0.7"},
          {"MASTER_PORT", "29400"},
          {"TORCHELASTIC_RUN_ID", "r1"},
          {"TORCHELASTIC_RESTART_COUNT", "2"},
          {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
}

Environment slurm() {
  return {{"SLURM_JOB_ID", "123456"},    {"SLURM_STEP_ID", "0"},
          {"SLURM_STEP_NUM_TASKS", "7"}, {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1"},
          {"SLURM_PROCID", "6"},         {"SLURM_LOCALID", "0"},
          {"SLURM_NODEID", "3"},         {"SLURM_STEP_NODELIST", "gpu[007-010]"}};
}

TEST(Launch, AnEmptyEnvironmentIsOneProcess) {
  const Launch launch = launch_from({});
  EXPECT_EQ(launch.world, 1);
  EXPECT_EQ(launch.rank, 0);
  EXPECT_EQ(launch.launcher, "none");
}

TEST(Launch, TorchrunsVariablesAreRead) {
  const Launch launch = launch_from(torchrun());
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.world, 8);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_world, 4);
  EXPECT_EQ(launch.master_address, "10.0.0.7");
  EXPECT_EQ(launch.master_port, 29400);
  EXPECT_TRUE(launch.store_is_served);
  EXPECT_EQ(launch.launcher, "torchrun");
}

TEST(Launch, ARestartMeetsElsewhereThanTheAttemptBefore) {
  Environment later = torchrun();
  later["TORCHELASTIC_RESTART_COUNT"] = "3";
  EXPECT_NE(launch_from(torchrun()).run_id, launch_from(later).run_id);
}

TEST(Launch, RankAndWorldSetByHandAreEnough) {
  const Launch launch = launch_from({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "localhost"}});
  EXPECT_EQ(launch.rank, 1);
  EXPECT_EQ(launch.launcher, "environment");
  EXPECT_FALSE(launch.store_is_served);
  EXPECT_EQ(launch_from({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).world, 1);
}

TEST(Launch, AVariableThatIsMissingOrWrongIsNamed) {
  const auto refuse = [](const char* name, const char* value) {
    Environment environment = torchrun();
    environment[name] = value;
    EXPECT_ERROR(launch_from(environment), ErrorKind::kUsage, name);
  };
  refuse("RANK", "");
  refuse("RANK", "8");
  refuse("RANK", "-1");
  refuse("RANK", "1x");
  refuse("WORLD_SIZE", "");
  refuse("WORLD_SIZE", "0");
  refuse("LOCAL_RANK", "4");
  refuse("LOCAL_WORLD_SIZE", "9");
  refuse("MASTER_ADDR", "");
  refuse("MASTER_PORT", "70000");
}

TEST(Launch, AnSrunStepIsRead) {
  const Launch launch = launch_from(slurm());
  EXPECT_EQ(launch.rank, 6);
  EXPECT_EQ(launch.world, 7);
  EXPECT_EQ(launch.local_rank, 0);
  EXPECT_EQ(launch.local_world, 1);
  EXPECT_EQ(launch.master_address, "gpu007");
  EXPECT_GE(launch.master_port, 15000);
  EXPECT_EQ(launch.launcher, "slurm");
  Environment other_job = slurm();
  other_job["SLURM_JOB_ID"] = "123457";
  EXPECT_NE(launch.master_port, launch_from(other_job).master_port);
  EXPECT_NE(launch.run_id, launch_from(other_job).run_id);
}

TEST(Launch, ABatchScriptWithoutSrunIsOneProcess) {
  EXPECT_EQ(launch_from({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_JOB_ID", "1"}}).world, 1);
  EXPECT_EQ(launch_from({{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_JOB_ID", "1"}}).world, 1);
}

TEST(Launch, SlurmListsThatMakeNoSenseAreRefused) {
  for (const char* list : {"", "2(x2)", "2(x", "x", "2(x0),1", "1,,1"}) {
    Environment environment = slurm();
    environment["SLURM_STEP_TASKS_PER_NODE"] = list;
    EXPECT_ERROR(launch_from(environment), ErrorKind::kUsage, "SLURM_STEP_TASKS_PER_NODE");
  }
}

TEST(Launch, UnderOurOwnLauncherRankZeroInheritsTheMeetingPoint) {
  Environment environment = {{"RANK", "0"},
                             {"WORLD_SIZE", "2"},
                             {"LOCAL_RANK", "0"},
                             {"LOCAL_WORLD_SIZE", "2"},
                             {"MASTER_ADDR", "127.0.0.1"},
                             {"MASTER_PORT", "4321"},
                             {"IMGTRAIN_LAUNCHER", "77"},
                             {"IMGTRAIN_STORE_FD", "9"}};
  EXPECT_EQ(launch_from(environment).launcher, "imgtrain");
  EXPECT_EQ(launch_from(environment).store_descriptor, 9);
  environment["RANK"] = "1";
  EXPECT_EQ(launch_from(environment).store_descriptor, -1);
  environment.erase("IMGTRAIN_LAUNCHER");
  EXPECT_EQ(launch_from(environment).launcher, "environment");
}

TEST(FirstHost, ExpandsTheFirstEntryOfASlurmList) {
  EXPECT_EQ(first_host("alone"), "alone");
  EXPECT_EQ(first_host("a,b"), "a");
  EXPECT_EQ(first_host("node[03-05,9],other"), "node03");
  EXPECT_EQ(first_host("node[7,9-11]-ib"), "node7-ib");
  EXPECT_EQ(first_host("rack[2-3]n[04-06]"), "rack2n04");
  EXPECT_EQ(first_host("a,node[1-2]"), "a");
  for (const char* wrong : {"", ",a", "node[", "node[]", "node[-2]"})
    EXPECT_ERROR(first_host(wrong), ErrorKind::kUsage, "MASTER_ADDR");
}

TEST(OwnAddress, TowardsThisHostItIsLoopback) {
  EXPECT_EQ(own_address_towards("127.0.0.1"), "127.0.0.1");
  EXPECT_ERROR(own_address_towards("no-such-host.invalid"), ErrorKind::kIo, "no-such-host.invalid");
}

}  // namespace
}  // namespace imgtrain
