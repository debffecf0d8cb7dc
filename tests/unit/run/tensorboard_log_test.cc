#include "engine/train/run/tensorboard_log.h"

#include <gtest/gtest.h>

#include "tests/support/memory_file_system.h"

namespace imgtrain {
namespace {

using imgpack::test::MemoryFileSystem;

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return out;
}

// The check value of CRC-32C is that of RFC 3720 B.4 and every catalogue of CRCs; the mask is undone by hand.
TEST(TensorBoardLog, ChecksumIsCastagnolis) {
  const uint32_t masked = masked_crc32c("123456789");
  const uint32_t rotated = masked - 0xa282ead8u;
  EXPECT_EQ((rotated >> 17) | (rotated << 15), 0xe3069283u);
}

// Written by TensorFlow's own protobuf classes for the same event.
TEST(TensorBoardLog, ScalarEventHasTheBytesOfTheProtobuf) {
  EXPECT_EQ(hex(scalar_event(1.5, 300, "a/b", 0.5f)), "09000000000000f83f10ac022a0c0a0a0a03612f62150000003f");
  EXPECT_EQ(hex(version_event(1.5)), "09000000000000f83f1a0d627261696e2e4576656e743a32");
  EXPECT_EQ(hex(start_event(1.5, 1)), "09000000000000f83f10013a020801");
}

TEST(TensorBoardLog, FileBeginsWithVersionAndStartAndGrowsAtFlush) {
  MemoryFileSystem fs;
  TensorBoardLog log(fs, "/tb", 1700000000, 12);
  const auto files = fs.list("/tb");
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].name.rfind("events.out.tfevents.1700000000.", 0), 0u) << files[0].name;
  const std::filesystem::path path = std::filesystem::path("/tb") / files[0].name;
  const std::string head = tfrecord(version_event(1700000000)) + tfrecord(start_event(1700000000, 12));
  EXPECT_EQ(hex(fs.bytes(path)), hex(head));
  log.scalar(1700000001, 13, "train/loss", 2);
  EXPECT_EQ(fs.bytes(path).size(), head.size());
  log.flush();
  EXPECT_EQ(hex(fs.bytes(path)), hex(head + tfrecord(scalar_event(1700000001, 13, "train/loss", 2))));
}

}  // namespace
}  // namespace imgtrain
