// The page and its numbers, from findings made by hand.
#include "engine/report/portable/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/report/portable/page_template.h"
#include "engine/report/portable/reproduce.h"
#include "engine/train/run/recipe.h"
#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kEvil = "<script>alert(\"1\")</script>&'";

RunRecord run_named(const std::string& name) {
  RunRecord run;
  run.name = name;
  run.folder = "runs/" + name;
  run.recipe = "demo";
  run.config = resolve({&find_recipe("demo").layer, 1}, "demo").values;
  run.config.shards = "my shards";
  run.dataset_id = "0123456789abcdef";
  TrainedEpoch epoch;
  epoch.epoch = 1;
  epoch.seconds = 3600;
  epoch.bottleneck = "compute-bound: the model waited 1 % of the time for images";
  run.epochs.push_back(epoch);
  return run;
}

Findings findings_of(const std::string& class_name, const std::string& image_name) {
  Findings findings;
  findings.split = "val";
  findings.model = "resnet18";
  findings.weights = "runs/r1/weights.safetensors";
  findings.classes = {{"n01", class_name}, {"n02", "tench, Tinca tinca"}};
  findings.predictions = {{1, 0, 1, 0.9f, 0.1f, true}, {2, 1, 1, 0.8f, 0.8f, true}};
  findings.totals.samples = 2;
  findings.totals.top1 = 1;
  findings.totals.top5 = 2;
  findings.eval_size = 224;
  findings.cam_layer = "layer4";
  findings.wrong = {{findings.predictions[0], image_name, "jpeg bytes", "overlay bytes", {1}}};
  return findings;
}

std::string page_of(const RunRecord& run, const Findings& findings) {
  return report_page(run, findings, {Chart{"loss", "loss", "epoch", "", {}}}, {"<svg>curve</svg>"});
}

TEST(ReportPage, NamesFromDataAreEscapedWhereverTheyStand) {
  RunRecord run = run_named(kEvil);
  run.epochs[0].bottleneck = kEvil;
  run.device = kEvil;
  Findings findings = findings_of(kEvil, kEvil);
  findings.weights = kEvil;
  const std::string page = page_of(run, findings);
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&apos;"));
  EXPECT_THAT(page, HasSubstr("<svg>curve</svg>"));  // Markup of our own is not.
}

TEST(ReportPage, SaysWhatItMeasuredAndShowsThePictures) {
  const std::string page = page_of(run_named("r1"), findings_of("goldfish", "n01/a.JPEG"));
  EXPECT_THAT(page, HasSubstr("<b>50.00 %</b><span>top-1 on val"));
  EXPECT_THAT(page, HasSubstr(find_recipe("demo").expected));
  EXPECT_THAT(page, HasSubstr("data:image/jpeg;base64,anBlZyBieXRlcw=="));
  EXPECT_THAT(page, HasSubstr("said <b>tench</b> (90.0 %)"));
  EXPECT_THAT(page, HasSubstr("in the 7 x 7 cells of layer4"));
  EXPECT_THAT(page, HasSubstr("This run is not finished"));
  EXPECT_THAT(page, HasSubstr("is not known here"));  // The price.
  EXPECT_THAT(page, Not(HasSubstr("id=\"real\"")));
  EXPECT_THAT(page, Not(HasSubstr("{{")));
}

TEST(ReportPage, RealLabelsAndThePriceAppearWhereTheyAreKnown) {
  RunRecord run = run_named("r1");
  Findings findings = findings_of("goldfish", "n01/a.JPEG");
  findings.real = RealFindings{{4, 3}, 1, 1, 0, findings.wrong};
  findings.cost = {"g5.xlarge", 0.41, 1.006, "a table"};
  const std::string page = page_of(run, findings);
  EXPECT_THAT(page, HasSubstr("is right in 75.00 % of the 4 images"));
  EXPECT_THAT(page, HasSubstr("model: tench (90.0 %), as ReaL"));
  EXPECT_THAT(page, HasSubstr("$0.41 spot ($0.41 an hour)"));
  EXPECT_THAT(page, HasSubstr("$1.01 on demand"));
  const auto numbers = report_json(run, findings);
  EXPECT_NEAR(numbers.at("dollars_spot").as_double(), 0.41, 1e-9);
  EXPECT_EQ(numbers.at("real").at("label_disputed").to_number<int>(), 1);
}

TEST(ReportPage, AThousandClassesAreFoldedAndTheMatrixIsASelection) {
  Findings findings = findings_of("goldfish", "a");
  findings.classes.clear();
  findings.predictions.clear();
  for (int32_t label = 0; label < 1000; ++label) {
    findings.classes.push_back({"n" + std::to_string(label), "class " + std::to_string(label)});
    findings.predictions.push_back({static_cast<uint64_t>(label), label, (label + 1) % 1000, 0.5f, 0.1f, true});
    findings.predictions.push_back({static_cast<uint64_t>(label) + 1000, label, label, 0.5f, 0.5f, true});
  }
  const std::string page = page_of(run_named("r1"), findings);
  EXPECT_THAT(page, HasSubstr("All 1,000 classes, least accurate first"));
  EXPECT_THAT(page, HasSubstr("classes that take part in the most frequent confusions"));
  EXPECT_LT(page.size(), 1'000'000u);
}

TEST(ReportJson, HasTheNumbersOfThePage) {
  const auto numbers = report_json(run_named("r1"), findings_of("goldfish", "n01/a.JPEG"));
  EXPECT_EQ(numbers.at("accuracy").as_double(), 50);
  EXPECT_EQ(numbers.at("classes").as_array()[0].at("top1").to_number<int>(), 0);
  EXPECT_EQ(numbers.at("confused").as_array()[0].at("predicted").as_string(), "n02");
  EXPECT_NEAR(numbers.at("calibration").at("expected_error").as_double(), 0.55, 1e-6);
  EXPECT_EQ(numbers.at("confidently_wrong").as_array()[0].at("name").as_string(), "n01/a.JPEG");
  EXPECT_EQ(numbers.at("seconds").as_double(), 3600);
}

TEST(Reproduce, TheCommandNamesWhatDiffersFromTheRecipe) {
  RunRecord run = run_named("r1");
  EXPECT_EQ(reproduce_command(run), "imgtrain train --shards 'my shards' --recipe demo --out runs/r1-again");
  run.config.lr = 0.5;
  run.config.seed = 7;
  run.config.threads = 12;  // Of the machine: no say in the result.
  EXPECT_EQ(reproduce_command(run),
            "imgtrain train --shards 'my shards' --recipe demo --seed 7 --lr 0.5 --out runs/r1-again");
  run.recipe = "gone";
  EXPECT_THAT(reproduce_command(run), HasSubstr("--model resnet18"));
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word(""), "''");
}

TEST(PageTemplate, ATemplateThatIsNoneIsSaid) {
  EXPECT_ERROR(render_page("{{#open}}", {}), ErrorKind::kInternal, "template");
  EXPECT_EQ(render_page("{{n}} {{#list}}[{{.}}]{{/list}}{{^none}}none{{/none}}", {{"n", 2}, {"list", {"<", "b"}}}),
            "2 [&lt;][b]none");
  EXPECT_EQ(render_page("{{#empty}}some{{/empty}}{{empty}}.", {{"empty", ""}}), ".");
}

}  // namespace
}  // namespace imgtrain
