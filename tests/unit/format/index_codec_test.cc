// Columns and names in frames: what a shard's index and the dataset index have in common.
#include "format/index_codec.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/name_codec.h"
#include "format/shard_codec.h"
#include "format/zstd_frame.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

IndexColumns columns_of(const std::vector<std::pair<std::string, int32_t>>& names) {
  IndexColumns columns;
  for (const auto& [name, label] : names) columns.append({1, label, 500, 375, 0, name}, 200, 100, 10);
  return columns;
}

std::vector<std::string> through_codec(const IndexColumns& columns) {
  const IndexColumns* const parts[] = {&columns};
  const std::vector<std::byte> raw = encode_names(parts);
  return decode_names(raw, columns.label, "x.ipk", 0);
}

TEST(NameCodec, NamesOfEveryKindComeBack) {
  const IndexColumns columns = columns_of({{"n01440764/n01440764_10026.JPEG", 0},
                                           {"n01440764/n01440764_0.JPEG", 0},
                                           {"n01440764/n01440764_00.JPEG", 0},
                                           {"n01440764/n01440764_007.JPEG", 0},
                                           {"n01440764/n01440764_1234567890123.JPEG", 0},
                                           {"n01443537/n01443537_2.JPEG", 1},
                                           {"ILSVRC2012_val_00000001.JPEG", 65},
                                           {"ILSVRC2012_val_00050000.JPEG", 65},
                                           {"ILSVRC2012_test_12345678.JPEG", kNoLabel},
                                           {"cats/whiskers.jpg", 2},
                                           {"cats/no extension 5", 2},
                                           {"no-folder", 2},
                                           {"dots/a.b.c.12.d", 2},
                                           {".12", 2},
                                           {"7", 2},
                                           {"0", 2},
                                           {"000000000000000000", 2},
                                           {"999999999", 2},
                                           {"dir9/name", 2},
                                           {"\xc3\xa9t\xc3\xa9_12.jpg", 3}});
  EXPECT_EQ(through_codec(columns), columns.names);
}

TEST(NameCodec, NumbersThatFillTheirPaddingShareItsEntry) {
  // 8 digits with and without a leading zero: one entry, so that the label's usual entry serves both.
  const IndexColumns columns =
      columns_of({{"v_00000001.J", 0}, {"v_12345678.J", 0}, {"v_123456789.J", 0}, {"v_00000010.J", 0}});
  const IndexColumns* const parts[] = {&columns};
  const std::vector<std::byte> raw = encode_names(parts);
  EXPECT_EQ(load(raw, layout::names_header::kEntryCount), 1u);
  EXPECT_EQ(decode_names(raw, columns.label, "x.ipk", 0), columns.names);
}

TEST(NameCodec, RandomNamesComeBack) {
  std::mt19937 random(5);
  const std::string letters = "01289abZ._-";
  for (int round = 0; round < 200; ++round) {
    std::vector<std::pair<std::string, int32_t>> names;
    for (int i = 0; i < 40; ++i) {
      std::string name = "x";
      for (int k = static_cast<int>(random() % 14); k > 0; --k) name.push_back(letters[random() % letters.size()]);
      if (is_canonical_name(name)) names.emplace_back(name, static_cast<int32_t>(random() % 4));
    }
    const IndexColumns columns = columns_of(names);
    ASSERT_EQ(through_codec(columns), columns.names) << round;
  }
}

TEST(NameCodec, BytesDependOnTheRecordsAlone) {
  const IndexColumns all = columns_of({{"b/b_2.J", 1}, {"a/a_1.J", 0}, {"b/b_3.J", 1}, {"c", 0}});
  const IndexColumns first = columns_of({{"b/b_2.J", 1}, {"a/a_1.J", 0}});
  const IndexColumns second = columns_of({{"b/b_3.J", 1}, {"c", 0}});
  const IndexColumns* const whole[] = {&all};
  const IndexColumns* const halves[] = {&first, &second};
  EXPECT_EQ(encode_names(whole), encode_names(halves));
}

