// Verification and salvage of a dataset with one bit flipped, for every bit of every file.
#include <gtest/gtest.h>

#include "format/label_set.h"
#include "format/shard_reader.h"
#include "format/shard_salvage.h"
#include "format/verify.h"
#include "tests/support/damage.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

const std::filesystem::path kFolder = "tiny.shards";

class EveryBit : public ::testing::Test {
 protected:
  EveryBit() {
    Manifest manifest = test::write_dataset(fs_, kFolder, {{"train", test::make_records("train", 3), 1, true}});
    const SplitView view = Dataset::open(fs_, kFolder).split("train");
    manifest.label_sets = {
        publish_label_set(fs_, kFolder, {"real", "train", 3, ids_checksum(view.columns.id), {{0}, {1, 2}, {}}})};
    publish_manifest(fs_, kFolder, manifest);
  }
  test::MemoryFileSystem fs_;
};

TEST_F(EveryBit, OfADatasetIsFoundByVerify) {
  VerifyOptions options;
  options.level = VerifyLevel::kChecksums;
  options.threads = 1;
  ASSERT_TRUE(verify_dataset(fs_, kFolder, options).ok());
  for (const auto& [file, bytes] : fs_.all_files()) {
    // Every byte, and of each one bit in turn: all bits of a byte lie under the same checksum, and the readers' own
    // tests flip every one of them.
    for (uint64_t byte = 0; byte < bytes.size(); ++byte) {
      test::flip_bit(fs_, file, byte, byte % 8);
      const VerifyReport report = verify_dataset(fs_, kFolder, options);
      ASSERT_FALSE(report.ok()) << file << " byte " << byte;
      test::flip_bit(fs_, file, byte, byte % 8);
    }
  }
}

TEST_F(EveryBit, OfAShardCostsSalvageAtMostOneRecord) {
  const std::filesystem::path path = kFolder / "train-00000.ipk";
  const ShardReader whole(fs_, path);
  const ShardHeader expected = whole.header();
  const std::string bytes = fs_.bytes(path);
  for (uint64_t byte = 0; byte < bytes.size(); ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      test::flip_bit(fs_, path, byte, bit);
      const SalvagedShard salvaged = salvage_shard(*fs_.open(path), expected);
      ASSERT_GE(salvaged.columns.size(), 2u) << "byte " << byte << " bit " << bit;
      for (size_t i = 0; i < salvaged.columns.size(); ++i) {
        // What is found is genuine: a record of the shard, at its place.
        const auto& names = whole.columns().names;
        const auto at = std::find(names.begin(), names.end(), salvaged.columns.names[i]);
        ASSERT_NE(at, names.end());
        const auto k = static_cast<size_t>(at - names.begin());
        ASSERT_EQ(salvaged.offsets[i], whole.offsets()[k]);
        ASSERT_EQ(salvaged.columns.record_bytes[i], whole.columns().record_bytes[k]);
        ASSERT_EQ(salvaged.columns.label[i], whole.columns().label[k]);
      }
      ASSERT_EQ(salvaged.columns.size() == 3, salvaged.gaps.empty() || byte >= whole.index_offset());
      test::flip_bit(fs_, path, byte, bit);
    }
  }
}

TEST_F(EveryBit, TruncationOfAShardLeavesTheRecordsBeforeIt) {
  const std::filesystem::path path = kFolder / "train-00000.ipk";
  const ShardReader whole(fs_, path);
  const std::string bytes = fs_.bytes(path);
  for (uint64_t length = 0; length <= bytes.size(); ++length) {
    fs_.set_bytes(path, bytes.substr(0, length));
    const SalvagedShard salvaged = salvage_shard(*fs_.open(path), whole.header());
    uint64_t before = 0;
    while (before < whole.records() && whole.offsets()[before + 1] <= length) ++before;
    ASSERT_EQ(salvaged.columns.size(), before) << "length " << length;
  }
}

}  // namespace
}  // namespace imgpack
