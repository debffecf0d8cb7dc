// Files of released versions read back for ever, and today's writer writes the same.
#include <gtest/gtest.h>

#include "format/bytes.h"
#include "format/index_codec.h"
#include "format/label_set.h"
#include "format/shard_reader.h"
#include "format/verify.h"
#include "format/zstd_frame.h"
#include "tests/golden/golden_dataset.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"

namespace imgpack {
namespace {

using test::golden_folder;
using test::MemoryFileSystem;

TEST(Golden, RecordsReadBackAsTheyWereWritten) {
  const Dataset dataset = Dataset::open(posix_file_system(), golden_folder(), ReadNames::kYes);
  EXPECT_EQ(dataset.manifest().dataset_id, test::kGoldenId);
  for (test::SplitRecords& split : test::golden_splits()) {
    test::sort_by_key(split.records, 2012, split.split);
    size_t next = 0;
    for (uint32_t s = 0; s < split.shard_count; ++s) {
      const ShardReader reader(posix_file_system(), dataset.shard_path(split.split, s));
      std::vector<std::byte> buffer;
      for (uint64_t i = 0; i < reader.records(); ++i, ++next) {
        ASSERT_LT(next, split.records.size());
        EXPECT_TRUE(test::same_record(reader.read(i, buffer), split.records[next])) << split.records[next].meta.name;
        EXPECT_EQ(dataset.split(split.split).columns.names[next], split.records[next].meta.name);
      }
    }
    EXPECT_EQ(next, split.records.size());
  }
}

TEST(Golden, ManifestAndLabelSetReadBack) {
  const Manifest manifest = read_manifest(posix_file_system(), golden_folder());
  EXPECT_EQ(manifest.seed, 2012u);
  ASSERT_EQ(manifest.classes.size(), 3u);
  EXPECT_EQ(manifest.classes[1].wnid, "n01443537");
  ASSERT_EQ(manifest.skipped.size(), 2u);
  EXPECT_EQ(manifest.skipped[0].digest, "00000000deadbeef");
  ASSERT_EQ(manifest.label_sets.size(), 1u);
  const LabelSet set = read_label_set(posix_file_system(), golden_folder(), manifest.label_sets[0]);
  EXPECT_EQ(set.labels, (std::vector<std::vector<int32_t>>{{0}, {}, {1, 2}, {0, 1, 2}}));
}

TEST(Golden, VerifiesWithoutDamage) {
  VerifyOptions options;
  options.level = VerifyLevel::kChecksums;
  const VerifyReport report = verify_dataset(posix_file_system(), golden_folder(), options);
  EXPECT_TRUE(report.ok()) << to_json(report);
}

// What a file says, with zstd frames replaced by what they hold: zstd promises equal output only within one version.
std::string without_zstd(std::span<const std::byte> bytes, size_t frame_table, size_t frame_count, size_t frames_at) {
  std::string out;
  size_t at = frames_at;
  for (size_t f = 0; f < frame_count; ++f) {
    const FrameEntry entry =
        load_frame_entry(bytes.subspan(frame_table + f * layout::frame_entry::kBytes, layout::frame_entry::kBytes));
    const auto frame = bytes.subspan(at, entry.stored_bytes);
    const std::string raw(as_text(entry.codec == layout::kCodecZstd
                                      ? std::span<const std::byte>(zstd_decompress(frame, entry.raw_bytes, "", at))
                                      : frame));
    out += std::to_string(entry.group) + " " + std::to_string(entry.codec) + " " + std::to_string(entry.flags) + " " +
           std::to_string(entry.split) + " " + std::to_string(entry.raw_bytes) + " " + raw;
    at += entry.stored_bytes;
  }
  return out;
}

std::string shard_without_zstd(const std::string& file) {
  const auto bytes = as_bytes(file);
  const uint64_t index = load(bytes.last(layout::shard_footer::kBytes), layout::shard_footer::kIndexOffset);
  const auto block = bytes.subspan(index, bytes.size() - layout::shard_footer::kBytes - index);
  // Of the footer, index_bytes and the checksum depend on zstd; of the index head its frame table, which is compared
  // field by field, and its checksum.
  const auto footer = bytes.last(layout::shard_footer::kBytes);
  return file.substr(0, index) + std::string(as_text(block.first(layout::index_header::kFixedBytes))) +
         without_zstd(block, layout::index_header::kFixedBytes, load(block, layout::index_header::kFrameCount),
                      load(block, layout::index_header::kHeadBytes)) +
         std::string(as_text(footer.subspan(0, 8))) + std::string(as_text(footer.subspan(16, 32))) +
         std::string(as_text(footer.last(8)));
}

std::string index_without_zstd(const std::string& file) {
  const auto bytes = as_bytes(file);
  const uint64_t header_bytes = load(bytes, layout::dataset_header::kHeaderBytes);
  const uint64_t frames = load(bytes, layout::dataset_header::kFrameCount);
  const uint64_t frame_table = header_bytes - 8 - frames * layout::frame_entry::kBytes;
  return file.substr(0, frame_table) + without_zstd(bytes, frame_table, frames, header_bytes);
}

TEST(Golden, TodaysWriterWritesTheSameOutsideZstdFrames) {
  MemoryFileSystem fs;
  test::write_golden_dataset(fs, "tiny.shards");
  size_t compared = 0;
  for (const DirectoryEntry& entry : posix_file_system().list(golden_folder())) {
    const std::string stored = read_text(posix_file_system(), golden_folder() / entry.name, 1 << 20);
    const std::string fresh = fs.bytes(std::filesystem::path("tiny.shards") / entry.name);
    if (entry.name.ends_with(".ipk")) {
      EXPECT_EQ(shard_without_zstd(stored), shard_without_zstd(fresh)) << entry.name;
    } else if (entry.name.ends_with(".ipx")) {
      EXPECT_EQ(index_without_zstd(stored), index_without_zstd(fresh)) << entry.name;
    } else if (entry.name != kManifestFile) {  // Digests in the manifest depend on zstd; its id does not.
      EXPECT_EQ(stored, fresh) << entry.name;
    }
    ++compared;
  }
  EXPECT_EQ(compared, fs.list("tiny.shards").size());
  EXPECT_EQ(read_manifest(fs, "tiny.shards").dataset_id, test::kGoldenId);
}

TEST(Golden, UpdateRefusesAReleasedVersion) {
  MemoryFileSystem fs;
  test::update_golden(fs, "v9");
  EXPECT_TRUE(fs.exists(std::filesystem::path("v9/tiny.shards") / kManifestFile));
  fs.set_bytes("v9/RELEASED", "");
  const auto before = fs.all_files();
  EXPECT_ERROR(test::update_golden(fs, "v9"), ErrorKind::kInvalidInput, "this version is released");
  EXPECT_EQ(fs.all_files(), before);
}

}  // namespace
}  // namespace imgpack
