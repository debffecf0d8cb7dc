// The one checksum of the format: XXH3-64 with seed 0, always verified.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace imgpack {

uint64_t checksum(std::span<const std::byte> bytes);
uint64_t checksum(std::string_view text);

// The same over bytes that arrive in pieces. Not thread-safe.
class ChecksumStream {
 public:
  ChecksumStream();
  ~ChecksumStream();
  ChecksumStream(ChecksumStream&&) noexcept;
  ChecksumStream& operator=(ChecksumStream&&) noexcept;

  void update(std::span<const std::byte> bytes);
  uint64_t digest() const;  // Of everything so far; more may follow.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Every comparison of a stored checksum with a computed one goes through here. It has a file of its own so that the
// mutation check (tests/mutation) can link another one in its place and prove that tests notice.
bool same_checksum(uint64_t stored, uint64_t computed);

std::string to_hex(uint64_t value);                          // 16 lower-case digits.
std::optional<uint64_t> parse_hex(std::string_view digits);  // Exactly what to_hex writes.

}  // namespace imgpack
