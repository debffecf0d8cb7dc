#include "engine/train/run/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <fstream>
#include <set>
#include <sstream>

#include "engine/train/run/json_text.h"
#include "engine/train/run/recipe.h"
#include "engine/train/run/run_config_fields.h"
#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ConfigLayer layer(const char* origin, const char* text) {
  return {origin, json::parse(text).as_object()};
}

RunConfig resolved(const char* text) {
  const ConfigLayer layers[] = {layer("test", text)};
  return resolve(layers).values;
}

std::string usage_error(const char* text) {
  try {
    resolved(text);
  } catch (const imgpack::Error& error) {
    EXPECT_EQ(error.kind(), imgpack::ErrorKind::kUsage);
    return error.what();
  }
  return "accepted";
}

TEST(RunConfig, LaterLayersWinAndEveryValueKnowsItsOrigin) {
  const ConfigLayer layers[] = {layer("recipe x", R"({"lr": 0.1, "batch": 64, "momentum": 0.8})"),
                                layer("my.json", R"({"lr": 0.2, "batch": 128})"),
                                layer("the command line", R"({"lr": 0.3})")};
  const ResolvedConfig config = resolve(layers, "x");
  EXPECT_EQ(config.values.lr, 0.3);
  EXPECT_EQ(config.values.batch, 128);
  EXPECT_EQ(config.values.momentum, 0.8);
  EXPECT_EQ(config.origin.at("lr"), "the command line");
  EXPECT_EQ(config.origin.at("batch"), "my.json");
  EXPECT_EQ(config.origin.at("momentum"), "recipe x");
  EXPECT_EQ(config.origin.count("seed"), 0u);
  EXPECT_EQ(config.values.out, "runs/x");
}

TEST(RunConfig, UnknownKeyNamesTheNearestOneAndItsOrigin) {
  const std::string message = usage_error(R"({"momentun": 0.9})");
  EXPECT_THAT(message, HasSubstr("unknown option 'momentun' in test"));
  EXPECT_THAT(message, HasSubstr("'momentum'"));
}

TEST(RunConfig, WrongTypesAndRangesSayWhatWasExpectedAndFound) {
  EXPECT_THAT(usage_error(R"({"batch": "64"})"), HasSubstr("batch (test): expected a whole number from 1 to 1048576"));
  EXPECT_THAT(usage_error(R"({"batch": 64.5})"), HasSubstr("found 64.5"));
  EXPECT_THAT(usage_error(R"({"batch": 0})"), HasSubstr("found 0"));
  EXPECT_THAT(usage_error(R"({"lr": null})"), HasSubstr("found null"));
  EXPECT_THAT(usage_error(R"({"flip": 1.5})"), HasSubstr("expected a number from 0 to 1, found 1.5"));
  EXPECT_THAT(usage_error(R"({"nesterov": 1})"), HasSubstr("expected true or false, found 1"));
  EXPECT_THAT(usage_error(R"({"duration": 16})"), HasSubstr("as in \"16ep\" or \"500ba\""));
  EXPECT_THAT(usage_error(R"({"schedule": "cosin"})"), HasSubstr("Did you mean 'cosine'?"));
  EXPECT_THAT(usage_error(R"({"step_at": "30ep"})"), HasSubstr("expected a list of durations"));
}

TEST(RunConfig, ContradictionsAreErrors) {
  EXPECT_THAT(usage_error(R"({"batch": 32, "bn_group": 64})"), HasSubstr("bn_group: expected at most the batch of 32"));
  EXPECT_THAT(usage_error(R"({"eval_size": 256, "eval_resize": 224})"), HasSubstr("eval_resize"));
  EXPECT_THAT(usage_error(R"({"precision": "fp16", "device": "cpu"})"), HasSubstr("fp16 needs a CUDA device"));
  EXPECT_THAT(usage_error(R"({"schedule": "onecycle", "warmup": "5ep"})"), HasSubstr("onecycle rises by itself"));
  EXPECT_THAT(usage_error(R"({"schedule": "step"})"), HasSubstr("step_at"));
  EXPECT_THAT(usage_error(R"({"sync_bn": true, "batch": 64, "bn_group": 32})"), HasSubstr("sync_bn"));
  EXPECT_THAT(usage_error(R"({"sync_bn": true, "mixup": 0.2})"), HasSubstr("mixup and cutmix stay inside a bn_group"));
  EXPECT_THAT(usage_error(R"({"sync_bn": true, "drop_last": false})"), HasSubstr("sync_bn needs drop_last"));
  EXPECT_THAT(usage_error(R"({"duration": "0ep"})"), HasSubstr("duration"));
  EXPECT_THAT(usage_error(R"({"evaluate_every": "100ba"})"), HasSubstr("whole epochs"));
  EXPECT_THAT(usage_error(R"({"crop_scale_min": 0.9, "crop_scale_max": 0.5})"), HasSubstr("crop_scale_min"));
}

TEST(RunConfig, BnGroupIsResolvedToTheBatchButAtMost256) {
  EXPECT_EQ(resolved(R"({"batch": 64})").bn_group, 64);
  EXPECT_EQ(resolved(R"({"batch": 1024})").bn_group, 256);
  EXPECT_EQ(resolved(R"({"batch": 1024, "bn_group": 128})").bn_group, 128);
  EXPECT_EQ(resolved(R"({"batch": 1024, "sync_bn": true})").bn_group, 1024);
}

