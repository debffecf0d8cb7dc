// The head of a record on disk: everything but the bytes of its sections. A lost index is rebuilt from these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/record.h"

namespace imgpack {

struct SectionEntry {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint32_t bytes = 0;
  uint64_t checksum = 0;
};

struct RecordHeader {
  uint32_t record_bytes = 0;
  uint32_t header_bytes = 0;
  RecordMeta meta;
  std::vector<SectionEntry> sections;

  uint32_t section_bytes(SectionType type) const;  // Of the first such section, 0 if there is none.
};

// The head of a record of these sections, its checksum included. Throws Error(kInvalidInput) above the limits.
std::vector<std::byte> encode_record_header(const RecordMeta& meta, const std::vector<SectionView>& sections);

// The length of the head that starts at `bytes`, as its fixed part claims; nullopt with `*why` where that is no
// record's. REQUIRES: nothing; too few bytes are a reason too.
std::optional<uint32_t> record_header_bytes(std::span<const std::byte> bytes, std::string* why);

// Checks everything the head says of itself: magic, lengths, checksum, name. Sections are not looked at, so that their
// bytes may be absent. nullopt: damaged, and `*why` has expected and found.
std::optional<RecordHeader> decode_record_header(std::span<const std::byte> bytes, std::string* why);

}  // namespace imgpack
