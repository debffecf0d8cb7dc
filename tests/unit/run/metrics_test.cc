#include "engine/train/run/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <sstream>

#include "tests/support/memory_file_system.h"

namespace imgtrain {
namespace {

using imgpack::test::MemoryFileSystem;

const std::filesystem::path kLog = "/metrics.jsonl";

std::vector<boost::json::object> events_in(MemoryFileSystem& fs) {
  std::vector<boost::json::object> events;
  std::stringstream lines(fs.bytes(kLog));
  for (std::string line; std::getline(lines, line);) events.push_back(boost::json::parse(line).as_object());
  return events;
}

TEST(MetricsCsv, HasExactlyTheColumnsThatPlottingScriptsExpect) {
  EXPECT_EQ(metrics_csv({{"train", 1, 2.5, 10, 50.5, 0.1, 19.25}, {"val", 1, 2.25, 12, 55, 0.1, 1.5}}),
            "stage,epoch,loss,accuracy,accuracy_top5,learning_rate,epoch_time\n"
            "train,1,2.5,10,50.5,0.1,19.25\n"
            "val,1,2.25,12,55,0.1,1.5\n");
}

TEST(Totals, MeansArePerSampleAndEmptyIsZero) {
  const Totals totals{50, 30, 90, 100, 1};
  EXPECT_EQ(totals.loss(), 0.5);
  EXPECT_EQ(totals.top1_percent(), 30);
  EXPECT_EQ(totals.top5_percent(), 90);
  EXPECT_EQ(Totals().loss(), 0);
  EXPECT_EQ(Totals().top1_percent(), 0);
}

TEST(EventLog, ContinuesWhatIsThereAndPublishesOnlyWhole) {
  MemoryFileSystem fs;
  {
    EventLog log(fs, kLog);
    log.append("start", {{"step", 0}});
    EXPECT_FALSE(fs.exists(kLog));
    log.flush();
    log.append("lost", {});
  }
  EventLog log(fs, kLog);
  log.append("resume", {{"step", 5}});
  log.flush();
  const auto events = events_in(fs);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].at("message_type"), "start");
  EXPECT_EQ(events[1].at("message_type"), "resume");
  EXPECT_EQ(events[1].at("step"), 5);
  EXPECT_GT(events[1].at("time").to_number<double>(), 1.6e9);
}

}  // namespace
}  // namespace imgtrain
