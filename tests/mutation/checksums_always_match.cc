// Linked in place of format/checksum_compare.cc: the fault that the corruption tests must notice.
#include "format/checksum.h"

namespace imgpack {

bool same_checksum(uint64_t, uint64_t) {
  return true;
}

}  // namespace imgpack
