// ShardWriter and ShardReader together: what goes in comes out, in order, and nothing else is accepted.
#include <gtest/gtest.h>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"
#include "format/layout.h"
#include "format/shard_reader.h"
#include "format/shard_writer.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

using test::make_record;
using test::make_records;
using test::MemoryFileSystem;

constexpr uint64_t kSeed = 7;

class Shard : public ::testing::Test {
 protected:
  std::vector<Record> sorted(size_t count) {
    std::vector<Record> records = make_records("train", count);
    test::sort_by_key(records, kSeed, "train");
    return records;
  }
  ShardSummary write(const std::vector<Record>& records) {
    ShardWriter writer(fs_, path_, header_);
    for (const Record& record : records) writer.append(record);
    return writer.finish();
  }

  MemoryFileSystem fs_;
  std::filesystem::path path_ = "train-00000.ipk";
  ShardHeader header_{"train", 0, 1, kSeed, 42};
};

TEST_F(Shard, EveryRecordReadsBackAsItWasWritten) {
  const std::vector<Record> records = sorted(50);
  write(records);
  const ShardReader reader(fs_, path_);
  ASSERT_EQ(reader.records(), records.size());
  std::vector<std::byte> buffer;
  for (size_t i = 0; i < records.size(); ++i) {
    EXPECT_TRUE(test::same_record(reader.read(i, buffer), records[i])) << i;
    EXPECT_EQ(reader.columns().names[i], records[i].meta.name);
  }
  EXPECT_EQ(reader.header().split, "train");
  EXPECT_EQ(reader.header().seed, kSeed);
  EXPECT_EQ(reader.header().plan_id, 42u);
}

TEST_F(Shard, WithoutRecordsIsAValidFile) {
  const ShardSummary summary = write({});
  EXPECT_EQ(summary.records, 0u);
  EXPECT_EQ(ShardReader(fs_, path_).records(), 0u);
}

TEST_F(Shard, SummaryDescribesTheFile) {
  const std::vector<Record> records = sorted(9);
  const ShardSummary summary = write(records);
  const std::string bytes = fs_.bytes(path_);
  EXPECT_EQ(summary.file, "train-00000.ipk");
  EXPECT_EQ(summary.records, 9u);
  EXPECT_EQ(summary.bytes, bytes.size());
  EXPECT_EQ(summary.digest, checksum(bytes));
  EXPECT_EQ(summary.index_offset, ShardReader(fs_, path_).index_offset());
}

TEST_F(Shard, SectionsOfAnySizeLieOneBehindTheOther) {
  // Around the sizes at which the writer collects bytes, writes them from where they lie, and empties its buffer.
  std::vector<Record> records = sorted(9);
  const size_t sizes[] = {0, 1, 65'000, 65'535, 65'536, 65'537, 1'048'575, 1'048'577, 3'000'000};
  for (size_t i = 0; i < records.size(); ++i) {
    std::vector<std::byte>& bytes = records[i].sections[0].bytes;
    bytes.resize(sizes[i]);
    for (size_t k = 0; k < bytes.size(); ++k) bytes[k] = static_cast<std::byte>(k * 7 + i);
  }
  const ShardSummary summary = write(records);
  const std::string file = fs_.bytes(path_);
  size_t at = layout::shard_header::kBytes;
  for (const Record& record : records) {
    const std::vector<std::byte> expected = encode_record(record);
    ASSERT_EQ(file.substr(at, expected.size()), as_text(expected));
    at += expected.size();
  }
  EXPECT_EQ(at, summary.index_offset);
  EXPECT_EQ(file.size(), summary.bytes);
  EXPECT_EQ(checksum(file), summary.digest);
}

TEST_F(Shard, SameRecordsGiveTheSameBytes) {
  const std::vector<Record> records = sorted(30);
  write(records);
  const std::string first = fs_.bytes(path_);
  write(records);
  EXPECT_EQ(fs_.bytes(path_), first);
}

TEST_F(Shard, EncodedRecordsGiveTheSameBytesAsRecords) {
  const std::vector<Record> records = sorted(30);
  write(records);
  const std::string first = fs_.bytes(path_);
  ShardWriter writer(fs_, path_, header_);
  for (const Record& record : records) writer.append_encoded(encode_record(record));
  writer.finish();
  EXPECT_EQ(fs_.bytes(path_), first);
}

TEST_F(Shard, DamagedEncodedRecordIsRefusedAndTheShardGoesOn) {
  const std::vector<Record> records = sorted(3);
  ShardWriter writer(fs_, path_, header_);
  std::vector<std::byte> damaged = encode_record(records[0]);
  damaged.back() ^= std::byte{1};
  EXPECT_ERROR(writer.append_encoded(damaged), ErrorKind::kCorruption, "checksum mismatch");
  for (const Record& record : records) writer.append(record);
  EXPECT_EQ(writer.finish().records, 3u);
}

TEST_F(Shard, RecordsOutOfOrderAreRefused) {
  const std::vector<Record> records = sorted(2);
  ShardWriter writer(fs_, path_, header_);
  writer.append(records[1]);
  EXPECT_ERROR(writer.append(records[0]), ErrorKind::kInvalidInput, "ascending order");
}

