// A relabelled tree under every fault at every operation: afterwards it is absent or whole.
#include <gtest/gtest.h>

#include "format/ingest/folder_source.h"
#include "format/ingest/labeling.h"
#include "format/ingest/relabel.h"
#include "format/ingest/thread_limit.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/image_tree.h"

namespace imgpack::ingest {
namespace {

void write_source(test::MemoryFileSystem& fs) {
  test::ImageTree tree;
  tree.images("train/a", 1).images("train/b", 1).ilsvrc_images("val", "val", 1, 2);
  tree.text("valprep.sh", "mv ILSVRC2012_val_00000001.JPEG b/\nmv ILSVRC2012_val_00000002.JPEG a/\n");
  for (const auto& [path, bytes] : tree.fs.all_files()) fs.set_bytes(path, bytes);
}

class RelabelUnderFaults : public testing::TestWithParam<RelabelMode> {};

TEST_P(RelabelUnderFaults, LeavesNoTreeOrAWholeOne) {
  const ThreadLimit one_thread(1);
  const test::FaultTrial trial{[](test::MemoryFileSystem& fs) { write_source(fs); },
                               [](FileSystem& fs) {
                                 const LabeledSource source = label_source(fs, scan_folder(fs, test::kTreeRoot));
                                 const auto reader = make_folder_reader(fs, source.scan.root);
                                 write_relabeled_tree(fs, source, *reader, "/out", {"val"}, GetParam());
                               },
                               [](test::MemoryFileSystem& fs, bool done) {
                                 const bool there = fs.exists("/out");
                                 ASSERT_TRUE(there || !done);
                                 // The source is never touched.
                                 const std::string first = fs.bytes("/source/val/ILSVRC2012_val_00000001.JPEG");
                                 if (!there) return;
                                 ASSERT_EQ(fs.bytes("/out/val/b/ILSVRC2012_val_00000001.JPEG"), first);
                                 ASSERT_EQ(fs.bytes("/out/val/a/ILSVRC2012_val_00000002.JPEG"),
                                           fs.bytes("/source/val/ILSVRC2012_val_00000002.JPEG"));
                                 ASSERT_TRUE(fs.exists("/out/relabel.json"));
                               }};
  EXPECT_GE(try_every_fault(trial), 100u);
}

INSTANTIATE_TEST_SUITE_P(Modes, RelabelUnderFaults, testing::Values(RelabelMode::kHardLink, RelabelMode::kCopy));

}  // namespace
}  // namespace imgpack::ingest
