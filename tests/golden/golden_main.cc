// The golden tests; or, with an option, the writer of what they read:
//   test_golden --update-golden      writes tests/golden/vN again, unless version N is released
//   test_golden --write-golden DIR   writes the same dataset into another folder
//   test_golden --verify DIR         prints the verify report of a dataset (level checksums)
#include <gtest/gtest.h>

#include <cstdio>
#include <string_view>

#include "format/error.h"
#include "format/verify.h"
#include "tests/golden/golden_dataset.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const std::string_view option = argc > 1 ? argv[1] : "";
  try {
    if (option == "--update-golden") {
      imgpack::test::update_golden(imgpack::posix_file_system(), imgpack::test::golden_folder().parent_path());
      return 0;
    }
    if (option == "--write-golden" && argc == 3) {
      imgpack::test::write_golden_dataset(imgpack::posix_file_system(), argv[2]);
      return 0;
    }
    if (option == "--verify" && argc == 3) {
      imgpack::VerifyOptions options;
      options.level = imgpack::VerifyLevel::kChecksums;
      std::fputs(to_json(verify_dataset(imgpack::posix_file_system(), argv[2], options)).c_str(), stdout);
      return 0;
    }
  } catch (const imgpack::Error& error) {
    std::fprintf(stderr, "test_golden: error: %s\n", error.what());
    return 1;
  }
  return RUN_ALL_TESTS();
}
