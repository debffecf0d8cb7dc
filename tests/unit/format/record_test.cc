// Records, their heads, and everything that follows from a name.
#include "format/record.h"

#include <gtest/gtest.h>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/record_header.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

Record sample() {
  return test::make_record("train", "n01440764/n01440764_10026.JPEG", 0, "image bytes", "index");
}

// Recomputes the header's checksum, as someone would who changes a field on purpose.
void reseal(std::vector<std::byte>& record) {
  const uint64_t head = load(record, layout::record_header::kHeaderBytes);
  store_u64(record.data() + head - 8, checksum(std::span<const std::byte>(record).first(head - 8)));
}

TEST(Record, EncodesAndParsesBack) {
  const Record record = sample();
  const std::vector<std::byte> bytes = encode_record(record);
  const RecordView view = parse_record(bytes, "x.ipk", 0);
  EXPECT_TRUE(test::same_record(view, record));
  EXPECT_EQ(as_text(view.image()), "image bytes");
  EXPECT_EQ(as_text(view.entropy_index()), "index");
  EXPECT_TRUE(view.sections[0].must_understand);
  EXPECT_FALSE(view.sections[1].must_understand);
}

TEST(Record, WithoutSectionsIsARecord) {
  Record record = sample();
  record.sections.clear();
  const std::vector<std::byte> bytes = encode_record(record);
  const RecordView view = parse_record(bytes, "x.ipk", 0);
  EXPECT_TRUE(view.image().empty());
  EXPECT_EQ(view.find_section(SectionType::kImage), nullptr);
}

TEST(Record, UnknownSectionIsKeptUnlessItMustBeUnderstood) {
  Record record = sample();
  record.sections.push_back({static_cast<SectionType>(77), false, test::to_bytes("boxes")});
  EXPECT_EQ(parse_record(encode_record(record), "x.ipk", 0).sections.size(), 3u);
  record.sections.back().must_understand = true;
  EXPECT_ERROR(parse_record(encode_record(record), "x.ipk", 0), ErrorKind::kUnsupportedVersion,
               "section of type 77 that a reader must understand");
}

TEST(Record, HeaderMayGrowInALaterMinorVersion) {
  std::vector<std::byte> bytes = encode_record(sample());
  const uint64_t head = load(bytes, layout::record_header::kHeaderBytes);
  bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(head) - 8, 12, std::byte{9});
  store(bytes, layout::record_header::kHeaderBytes, head + 12);
  store(bytes, layout::record_header::kRecordBytes, bytes.size());
  reseal(bytes);
  EXPECT_TRUE(test::same_record(parse_record(bytes, "x.ipk", 0), sample()));
}

TEST(Record, DamageNamesPathOffsetExpectedAndFound) {
  std::vector<std::byte> bytes = encode_record(sample());
  bytes[20] ^= std::byte{1};
  EXPECT_ERROR(parse_record(bytes, "train-00007.ipk", 8192), ErrorKind::kCorruption,
               "train-00007.ipk@8192: record header checksum mismatch: expected ");
}

TEST(Record, DamagedSectionIsNamedWithItsRecordAndOffset) {
  std::vector<std::byte> bytes = encode_record(sample());
  bytes.back() ^= std::byte{1};  // In the entropy index.
  const size_t offset = bytes.size() - 5;
  EXPECT_ERROR(parse_record(bytes, "x.ipk", 1000), ErrorKind::kCorruption,
               "x.ipk@" + std::to_string(1000 + offset) +
                   ": record checksum mismatch in section 2 of 'n01440764/n01440764_10026.JPEG'");
}

TEST(Record, SectionLengthsThatDoNotFillTheRecordAreDamage) {
  std::vector<std::byte> bytes = encode_record(sample());
  const std::span<std::byte> entry = std::span(bytes).subspan(layout::record_header::kFixedBytes);
  store(entry, layout::section_entry::kSectionBytes, load(entry, layout::section_entry::kSectionBytes) + 1);
  reseal(bytes);
  EXPECT_ERROR(parse_record(bytes, "x.ipk", 0), ErrorKind::kCorruption, "section lengths do not fill the record");
}

TEST(Record, LimitsAreKeptWhenWriting) {
  Record record = sample();
  record.meta.name.assign(1024, 'x');
  EXPECT_ERROR(encode_record(record), ErrorKind::kInvalidInput, "not canonical");
  record = sample();
  record.meta.label = -2;
  EXPECT_ERROR(encode_record(record), ErrorKind::kInvalidInput, "its label is -2");
  record = sample();
  record.sections.assign(17, record.sections[0]);
  EXPECT_ERROR(encode_record(record), ErrorKind::kInvalidInput, "too many sections: expected 16, found 17");
  record = sample();
  record.sections[0].bytes.resize(layout::kMaxRecordBytes);
  EXPECT_ERROR(encode_record(record), ErrorKind::kInvalidInput, "too large for a record");
}

