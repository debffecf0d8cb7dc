#include "engine/train/run/live_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "engine/train/run/machine_use.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/memory_file_system.h"

namespace imgtrain {
namespace {

std::string live(imgpack::FileSystem& fs) {
  return fs.exists("/run/live.jsonl") ? imgpack::read_text(fs, "/run/live.jsonl", 1 << 20) : "none";
}

TEST(LiveFeed, WaitsUntilTheFolderIsARunsAndLosesNothing) {
  imgpack::test::MemoryFileSystem fs;
  fs.make_directories("/run");
  LiveFeed feed(fs, "/run");
  feed.line("early\n");
  EXPECT_EQ(live(fs), "none");
  imgpack::publish(fs, "/run/run.json", "{}");
  feed.line("late\n");
  EXPECT_EQ(live(fs), "early\nlate\n");
}

TEST(LiveFeed, EveryProcessBeginsAnew) {
  imgpack::test::MemoryFileSystem fs;
  fs.make_directories("/run");
  imgpack::publish(fs, "/run/run.json", "{}");
  LiveFeed(fs, "/run").line("old\n");
  LiveFeed(fs, "/run").line("new\n");
  EXPECT_EQ(live(fs), "new\n");
}

TEST(LiveFeed, ADiskThatBreaksAtAnyMomentDisturbsNobody) {
  bool struck = true;
  for (uint64_t at = 0; struck; ++at) {
    imgpack::test::MemoryFileSystem fs;
    fs.make_directories("/run");
    imgpack::publish(fs, "/run/run.json", "{}");
    imgpack::test::FaultyFileSystem faulty(fs, imgpack::test::Fault::kDiskFull, at);
    {
      LiveFeed feed(faulty, "/run");
      feed.line("one\n");
      feed.line("two\n");
    }
    struck = faulty.struck();
    const std::string written = live(fs);
    EXPECT_TRUE(written == "none" || std::string("one\ntwo\n").starts_with(written)) << at << ": " << written;
    if (!struck) {
      EXPECT_EQ(written, "one\ntwo\n");
    }
  }
}

TEST(LiveFeed, EventsCarryTheirTypeAndTime) {
  EXPECT_THAT(event_line("progress", {{"step", 7}}),
              testing::MatchesRegex(R"(\{"message_type": "progress", "time": [0-9.e+]+, "step": 7\}.)"));
}

TEST(MachineUse, TicksAreReadFromTheFirstLineOfProcStat) {
  const auto ticks = parse_cpu_ticks("cpu  100 5 20 1000 50 0 3 2 7 0");
  ASSERT_TRUE(ticks);
  EXPECT_EQ(ticks->busy, 130u);
  EXPECT_EQ(ticks->all, 1180u);
  for (const char* text : {"", "cpu", "cpu0 1 2 3 4 5 6 7 8", "cpu  1 2 3", "cpu  a b c d e f g h"})
    EXPECT_FALSE(parse_cpu_ticks(text)) << text;
}

TEST(MachineUse, SamplesArriveUntilTheWatchEnds) {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<MachineUse> samples;
  {
    const MachineWatch watch(std::chrono::milliseconds(5), [&](const MachineUse& use) {
      const std::lock_guard lock(mutex);
      samples.push_back(use);
      changed.notify_all();
    });
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(30), [&] { return samples.size() >= 2; }));
  }
  EXPECT_GT(samples.back().memory_bytes, 1u << 20);
  EXPECT_GE(samples.back().cpu, 0);
  EXPECT_LE(samples.back().cpu, 1);
}

}  // namespace
}  // namespace imgtrain
