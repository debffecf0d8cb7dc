// The fast path: only the MCUs under the window are decoded, entered through the record's entropy index, several MCU
// rows at a time; planes are resized as they are, and colours are mixed for the output's pixels alone.
//
//   entropy index -> segments (one per MCU row) -> coefficients -> planes (a few MCU rows) -> output rows
//
// Memory does not grow with the image's height: coefficients and planes are held for a group of MCU rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "format/jpeg/image_decoder.h"

namespace imgpack::jpeg {

class FastDecoder {
 public:
  FastDecoder();
  ~FastDecoder();

  enum class Result { kDecoded, kNotCovered };

  // As ImageDecoder::decode, but a stream of another kind, or a record without an index, is handed back untouched.
  // Throws Error(kCorruption) for an index that does not belong to the stream, and for a damaged stream.
  Result decode(std::span<const std::byte> jpeg, std::span<const std::byte> entropy_index, const SampleWindow& window,
                int out_width, int out_height, Filter filter, uint8_t* rgb);

  size_t scratch_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace imgpack::jpeg
