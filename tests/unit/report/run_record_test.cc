#include "engine/report/portable/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/report/portable/run_charts.h"
#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;

std::string start(const char* type, int step, int epoch) {
  return std::string("{\"message_type\": \"") + type + "\", \"step\": " + std::to_string(step) +
         ", \"epoch\": " + std::to_string(epoch) + ", \"total_steps\": 40, \"device\": \"cpu\", \"threads\": 2}\n";
}
std::string progress(int step, int epoch, double rate) {
  return "{\"message_type\": \"progress\", \"step\": " + std::to_string(step) +
         ", \"epoch\": " + std::to_string(epoch) + ", \"learning_rate\": " + std::to_string(rate) + "}\n";
}
std::string epoch(int number, int step, double loss) {
  return "{\"message_type\": \"epoch\", \"epoch\": " + std::to_string(number) + ", \"step\": " + std::to_string(step) +
         ", \"loss\": " + std::to_string(loss) +
         ", \"accuracy\": 50, \"learning_rate\": 0.1, \"epoch_time\": 4, \"bottleneck\": \"compute-bound\", "
         "\"stages\": {\"steps\": 10, \"wait\": 1, \"forward_backward\": 3}}\n";
}
std::string evaluation(int number, double accuracy) {
  return "{\"message_type\": \"evaluation\", \"epoch\": " + std::to_string(number) +
         ", \"accuracy\": " + std::to_string(accuracy) + ", \"images\": 100, \"epoch_time\": 1}\n";
}

RunRecord record_of(const std::string& log) {
  RunRecord record;
  read_events(log, "metrics.jsonl", record);
  return record;
}

TEST(RunRecord, WorkThatWasLostAndDoneAgainCountsOnce) {
  const RunRecord record = record_of(start("start", 0, 1) + epoch(1, 10, 3) + evaluation(1, 20) + progress(15, 2, 0.5) +
                                     epoch(2, 20, 2) + evaluation(2, 30) + start("resume", 12, 2) +
                                     progress(14, 2, 0.4) + epoch(2, 20, 1.5) + evaluation(2, 35));
  ASSERT_EQ(record.epochs.size(), 2u);
  EXPECT_EQ(record.epochs[1].loss, 1.5);
  ASSERT_EQ(record.evaluations.size(), 2u);
  EXPECT_EQ(record.evaluations[1].top1, 35);
  EXPECT_EQ(record.resumes, 1u);
  EXPECT_EQ(record.seconds(), 10);
  for (const RateSample& sample : record.rates) EXPECT_NE(sample.learning_rate, 0.5);
}

TEST(RunRecord, ARunThatGoesOnAtTheEndOfAnEpochKeepsThatEpoch) {
  const RunRecord record =
      record_of(start("start", 0, 1) + epoch(1, 10, 3) + start("resume", 10, 2) + evaluation(1, 20));
  EXPECT_EQ(record.epochs.size(), 1u);
  EXPECT_EQ(record.evaluations.size(), 1u);
}

// With twice the batch an epoch has half the steps: 2 epochs of 10 steps, then steps of 5 an epoch from step 10 on.
TEST(RunRecord, AnExtensionWithAnotherBatchKeepsEpochsAndPlacesRatesInTheirs) {
  const RunRecord record = record_of(start("start", 0, 1) + epoch(1, 10, 3) + progress(15, 2, 0.3) + epoch(2, 20, 2) +
                                     "{\"message_type\": \"extend\", \"step\": 10, \"epoch\": 3}\n" +
                                     start("resume", 10, 3) + progress(12, 3, 0.2) + epoch(3, 15, 1));
  ASSERT_EQ(record.epochs.size(), 3u);
  std::vector<double> places;
  for (const RateSample& sample : record.rates) places.push_back(sample.epochs);
  EXPECT_THAT(places, testing::ElementsAre(1, 1.5, 2, testing::DoubleNear(2.4, 1e-9), 3));
}

