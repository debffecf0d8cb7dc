#include "tools/cli/progress.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <thread>
#include <vector>

namespace imgpack::cli {
namespace {

// A log file in the place of standard error, and a clock that the test moves.
class ProgressTest : public testing::Test {
 protected:
  ~ProgressTest() override { std::fclose(file_); }

  ProgressOptions options(uint64_t total) {
    ProgressOptions options;
    options.title = "build";
    options.total = total;
    options.now = [this] { return now_; };
    return options;
  }

  std::string log() {
    std::fflush(file_);
    std::string text(static_cast<size_t>(std::ftell(file_)), '\0');
    std::rewind(file_);
    EXPECT_EQ(std::fread(text.data(), 1, text.size(), file_), text.size());
    return text;
  }

  std::FILE* file_ = std::tmpfile();
  Console console_{file_};
  double now_ = 100;
};

TEST_F(ProgressTest, LogGetsOneLinePerIntervalAndOneAtTheEnd) {
  Progress progress(console_, options(4000));
  progress.advance(500, 1 << 20);  // Nothing is due yet.
  now_ += 10;
  progress.advance(500, 1 << 20);
  progress.advance(500, 1 << 20);
  now_ += 10;
  progress.set_note("loss 2.31");
  progress.advance(2500, 1 << 20);
  progress.finish();
  progress.finish();
  EXPECT_EQ(log(),
            "build  25 %  1,000/4,000 images  100/s  205 KiB/s  ETA 30.0 s\n"
            "build  100 %  4,000/4,000 images  200/s  205 KiB/s  loss 2.31\n"
            "build  100 %  4,000/4,000 images  200/s  205 KiB/s  in 20.0 s  loss 2.31\n");
}

TEST_F(ProgressTest, RateFollowsTheLastSecondsNotTheWholeRun) {
  Progress progress(console_, options(0));
  for (int i = 0; i < 10; ++i) {
    now_ += 10;
    progress.advance(1000);
  }
  for (int i = 0; i < 10; ++i) {
    now_ += 10;
    progress.advance(10);
  }
  EXPECT_EQ(progress.text(), "build  10,100 images  1/s");
}

TEST_F(ProgressTest, WhatAnEarlierRunDidCountsAsDoneButNotIntoTheRate) {
  ProgressOptions resumed = options(1000);
  resumed.done_before = 900;
  Progress progress(console_, resumed);
  now_ += 1;
  progress.advance(50);
  EXPECT_EQ(progress.text(), "build  95 %  950/1,000 images  50/s  ETA 1.0 s");
}

TEST_F(ProgressTest, QuietPrintsNothing) {
  ProgressOptions quiet = options(10);
  quiet.quiet = true;
  Progress progress(console_, quiet);
  now_ += 100;
  progress.advance(10);
  progress.finish();
  EXPECT_EQ(log(), "");
}

TEST_F(ProgressTest, CountsFromManyThreadsAddUp) {
  Progress progress(console_, options(0));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 1000; ++j) progress.advance(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(progress.text(), "build  4,000 images");
}

}  // namespace
}  // namespace imgpack::cli
