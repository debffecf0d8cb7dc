#include "engine/report/portable/chart.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "format/error.h"

namespace imgtrain {
namespace {

// A folder with a `gnuplot` of the test's own before everything else on the PATH.
class InlineCharts : public testing::Test {
 protected:
  InlineCharts() : path_(std::getenv("PATH")) {
    std::string name = testing::TempDir() + "charts-XXXXXX";
    folder_ = mkdtemp(name.data());
    std::filesystem::create_directories(folder_ / "bin");
    std::filesystem::create_directories(folder_ / "out");
    setenv("PATH", ((folder_ / "bin").string() + ":" + path_).c_str(), 1);
  }
  ~InlineCharts() override {
    setenv("PATH", path_.c_str(), 1);
    std::filesystem::remove_all(folder_);
  }

  // It writes `text` to every file that its script names, and ends with `status`.
  void gnuplot_that_writes(const std::string& text, int status) {
    const std::filesystem::path program = folder_ / "bin" / "gnuplot";
    std::ofstream(program) << "#!/bin/sh\n"
                           << "sed -n \"s/^set output '\\(.*\\)'$/\\1/p\" \"$1\" | while read -r file; do printf '%s' '"
                           << text << "' >\"$file\"; done\nexit " << status << "\n";
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  }

  std::vector<std::string> draw() {
    std::vector<Chart> charts(2);
    charts[0].id = "loss";
    charts[1].id = "top1";
    for (Chart& chart : charts)
      chart.series = {{.label = "a", .points = {{1, 1}, {2, 2}}, .colour = 0, .dashed = false}};
    return inline_charts(imgpack::posix_file_system(), charts, folder_ / "out" / "page.html");
  }

  size_t files_left() {
    const std::filesystem::directory_iterator files(folder_ / "out");
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }

  const std::string path_;
  std::filesystem::path folder_;
};

TEST_F(InlineCharts, AreReadAndLeaveNothing) {
  gnuplot_that_writes("<?xml version=\"1.0\"?><svg id=\"x\"></svg>", 0);
  const auto pictures = draw();
  ASSERT_EQ(pictures.size(), 2u);
  EXPECT_EQ(pictures[1], "<svg id=\"top1-x\"></svg>");
  EXPECT_EQ(files_left(), 0u);
}

TEST_F(InlineCharts, LeaveNothingWhereWhatWasDrawnIsNoPicture) {
  gnuplot_that_writes("no picture", 0);
  EXPECT_THROW(draw(), imgpack::Error);
  EXPECT_EQ(files_left(), 0u);
}

TEST_F(InlineCharts, LeaveNothingWhereDrawingFails) {
  gnuplot_that_writes("<svg>", 3);
  EXPECT_THROW(draw(), imgpack::Error);
  EXPECT_EQ(files_left(), 0u);
}

}  // namespace
}  // namespace imgtrain
