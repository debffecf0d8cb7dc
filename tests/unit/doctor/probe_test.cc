#include "engine/doctor/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/doctor/report.h"

namespace imgtrain::doctor {
namespace {

using testing::HasSubstr;

class DoctorProbe : public testing::Test {
 protected:
  DoctorProbe() {
    std::string name = testing::TempDir() + "doctor-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~DoctorProbe() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST_F(DoctorProbe, FolderIsMeasuredAndLeftEmpty) {
  const FolderFacts facts = probe_folder(folder_, {.bytes = 16 << 20, .most = std::chrono::milliseconds(2000)});
  EXPECT_EQ(facts.error, "");
  EXPECT_TRUE(facts.writable);
  EXPECT_GT(facts.write_mib_s, 0);
  EXPECT_GT(facts.read_mib_s, 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(DoctorProbe, AFolderThatStopsTakingBytesIsNamedWithTheReason) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit few{6 << 20, before.rlim_max};  // A chunk and a half.
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &few), 0);
  const FolderFacts facts = probe_folder(folder_, {.bytes = 16 << 20, .most = std::chrono::milliseconds(2000)});
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(facts.writable);
  EXPECT_THAT(facts.write_error, HasSubstr("File too large"));
  EXPECT_EQ(facts.write_mib_s, 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(DoctorProbe, AbsentFolderAndFileAreErrorsOfTheirOwn) {
  EXPECT_THAT(probe_folder(folder_ / "nothing", {}).error, HasSubstr("No such file"));
  std::ofstream(folder_ / "file") << "x";
  EXPECT_EQ(probe_folder(folder_ / "file", {}).error, "is not a folder");
}

TEST_F(DoctorProbe, FolderThatCannotBeWrittenIsReadFromItsLargestFile) {
  if (geteuid() == 0) GTEST_SKIP() << "root writes everywhere";
  std::ofstream(folder_ / "small") << "x";
  std::ofstream(folder_ / "large") << std::string(1 << 20, 'x');
  std::filesystem::permissions(folder_, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  const FolderFacts facts = probe_folder(folder_, {});
  std::filesystem::permissions(folder_, std::filesystem::perms::owner_all);
  EXPECT_FALSE(facts.writable);
  EXPECT_EQ(facts.write_mib_s, 0);
  EXPECT_GT(facts.read_mib_s, 0);
}

TEST(DoctorProbeMachine, FactsOfThisMachineAreThere) {
  setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
  const Facts facts = probe_machine(std::chrono::milliseconds(100));
  unsetenv("AWS_EC2_METADATA_DISABLED");
  EXPECT_GT(facts.cpu.cores, 0u);
  EXPECT_NE(facts.cpu.simd, "");
  EXPECT_GT(facts.memory.total_bytes, 0u);
  EXPECT_GT(facts.memory.available_bytes, 0u);
  EXPECT_GT(facts.limits.open_files_hard, 0u);
  EXPECT_NE(facts.limits.kernel, "");
  EXPECT_FALSE(facts.metadata.asked);
  EXPECT_GT(facts.clock.now, 0);
}

TEST(DoctorReport, TextAndJsonSayTheSame) {
  Facts facts;
  facts.cpu.simd = "SSE4";
  facts.folders = {{.path = "/x \"y\"", .error = "is gone"}};
  const auto findings = examine(facts);
  const boost::json::value report = boost::json::parse(to_json("imgpack", facts, findings));
  EXPECT_EQ(report.at("message_type").as_string(), "doctor");
  EXPECT_FALSE(report.at("ok").as_bool());
  ASSERT_EQ(report.at("findings").as_array().size(), findings.size());
  const std::string text = to_text(findings, false);
  for (const Finding& finding : findings) EXPECT_THAT(text, HasSubstr(finding.what));
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(to_text(findings, true).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace imgtrain::doctor