TEST(RunConfig, LearningRateIsScaledOnlyByTheStatedRule) {
  EXPECT_EQ(resolved(R"({"lr": 0.1, "batch": 1024})").peak_lr(), 0.1);
  EXPECT_DOUBLE_EQ(resolved(R"({"lr": 0.1, "batch": 1024, "lr_per_batch": 256})").peak_lr(), 0.4);
}

TEST(RunConfig, JsonFormReadsBackTheSame) {
  const RunConfig config = resolved(
      R"({"schedule": "step", "step_at": ["30ep", "500ba"], "lr": 0.123456789012345678, "model": "resnet18",
          "crop_ratio_max": 1.3333333333333333, "seed": 9007199254740992, "drop_last": false})");
  const ConfigLayer again[] = {parse_config_file("config.json", pretty_json(to_json(config)))};
  EXPECT_EQ(resolve(again).values, config);
}

TEST(RunConfig, ConfigFileThatIsNoObjectIsRefused) {
  for (const char* text : {"", "[1]", "{", "{\"lr\": 1} x", "nonsense"}) {
    EXPECT_THROW(parse_config_file("my.json", text), imgpack::Error) << text;
  }
}

TEST(RunConfig, DifferencesNameWhatChangesTheResultAndNothingElse) {
  const RunConfig before = resolved(R"({"lr": 0.1, "threads": 1, "out": "runs/a"})");
  const RunConfig now = resolved(R"({"lr": 0.2, "threads": 2, "out": "runs/b", "checkpoint_every": "5ba"})");
  EXPECT_THAT(differences(before, now), ElementsAre("lr: 0.1 before, 0.2 now"));
  EXPECT_THAT(differences(before, before), IsEmpty());
}

TEST(RunConfig, PrintedListHasEveryFieldOnce) {
  const ConfigLayer layers[] = {layer("the command line", R"({"lr": 0.25})")};
  const std::string text = describe(resolve(layers));
  for (const Field& field : run_config_fields())
    EXPECT_THAT(text, HasSubstr("\n  " + std::string(field.name) + " ")) << field.name;
  EXPECT_THAT(text, HasSubstr("0.25            # the command line"));
}

TEST(RunConfigFields, NamesAreUniqueFlagsAndHelpIsAPhrase) {
  std::set<std::string> seen;
  for (const Field& field : run_config_fields()) {
    EXPECT_TRUE(seen.insert(std::string(field.name)).second) << field.name;
    EXPECT_EQ(find_field(flag_of(field).substr(2)), &field);
    EXPECT_FALSE(field.help.empty()) << field.name;
    EXPECT_NE(field.help.back(), '.') << field.name;
  }
}

TEST(RunConfigFields, EveryDefaultPassesItsOwnCheck) {
  const RunConfig defaults;
  for (const Field& field : run_config_fields()) {
    RunConfig config;
    EXPECT_NO_THROW(field.set(config, field.get(defaults))) << field.name;
    EXPECT_EQ(config, defaults) << field.name;
  }
}

TEST(RunConfigFields, TextOfAFlagBecomesTheFieldsJson) {
  const auto value = [](const char* name, const char* text) {
    return compact_json(value_from_text(*find_field(name), text));
  };
  EXPECT_EQ(value("batch", "64"), "64");
  EXPECT_EQ(value("lr", "1e-4"), "1e-04");
  EXPECT_EQ(value("nesterov", "true"), "true");
  EXPECT_EQ(value("model", "resnet18"), "\"resnet18\"");
  EXPECT_EQ(value("step-at", "30ep,60ep"), R"(["30ep", "60ep"])");
  EXPECT_THROW(value("batch", "many"), imgpack::Error);
  EXPECT_THROW(value("batch", "64x"), imgpack::Error);
  EXPECT_THROW(value("lr", "nan"), imgpack::Error);
  EXPECT_THROW(value("nesterov", "yes"), imgpack::Error);
}

TEST(RunConfigSchema, CommittedFileIsWhatTheTableGives) {
  std::ifstream file(TEST_SOURCE_DIR "/../schemas/run_config.schema.json");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), run_config_schema())
      << "make it again: imgtrain config --schema > schemas/run_config.schema.json";
}

TEST(Recipes, EveryOneResolvesAndSaysWhereItComesFrom) {
  EXPECT_FALSE(recipes().empty());
  for (const Recipe& recipe : recipes()) {
    const ConfigLayer layers[] = {recipe.layer};
    EXPECT_NO_THROW(resolve(layers, recipe.name)) << recipe.name;
    for (const std::string& text : {recipe.summary, recipe.source, recipe.expected, recipe.reproduced})
      EXPECT_FALSE(text.empty()) << recipe.name;
  }
}

TEST(Recipes, UnknownNameSuggestsTheNearest) {
  try {
    find_recipe("referense");
    FAIL();
  } catch (const imgpack::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("Did you mean 'reference'?"));
    EXPECT_THAT(error.what(), HasSubstr("imgtrain recipes"));
  }
}

}  // namespace
}  // namespace imgtrain
