#include "tools/cli/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/error.h"

namespace imgpack::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

Verb build_verb() {
  Verb verb;
  verb.name = "build";
  verb.positionals = {{.name = "SOURCE", .help = "The images."},
                      {.name = "OUT", .help = "The shards.", .required = false}};
  verb.options = {
      threads_option(),
      {.name = "shard-size", .value = "BYTES", .help = "Target.", .default_value = "512MiB"},
      {.name = "check", .value = "LEVEL", .help = "How far.", .default_value = "full", .choices = {"header", "full"}},
      {.name = "labels", .value = "FILE", .help = "More labels.", .repeatable = true},
      {.name = "rate", .value = "R", .help = "A real number."},
      {.name = "fresh", .value = "", .help = "Anew.", .letter = 'f'}};
  return verb;
}

std::string usage_error(const std::vector<std::string>& words) {
  const Verb verb = build_verb();
  try {
    parse_arguments(verb, words);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.message();
  }
  return "no error";
}

template <typename Call>
std::string value_error(const std::vector<std::string>& words, Call call) {
  const Verb verb = build_verb();
  const Arguments arguments = parse_arguments(verb, words);
  try {
    call(arguments);
  } catch (const Error& error) {
    return error.message();
  }
  return "no error";
}

TEST(Arguments, ReadsLongShortJoinedAndPositional) {
  const Verb verb = build_verb();
  const Arguments arguments =
      parse_arguments(verb, {"src", "--shard-size=1G", "-j4", "-f", "out", "--check", "header"});
  EXPECT_EQ(arguments.positional("SOURCE"), "src");
  EXPECT_EQ(arguments.positional("OUT"), "out");
  EXPECT_EQ(arguments.bytes("shard-size"), 1ull << 30);
  EXPECT_EQ(arguments.number("threads"), 4u);
  EXPECT_TRUE(arguments.has("fresh"));
  EXPECT_EQ(arguments.text("check"), "header");
}

TEST(Arguments, AbsentOptionsTakeTheTablesDefault) {
  const Verb verb = build_verb();
  const Arguments arguments = parse_arguments(verb, {"src"});
  EXPECT_EQ(arguments.bytes("shard-size"), 512ull << 20);
  EXPECT_FALSE(arguments.has("shard-size"));
  EXPECT_FALSE(arguments.has("fresh"));
  EXPECT_EQ(arguments.find("rate"), std::nullopt);
  EXPECT_EQ(arguments.positional("OUT"), "");
}

TEST(Arguments, RepeatedOptionKeepsAllAndTheLastWins) {
  const Verb verb = build_verb();
  const Arguments arguments =
      parse_arguments(verb, {"src", "--labels", "a", "--labels", "b", "--check", "header", "--check", "full"});
  EXPECT_THAT(arguments.all("labels"), ElementsAre("a", "b"));
  EXPECT_EQ(arguments.text("check"), "full");
  EXPECT_THAT(arguments.given(),
              ElementsAre(Pair("labels", "a"), Pair("labels", "b"), Pair("check", "header"), Pair("check", "full")));
}

TEST(Arguments, DoubleDashEndsTheOptions) {
  const Verb verb = build_verb();
  EXPECT_EQ(parse_arguments(verb, {"--fresh", "--", "--odd-name"}).positional("SOURCE"), "--odd-name");
}

TEST(Arguments, UnknownOptionNamesTheNearestOne) {
  EXPECT_EQ(usage_error({"src", "--shard-sise", "1"}), "unknown option '--shard-sise'. Did you mean '--shard-size'?");
  EXPECT_EQ(usage_error({"src", "--shard-sise=1"}), "unknown option '--shard-sise'. Did you mean '--shard-size'?");
  EXPECT_EQ(usage_error({"src", "--xyzzy"}), "unknown option '--xyzzy'");
  EXPECT_THAT(usage_error({"src", "-z"}), HasSubstr("unknown option '-z'"));
}

TEST(Arguments, AbbreviationIsNotAccepted) {
  EXPECT_THAT(usage_error({"src", "--fre"}), HasSubstr("unknown option '--fre'"));
}

TEST(Arguments, MissingAndSurplusValuesAreNamed) {
  EXPECT_EQ(usage_error({"src", "--shard-size"}), "--shard-size: expected a value");
  EXPECT_EQ(usage_error({"src", "--fresh=1"}), "--fresh: takes no value");
}

TEST(Arguments, WrongChoiceListsTheChoices) {
  EXPECT_EQ(usage_error({"src", "--check", "heade"}),
            "--check: expected one of header, full, found 'heade'. Did you mean 'header'?");
}

TEST(Arguments, PositionalsAreCounted) {
  EXPECT_EQ(usage_error({}), "SOURCE is missing: The images.");
  EXPECT_EQ(usage_error({"a", "b", "c"}), "unexpected argument 'c'");
  EXPECT_EQ(usage_error({""}), "SOURCE: expected a name, found an empty argument");
}

TEST(Arguments, NumbersOutsideTheirRangeAreNamed) {
  EXPECT_EQ(value_error({"s", "-j", "-3"}, [](const auto& a) { a.number("threads"); }),
            "--threads: expected a whole number, 0 or more, found '-3'");
  EXPECT_EQ(value_error({"s", "-j", "9"}, [](const auto& a) { a.number("threads", 1, 8); }),
            "--threads: expected a whole number, 1 to 8, found '9'");
  EXPECT_EQ(value_error({"s", "-j", "2x"}, [](const auto& a) { a.number("threads"); }),
            "--threads: expected a whole number, 0 or more, found '2x'");
  EXPECT_EQ(value_error({"s", "-j", "99999999999999999999"}, [](const auto& a) { a.number("threads"); }),
            "--threads: expected a whole number, 0 or more, found '99999999999999999999'");
  EXPECT_EQ(value_error({"s", "--rate", "nan"}, [](const auto& a) { a.real("rate", 0, 1); }),
            "--rate: expected a number from 0 to 1, found 'nan'");
  EXPECT_EQ(value_error({"s", "--shard-size", "big"}, [](const auto& a) { a.bytes("shard-size"); }),
            "--shard-size: expected a size such as 512MiB, 4G or 65536, found 'big'");
}

TEST(Arguments, RequiredOptionThatIsAbsentIsAnError) {
  EXPECT_EQ(value_error({"s"}, [](const auto& a) { a.text("rate"); }), "--rate is required: A real number.");
}

}  // namespace
}  // namespace imgpack::cli
