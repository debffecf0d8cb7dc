#include "tools/cli/shared_verbs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/cli/completion.h"
#include "tools/cli/help.h"
#include "tools/cli/man_page.h"

namespace imgpack::cli {
namespace {

using testing::HasSubstr;

Program sample_program() {
  Verb build;
  build.name = "build";
  build.summary = "Turn a folder's images into shards";
  build.description = "What it does.\n\n  an example line\n\n.leading stop and a \\ backslash";
  build.positionals = {{.name = "SOURCE", .help = "The images."}};
  build.options = {{.name = "level", .value = "LEVEL", .help = "How deep: [not] shallow.", .choices = {"one", "two"}},
                   {.name = "recipe", .value = "NAME", .help = "One.", .suggestions = {"fast"}},
                   {.name = "fresh", .value = "", .help = "Don't keep.", .letter = 'f', .group = "Again"}};
  build.examples = {{"tool build x", "The usual case."}};
  build.exit_status = usual_exit_status();
  return {.name = "tool",
          .version = "1.2.3",
          .summary = "makes shards",
          .description = "What it is.",
          .verbs = {build},
          .topics = {{"files", "what lies where", "  a   b"}}};
}

TEST(ManPage, TextIsEscapedForTroff) {
  const Program program = sample_program();
  const std::string page = man_page(program, program.verbs.front());
  EXPECT_THAT(page, HasSubstr("\\&.leading stop and a \\e backslash"));
  EXPECT_THAT(page, HasSubstr("folder\\(aqs images"));
  EXPECT_THAT(page, HasSubstr(".EX\n  an example line\n.EE"));
  EXPECT_THAT(page, HasSubstr(".SH AGAIN\n.TP\n\\fB\\-f, \\-\\-fresh\\fR"));
  EXPECT_THAT(page, HasSubstr("One of: one, two."));
  EXPECT_THAT(page, HasSubstr(".TH TOOL\\-BUILD 1 \"\" \"tool 1.2.3\""));
}

TEST(ManPage, ProgramPageHasVerbsTopicsAndExitStatus) {
  const std::string page = man_page(sample_program());
  for (const char* text : {".SH VERBS", "build", ".SH FILES", ".SH EXIT STATUS", "130"})
    EXPECT_THAT(page, HasSubstr(text));
}

TEST(Completion, QuotesOfTextsAreThoseOfTheShell) {
  const Program program = sample_program();
  EXPECT_THAT(completion_script(program, Shell::kZsh),
              HasSubstr("'--level=[How deep\\: \\[not\\] shallow]:LEVEL:(one two)'"));
  EXPECT_THAT(completion_script(program, Shell::kZsh), HasSubstr("'--fresh[Don'\\''t keep]'"));
  EXPECT_THAT(completion_script(program, Shell::kFish), HasSubstr("-l fresh -s f -d 'Don\\'t keep'"));
  EXPECT_THAT(completion_script(program, Shell::kBash), HasSubstr("--recipe) words='fast' ;;"));
}

TEST(Completion, UnknownShellsAreNone) {
  EXPECT_FALSE(parse_shell("tcsh").has_value());
}

TEST(SharedVerbs, EveryProgramGetsThemAndTheirTopics) {
  Program program = sample_program();
  add_shared_verbs(program);
  const std::string help = program_help(program);
  for (const char* text : {"completion", "man", "TOPICS (tool help TOPIC)", "files", "exit-status", "output"})
    EXPECT_THAT(help, HasSubstr(text));
  for (const Topic& topic : program.topics) EXPECT_THAT(topic_help(program, topic), HasSubstr(topic.summary));
}

}  // namespace
}  // namespace imgpack::cli
