#include "format/jpeg/segment_cutter.h"

#include <algorithm>
#include <cstring>

#include "format/error.h"
#include "format/jpeg/marker_walk.h"

namespace imgpack::jpeg {
namespace {

[[noreturn]] void refuse(const char* found) {
  throw Error(
      ErrorKind::kCorruption,
      std::string("entropy index does not fit its JPEG: expected entries inside the scan and in order, found ") + found,
      {}, {}, "imgpack verify --level decode names every damaged record");
}

}  // namespace

void SegmentCutter::begin(const BaselineHeader& header, const EntropyIndexView& index, const uint8_t* scan) {
  header_ = &header;
  index_ = &index;
  scan_ = scan;
}

SegmentCutter::Range SegmentCutter::range_of(const RowRequest& request) const {
  const int every = index_->mcus_per_entry();
  const size_t row_entry = static_cast<size_t>(request.row) * static_cast<size_t>(index_->entries_per_row());
  const size_t end_entry = row_entry + static_cast<size_t>((request.end_column + every - 1) / every);
  Range range;
  range.begin = index_->entry(row_entry + static_cast<size_t>(request.entry));
  range.end.byte = index_->scan_bytes();
  if (end_entry < index_->entries()) {
    range.end = index_->entry(end_entry);
    range.ends_at_entry = request.end_column % every == 0 || request.end_column == header_->mcus_per_row;
    if (range.end.byte >= index_->scan_bytes()) refuse("one behind the scan's last byte");
  }
  const bool empty = range.begin.byte == range.end.byte && range.begin.bit >= range.end.bit;
  if (range.begin.byte > range.end.byte || empty) refuse("one before its predecessor");
  return range;
}

void SegmentCutter::reserve(std::span<const RowRequest> requests) {
  size_t all_bytes = 0, previous_end = 0, all_pieces = 0, all_coefficients = 0;
  for (const RowRequest& request : requests) {
    const Range range = range_of(request);
    if (range.begin.byte < previous_end) refuse("one before its predecessor");
    previous_end = range.end.byte;
    all_bytes += range.end.byte - range.begin.byte;
    const size_t mcus = static_cast<size_t>(request.end_column - request.entry * index_->mcus_per_entry());
    size_t pieces = 1;
    if (header_->restart_interval > 0) pieces = mcus / static_cast<size_t>(header_->restart_interval) + 2;
    all_pieces += pieces;
    all_coefficients += mcus * header_->mcu_coefficients() + pieces * kCoefficientPadding;
  }
  // A piece may end with one byte more than its range: the first of the next entry.
  const size_t bytes = all_bytes + all_pieces * (1 + kStreamPadding) + kDestuffSlack;
  if (bytes_.size() < bytes) bytes_.resize(bytes);
  if (coefficients_.size() < all_coefficients) coefficients_.resize(all_coefficients);
  byte_at_ = coefficient_at_ = 0;
}

void SegmentCutter::cut(std::span<const RowRequest> requests) {
  segments_.clear();
  pieces_.clear();
  reserve(requests);
  for (const RowRequest& request : requests) cut_one(request);
  longest_first_.resize(segments_.size());
  std::transform(segments_.begin(), segments_.end(), longest_first_.begin(), [](EntropySegment& s) { return &s; });
  std::sort(longest_first_.begin(), longest_first_.end(),
            [](const EntropySegment* a, const EntropySegment* b) { return a->size > b->size; });
}

void SegmentCutter::cut_one(const RowRequest& request) {
  const Range range = range_of(request);
  const int interval = header_->restart_interval;
  int column = request.entry * index_->mcus_per_entry();
  int64_t mcu = int64_t{request.row} * header_->mcus_per_row + column;
  size_t from = range.begin.byte;
  EntropySegment segment;
  segment.first_bit = range.begin.bit;
  std::copy(std::begin(range.begin.dc), std::end(range.begin.dc), segment.dc);
  for (;;) {
    segment.mcus = request.end_column - column;
    if (interval > 0) segment.mcus = static_cast<int>(std::min<int64_t>(segment.mcus, interval - mcu % interval));
    uint8_t* bytes = bytes_.data() + byte_at_;
    const Destuffed destuffed = destuff(scan_ + from, range.end.byte - from, bytes);
    from += destuffed.consumed;
    const bool at_marker = from < range.end.byte;
    const bool last = column + segment.mcus == request.end_column;
    segment.bytes = bytes;
    segment.size = destuffed.written;
    segment.expected_end_bit = 0;
    std::memset(bytes + segment.size, 0, 1 + kStreamPadding);
    if (last && !at_marker) {
      if (range.ends_at_entry) segment.expected_end_bit = segment.size * 8 + static_cast<size_t>(range.end.bit);
      // The byte where the next entry begins starts with the last bits of this piece.
      if (range.end.bit > 0) bytes[segment.size++] = scan_[from];
    }
    segment.coefficients = coefficients_.data() + coefficient_at_;
    segments_.push_back(segment);
    pieces_.push_back({request.row, column});
    byte_at_ += segment.size + kStreamPadding;
    coefficient_at_ += static_cast<size_t>(segment.mcus) * header_->mcu_coefficients() + kCoefficientPadding;
    if (last) return;

    column += segment.mcus;
    mcu += segment.mcus;
    const uint8_t expected = static_cast<uint8_t>(kRst0 + ((mcu / interval - 1) & 7));
    if (range.end.byte - from < 2 || scan_[from + 1] != expected) refuse("no restart marker where one belongs");
    from += 2;
    segment.first_bit = 0;
    std::fill(std::begin(segment.dc), std::end(segment.dc), int16_t{0});
  }
}

size_t SegmentCutter::scratch_bytes() const {
  return bytes_.capacity() + coefficients_.capacity() * sizeof(int16_t) + segments_.capacity() * sizeof(segments_[0]) +
         longest_first_.capacity() * sizeof(void*) + pieces_.capacity() * sizeof(pieces_[0]);
}

}  // namespace imgpack::jpeg
