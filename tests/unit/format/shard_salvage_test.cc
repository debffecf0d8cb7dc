// Records found by their own headers where no index can be believed. Every bit and length: tests/corruption.
#include "format/shard_salvage.h"

#include <gtest/gtest.h>

#include "format/bytes.h"
#include "format/layout.h"
#include "format/shard_reader.h"
#include "tests/support/damage.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

const std::filesystem::path kPath = "train-00000.ipk";
const ShardHeader kHeader{"train", 0, 1, 7, 42};

class Salvage : public ::testing::Test {
 protected:
  void write(std::vector<Record> records) {
    test::sort_by_key(records, 7, "train");
    ShardWriter writer(fs_, kPath, kHeader);
    for (const Record& record : records) writer.append(record);
    writer.finish();
  }
  SalvagedShard salvage(const ShardHeader& expected = kHeader) { return salvage_shard(*fs_.open(kPath), expected); }

  test::MemoryFileSystem fs_;
};

TEST_F(Salvage, FindsWhatTheIndexHas) {
  write(test::make_records("train", 30));
  const ShardReader reader(fs_, kPath);
  const SalvagedShard salvaged = salvage();
  EXPECT_TRUE(salvaged.header_intact);
  EXPECT_TRUE(salvaged.gaps.empty());
  EXPECT_EQ(salvaged.records_end, reader.index_offset());
  EXPECT_EQ(salvaged.columns.id, reader.columns().id);
  EXPECT_EQ(salvaged.columns.names, reader.columns().names);
  EXPECT_EQ(salvaged.columns.label, reader.columns().label);
  EXPECT_EQ(salvaged.columns.image_bytes, reader.columns().image_bytes);
  EXPECT_EQ(salvaged.columns.entropy_bytes, reader.columns().entropy_bytes);
}

TEST_F(Salvage, DamagedHeaderIsReplacedByTheExpectedOne) {
  write(test::make_records("train", 5));
  test::flip_bit(fs_, kPath, 30);
  const SalvagedShard salvaged = salvage();
  EXPECT_FALSE(salvaged.header_intact);
  EXPECT_EQ(salvaged.columns.size(), 5u);
}

TEST_F(Salvage, OverwrittenStretchIsOneGap) {
  write(test::make_records("train", 30));
  const ShardReader reader(fs_, kPath);
  std::string bytes = fs_.bytes(kPath);
  const uint64_t begin = reader.offsets()[4] + 3, end = reader.offsets()[9] + 5;
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(begin), bytes.begin() + static_cast<ptrdiff_t>(end), '\0');
  fs_.set_bytes(kPath, bytes);
  const SalvagedShard salvaged = salvage();
  EXPECT_EQ(salvaged.columns.size(), 24u);  // 4 to 9 are gone.
  ASSERT_EQ(salvaged.gaps.size(), 1u);
  EXPECT_EQ(salvaged.gaps[0].offset, reader.offsets()[4]);
  EXPECT_EQ(salvaged.gaps[0].bytes, reader.offsets()[10] - reader.offsets()[4]);
}

TEST_F(Salvage, RecordsInsideImagesAreNotMistakenForTheShardsOwn) {
  // An image whose bytes are a whole, valid record of the same shard, and the record around it is damaged.
  std::vector<Record> records = test::make_records("train", 12);
  test::sort_by_key(records, 7, "train");
  const std::vector<std::byte> inner = encode_record(records[3]);
  records[7].sections[0].bytes = inner;
  write(records);
  const ShardReader reader(fs_, kPath);
  test::flip_bit(fs_, kPath, reader.offsets()[7] + 20);
  const SalvagedShard salvaged = salvage();
  EXPECT_EQ(salvaged.columns.size(), 11u);  // The inner one is out of order behind record 6.
  EXPECT_EQ(salvaged.columns.names[7], records[8].meta.name);
}

TEST_F(Salvage, RecordsOfAnotherShardAreLeftAlone) {
  write(test::make_records("train", 10));
  test::flip_bit(fs_, kPath, 30);
  ShardHeader other = kHeader;
  other.split = "val";
  EXPECT_EQ(salvage(other).columns.size(), 0u);
}

TEST_F(Salvage, FileOfMagicsOnlyEndsSoon) {
  std::string bytes;
  for (int i = 0; i < 300'000; ++i) bytes += "\xabREC";
  fs_.set_bytes(kPath, bytes);
  const SalvagedShard salvaged = salvage();
  EXPECT_EQ(salvaged.columns.size(), 0u);
  EXPECT_EQ(salvaged.gaps.size(), 1u);
  EXPECT_EQ(salvaged.records_end, bytes.size());
}

TEST_F(Salvage, EmptyFileHoldsNothing) {
  fs_.set_bytes(kPath, "");
  EXPECT_EQ(salvage().columns.size(), 0u);
}

}  // namespace
}  // namespace imgpack
