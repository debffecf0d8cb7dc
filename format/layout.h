// Every number of format version 1 that lies on disk: magics, field offsets and widths, limits. Each is persisted:
// none may change within a major version. docs/shard-format.md is the specification; schemas/shard_layout.json holds
// the same numbers for other languages, and a test compares the two.
//
//   shard          header | record | record | … | index block | footer
//   record         fixed part | section table | name | checksum | section bytes …
//   index block    fixed part | frame table | checksum | frame bytes …
//   dataset index  fixed part | split table | shard table | frame table | checksum | frame bytes …
#pragma once

#include <cstdint>

namespace imgpack::layout {

// An unsigned little-endian integer (or a byte string, where `bytes` > 8) at a fixed place of a structure.
struct Field {
  const char* name;
  uint32_t offset;
  uint32_t bytes;
};

inline constexpr uint16_t kMajor = 1;
inline constexpr uint16_t kMinor = 0;

// The first byte is no text; CR LF and ^Z show damage by text-mode copies, as in PNG.
inline constexpr uint64_t kShardMagic = 0x0a1a0a0d4b504989;    // 89 "IPK" 0D 0A 1A 0A
inline constexpr uint64_t kDatasetMagic = 0x0a1a0a0d58504989;  // 89 "IPX" 0D 0A 1A 0A
inline constexpr uint64_t kFooterMagic = 0x0a444e454b5049ff;   // FF "IPKEND" 0A
inline constexpr uint32_t kRecordMagic = 0x434552ab;           // AB "REC"
inline constexpr uint32_t kIndexMagic = 0x584449ab;            // AB "IDX"

// Limits, each checked before anything is allocated.
inline constexpr uint32_t kMaxFileHeaderBytes = 4096;  // Of a shard.
inline constexpr uint32_t kMaxRecordBytes = 1u << 28;  // 256 MiB, header included.
inline constexpr uint32_t kMaxRecordHeaderBytes = 4096;
inline constexpr uint32_t kMaxSections = 16;     // Of a record.
inline constexpr uint32_t kMaxNameBytes = 1023;  // Of a record.
inline constexpr uint32_t kMaxSplitNameBytes = 31;
inline constexpr uint32_t kMaxSplits = 64;
inline constexpr uint32_t kMaxShards = 1u << 20;               // Of a split.
inline constexpr uint32_t kMaxFrames = 1024;                   // Of an index block or dataset index.
inline constexpr uint64_t kMaxIndexBytes = 1ull << 32;         // Of an index block, a dataset index or one frame.
inline constexpr uint64_t kMaxExpandedNameBytes = 1ull << 32;  // Of all names of an index together.
inline constexpr uint32_t kMaxNameNumberDigits = 9;            // Of the number within a name.
inline constexpr uint64_t kMaxManifestBytes = 1ull << 28;
inline constexpr uint64_t kMaxLabelSetBytes = 1ull << 28;

// The first 16 bytes of a shard and of a dataset index mean the same in every version, and so does this: the last
// 8 of `header_bytes` are the XXH3-64 of those before them. So a newer version is told from a damaged file.
namespace frozen_prefix {
inline constexpr Field kMagic{"magic", 0, 8};
inline constexpr Field kMajor{"major", 8, 2};
inline constexpr Field kMinor{"minor", 10, 2};
inline constexpr Field kHeaderBytes{"header_bytes", 12, 4};
inline constexpr Field kFields[] = {kMagic, kMajor, kMinor, kHeaderBytes};
inline constexpr uint32_t kBytes = 16;
}  // namespace frozen_prefix

namespace shard_header {
inline constexpr Field kMagic{"magic", 0, 8};
inline constexpr Field kMajor{"major", 8, 2};
inline constexpr Field kMinor{"minor", 10, 2};
inline constexpr Field kHeaderBytes{"header_bytes", 12, 4};
inline constexpr Field kRequired{"required_flags", 16, 4};
inline constexpr Field kOptional{"optional_flags", 20, 4};
inline constexpr Field kPlanId{"plan_id", 24, 8};
inline constexpr Field kSeed{"seed", 32, 8};
inline constexpr Field kNumber{"number", 40, 4};
inline constexpr Field kShardCount{"shard_count", 44, 4};
inline constexpr Field kSplitBytes{"split_bytes", 48, 1};
inline constexpr Field kSplit{"split", 49, 31};
inline constexpr Field kReserved{"reserved", 80, 40};
inline constexpr Field kChecksum{"checksum", 120, 8};
inline constexpr Field kFields[] = {kMagic, kMajor,  kMinor,      kHeaderBytes, kRequired, kOptional, kPlanId,
                                    kSeed,  kNumber, kShardCount, kSplitBytes,  kSplit,    kReserved, kChecksum};
inline constexpr uint32_t kBytes = 128;
inline constexpr uint32_t kKnownRequiredFlags = 0;
}  // namespace shard_header

namespace record_header {
inline constexpr Field kMagic{"magic", 0, 4};
inline constexpr Field kRecordBytes{"record_bytes", 4, 4};
inline constexpr Field kHeaderBytes{"header_bytes", 8, 4};
inline constexpr Field kNameBytes{"name_bytes", 12, 2};
inline constexpr Field kSectionCount{"section_count", 14, 2};
inline constexpr Field kId{"id", 16, 8};
inline constexpr Field kLabel{"label", 24, 4};  // Two's complement.
inline constexpr Field kWidth{"width", 28, 4};
inline constexpr Field kHeight{"height", 32, 4};
inline constexpr Field kFlags{"flags", 36, 4};
inline constexpr Field kFields[] = {kMagic, kRecordBytes, kHeaderBytes, kNameBytes, kSectionCount,
                                    kId,    kLabel,       kWidth,       kHeight,    kFlags};
inline constexpr uint32_t kFixedBytes = 40;
inline constexpr uint32_t kChecksumBytes = 8;
}  // namespace record_header

// One entry of a record's section table.
namespace section_entry {
inline constexpr Field kType{"type", 0, 2};
inline constexpr Field kFlags{"flags", 2, 2};
inline constexpr Field kSectionBytes{"bytes", 4, 4};
inline constexpr Field kChecksum{"checksum", 8, 8};
inline constexpr Field kFields[] = {kType, kFlags, kSectionBytes, kChecksum};
inline constexpr uint32_t kBytes = 16;
inline constexpr uint16_t kMustUnderstand = 1;  // Other bits may be ignored.
}  // namespace section_entry

// The smallest record: no section, a name of one byte. Bounds the record count by the file's size.
inline constexpr uint32_t kMinRecordBytes = record_header::kFixedBytes + 1 + record_header::kChecksumBytes;

namespace index_header {
inline constexpr Field kMagic{"magic", 0, 4};
inline constexpr Field kHeadBytes{"head_bytes", 4, 4};
inline constexpr Field kRecords{"records", 8, 8};
inline constexpr Field kFrameCount{"frame_count", 16, 4};
inline constexpr Field kReserved{"reserved", 20, 4};
inline constexpr Field kFields[] = {kMagic, kHeadBytes, kRecords, kFrameCount, kReserved};
inline constexpr uint32_t kFixedBytes = 24;
}  // namespace index_header

// One entry of a frame table, in an index block and in the dataset index. Frames lie in table order without gaps.
namespace frame_entry {
inline constexpr Field kGroup{"group", 0, 2};
inline constexpr Field kCodec{"codec", 2, 2};
inline constexpr Field kFlags{"flags", 4, 2};
inline constexpr Field kSplit{"split", 6, 2};  // Position in the split table; 0 in a shard.
inline constexpr Field kStoredBytes{"stored_bytes", 8, 8};
inline constexpr Field kRawBytes{"raw_bytes", 16, 8};
inline constexpr Field kChecksum{"checksum", 24, 8};  // Of the stored bytes.
inline constexpr Field kFields[] = {kGroup, kCodec, kFlags, kSplit, kStoredBytes, kRawBytes, kChecksum};
inline constexpr uint32_t kBytes = 32;
inline constexpr uint16_t kMustUnderstand = 1;  // Other bits may be ignored.
}  // namespace frame_entry

enum FrameGroup : uint16_t {
  kGroupIds = 1,    // u64 x records, stored raw: they are hashes, and their size bounds the record count.
  kGroupPlan = 2,   // Seven u32 columns as byte planes.
  kGroupNames = 3,  // Dictionary, number and code of each name.
};

enum FrameCodec : uint16_t {
  kCodecRaw = 0,
  kCodecZstd = 1,  // One zstd frame that states its content size.
};

inline constexpr uint32_t kPlanColumns = 7;  // image, entropy and other bytes, label, width, height, flags.

// Head of the names group, before its planes.
namespace names_header {
inline constexpr Field kEntryCount{"entry_count", 0, 4};
inline constexpr Field kDefaultCount{"default_count", 4, 4};
inline constexpr Field kTextBytes{"text_bytes", 8, 8};
inline constexpr Field kFields[] = {kEntryCount, kDefaultCount, kTextBytes};
inline constexpr uint32_t kBytes = 16;
inline constexpr uint16_t kLiteral = 0xffff;  // As digits: the name is the entry's text alone.
}  // namespace names_header

namespace shard_footer {
inline constexpr Field kIndexOffset{"index_offset", 0, 8};
inline constexpr Field kIndexBytes{"index_bytes", 8, 8};
inline constexpr Field kRecords{"records", 16, 8};
inline constexpr Field kContent{"content", 24, 8};  // Sum modulo 2^64 of the records' content digests.
inline constexpr Field kPlanId{"plan_id", 32, 8};
inline constexpr Field kNumber{"number", 40, 4};
inline constexpr Field kShardCount{"shard_count", 44, 4};
inline constexpr Field kChecksum{"checksum", 48, 8};
inline constexpr Field kMagic{"magic", 56, 8};
inline constexpr Field kFields[] = {kIndexOffset, kIndexBytes, kRecords,  kContent, kPlanId,
                                    kNumber,      kShardCount, kChecksum, kMagic};
inline constexpr uint32_t kBytes = 64;
}  // namespace shard_footer

namespace dataset_header {
inline constexpr Field kMagic{"magic", 0, 8};
inline constexpr Field kMajor{"major", 8, 2};
inline constexpr Field kMinor{"minor", 10, 2};
inline constexpr Field kHeaderBytes{"header_bytes", 12, 4};  // Tables and checksum included.
inline constexpr Field kRequired{"required_flags", 16, 4};
inline constexpr Field kOptional{"optional_flags", 20, 4};
inline constexpr Field kSplitCount{"split_count", 24, 4};
inline constexpr Field kFrameCount{"frame_count", 28, 4};
inline constexpr Field kReserved{"reserved", 32, 32};
inline constexpr Field kFields[] = {kMagic,    kMajor,      kMinor,      kHeaderBytes, kRequired,
                                    kOptional, kSplitCount, kFrameCount, kReserved};
inline constexpr uint32_t kFixedBytes = 64;
inline constexpr uint32_t kKnownRequiredFlags = 0;
}  // namespace dataset_header

// One entry of the dataset index's split table. The shard table behind it has one u32 record count per shard.
namespace split_entry {
inline constexpr Field kNameBytes{"name_bytes", 0, 1};
inline constexpr Field kName{"name", 1, 31};
inline constexpr Field kRecords{"records", 32, 8};
inline constexpr Field kShardCount{"shard_count", 40, 4};
inline constexpr Field kReserved{"reserved", 44, 4};
inline constexpr Field kFields[] = {kNameBytes, kName, kRecords, kShardCount, kReserved};
inline constexpr uint32_t kBytes = 48;
}  // namespace split_entry

}  // namespace imgpack::layout