TEST_F(Shard, TheSameNameTwiceIsRefused) {
  const std::vector<Record> records = sorted(1);
  ShardWriter writer(fs_, path_, header_);
  writer.append(records[0]);
  EXPECT_ERROR(writer.append(records[0]), ErrorKind::kInvalidInput, "each name once");
}

TEST_F(Shard, RecordOfAnotherShardIsRefused) {
  header_.shard_count = 4;
  ShardWriter writer(fs_, path_, header_);
  for (const Record& record : sorted(20)) {
    const uint32_t shard = shard_of_key(order_key(kSeed, record.meta.id), 4);
    if (shard == 0) continue;
    EXPECT_ERROR(writer.append(record), ErrorKind::kInvalidInput, "it belongs to shard " + std::to_string(shard));
    return;
  }
  FAIL() << "all records fell into shard 0";
}

TEST_F(Shard, RecordWithAnotherRecordsIdIsRefused) {
  std::vector<Record> records = sorted(2);
  records[0].meta.id = records[1].meta.id;
  ShardWriter writer(fs_, path_, header_);
  EXPECT_ERROR(writer.append(records[0]), ErrorKind::kInvalidInput, "id is not that of its split and name");
}

TEST_F(Shard, NamesThatEscapeTheFolderAreRefused) {
  ShardWriter writer(fs_, path_, header_);
  for (const char* name : {"../x.JPEG", "/etc/passwd", "a//b", "a/./b", "a/..", "", "a\nb", "a/", "\xff\xfe.JPEG"})
    EXPECT_ERROR(writer.append(make_record("train", name, 0, "image")), ErrorKind::kInvalidInput, "not canonical");
}

TEST_F(Shard, AbandonedWriterLeavesNothing) {
  {
    ShardWriter writer(fs_, path_, header_);
    writer.append(sorted(1)[0]);
  }
  EXPECT_TRUE(fs_.all_files().empty());
}

TEST_F(Shard, AbandonedWriterLeavesTheOldShard) {
  write(sorted(3));
  const auto before = fs_.all_files();
  { ShardWriter writer(fs_, path_, header_); }
  EXPECT_EQ(fs_.all_files(), before);
}

TEST_F(Shard, HeaderAndFooterOfDifferentShardsAreNoticed) {
  write(sorted(3));
  const std::string first = fs_.bytes(path_);
  header_.plan_id = 43;
  write(sorted(3));
  const std::string second = fs_.bytes(path_);
  const size_t cut = layout::shard_header::kBytes;
  fs_.set_bytes(path_, first.substr(0, cut) + second.substr(cut));
  EXPECT_ERROR(ShardReader(fs_, path_), ErrorKind::kCorruption, "belong to different shards");
}

TEST_F(Shard, NewerMajorVersionIsUnsupportedNotDamaged) {
  write(sorted(1));
  std::string bytes = fs_.bytes(path_);
  const std::span<std::byte> header(reinterpret_cast<std::byte*>(bytes.data()), layout::shard_header::kBytes);
  store(header, layout::shard_header::kMajor, 2);
  store(header, layout::shard_header::kChecksum, checksum(header.first(layout::shard_header::kChecksum.offset)));
  fs_.set_bytes(path_, bytes);
  EXPECT_ERROR(ShardReader(fs_, path_), ErrorKind::kUnsupportedVersion, "format version 2.0: expected version 1");
}

TEST_F(Shard, RequiredFeatureIsUnsupportedAndOptionalOneIgnored) {
  write(sorted(1));
  const std::string bytes = fs_.bytes(path_);
  for (const auto flags : {layout::shard_header::kRequired, layout::shard_header::kOptional}) {
    std::string changed = bytes;
    const std::span<std::byte> header(reinterpret_cast<std::byte*>(changed.data()), layout::shard_header::kBytes);
    store(header, flags, 1);
    store(header, layout::shard_header::kChecksum, checksum(header.first(layout::shard_header::kChecksum.offset)));
    fs_.set_bytes(path_, changed);
    if (flags.offset == layout::shard_header::kRequired.offset) {
      EXPECT_ERROR(ShardReader(fs_, path_), ErrorKind::kUnsupportedVersion, "must understand");
    } else {
      EXPECT_EQ(ShardReader(fs_, path_).records(), 1u);
    }
  }
}

TEST_F(Shard, TruncatedFileSaysThatItMayBeCutShort) {
  write(sorted(3));
  const std::string bytes = fs_.bytes(path_);
  fs_.set_bytes(path_, bytes.substr(0, bytes.size() - 1));
  EXPECT_ERROR(ShardReader(fs_, path_), ErrorKind::kCorruption, "cut short");
}

TEST(ShardFileName, HasFiveDigitsOrMore) {
  EXPECT_EQ(shard_file_name("train", 7), "train-00007.ipk");
  EXPECT_EQ(shard_file_name("val", 123456), "val-123456.ipk");
}

}  // namespace
}  // namespace imgpack
