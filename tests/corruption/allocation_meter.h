// The largest single allocation that operator new was asked for since the meter was made, on this thread. Linking this
// replaces the program's operator new.
#pragma once

#include <cstdint>

namespace imgpack::test {

class AllocationMeter {
 public:
  AllocationMeter();
  uint64_t largest() const;
};

}  // namespace imgpack::test