TEST(NameCodec, NamesThatEscapeAreDamageWhenRead) {
  // Prefix "../x", no number: written by somebody else, with all checksums right.
  std::vector<std::byte> raw(16 + 8 + 6 + 8 + 4);
  store(raw, layout::names_header::kEntryCount, 1);
  store(raw, layout::names_header::kDefaultCount, 1);
  store(raw, layout::names_header::kTextBytes, 4);
  raw[24] = std::byte{4};               // Prefix bytes.
  raw[28] = raw[29] = std::byte{0xff};  // Literal.
  std::memcpy(raw.data() + 38, "../x", 4);
  const std::vector<int32_t> labels = {0};
  EXPECT_ERROR(decode_names(raw, labels, "x.ipk", 0), ErrorKind::kCorruption, "not canonical");
}

TEST(NameCodec, CountsThatCannotBeAreDamage) {
  const IndexColumns columns = columns_of({{"a/a_1.J", 0}, {"a/a_2.J", 0}});
  const IndexColumns* const parts[] = {&columns};
  const std::vector<std::byte> raw = encode_names(parts);
  for (const layout::Field field : layout::names_header::kFields) {
    std::vector<std::byte> damaged = raw;
    store(damaged, field, std::numeric_limits<uint32_t>::max());
    EXPECT_ERROR(decode_names(damaged, columns.label, "x.ipk", 0), ErrorKind::kCorruption, "damaged");
  }
  EXPECT_ERROR(decode_names(std::span(raw).first(10), columns.label, "x.ipk", 0), ErrorKind::kCorruption, "no head");
}

