// docs/shard-format.md against the code: its worked example is a shard, and the one that this code writes.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/layout.h"
#include "format/shard_reader.h"
#include "format/shard_writer.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

// The bytes of the ```hex block: an offset, then bytes, on every line.
std::string worked_example() {
  std::ifstream document(std::string(TEST_SOURCE_DIR) + "/../docs/shard-format.md");
  std::string line, bytes;
  bool inside = false;
  while (std::getline(document, line)) {
    if (line == "```hex") {
      inside = true;
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      std::istringstream words(line);
      std::string word;
      words >> word;
      EXPECT_EQ(std::stoul(word, nullptr, 16), bytes.size()) << line;
      while (words >> word) bytes.push_back(static_cast<char>(std::stoul(word, nullptr, 16)));
    }
  }
  return bytes;
}

std::vector<Record> example_records() {
  using namespace std::string_literals;
  std::vector<Record> records = {
      test::make_record("val", "ILSVRC2012_val_00000002.JPEG", 970, "\xff\xd8\xff\xfe\x00\x02\xff\xd9"s),
      test::make_record("val", "ILSVRC2012_val_00000001.JPEG", 65, "\xff\xd8\xff\xd9"s, "EI")};
  records[0].meta.width = records[0].meta.height = 64;
  records[0].meta.flags = kRecordGray;
  records[1].meta.width = 500;
  records[1].meta.height = 375;
  records[1].meta.flags = 0;
  return records;
}

TEST(FormatDocument, WorkedExampleReadsAsItsTextSays) {
  test::MemoryFileSystem fs;
  fs.set_bytes("val-00000.ipk", worked_example());
  const ShardReader reader(fs, "val-00000.ipk");
  EXPECT_EQ(reader.header().split, "val");
  EXPECT_EQ(reader.header().plan_id, 0x1122334455667788u);
  EXPECT_EQ(reader.footer().content, 0xd1efeb84403d74c7u);
  EXPECT_EQ(reader.index_offset(), 0x156u);
  const std::vector<Record> records = example_records();
  ASSERT_EQ(reader.records(), records.size());
  std::vector<std::byte> buffer;
  for (size_t i = 0; i < records.size(); ++i) EXPECT_TRUE(test::same_record(reader.read(i, buffer), records[i])) << i;
  EXPECT_EQ(order_key(0, reader.columns().id[0]), 0x71427308c7f1ea56u);
  EXPECT_EQ(order_key(0, reader.columns().id[1]), 0x8b37d623074dbd61u);
  EXPECT_EQ(checksum(worked_example()), 0x5e32b2c902b49d43u);
}

TEST(FormatDocument, WorkedExampleIsWhatTheWriterWritesOutsideZstdFrames) {
  test::MemoryFileSystem fs;
  ShardWriter writer(fs, "val-00000.ipk", {"val", 0, 1, 0, 0x1122334455667788});
  for (const Record& record : example_records()) writer.append(record);
  writer.finish();
  const std::string written = fs.bytes("val-00000.ipk"), example = worked_example();
  ASSERT_GE(written.size(), 0x18eu);
  EXPECT_EQ(written.substr(0, 0x18e), example.substr(0, 0x18e));  // Up to the table entry of the first zstd frame.
}

}  // namespace
}  // namespace imgpack
