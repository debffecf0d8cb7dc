#include "engine/serve/run_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <set>

#include "engine/serve/lines_tail.h"
#include "engine/serve/run_story.h"
#include "format/error.h"
#include "tests/support/memory_file_system.h"

namespace imgtrain::serve {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

void put(imgpack::FileSystem& fs, const std::string& text) {
  imgpack::publish(fs, "/run/metrics.jsonl", text);
}

TEST(LinesTail, GivesEachWholeLineOnce) {
  imgpack::test::MemoryFileSystem fs;
  fs.make_directories("/run");
  LinesTail tail(fs, "/run/metrics.jsonl");
  EXPECT_THAT(tail.poll().lines, IsEmpty()) << "a file that is not there yet";
  put(fs, "one\ntwo\nthr");
  EXPECT_THAT(tail.poll().lines, ElementsAre("one", "two"));
  EXPECT_THAT(tail.poll().lines, IsEmpty());
  put(fs, "one\ntwo\nthree\n");
  const LinesTail::News news = tail.poll();
  EXPECT_THAT(news.lines, ElementsAre("three"));
  EXPECT_FALSE(news.begun_anew);
}

TEST(LinesTail, NoticesThatTheFileIsAnotherOne) {
  imgpack::test::MemoryFileSystem fs;
  fs.make_directories("/run");
  LinesTail tail(fs, "/run/metrics.jsonl");
  put(fs, "one\ntwo\n");
  tail.poll();
  put(fs, "six\nseven\neight\n");
  LinesTail::News news = tail.poll();
  EXPECT_TRUE(news.begun_anew) << "longer, but not a continuation";
  EXPECT_THAT(news.lines, ElementsAre("six", "seven", "eight"));
  put(fs, "nine\n");
  news = tail.poll();
  EXPECT_TRUE(news.begun_anew);
  EXPECT_THAT(news.lines, ElementsAre("nine"));
}

std::string started(double time, int step, const char* type = "start") {
  return R"({"message_type":")" + std::string(type) + R"(","time":)" + std::to_string(time) + R"(,"step":)" +
         std::to_string(step) + R"(,"epoch":1,"total_steps":100,"device":"cpu","threads":2,"created_by":"imgtrain"})";
}
std::string progress(double time, int step) {
  return R"({"message_type":"progress","time":)" + std::to_string(time) + R"(,"step":)" + std::to_string(step) +
         R"(,"epoch":1,"loss":2.5,"accuracy":10,"learning_rate":0.1})";
}
double number(const boost::json::object& object, const char* key) {
  return object.at(key).to_number<double>();
}

TEST(RunStory, PaceTimeToGoAndCurvesFollowFromProgress) {
  RunStory story;
  story.add(started(1000, 0));
  for (int i = 1; i <= 10; ++i) story.add(progress(1000 + i, 2 * i));
  const boost::json::object out = story.to_json(1010, 8, false);
  EXPECT_EQ(out.at("state").as_string(), "running");
  EXPECT_EQ(number(out, "step"), 20);
  EXPECT_DOUBLE_EQ(number(out, "images_per_second"), 16);
  EXPECT_DOUBLE_EQ(number(out, "eta_seconds"), 40);
  EXPECT_DOUBLE_EQ(number(out, "active_seconds"), 10);
  EXPECT_EQ(out.at("curves").at("running_loss").at("at").as_array().size(), 10u);
  EXPECT_EQ(out.at("curves").at("images_per_second").at("value").at(0).to_number<double>(), 16);
}

TEST(RunStory, ALineThatIsInBothFilesCountsOnce) {
  RunStory story;
  story.add(started(1000, 0));
  story.add(progress(1001, 2));
  story.add(progress(1001, 2));
  story.add(started(1000, 0));
  EXPECT_EQ(story.to_json(1001, 8, false).at("curves").at("running_loss").at("at").as_array().size(), 1u);
}

TEST(RunStory, WorkThatWasLostIsTakenBackAndTimeInBetweenIsNotTrainingTime) {
  RunStory story;
  story.add(started(1000, 0));
  for (int i = 1; i <= 10; ++i) story.add(progress(1000 + i, i));
  story.add(started(5000, 4, "resume"));
  story.add(progress(5001, 5));
  const boost::json::object out = story.to_json(5001, 8, false);
  const auto& at = out.at("curves").at("running_loss").at("at").as_array();
  ASSERT_EQ(at.size(), 5u);
  EXPECT_EQ(at[3].to_number<double>(), 4);
  EXPECT_EQ(at[4].to_number<double>(), 5);
  EXPECT_DOUBLE_EQ(number(out, "active_seconds"), 11);
  EXPECT_EQ(number(out, "resumes"), 1);
}

TEST(RunStory, ARunWithoutAWordForMinutesIsSilentAndAFinishedOneIsNot) {
  RunStory story;
  EXPECT_EQ(story.to_json(1000, 8, false).at("state").as_string(), "waiting");
  story.add(started(1000, 0));
  EXPECT_EQ(story.to_json(1179, 8, false).at("state").as_string(), "running");
  EXPECT_EQ(story.to_json(1181, 8, false).at("state").as_string(), "silent");
  EXPECT_EQ(story.to_json(1181, 8, true).at("state").as_string(), "finished");
  EXPECT_TRUE(story.to_json(1181, 8, true).at("eta_seconds").is_null());
}

TEST(RunStory, LongRunsKeepABoundedNumberOfPoints) {
  RunStory story;
  story.add(started(1000, 0));
  for (int i = 1; i <= 20000; ++i) story.add(progress(1000 + i, i));
  const boost::json::object out = story.to_json(1e5, 8, false);
  const auto& at = out.at("curves").at("running_loss").at("at").as_array();
  EXPECT_LE(at.size(), 1200u);
  EXPECT_GE(at.size(), 600u);
}

TEST(RunStory, TheNewestPointIsAlwaysAmongThoseKept) {
  RunStory story;
  story.add(started(1000, 0));
  for (int i = 1; i <= 1300; ++i) {
    story.add(progress(1000 + i, i));
    if (i < 1190) continue;  // Points are let go at 1200.
    const boost::json::object out = story.to_json(1e5, 8, false);
    ASSERT_EQ(out.at("curves").at("running_loss").at("at").as_array().back().to_number<double>(), i);
  }
}

TEST(RunStory, LinesThatAreNoEventsChangeNothing) {
  RunStory story;
  for (const char* line : {"", "{", "[]", "7", "{}", R"({"message_type":7})", R"({"message_type":"epoch"})",
                           R"({"message_type":"progress","step":-1,"time":"x"})", "\xff\xfe",
                           R"({"message_type":"machine","gpus":[1,{"use":"x"}]})"})
    story.add(line);
  story.to_json(1000, 8, false);
}

TEST(RunStory, WhatTheMachineSaysAndDoesIsShown) {
  RunStory story;
  story.add(R"({"message_type":"line","time":1,"text":"input: 2 decoding threads"})");
  story.add(R"({"message_type":"machine","time":2,"cpu":0.5,"memory_bytes":7,"gpus":[{"use":0.2},{"use":0.4}]})");
  const boost::json::object out = story.to_json(1000, 8, false);
  EXPECT_EQ(out.at("lines").at(0).at("text").as_string(), "input: 2 decoding threads");
  EXPECT_DOUBLE_EQ(out.at("curves").at("cpu").at("value").at(0).to_number<double>(), 50);
  EXPECT_NEAR(out.at("curves").at("gpu").at("value").at(0).to_number<double>(), 30, 1e-9);
}

// Remembers which files were opened.
class WatchedFileSystem : public imgpack::test::MemoryFileSystem {
 public:
  std::unique_ptr<imgpack::RandomAccessFile> open(const std::filesystem::path& path) override {
    opened.insert(path.filename().string());
    return MemoryFileSystem::open(path);
  }
  std::set<std::string> opened;
};

TEST(RunView, LogsAreReadWhenSomebodyLooksNotWhenItIsMade) {
  WatchedFileSystem fs;
  fs.make_directories("/run");
  fs.set_bytes("/run/config.json", "{}");
  fs.set_bytes("/run/run.json", "{}");
  fs.set_bytes("/run/metrics.jsonl", started(1000, 0) + "\n");
  fs.set_bytes("/run/live.jsonl", progress(1001, 2) + "\n");
  RunView view(fs, "/run", std::nullopt);
  EXPECT_FALSE(fs.opened.contains("metrics.jsonl"));
  EXPECT_FALSE(fs.opened.contains("live.jsonl"));
  EXPECT_EQ(boost::json::parse(view.snapshot()).at("step").to_number<double>(), 2);
}

TEST(RunView, AFolderThatIsNoRunIsRefusedAtOnce) {
  imgpack::test::MemoryFileSystem fs;
  fs.make_directories("/run");
  EXPECT_THROW(RunView(fs, "/run", std::nullopt), imgpack::Error);
}

}  // namespace
}  // namespace imgtrain::serve
