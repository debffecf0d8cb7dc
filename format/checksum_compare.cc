#include "format/checksum.h"

namespace imgpack {

bool same_checksum(uint64_t stored, uint64_t computed) {
  return stored == computed;
}

}  // namespace imgpack
