#include "format/record_header.h"

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"

namespace imgpack {
namespace {

namespace field = layout::record_header;

std::nullopt_t because(std::string* why, std::string reason) {
  *why = std::move(reason);
  return std::nullopt;
}

std::string expected_found(const char* what, uint64_t expected, uint64_t found) {
  return std::string(what) + ": expected " + std::to_string(expected) + ", found " + std::to_string(found);
}

[[noreturn]] void reject(const RecordMeta& meta, const std::string& what) {
  throw Error(ErrorKind::kInvalidInput, "cannot pack '" + meta.name + "': " + what);
}

}  // namespace

uint32_t RecordHeader::section_bytes(SectionType type) const {
  for (const SectionEntry& section : sections)
    if (section.type == static_cast<uint32_t>(type)) return section.bytes;
  return 0;
}

std::vector<std::byte> encode_record_header(const RecordMeta& meta, const std::vector<SectionView>& sections) {
  if (!is_canonical_name(meta.name))
    reject(meta, std::string("its name is not canonical: expected ") + kCanonicalNameRule);
  if (meta.label < kNoLabel) reject(meta, "its label is " + std::to_string(meta.label) + ": expected -1 or more");
  if (sections.size() > layout::kMaxSections)
    reject(meta, expected_found("too many sections", layout::kMaxSections, sections.size()));

  const size_t header_bytes =
      field::kFixedBytes + sections.size() * layout::section_entry::kBytes + meta.name.size() + field::kChecksumBytes;
  uint64_t record_bytes = header_bytes;
  for (const SectionView& section : sections) record_bytes += section.bytes.size();
  if (record_bytes > layout::kMaxRecordBytes)
    reject(meta, "it is too large for a record: expected at most " + std::to_string(layout::kMaxRecordBytes) +
                     " bytes, found " + std::to_string(record_bytes));

  std::vector<std::byte> bytes(header_bytes);
  const std::span<std::byte> head(bytes);
  store(head, field::kMagic, layout::kRecordMagic);
  store(head, field::kRecordBytes, record_bytes);
  store(head, field::kHeaderBytes, header_bytes);
  store(head, field::kNameBytes, meta.name.size());
  store(head, field::kSectionCount, sections.size());
  store(head, field::kId, meta.id);
  store(head, field::kLabel, static_cast<uint32_t>(meta.label));
  store(head, field::kWidth, meta.width);
  store(head, field::kHeight, meta.height);
  store(head, field::kFlags, meta.flags);
  std::span<std::byte> rest = head.subspan(field::kFixedBytes);
  for (const SectionView& section : sections) {
    store(rest, layout::section_entry::kType, static_cast<uint32_t>(section.type));
    store(rest, layout::section_entry::kFlags, section.must_understand ? layout::section_entry::kMustUnderstand : 0);
    store(rest, layout::section_entry::kSectionBytes, section.bytes.size());
    store(rest, layout::section_entry::kChecksum, section.checksum);
    rest = rest.subspan(layout::section_entry::kBytes);
  }
  std::memcpy(rest.data(), meta.name.data(), meta.name.size());
  store_u64(rest.data() + meta.name.size(), checksum(head.first(header_bytes - field::kChecksumBytes)));
  return bytes;
}

std::optional<uint32_t> record_header_bytes(std::span<const std::byte> bytes, std::string* why) {
  if (bytes.size() < field::kFixedBytes)
    return because(why, expected_found("record header is cut short", field::kFixedBytes, bytes.size()));
  const uint64_t magic = load(bytes, field::kMagic);
  if (magic != layout::kRecordMagic)
    return because(why, "record magic mismatch: expected " + to_hex(layout::kRecordMagic).substr(8) + ", found " +
                            to_hex(magic).substr(8));
  const uint64_t record_bytes = load(bytes, field::kRecordBytes);
  const uint64_t header_bytes = load(bytes, field::kHeaderBytes);
  const uint64_t name_bytes = load(bytes, field::kNameBytes);
  const uint64_t section_count = load(bytes, field::kSectionCount);
  if (section_count > layout::kMaxSections)
    return because(why, expected_found("too many sections", layout::kMaxSections, section_count));
  const uint64_t least =
      field::kFixedBytes + section_count * layout::section_entry::kBytes + name_bytes + field::kChecksumBytes;
  if (header_bytes < least || header_bytes > layout::kMaxRecordHeaderBytes)
    return because(why, expected_found("record header length out of range", least, header_bytes));
  if (record_bytes < header_bytes || record_bytes > layout::kMaxRecordBytes)
    return because(why, expected_found("record length out of range", header_bytes, record_bytes));
  return static_cast<uint32_t>(header_bytes);
}

std::optional<RecordHeader> decode_record_header(std::span<const std::byte> bytes, std::string* why) {
  const std::optional<uint32_t> header_bytes = record_header_bytes(bytes, why);
  if (!header_bytes) return std::nullopt;
  if (bytes.size() < *header_bytes)
    return because(why, expected_found("record header is cut short", *header_bytes, bytes.size()));
  const std::span<const std::byte> head = bytes.first(*header_bytes);
  const uint64_t stored = load_u64(head.data() + head.size() - field::kChecksumBytes);
  const uint64_t computed = checksum(head.first(head.size() - field::kChecksumBytes));
  if (!same_checksum(stored, computed))
    return because(why, "record header checksum mismatch: expected " + to_hex(stored) + ", found " + to_hex(computed));

  RecordHeader header;
  header.header_bytes = *header_bytes;
  header.record_bytes = static_cast<uint32_t>(load(head, field::kRecordBytes));
  header.meta.id = load(head, field::kId);
  header.meta.label = static_cast<int32_t>(load(head, field::kLabel));
  header.meta.width = static_cast<uint32_t>(load(head, field::kWidth));
  header.meta.height = static_cast<uint32_t>(load(head, field::kHeight));
  header.meta.flags = static_cast<uint32_t>(load(head, field::kFlags));
  if (header.meta.label < kNoLabel)
    return because(why, "label out of range: expected -1 or more, found " + std::to_string(header.meta.label));

  const size_t section_count = load(head, field::kSectionCount);
  uint64_t total = *header_bytes;
  for (size_t i = 0; i < section_count; ++i) {
    const auto entry = head.subspan(field::kFixedBytes + i * layout::section_entry::kBytes);
    SectionEntry section;
    section.type = static_cast<uint16_t>(load(entry, layout::section_entry::kType));
    section.flags = static_cast<uint16_t>(load(entry, layout::section_entry::kFlags));
    section.bytes = static_cast<uint32_t>(load(entry, layout::section_entry::kSectionBytes));
    section.checksum = load(entry, layout::section_entry::kChecksum);
    total += section.bytes;
    header.sections.push_back(section);
  }
  if (total != header.record_bytes)
    return because(why, expected_found("section lengths do not fill the record", header.record_bytes, total));
  header.meta.name = as_text(
      head.subspan(field::kFixedBytes + section_count * layout::section_entry::kBytes, load(head, field::kNameBytes)));
  if (!is_canonical_name(header.meta.name))
    return because(why, std::string("record name is not canonical: expected ") + kCanonicalNameRule);
  return header;
}

}  // namespace imgpack
