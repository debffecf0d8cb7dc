// The proof of an entropy index: coefficients decoded through it against libjpeg-turbo's.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace imgpack::jpeg {

// Decodes every segment between neighbouring entries and compares all coefficients with jpeg_read_coefficients.
// Empty: equal. Otherwise what is wrong, in one line. Takes about three times as long as a walk, and 2 bytes per
// coefficient of memory; meant for `verify --level decode` and for tests.
std::string check_entropy_index(std::span<const std::byte> jpeg, std::span<const std::byte> entropy_index);

}  // namespace imgpack::jpeg
