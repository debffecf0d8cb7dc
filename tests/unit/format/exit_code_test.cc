#include "format/exit_code.h"

#include <gtest/gtest.h>

namespace imgpack {
namespace {

// The table of docs/ and of every --help: scripts rely on it.
TEST(ExitCode, TellsScriptsWhatKindOfEndItWas) {
  EXPECT_EQ(exit_code(ErrorKind::kUsage), 2);
  EXPECT_EQ(exit_code(ErrorKind::kCorruption), 4);
  EXPECT_EQ(exit_code(ErrorKind::kUnsupportedVersion), 5);
  EXPECT_EQ(exit_code(ErrorKind::kInterrupted), 75);
  EXPECT_EQ(exit_code(ErrorKind::kIo), 1);
  EXPECT_EQ(exit_code(ErrorKind::kInvalidInput), 1);
  EXPECT_EQ(exit_code(ErrorKind::kInternal), 1);
}

}  // namespace
}  // namespace imgpack
