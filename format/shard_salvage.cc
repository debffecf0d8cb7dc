#include "format/shard_salvage.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"
#include "format/layout.h"
#include "format/record_header.h"
#include "format/shard_codec.h"

namespace imgpack {
namespace {

constexpr uint64_t kScanBytes = uint64_t{1} << 20;

class Salvage {
 public:
  Salvage(const RandomAccessFile& file, const ShardHeader& expected) : file_(file) { shard_.header = expected; }

  SalvagedShard run() {
    uint64_t at = read_header();
    while (at < file_.size()) {
      std::string why;
      if (is_index_block(at)) {
        shard_.records_end = at;
        return std::move(shard_);
      }
      if (const std::optional<RecordHeader> header = record_at(at, &why)) {
        take(at, *header);
        at += header->record_bytes;
        continue;
      }
      const uint64_t next = next_start(at + 1);
      shard_.gaps.push_back({at, next - at, why});
      at = next;
    }
    shard_.records_end = file_.size();
    return std::move(shard_);
  }

 private:
  // Returns where the first record should start.
  uint64_t read_header() {
    const auto start = window(0, layout::kMaxFileHeaderBytes);
    try {
      const ParsedShardHeader parsed = parse_shard_header(start, file_.path());
      shard_.header = parsed.header;
      shard_.header_intact = true;
      return parsed.header_bytes;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kCorruption) throw;
      return std::min<uint64_t>(layout::shard_header::kBytes, file_.size());
    }
  }

  // Up to `bytes` bytes from `at`, fewer at the end of the file. Valid until the next call.
  std::span<const std::byte> window(uint64_t at, uint64_t bytes) {
    const uint64_t left = at < file_.size() ? file_.size() - at : 0;
    bytes = std::min(bytes, left);
    if (at < window_at_ || at + bytes > window_at_ + window_.size()) {
      window_.resize(std::min<uint64_t>(std::max<uint64_t>(bytes, layout::kMaxRecordHeaderBytes), left));
      window_.resize(file_.read_at(at, window_));
      window_at_ = at;
      bytes = std::min<uint64_t>(bytes, window_.size());
    }
    return std::span<const std::byte>(window_).subspan(at - window_at_, bytes);
  }

  std::optional<RecordHeader> record_at(uint64_t at, std::string* why) {
    const auto bytes = window(at, layout::kMaxRecordHeaderBytes);
    std::optional<RecordHeader> header = decode_record_header(bytes, why);
    if (!header) return std::nullopt;
    const RecordMeta& meta = header->meta;
    const ShardHeader& shard = shard_.header;
    const uint64_t key = order_key(shard.seed, meta.id);
    if (header->record_bytes > file_.size() - at) {
      *why = "record is cut short: expected " + std::to_string(header->record_bytes) + " bytes, found " +
             std::to_string(file_.size() - at);
    } else if (meta.id != sample_id(shard.split, meta.name)) {
      *why = "record's id is not that of its split and name";
    } else if (shard_of_key(key, shard.shard_count) != shard.number) {
      *why = "record belongs to shard " + std::to_string(shard_of_key(key, shard.shard_count));
    } else if (!shard_.columns.names.empty() &&
               std::tie(key, meta.name) <= std::tie(last_key_, shard_.columns.names.back())) {
      *why = "record is out of order";
    } else {
      return header;
    }
    return std::nullopt;
  }

  void take(uint64_t at, const RecordHeader& header) {
    shard_.columns.append(header.meta, header.record_bytes, header.section_bytes(SectionType::kImage),
                          header.section_bytes(SectionType::kEntropyIndex));
    shard_.offsets.push_back(at);
    last_key_ = order_key(shard_.header.seed, header.meta.id);
  }

  bool is_index_block(uint64_t at) {
    namespace field = layout::index_header;
    const auto fixed = window(at, field::kFixedBytes);
    if (fixed.size() < field::kFixedBytes || load(fixed, field::kMagic) != layout::kIndexMagic) return false;
    const uint64_t head_bytes = load(fixed, field::kHeadBytes);
    if (head_bytes < field::kFixedBytes + 8 ||
        head_bytes > field::kFixedBytes + layout::kMaxFrames * layout::frame_entry::kBytes + 8)
      return false;
    const auto head = window(at, head_bytes);
    return head.size() == head_bytes &&
           same_checksum(load_u64(head.data() + head_bytes - 8), checksum(head.first(head_bytes - 8)));
  }

  // The next place from `at` on where a record or the index starts; the end of the file if there is none.
  uint64_t next_start(uint64_t at) {
    std::vector<std::byte> scan;
    while (at + sizeof(uint32_t) <= file_.size()) {
      scan.resize(std::min(kScanBytes, file_.size() - at));
      scan.resize(file_.read_at(at, scan));
      for (size_t i = 0; i + sizeof(uint32_t) <= scan.size(); ++i) {
        // Both magics start with the same byte, so that candidates are found at the speed of memchr.
        static_assert((layout::kRecordMagic & 0xff) == (layout::kIndexMagic & 0xff));
        const void* hit = std::memchr(scan.data() + i, layout::kRecordMagic & 0xff, scan.size() - i);
        if (hit == nullptr) break;
        i = static_cast<size_t>(static_cast<const std::byte*>(hit) - scan.data());
        uint32_t magic = 0;
        if (i + sizeof magic > scan.size()) break;
        std::memcpy(&magic, scan.data() + i, sizeof magic);
        std::string why;
        if (magic == layout::kRecordMagic && record_at(at + i, &why)) return at + i;
        if (magic == layout::kIndexMagic && is_index_block(at + i)) return at + i;
      }
      if (scan.size() < sizeof(uint32_t)) break;
      at += scan.size() - (sizeof(uint32_t) - 1);  // A magic may lie across two pieces.
    }
    return file_.size();
  }

  const RandomAccessFile& file_;
  SalvagedShard shard_;
  uint64_t last_key_ = 0;
  std::vector<std::byte> window_;
  uint64_t window_at_ = 0;
};

}  // namespace

SalvagedShard salvage_shard(const RandomAccessFile& file, const ShardHeader& expected) {
  return Salvage(file, expected).run();
}

}  // namespace imgpack
