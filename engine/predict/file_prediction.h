// Image files, predicted in batches: read and decoded side by side, one bad file never costs the others.
//
//   names --> read, prepare (all cores) --> Predictor::predict --> take(FilePrediction), in the order of the names
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/predict/predictor.h"
#include "format/file.h"

namespace imgtrain {

inline constexpr uint64_t kMaxImageFileBytes = uint64_t{512} << 20;

struct FilePrediction {
  std::string name;                // As it was given.
  std::string error;               // Why there is no prediction; empty: there is one.
  uint32_t width = 0, height = 0;  // Of the image, as stored.
  std::vector<Guess> guesses;      // Likeliest first.
};
using TakeFilePrediction = std::function<void(FilePrediction&&)>;

// Images at a time: enough to keep the cores busy, few enough that answers come soon.
inline constexpr size_t kFilesPerBatch = 32;

// Calls `take` for every name, in order, from the calling thread. A file that cannot be read, is too large or is no
// image is an answer with `error`. `stop` is asked between batches; true: false comes back, the rest is not done.
bool predict_files(imgpack::FileSystem& fs, std::span<const std::string> names, const Predictor& predictor, int64_t k,
                   const std::function<bool()>& stop, const TakeFilePrediction& take);

// The same for one image whose bytes are at hand.
FilePrediction predict_bytes(std::span<const std::byte> bytes, const std::string& name, const Predictor& predictor,
                             int64_t k);

// What a person names becomes files: a folder is every image in it and below, by ending (jpg, jpeg, png, webp, bmp), in
// order of names, hidden ones and linked folders left out; anything else stays as it is. Throws Error(kInvalidInput)
// for a folder without images, Error(kIo).
std::vector<std::string> image_files(imgpack::FileSystem& fs, std::span<const std::string> named);

}  // namespace imgtrain