TEST(IndexBlock, ColumnsComeBackWithTheirExtremes) {
  IndexColumns columns;
  columns.append({0, kNoLabel, 0, 0, 0, "a"}, 49, 0, 0);
  columns.append({UINT64_MAX, INT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, "b"}, 1u << 28, (1u << 28) - 49, 0);
  columns.append({1, 256, 65'536, 16'777'216, 1, "c"}, 1000, 300, 500);
  const std::vector<std::byte> block = encode_index_block(columns);
  const IndexColumns back = decode_index_block(block, 3, "x.ipk", 0);
  EXPECT_EQ(back.id, columns.id);
  EXPECT_EQ(back.record_bytes, columns.record_bytes);
  EXPECT_EQ(back.image_bytes, columns.image_bytes);
  EXPECT_EQ(back.entropy_bytes, columns.entropy_bytes);
  EXPECT_EQ(back.label, columns.label);
  EXPECT_EQ(back.width, columns.width);
  EXPECT_EQ(back.height, columns.height);
  EXPECT_EQ(back.flags, columns.flags);
  EXPECT_EQ(back.names, columns.names);
}

TEST(IndexBlock, AnotherRecordCountThanTheFootersIsDamage) {
  const std::vector<std::byte> block = encode_index_block(columns_of({{"a", 0}}));
  EXPECT_ERROR(decode_index_block(block, 2, "x.ipk", 0), ErrorKind::kCorruption,
               "record count mismatch: expected 2, found 1");
}

// A block whose frame table says something else, checksum and all.
std::vector<std::byte> forge_frame(size_t frame, layout::Field field, uint64_t value) {
  std::vector<std::byte> block = encode_index_block(columns_of({{"a", 0}, {"b", 1}}));
  const uint64_t head = load(block, layout::index_header::kHeadBytes);
  store(std::span(block).subspan(layout::index_header::kFixedBytes + frame * layout::frame_entry::kBytes), field,
        value);
  store_u64(block.data() + head - 8, checksum(std::span<const std::byte>(block).first(head - 8)));
  return block;
}

TEST(IndexBlock, FrameOfAnImpossibleSizeIsDamageBeforeAnythingIsAllocated) {
  EXPECT_ERROR(decode_index_block(forge_frame(1, layout::frame_entry::kRawBytes, uint64_t{1} << 60), 2, "x", 0),
               ErrorKind::kCorruption, "wrong size: expected 56 bytes");
  EXPECT_ERROR(decode_index_block(forge_frame(2, layout::frame_entry::kRawBytes, uint64_t{1} << 60), 2, "x", 0),
               ErrorKind::kCorruption, "names in the index are too large");
  EXPECT_ERROR(decode_index_block(forge_frame(2, layout::frame_entry::kRawBytes, 77), 2, "x", 0),
               ErrorKind::kCorruption, "zstd frame size mismatch: expected 77");
  EXPECT_ERROR(decode_index_block(forge_frame(1, layout::frame_entry::kStoredBytes, uint64_t{1} << 60), 2, "x", 0),
               ErrorKind::kCorruption, "a frame lies outside it");
}

TEST(IndexBlock, UnknownCodecIsUnsupported) {
  EXPECT_ERROR(decode_index_block(forge_frame(1, layout::frame_entry::kCodec, 9), 2, "x", 0),
               ErrorKind::kUnsupportedVersion, "codec 9");
}

TEST(IndexBlock, GroupsInAnotherOrderOrTwiceAreDamage) {
  EXPECT_ERROR(decode_index_block(forge_frame(0, layout::frame_entry::kGroup, layout::kGroupPlan), 2, "x", 0),
               ErrorKind::kCorruption, "wrong size");
  EXPECT_ERROR(decode_index_block(forge_frame(2, layout::frame_entry::kGroup, layout::kGroupPlan), 2, "x", 0),
               ErrorKind::kCorruption, "plan columns");
}

TEST(IndexBlock, UnknownGroupIsSkippedOrRefusedByItsFlag) {
  // Names turned into an unknown group: refused as long as the must-understand bit stands, missing otherwise.
  EXPECT_ERROR(decode_index_block(forge_frame(2, layout::frame_entry::kGroup, 50), 2, "x", 0),
               ErrorKind::kUnsupportedVersion, "column group 50 that a reader must understand");
  std::vector<std::byte> block = forge_frame(2, layout::frame_entry::kGroup, 50);
  const uint64_t head = load(block, layout::index_header::kHeadBytes);
  store(std::span(block).subspan(layout::index_header::kFixedBytes + 2 * layout::frame_entry::kBytes),
        layout::frame_entry::kFlags, 0);
  store_u64(block.data() + head - 8, checksum(std::span<const std::byte>(block).first(head - 8)));
  EXPECT_ERROR(decode_index_block(block, 2, "x", 0), ErrorKind::kCorruption, "lacks a column group");
}

TEST(ZstdFrame, OtherSizeThanExpectedIsDamage) {
  const std::vector<std::byte> frame = zstd_compress(test::to_bytes("hello hello hello hello"));
  EXPECT_EQ(as_text(zstd_decompress(frame, 23, "x", 0)), "hello hello hello hello");
  EXPECT_ERROR(zstd_decompress(frame, 24, "x", 0), ErrorKind::kCorruption, "expected 24, found 23");
  EXPECT_ERROR(zstd_decompress(test::to_bytes("no frame"), 8, "x", 0), ErrorKind::kCorruption, "no zstd frame");
  EXPECT_ERROR(zstd_decompress(std::span(frame).first(frame.size() - 3), 23, "x", 0), ErrorKind::kCorruption,
               "damaged");
}

TEST(ShardFileNameParser, IsTheInverseOfTheWriter) {
  const auto header = parse_shard_file_name("train-00007.ipk");
  ASSERT_TRUE(header);
  EXPECT_EQ(header->split, "train");
  EXPECT_EQ(header->number, 7u);
  EXPECT_TRUE(parse_shard_file_name("a-b-123456.ipk"));
  for (const char* bad : {"train-7.ipk", "train-00007.ipk.tmp", "-00007.ipk", "train00007.ipk", "train-0000x.ipk",
                          "train-9999999.ipk", "tr/ain-00007.ipk", ".ipk", ""})
    EXPECT_FALSE(parse_shard_file_name(bad)) << bad;
}

}  // namespace
}  // namespace imgpack