TEST(RunRecord, ALineThatIsNoEventIsNamed) {
  EXPECT_ERROR(record_of(start("start", 0, 1) + "{\"message_type\": \n"), ErrorKind::kCorruption, "line 2");
  EXPECT_ERROR(record_of("[]\n"), ErrorKind::kCorruption, "line 1");
  EXPECT_TRUE(record_of("").epochs.empty());
  // Events of a later version are passed over, members that are missing are 0.
  EXPECT_EQ(record_of("{\"message_type\": \"news\"}\n" + epoch(1, 10, 3)).epochs[0].stages.optimizer, 0);
}

TEST(RunCharts, OneRunHasItsTwoCurvesAndABarPerEpoch) {
  RunRecord record = record_of(start("start", 0, 1) + epoch(1, 10, 3) + evaluation(1, 20) + epoch(2, 20, 2));
  const auto charts = run_charts({&record, 1});
  std::vector<std::string> ids;
  for (const Chart& chart : charts) ids.push_back(chart.id);
  EXPECT_THAT(ids, testing::ElementsAre("loss", "top1", "top5", "learning-rate", "throughput", "stage-times", "input"));
  EXPECT_EQ(charts[0].series[0].points, (std::vector<std::pair<double, double>>{{1, 3}, {2, 2}}));
  EXPECT_EQ(charts[5].series[0].points[1].second, 300);  // Milliseconds of a step.
  EXPECT_FALSE(charts[0].empty());
}

TEST(RunCharts, SeveralRunsOfOneNameAreToldApartByTheirFolders) {
  std::vector<RunRecord> runs(2);
  for (size_t i = 0; i < 2; ++i) {
    read_events(epoch(1, 10, 3), "metrics.jsonl", runs[i]);
    runs[i].name = "run";
    runs[i].folder = i == 0 ? "a/run" : "b/run";
  }
  const auto charts = run_charts(runs);
  EXPECT_EQ(charts[0].series[0].label, "a/run training");
  EXPECT_EQ(charts[5].ticks, (std::vector<std::string>{"a/run", "b/run"}));
  EXPECT_EQ(charts[5].series[0].points.size(), 2u);
}

TEST(ChartScript, TextsCannotLeaveTheirQuotes) {
  Chart chart{"id", "it's", "x", "y", {{"a'\nsystem 'rm'", {{1, 2}}, 0, false}}};
  const std::string script = chart_script(chart);
  EXPECT_THAT(script, testing::HasSubstr("set title 'it''s' noenhanced"));
  EXPECT_THAT(script, testing::HasSubstr("title 'a'' system ''rm''' noenhanced"));
  EXPECT_EQ(plot_text(std::string(100, 'x'), 3), "'xxx…'");
  EXPECT_EQ(plot_text("\xff"), "'\\xff'");
}

TEST(ChartScript, NothingToDrawIsNoScriptAndNumbersThatAreNoneAreLeftOut) {
  EXPECT_EQ(chart_script({"id", "t", "x", "y", {{"none", {}, 0, false}}}), "");
  const std::string script = chart_script({"id", "t", "x", "y", {{"some", {{1, NAN}, {2, 5}}, 0, false}}});
  EXPECT_EQ(script.find("nan"), std::string::npos);
}

TEST(InlineSvg, LosesItsPrologAndGetsIdsOfItsOwn) {
  const std::string svg = inline_svg(
      "<?xml version=\"1.0\"?>\n<svg \n width=\"6\"\n xmlns=\"http://www.w3.org/2000/svg\"\n "
      "xmlns:xlink=\"http://www.w3.org/1999/xlink\"\n>\n<g id=\"c\"><use xlink:href='#gp'/><path id='gp'/></g></svg>",
      "loss");
  EXPECT_EQ(svg.find("http"), std::string::npos);
  EXPECT_THAT(svg, testing::StartsWith("<svg"));
  EXPECT_THAT(svg, testing::HasSubstr("id=\"loss-c\""));
  EXPECT_THAT(svg, testing::HasSubstr("href='#loss-gp'"));
  EXPECT_THAT(svg, testing::HasSubstr("id='loss-gp'"));
}

}  // namespace
}  // namespace imgtrain
