// A state dict as Python's torch.save would write it: a .pth that torch.load(weights_only=True) accepts.
//
//   archive.zip:  data.pkl   a dict of name -> tensor, whose only globals are those of any torch.save
//                 data/0 …   the numbers, little-endian
//                 byteorder
#pragma once

#include <string>

#include "engine/model/weights.h"

namespace imgtrain {

// The bytes of the archive. Tensors come out on the CPU, contiguous, in the order given.
std::string to_state_archive(const NamedTensors& tensors);

}  // namespace imgtrain
