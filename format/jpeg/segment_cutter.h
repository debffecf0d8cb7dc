// Cuts the pieces of a scan that have to be decoded out of a JPEG, by its entropy index.
//
//   index + RowRequests --cut--> destuffed EntropySegments, each with its own room for coefficients
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "format/jpeg/baseline_header.h"
#include "format/jpeg/entropy_index.h"
#include "format/jpeg/entropy_kernels.h"

namespace imgpack::jpeg {

// MCUs of one row, from an index entry on.
struct RowRequest {
  int row = 0;
  int entry = 0;       // Of the row.
  int end_column = 0;  // One past the last MCU. REQUIRES end_column > entry * mcus_per_entry.
};

// Where a segment lies: a request is one segment, or several where restart markers divide it.
struct Piece {
  int row = 0;
  int column = 0;  // Of its first MCU.
};

// Reused from image to image; not thread-safe.
class SegmentCutter {
 public:
  // All three must outlive the cutting. `scan` begins at the first entropy-coded byte.
  void begin(const BaselineHeader& header, const EntropyIndexView& index, const uint8_t* scan);

  // Replaces the segments by those of `requests`, which come in stream order. Memory: the requests' bytes and
  // coefficients, and no more than the scan's bytes whatever the index says.
  // Throws Error(kCorruption) for entries that lie outside the scan or out of order, and for a missing restart marker.
  void cut(std::span<const RowRequest> requests);

  std::vector<EntropySegment>& segments() { return segments_; }
  const std::vector<Piece>& pieces() const { return pieces_; }  // Of the segments, in the same order.
  const std::vector<EntropySegment*>& longest_first() const { return longest_first_; }  // The segments, for decoding.
  size_t scratch_bytes() const;

 private:
  struct Range {
    EntropyEntry begin, end;  // `end` is of the entry behind the request's last MCU.
    bool ends_at_entry = false;
  };
  Range range_of(const RowRequest& request) const;
  void reserve(std::span<const RowRequest> requests);
  void cut_one(const RowRequest& request);

  const BaselineHeader* header_ = nullptr;
  const EntropyIndexView* index_ = nullptr;
  const uint8_t* scan_ = nullptr;
  std::vector<uint8_t> bytes_;  // Destuffed.
  std::vector<int16_t> coefficients_;
  size_t byte_at_ = 0, coefficient_at_ = 0;
  std::vector<EntropySegment> segments_;
  std::vector<Piece> pieces_;
  std::vector<EntropySegment*> longest_first_;
};

}  // namespace imgpack::jpeg
