#include "format/jpeg/entropy_index.h"

#include <algorithm>

#include "format/error.h"
#include "format/jpeg/entropy_kernels.h"
#include "format/jpeg/marker_walk.h"
#include "format/jpeg/segment_cutter.h"

namespace imgpack::jpeg {
namespace {

constexpr int kPositionBits = 28;
constexpr int kDcBits = 12;

// Every so many MCU rows the proof of an index decodes one, from all of its entries. All of them would take longer than
// the walk itself; what could be wrong (how positions are counted, how tables are read) is wrong in every row.
constexpr int kProvedRowStep = 4;

// A builder's memory up to this is kept for the thread's next one: allocating and clearing it anew for each image would
// cost more than parsing the image's header.
constexpr size_t kKeptScratchBytes = size_t{8} << 20;

void put(std::vector<std::byte>& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

uint64_t get(std::span<const std::byte> in, size_t at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value |= static_cast<uint64_t>(in[at + static_cast<size_t>(i)]) << (8 * i);
  return value;
}

uint64_t pack_entry(uint64_t raw_bit, const int16_t* dc) {
  uint64_t packed = raw_bit;
  for (int c = 0; c < kMaxComponents; c++) {
    packed |= (static_cast<uint64_t>(dc[c]) & ((1u << kDcBits) - 1)) << (kPositionBits + kDcBits * c);
  }
  return packed;
}

// Behind the scan: an EOI marker, or nothing. Anything else is for the reference decoder to judge.
bool ends_cleanly(std::span<const uint8_t> tail) {
  while (tail.size() >= 2 && tail[0] == 0xff && tail[1] == 0xff) tail = tail.subspan(1);
  return tail.size() < 2 || (tail[0] == 0xff && tail[1] == kEoi);
}

int entries_per_row(const BaselineHeader& header, int mcus_per_entry) {
  return (header.mcus_per_row + mcus_per_entry - 1) / mcus_per_entry;
}

}  // namespace

std::optional<EntropyIndexView> EntropyIndexView::parse(std::span<const std::byte> bytes, const BaselineHeader& header,
                                                        size_t jpeg_bytes) {
  if (bytes.size() < kEntropyIndexHeaderBytes) return std::nullopt;
  if (get(bytes, 0, 1) != kEntropyIndexFormat || get(bytes, 1, 1) != 0) return std::nullopt;
  EntropyIndexView view;
  view.mcus_per_entry_ = static_cast<int>(get(bytes, 2, 2));
  view.scan_bytes_ = static_cast<uint32_t>(get(bytes, 8, 4));
  view.entries_ = bytes.subspan(kEntropyIndexHeaderBytes);
  if (view.mcus_per_entry_ < 1 || get(bytes, 4, 4) != header.scan_begin) return std::nullopt;
  if (view.scan_bytes_ > jpeg_bytes - header.scan_begin || view.scan_bytes_ > kMaxIndexedScanBytes) return std::nullopt;
  view.entries_per_row_ = jpeg::entries_per_row(header, view.mcus_per_entry_);
  const uint64_t entries = static_cast<uint64_t>(view.entries_per_row_) * static_cast<uint64_t>(header.mcu_rows);
  if (get(bytes, 12, 4) != entries || view.entries_.size() != entries * kEntropyEntryBytes) return std::nullopt;
  return view;
}

EntropyEntry EntropyIndexView::entry(size_t i) const {
  const uint64_t packed = get(entries_, i * kEntropyEntryBytes, kEntropyEntryBytes);
  const uint32_t position = static_cast<uint32_t>(packed & ((1u << kPositionBits) - 1));
  EntropyEntry entry{position / 8, static_cast<int>(position % 8), {}};
  for (int c = 0; c < kMaxComponents; c++) {
    // Shifted to the top first, so that the sign comes along.
    const int64_t at_top = static_cast<int64_t>(packed << (64 - kPositionBits - kDcBits * (c + 1)));
    entry.dc[c] = static_cast<int16_t>(at_top >> (64 - kDcBits));
  }
  return entry;
}

struct EntropyIndexBuilder::Scratch {
  BaselineHeader header;
  SkipTables skip;
  std::vector<uint8_t> bytes;     // One restart interval (or the whole scan) without stuffing.
  std::vector<uint32_t> removed;  // Where in `bytes` stuffing was.
  std::vector<WalkState> entries;
  std::vector<uint64_t> raw_bits;  // Of entries, in the scan.
  SegmentCutter cutter;            // Of the proof.
  std::vector<RowRequest> requests;

  size_t bytes_held() const {
    return sizeof(Scratch) + bytes.capacity() + removed.capacity() * sizeof(uint32_t) +
           entries.capacity() * sizeof(WalkState) + raw_bits.capacity() * sizeof(uint64_t) + cutter.scratch_bytes();
  }

  // Walks the MCUs [first, first + mcus) whose bytes begin at `scan[begin]`. Returns how many bytes they took up to the
  // next marker; nullopt if they are bad.
  std::optional<size_t> walk(std::span<const uint8_t> scan, size_t begin, int64_t first, int64_t mcus, int every) {
    const size_t n = scan.size() - begin;
    bytes.resize(n + kDestuffSlack + kStreamPadding);
    removed.clear();
    const Destuffed destuffed = destuff(scan.data() + begin, n, bytes.data(), &removed);
    std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(destuffed.written), kStreamPadding, uint8_t{0});
    WalkState state;
    const size_t before = entries.size();
    if (!walk_segment(header, skip, bytes.data(), destuffed.written, first, mcus, every, state, entries))
      return std::nullopt;
    size_t stuffed = 0;
    for (size_t i = before; i < entries.size(); i++) {
      const uint64_t byte = entries[i].bit / 8;
      while (stuffed < removed.size() && removed[stuffed] <= byte) stuffed++;
      raw_bits.push_back((begin + byte + stuffed) * 8 + entries[i].bit % 8);
    }
    return destuffed.consumed;
  }

