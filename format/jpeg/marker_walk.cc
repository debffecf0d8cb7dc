#include "format/jpeg/marker_walk.h"

#include <cstring>

namespace imgpack::jpeg {

MarkerWalk::Step MarkerWalk::next() {
  if (at_ >= size_) return Step::kEnd;
  if (data_[at_] != 0xff) return Step::kBadMarker;
  const size_t begin = at_;
  size_t code_at = at_ + 1;
  while (code_at < size_ && data_[code_at] == 0xff) code_at++;  // Any number of fill bytes may come before the code.
  if (code_at >= size_) return Step::kEnd;
  const uint8_t marker = data_[code_at];
  if (marker == 0) return Step::kBadMarker;
  const size_t after = code_at + 1;
  if (marker == kSoi || marker == kEoi || marker == kTem || (marker >= kRst0 && marker <= kRst7)) {
    segment_ = {marker, begin, after, {}};
    at_ = after;
    return Step::kSegment;
  }
  if (size_ - after < 2) return Step::kTruncated;
  const size_t length = read_u16(data_ + after);  // Counts its own two bytes.
  if (length < 2 || length > size_ - after) return Step::kTruncated;
  segment_ = {marker, begin, after + length, {data_ + after + 2, length - 2}};
  at_ = after + length;
  return Step::kSegment;
}

bool MarkerWalk::skip_entropy_coded() {
  while (at_ < size_) {
    const void* found = std::memchr(data_ + at_, 0xff, size_ - at_);
    if (found == nullptr) break;
    const size_t begin = static_cast<size_t>(static_cast<const uint8_t*>(found) - data_);
    size_t code_at = begin + 1;
    while (code_at < size_ && data_[code_at] == 0xff) code_at++;
    if (code_at >= size_) break;
    const uint8_t code = data_[code_at];
    if (code != 0 && !(code >= kRst0 && code <= kRst7)) {
      at_ = begin;
      return true;
    }
    at_ = code_at + 1;
  }
  at_ = size_;
  return false;
}

}  // namespace imgpack::jpeg
