#include "format/record.h"

#include <array>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"
#include "format/record_header.h"

namespace imgpack {
namespace {

bool known_section(uint16_t type) {
  return type == static_cast<uint16_t>(SectionType::kImage) ||
         type == static_cast<uint16_t>(SectionType::kEntropyIndex);
}

}  // namespace

const SectionView* RecordView::find_section(SectionType type) const {
  for (const SectionView& section : sections)
    if (section.type == type) return &section;
  return nullptr;
}

std::span<const std::byte> RecordView::find(SectionType type) const {
  const SectionView* section = find_section(type);
  return section == nullptr ? std::span<const std::byte>{} : section->bytes;
}

uint64_t content_digest(const RecordView& record) {
  // name length u32 | name | label i32 | image bytes u64 | image checksum u64
  const SectionView* image = record.find_section(SectionType::kImage);
  std::array<std::byte, 4 + layout::kMaxNameBytes + 4 + 8 + 8> bytes;
  size_t at = 0;
  const auto put = [&](const void* value, size_t size) {
    std::memcpy(bytes.data() + at, value, size);
    at += size;
  };
  const auto name_bytes = static_cast<uint32_t>(std::min<size_t>(record.meta.name.size(), layout::kMaxNameBytes));
  const uint64_t image_bytes = image == nullptr ? 0 : image->bytes.size();
  const uint64_t image_checksum = image == nullptr ? 0 : image->checksum;
  put(&name_bytes, 4);
  put(record.meta.name.data(), name_bytes);
  put(&record.meta.label, 4);
  put(&image_bytes, 8);
  put(&image_checksum, 8);
  return checksum(std::span<const std::byte>(bytes.data(), at));
}

std::vector<std::byte> encode_record(const Record& record) {
  std::vector<SectionView> views;
  views.reserve(record.sections.size());
  for (const Section& section : record.sections)
    views.push_back({section.type, section.must_understand, checksum(section.bytes), section.bytes});
  std::vector<std::byte> bytes = encode_record_header(record.meta, views);
  bytes.reserve(load(bytes, layout::record_header::kRecordBytes));
  for (const Section& section : record.sections) bytes.insert(bytes.end(), section.bytes.begin(), section.bytes.end());
  return bytes;
}

RecordView parse_record(std::span<const std::byte> bytes, const std::filesystem::path& path, uint64_t offset) {
  static constexpr const char* kHint =
      "`imgpack verify` lists every damaged record; `imgpack repair` mends what it can";
  std::string why;
  std::optional<RecordHeader> header = decode_record_header(bytes, &why);
  if (!header) throw Error(ErrorKind::kCorruption, why, path, offset, kHint);
  if (header->record_bytes != bytes.size()) {
    throw Error(ErrorKind::kCorruption,
                "record length mismatch: expected " + std::to_string(bytes.size()) + " bytes, found " +
                    std::to_string(header->record_bytes),
                path, offset, kHint);
  }
  RecordView view;
  view.meta = std::move(header->meta);
  view.sections.reserve(header->sections.size());
  size_t at = header->header_bytes;
  for (const SectionEntry& section : header->sections) {
    const std::span<const std::byte> content = bytes.subspan(at, section.bytes);
    const uint64_t computed = checksum(content);
    if (!same_checksum(section.checksum, computed)) {
      throw Error(ErrorKind::kCorruption,
                  "record checksum mismatch in section " + std::to_string(section.type) + " of '" + view.meta.name +
                      "': expected " + to_hex(section.checksum) + ", found " + to_hex(computed),
                  path, offset + at, kHint);
    }
    const bool must_understand = (section.flags & layout::section_entry::kMustUnderstand) != 0;
    if (must_understand && !known_section(section.type)) {
      throw Error(ErrorKind::kUnsupportedVersion,
                  "record '" + view.meta.name + "' has a section of type " + std::to_string(section.type) +
                      " that a reader must understand, and this one does not",
                  path, offset + at, "use a newer imgpack");
    }
    view.sections.push_back({static_cast<SectionType>(section.type), must_understand, section.checksum, content});
    at += section.bytes;
  }
  return view;
}

}  // namespace imgpack