  // Whether decoding from each entry arrives at the next one: its bit, and its predictors; for every kProvedRowStep-th
  // row. The walk and the decoder read symbols by different tables, so this is the proof that they agree.
  bool decodes_from_entries(std::span<const std::byte> jpeg, std::span<const std::byte> built) {
    const std::optional<EntropyIndexView> index = EntropyIndexView::parse(built, header, jpeg.size());
    if (!index) return false;
    cutter.begin(header, *index, reinterpret_cast<const uint8_t*>(jpeg.data()) + header.scan_begin);
    const int every = index->mcus_per_entry();
    for (int row = 0; row < header.mcu_rows; row += kProvedRowStep) {
      requests.clear();
      for (int e = 0; e < index->entries_per_row(); e++)
        requests.push_back({row, e, std::min((e + 1) * every, header.mcus_per_row)});
      try {
        cutter.cut(requests);
      } catch (const Error&) {
        return false;
      }
      if (!decode_segments(header, cutter.longest_first())) return false;
      const std::vector<EntropySegment>& segments = cutter.segments();
      for (size_t i = 0; i < segments.size(); i++) {
        const Piece& piece = cutter.pieces()[i];
        const int end = piece.column + segments[i].mcus;
        const int64_t next_mcu = int64_t{piece.row} * header.mcus_per_row + end;
        const bool at_entry = end == header.mcus_per_row || end % every == 0;
        const bool restarts = header.restart_interval > 0 && next_mcu % header.restart_interval == 0;
        const size_t next = static_cast<size_t>(piece.row) * static_cast<size_t>(index->entries_per_row()) +
                            static_cast<size_t>((end + every - 1) / every);
        if (!at_entry || next >= index->entries()) continue;
        const EntropyEntry entry = index->entry(next);
        for (int c = 0; c < header.components; c++) {
          if (entry.dc[c] != (restarts ? 0 : segments[i].dc[c])) return false;
        }
      }
    }
    return true;
  }

  static std::unique_ptr<Scratch>& spare() {
    thread_local std::unique_ptr<Scratch> one;
    return one;
  }
};

EntropyIndexBuilder::EntropyIndexBuilder() : scratch_(std::move(Scratch::spare())) {
  if (!scratch_) scratch_ = std::make_unique<Scratch>();
}
EntropyIndexBuilder::~EntropyIndexBuilder() {
  if (scratch_->bytes_held() <= kKeptScratchBytes) Scratch::spare() = std::move(scratch_);
}

std::optional<std::vector<std::byte>> EntropyIndexBuilder::build(std::span<const std::byte> jpeg, int mcus_per_entry) {
  Scratch& s = *scratch_;
  const BaselineHeader& header = s.header;
  if (parse_baseline_header(jpeg, s.header) != Coverage::kCovered) return std::nullopt;
  const int every =
      mcus_per_entry == kOneEntryPerRow ? header.mcus_per_row : std::min(mcus_per_entry, header.mcus_per_row);
  const std::span<const uint8_t> scan(reinterpret_cast<const uint8_t*>(jpeg.data()) + header.scan_begin,
                                      jpeg.size() - header.scan_begin);
  s.skip.build(header);
  s.entries.clear();
  s.raw_bits.clear();
  const int64_t all = int64_t{header.mcus_per_row} * header.mcu_rows;
  const int64_t interval = header.restart_interval > 0 ? header.restart_interval : all;
  size_t at = 0;
  for (int64_t first = 0; first < all; first += interval) {
    if (first > 0) {
      // Restart markers come numbered 0 to 7 in turn; another one means that data is missing.
      const uint8_t expected = static_cast<uint8_t>(kRst0 + ((first / interval - 1) & 7));
      if (scan.size() - at < 2 || scan[at] != 0xff || scan[at + 1] != expected) return std::nullopt;
      at += 2;
    }
    const std::optional<size_t> taken = s.walk(scan, at, first, std::min(interval, all - first), every);
    if (!taken) return std::nullopt;
    at += *taken;
  }
  if (at > kMaxIndexedScanBytes || !ends_cleanly(scan.subspan(at))) return std::nullopt;
  std::vector<std::byte> out;
  out.reserve(kEntropyIndexHeaderBytes + s.entries.size() * kEntropyEntryBytes);
  put(out, kEntropyIndexFormat, 1);
  put(out, 0, 1);
  put(out, static_cast<uint64_t>(every), 2);
  put(out, header.scan_begin, 4);
  put(out, at, 4);
  put(out, s.entries.size(), 4);
  for (size_t i = 0; i < s.entries.size(); i++)
    put(out, pack_entry(s.raw_bits[i], s.entries[i].dc), kEntropyEntryBytes);
  if (!s.decodes_from_entries(jpeg, out)) return std::nullopt;
  return out;
}

}  // namespace imgpack::jpeg