TEST(RecordHeader, IsReadWithoutItsSections) {
  std::vector<std::byte> bytes = encode_record(sample());
  std::string why;
  const auto length = record_header_bytes(bytes, &why);
  ASSERT_TRUE(length) << why;
  const auto header = decode_record_header(std::span<const std::byte>(bytes).first(*length), &why);
  ASSERT_TRUE(header) << why;
  EXPECT_EQ(header->record_bytes, bytes.size());
  EXPECT_EQ(header->meta.name, sample().meta.name);
  EXPECT_EQ(header->section_bytes(SectionType::kImage), 11u);
  EXPECT_EQ(header->section_bytes(static_cast<SectionType>(5)), 0u);
}

TEST(CanonicalName, IsSafeToExtractUnder) {
  for (const char* good : {"a", "a/b.JPEG", "...", "a b", "..a/b..", "\xc3\xa9t\xc3\xa9.jpg", "\xf0\x9f\x90\x9f.jpg"})
    EXPECT_TRUE(is_canonical_name(good)) << good;
  for (const char* bad : {"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\tb", "a\x7f", "\x80",
                          "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\xaf", "a\xff"})
    EXPECT_FALSE(is_canonical_name(bad)) << bad;
  EXPECT_FALSE(is_canonical_name(std::string_view("a\0b", 3)));
  EXPECT_TRUE(is_canonical_name(std::string(1023, 'x')));
  EXPECT_FALSE(is_canonical_name(std::string(1024, 'x')));
}

// Persisted: these numbers are in files.
TEST(SampleId, IsTheSameForEver) {
  EXPECT_EQ(to_hex(sample_id("val", "ILSVRC2012_val_00000001.JPEG")), "1a32173bed9ab84f");
  EXPECT_NE(sample_id("val", "x"), sample_id("train", "x"));
  EXPECT_NE(sample_id("a", "bc"), sample_id("ab", "c"));
}

TEST(OrderKey, IsAFunctionOfSeedAndId) {
  EXPECT_EQ(to_hex(order_key(0, "val", "ILSVRC2012_val_00000001.JPEG")), "8b37d623074dbd61");
  EXPECT_EQ(order_key(5, "val", "x"), order_key(5, sample_id("val", "x")));
  EXPECT_NE(order_key(5, "val", "x"), order_key(6, "val", "x"));
}

TEST(ShardOfKey, CutsTheKeySpaceIntoEqualRanges) {
  EXPECT_EQ(shard_of_key(0, 3), 0u);
  EXPECT_EQ(shard_of_key(UINT64_MAX, 3), 2u);
  EXPECT_EQ(shard_of_key(UINT64_MAX, 1), 0u);
  EXPECT_EQ(shard_of_key(uint64_t{1} << 63, 2), 1u);
  EXPECT_EQ(shard_of_key((uint64_t{1} << 63) - 1, 2), 0u);
  EXPECT_EQ(shard_of_key(UINT64_MAX, UINT32_MAX), UINT32_MAX - 1);
  uint64_t count[7] = {};
  for (int i = 0; i < 70'000; ++i) ++count[shard_of_key(order_key(1, "train", std::to_string(i)), 7)];
  for (const uint64_t n : count) EXPECT_NEAR(static_cast<double>(n), 10'000, 400);
}

TEST(ContentDigest, KnowsNameLabelAndImageAndNothingElse) {
  const auto digest = [](const Record& record) {
    const std::vector<std::byte> bytes = encode_record(record);
    return content_digest(parse_record(bytes, "x.ipk", 0));
  };
  const uint64_t original = digest(sample());
  Record record = sample();
  record.meta.flags ^= 2;
  record.meta.width += 1;
  record.sections.pop_back();
  EXPECT_EQ(digest(record), original);
  record = sample();
  record.meta.label = 1;
  EXPECT_NE(digest(record), original);
  record = sample();
  record.meta.name += "x";
  EXPECT_NE(digest(record), original);
  record = sample();
  record.sections[0].bytes[0] ^= std::byte{1};
  EXPECT_NE(digest(record), original);
}

TEST(Checksum, InPiecesIsThatOfTheWhole) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text.push_back(static_cast<char>(i * 7));
  ChecksumStream stream;
  for (size_t at = 0; at < text.size(); at += 611) stream.update(as_bytes(std::string_view(text).substr(at, 611)));
  EXPECT_EQ(stream.digest(), checksum(text));
  EXPECT_EQ(to_hex(checksum(std::string_view())), "2d06800538d394c2");  // XXH3-64 of nothing.
}

TEST(Hex, ParsesWhatItWritesAndNothingElse) {
  EXPECT_EQ(parse_hex(to_hex(0x0123456789abcdef)), 0x0123456789abcdefu);
  for (const char* bad : {"", "0", "0123456789ABCDEF", "0123456789abcdefa", "g123456789abcdef", " 123456789abcdef"})
    EXPECT_FALSE(parse_hex(bad)) << bad;
}

}  // namespace
}  // namespace imgpack
