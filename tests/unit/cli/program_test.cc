#include "tools/cli/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "format/error.h"
#include "tools/cli/arguments.h"
#include "tools/cli/help.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"

namespace imgpack::cli {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

struct Outcome {
  int code = 0;
  std::string out, err;
};

Program sample_program(std::function<int(const Arguments&)> run = [](const Arguments&) { return 0; }) {
  Verb build;
  build.name = "build";
  build.summary = "Turn a folder of images into shards";
  build.description = "A long paragraph that says what happens with the images in the folder and that needs two lines.";
  build.positionals = {{.name = "SOURCE", .help = "The images."}};
  build.options = {quiet_option(),
                   {.name = "a-rather-long-option-name", .value = "VALUE", .help = "Stands on a line of its own."}};
  build.examples = {{"tool build imagenet", "The usual case."}};
  build.exit_status = usual_exit_status({{3, "done, some images skipped"}});
  build.run = std::move(run);
  return {
      .name = "tool", .version = "1.2.3", .summary = "makes shards", .description = "What it is.", .verbs = {build}};
}

Outcome run(const Program& program, std::vector<const char*> words) {
  words.insert(words.begin(), "tool");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.code = run_program(program, static_cast<int>(words.size()), words.data());
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.err = testing::internal::GetCapturedStderr();
  return outcome;
}

TEST(Program, RunsTheVerbAndReturnsItsCode) {
  const Program program = sample_program([](const Arguments& arguments) {
    EXPECT_EQ(arguments.positional("SOURCE"), "folder");
    return 3;
  });
  EXPECT_EQ(run(program, {"build", "folder"}).code, 3);
}

TEST(Program, MistypedVerbNamesTheNearestOne) {
  const Outcome outcome = run(sample_program(), {"biuld", "folder"});
  EXPECT_EQ(outcome.code, kExitUsage);
  EXPECT_EQ(outcome.err, "tool: error: unknown verb 'biuld'. Did you mean 'build'?\n");
  EXPECT_EQ(outcome.out, "");
}

TEST(Program, UsageErrorNamesTheHelpOfTheVerb) {
  const Outcome outcome = run(sample_program(), {"build", "folder", "--quite"});
  EXPECT_EQ(outcome.code, kExitUsage);
  EXPECT_EQ(outcome.err, "tool: error: unknown option '--quite'. Did you mean '--quiet'? Hint: tool build --help\n");
}

TEST(Program, HelpOfAVerbEndsWithExitStatusAndFits80Columns) {
  const Outcome outcome = run(sample_program(), {"build", "--help"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, run(sample_program(), {"help", "build"}).out);
  EXPECT_EQ(outcome.out,
            R"(tool build - Turn a folder of images into shards

USAGE
  tool build [OPTIONS] SOURCE

A long paragraph that says what happens with the images in the folder and that
needs two lines.

ARGUMENTS
  SOURCE                  The images.

OPTIONS
  -q, --quiet             No progress; warnings and errors only.
  --a-rather-long-option-name VALUE
                          Stands on a line of its own.
  -h, --help              Print this text and exit.

EXAMPLES
  tool build imagenet
      The usual case.

EXIT STATUS
  0                       done
  1                       failed: the message says what, where, and what to try
  2                       the command line is wrong
  3                       done, some images skipped
  75                      stopped by SIGTERM in a clean state: run the same
                          command again to go on
  130                     stopped by Ctrl-C in a clean state
)");
}

TEST(Program, HelpAndVersionOfTheProgramGoToStandardOutput) {
  EXPECT_THAT(run(sample_program(), {"--help"}).out,
              AllOf(StartsWith("tool - makes shards"), HasSubstr("EXIT STATUS")));
  EXPECT_EQ(run(sample_program(), {"--version"}).out, "tool 1.2.3\n");
}

TEST(Program, NoArgumentsIsAUsageErrorThatShowsTheHelp) {
  const Outcome outcome = run(sample_program(), {});
  EXPECT_EQ(outcome.code, kExitUsage);
  EXPECT_THAT(outcome.err, StartsWith("tool - makes shards"));
}

TEST(Program, OptionsAloneRunTheDefaultVerb) {
  bool ran = false;
  Program program = sample_program([&](const Arguments& arguments) {
    ran = arguments.has("quiet");
    return 0;
  });
  program.default_verb = "build";
  EXPECT_EQ(run(program, {"--quiet", "folder"}).code, 0);
  EXPECT_TRUE(ran);
}

TEST(Program, ErrorsAreMappedToTheirExitCodes) {
  const auto code_of = [](ErrorKind kind) {
    return run(
        sample_program([kind](const Arguments&) -> int { throw Error(kind, "broken", "a.ipk", 12, "tool help"); }),
        {"build", "x"});
  };
  EXPECT_EQ(code_of(ErrorKind::kIo).err, "tool: error: a.ipk@12: broken. Hint: tool help\n");
  EXPECT_EQ(code_of(ErrorKind::kIo).code, 1);
  EXPECT_EQ(code_of(ErrorKind::kInvalidInput).code, 1);
  EXPECT_EQ(code_of(ErrorKind::kUsage).code, 2);
  EXPECT_EQ(code_of(ErrorKind::kCorruption).code, 4);
  EXPECT_EQ(code_of(ErrorKind::kUnsupportedVersion).code, 5);
  EXPECT_EQ(code_of(ErrorKind::kInterrupted).code, 75);
}

class StopSignals : public testing::Test {
 protected:
  void SetUp() override { catch_stop_signals(); }
  void TearDown() override {
    forget_stop_request();
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
  }
};

TEST_F(StopSignals, SigintEndsIn130WithTheStateSaid) {
  const Outcome outcome = run(sample_program([](const Arguments&) {
                                throw_if_stopped("not yet");
                                std::raise(SIGINT);
                                throw_if_stopped("finished shards are kept");
                                return 0;
                              }),
                              {"build", "x"});
  EXPECT_EQ(outcome.code, kExitSigint);
  EXPECT_THAT(outcome.err, EndsWith("stopped by SIGINT: finished shards are kept\n"));
}

TEST_F(StopSignals, SigtermEndsIn75) {
  const Outcome outcome = run(sample_program([](const Arguments&) {
                                std::raise(SIGTERM);
                                throw_if_stopped("finished shards are kept");
                                return 0;
                              }),
                              {"build", "x"});
  EXPECT_EQ(outcome.code, kExitInterrupted);
}

TEST_F(StopSignals, FirstReasonStays) {
  request_stop(StopReason::kNotice);
  request_stop(StopReason::kSigint);
  EXPECT_EQ(stop_reason(), StopReason::kNotice);
  EXPECT_TRUE(stop_flag());
}

}  // namespace
}  // namespace imgpack::cli
