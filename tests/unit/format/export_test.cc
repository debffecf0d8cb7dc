#include "format/export.h"

#include <gmock/gmock.h>

#include "format/bytes.h"
#include "format/dataset.h"
#include "format/tar_writer.h"
#include "format/tfrecord_writer.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

TEST(Crc32c, KnownValues) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c(as_bytes(std::string(32, '\0'))), 0x8a9136aau);  // RFC 3720, B.4.
  EXPECT_EQ(crc32c(as_bytes(std::string(32, '\xff'))), 0x62a8ab43u);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(ExampleBuilder, WritesWhatProtocolBuffersWrite) {
  // features { feature { key: "a" value { int64_list { value: 300 } } } }
  EXPECT_EQ(ExampleBuilder().integer("a", 300).message(), std::string("\x0a\x0d\x0a\x0b\x0a\x01"
                                                                      "a\x12\x06\x1a\x04\x0a\x02\xac\x02",
                                                                      15));
  // A negative number takes ten bytes.
  EXPECT_EQ(ExampleBuilder().integer("a", -1).message().size(), 15u + 8u);
}

TEST(ExportNames, KeysHaveNoDotsAndFoldersAreNotRepeated) {
  EXPECT_EQ(webdataset_key_of("n01/n01_1.JPEG"), "n01/n01_1");
  EXPECT_EQ(webdataset_key_of("n.01/a.b.c.jpg"), "n.01/a_b_c");
  EXPECT_EQ(webdataset_key_of(".x"), "_x");
  EXPECT_EQ(folder_path_of("n01/n01_1.JPEG", "n01"), "n01/n01_1.JPEG");
  EXPECT_EQ(folder_path_of("val_1.JPEG", "n01"), "n01/val_1.JPEG");
  EXPECT_EQ(folder_path_of("test_1.JPEG", ""), "test_1.JPEG");
}

TEST(TarWriter, PadsToBlocksAndIsTheSameEveryTime) {
  test::MemoryFileSystem fs;
  for (const char* name : {"a.tar", "b.tar"}) {
    TarWriter tar(fs, name);
    tar.add("x.txt", as_bytes("hello"));
    tar.add(std::string(150, 'n'), as_bytes("long"));
    tar.finish();
  }
  const std::string bytes = fs.bytes("a.tar");
  EXPECT_EQ(bytes, fs.bytes("b.tar"));
  EXPECT_EQ(bytes.size(), 512u * (2 + 2 + 2 + 2));
  EXPECT_EQ(bytes.substr(512, 5), "hello");
  EXPECT_EQ(bytes.substr(1536, 160), "160 path=" + std::string(150, 'n') + "\n");
}

class ExportTest : public testing::Test {
 protected:
  ExportTest() { test::write_tiny_dataset(fs_, "in.shards"); }
  ExportReport run(ExportFormat format, uint64_t file_bytes = 1 << 30, const std::string& out = "out") {
    const Dataset dataset = Dataset::open(fs_, "in.shards", ReadNames::kYes);
    std::vector<RecordRef> records;
    for (const char* name : {"train", "val"})
      for (uint64_t i = 0; i < dataset.split(name).records(); ++i) records.push_back({&dataset.split(name), i});
    ExportOptions options;
    options.format = format;
    options.file_bytes = file_bytes;
    return export_records(fs_, dataset, records, out, options);
  }
  test::MemoryFileSystem fs_;
};

TEST_F(ExportTest, FilesAreCutBySizeAndCountedInTheirNames) {
  EXPECT_EQ(run(ExportFormat::kTfRecord, 2000).records, 46u);
  size_t train = 0, val = 0;
  for (const auto& [path, bytes] : fs_.all_files()) {
    train += path.starts_with("out/train-") ? 1 : 0;
    val += path.starts_with("out/val-") ? 1 : 0;
  }
  EXPECT_GT(train, 2u);
  const std::string digits = std::to_string(train);
  EXPECT_TRUE(fs_.exists("out/train-00000-of-" + std::string(5 - digits.size(), '0') + digits));
  EXPECT_TRUE(fs_.exists("out/classes.txt"));
  EXPECT_GE(val, 1u);
}

TEST_F(ExportTest, SameDatasetGivesTheSameBytes) {
  run(ExportFormat::kWebDataset, 2000, "a");
  run(ExportFormat::kWebDataset, 2000, "b");
  for (const auto& [path, bytes] : fs_.all_files()) {
    if (path.starts_with("a/")) {
      EXPECT_EQ(bytes, fs_.bytes("b" + path.substr(1)));
    }
  }
}

TEST_F(ExportTest, NothingIsOverwritten) {
  fs_.set_bytes("out/file", "mine");
  EXPECT_ERROR(run(ExportFormat::kImageFolder), ErrorKind::kInvalidInput, "output folder is not empty");
  EXPECT_EQ(fs_.bytes("out/file"), "mine");
}

}  // namespace
}  // namespace imgpack
