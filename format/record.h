// A record: what a shard holds for one image, as values in memory.
//
//   Record (owned, for writing)  --encode_record-->  bytes  --parse_record-->  RecordView (points into the bytes)
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace imgpack {

inline constexpr int32_t kNoLabel = -1;  // A test image.

enum class SectionType : uint32_t {
  kImage = 1,         // A JPEG stream, decodable as it stands.
  kEntropyIndex = 2,  // Entry points into the Huffman stream of section 1 (format/jpeg/entropy_index.h).
};

// Facts about the image that a reader can plan by without touching the record. Persisted: never renumber.
enum RecordFlag : uint32_t {
  kRecordGray = 1u << 0,           // One component.
  kRecordProgressive = 1u << 1,    // Not baseline: the reference decoder takes it.
  kRecordConverted = 1u << 2,      // Was CMYK, YCCK, PNG, WebP or BMP in the source.
  kRecordResized = 1u << 3,        // Pixels were resampled at pack time.
  kRecordReencoded = 1u << 4,      // The JPEG stream is not the source's own.
  kRecordTranscoded = 1u << 5,     // Losslessly transformed: same coefficients, other bytes.
  kRecordExifOriented = 1u << 6,   // EXIF asks for a rotation (which training ignores, as torchvision does).
  kRecordReferenceOnly = 1u << 7,  // The fast decoder does not cover this stream.
};

struct RecordMeta {
  uint64_t id = 0;           // sample_id(split, name): the key of all randomness of this sample.
  int32_t label = kNoLabel;  // Position in the dataset's class list, or kNoLabel.
  uint32_t width = 0;        // Pixels, of the stored image as decoded (orientation not applied).
  uint32_t height = 0;
  uint32_t flags = 0;  // RecordFlag bits.
  std::string name;    // Canonical: `n01440764/n01440764_10026.JPEG`, `ILSVRC2012_val_00000001.JPEG`.
};

struct Section {
  SectionType type = SectionType::kImage;
  bool must_understand = false;  // A reader that does not know the type must refuse the record.
  std::vector<std::byte> bytes;
};

struct Record {
  RecordMeta meta;
  std::vector<Section> sections;
};

struct SectionView {
  SectionType type = SectionType::kImage;
  bool must_understand = false;
  uint64_t checksum = 0;  // XXH3-64 of the bytes.
  std::span<const std::byte> bytes;
};

// Valid as long as the bytes it was parsed from.
struct RecordView {
  RecordMeta meta;
  std::vector<SectionView> sections;

  const SectionView* find_section(SectionType type) const;  // nullptr if the record has no such section.
  std::span<const std::byte> find(SectionType type) const;  // Empty if the record has no such section.
  std::span<const std::byte> image() const { return find(SectionType::kImage); }
  std::span<const std::byte> entropy_index() const { return find(SectionType::kEntropyIndex); }
};

// Unkeyed 64-bit hash of split and canonical name: the same in every pack of the same images.
uint64_t sample_id(std::string_view split, std::string_view name);

// Where a record lies in its split: records are in ascending order of this keyed hash (ties by name), and a shard is
// a range of it. Depends on names and seed alone. A function of the sample id, so that a reader that has no names can
// check the order too.
uint64_t order_key(uint64_t seed, std::string_view split, std::string_view name);
uint64_t order_key(uint64_t seed, uint64_t sample_id);

// Which of `shard_count` equal ranges of the key space `key` falls into: floor(key * shard_count / 2^64).
uint32_t shard_of_key(uint64_t key, uint32_t shard_count);

// Whether `name` may be a record's: UTF-8 of 1 to 1,023 bytes, a relative path of plain components ('/' between them,
// none empty, `.` or `..`), no control characters. So a name read from a shard is safe to extract under.
bool is_canonical_name(std::string_view name);
inline constexpr const char* kCanonicalNameRule =
    "UTF-8, 1 to 1023 bytes, relative, no empty, '.' or '..' component, no control characters";

// What the dataset id knows of a record: its name, label and image bytes. Added up modulo 2^64 over a shard or split;
// nothing derived (entropy index, flags) and nothing physical (shard borders) has a say in it.
uint64_t content_digest(const RecordView& record);

// Throws Error(kInvalidInput) for a record above the format's limits.
std::vector<std::byte> encode_record(const Record& record);

// Checks the header's and every section's checksum and bounds. `path` and `offset` name the place in errors.
// Throws Error(kCorruption), or Error(kUnsupportedVersion) for an unknown section that must be understood.
RecordView parse_record(std::span<const std::byte> bytes, const std::filesystem::path& path, uint64_t offset);

}  // namespace imgpack
