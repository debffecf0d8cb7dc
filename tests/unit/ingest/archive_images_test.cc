#include "format/ingest/archive_images.h"

#include <gmock/gmock.h>

#include "format/ingest/folder_source.h"
#include "tests/support/archives.h"
#include "tests/support/expect_error.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/image_tree.h"

namespace imgpack::ingest {
namespace {

using test::files_below;
using test::ImageTree;
using test::make_tar;

class ArchiveImagesTest : public testing::Test {
 protected:
  ArchiveImagesTest() {
    tree_.images("train/a", 3).images("train/b", 2).images("val/a", 1);
    tree_.fs.set_bytes("/in/all.tar", make_tar(files_below(tree_.fs, test::kTreeRoot)));
    scan_ = scan_folder(tree_.fs, test::kTreeRoot);
    scan_.root = "/in/all.tar";  // As the scan of the archive has it.
    set_ = *find_archives(tree_.fs, "/in/all.tar");
  }

  const SourceImage& image(const std::string& split, size_t i) { return scan_.find(split)->images[i]; }
  std::string kept(ArchiveImages& images, const std::string& split, size_t i) {
    const std::vector<std::byte> bytes = images.read(*scan_.find(split), image(split, i));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::string original(const std::string& split, size_t i) {
    return tree_.fs.bytes(std::string(test::kTreeRoot) + "/" + scan_.find(split)->folder + "/" + image(split, i).path);
  }
  size_t files_in(const std::string& folder) {
    size_t count = 0;
    for (const auto& [path, bytes] : tree_.fs.all_files()) count += path.starts_with(folder + "/") ? 1 : 0;
    return count;
  }

  ImageTree tree_;
  SourceScan scan_;
  ArchiveSet set_;
  std::atomic<bool> stop_{false};
};

TEST_F(ArchiveImagesTest, TheWantedOnesAreThereInAnyOrderAndNothingIsLeftBehind) {
  const WantedImages names{{"train", std::string(image("train", 1).name())},
                           {"train", std::string(image("train", 3).name())},
                           {"val", std::string(image("val", 0).name())},
                           {"val", "is/not.there"}};
  tree_.fs.set_bytes("/out/kept.tmp/left-by-a-killed-run", "x");
  {
    ArchiveImages images(tree_.fs, set_, scan_, names, "/out/kept.tmp", stop_);
    EXPECT_EQ(files_in("/out/kept.tmp"), 3u);
    EXPECT_EQ(kept(images, "val", 0), original("val", 0));
    EXPECT_EQ(kept(images, "train", 3), original("train", 3));
    EXPECT_EQ(kept(images, "train", 1), original("train", 1));
    EXPECT_ERROR(kept(images, "train", 0), ErrorKind::kInternal, "was not asked for");
  }
  EXPECT_EQ(files_in("/out"), 0u);
}

TEST_F(ArchiveImagesTest, AStopAndABrokenDiskLeaveNothing) {
  const WantedImages all{{"train", std::string(image("train", 0).name())},
                         {"val", std::string(image("val", 0).name())}};
  stop_ = true;
  EXPECT_ERROR(ArchiveImages(tree_.fs, set_, scan_, all, "/out/kept.tmp", stop_), ErrorKind::kInterrupted,
               "stopped while the archive was read");
  EXPECT_EQ(files_in("/out"), 0u);
  stop_ = false;
  uint64_t failures = 0;
  for (uint64_t at = 0;; ++at) {
    test::FaultyFileSystem faulty(tree_.fs, test::Fault::kDiskFull, at);
    try {
      ArchiveImages(faulty, set_, scan_, all, "/out/kept.tmp", stop_);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kIo);
      ++failures;
    }
    EXPECT_EQ(files_in("/out"), 0u) << at;
    if (!faulty.struck()) break;
  }
  EXPECT_GT(failures, 2u);
}

}  // namespace
}  // namespace imgpack::ingest
