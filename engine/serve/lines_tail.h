// Follows a file of lines that grows, or is replaced by a longer version of itself, as metrics.jsonl and live.jsonl do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "format/file.h"

namespace imgtrain::serve {

// One thread.
class LinesTail {
 public:
  LinesTail(imgpack::FileSystem& fs, std::filesystem::path path) : fs_(fs), path_(std::move(path)) {}

  // Whole lines since the last call, without their newlines. `begun_anew`: the file is another one now, and these are
  // its lines from the first on. An absent file has none. Throws Error(kIo).
  struct News {
    std::vector<std::string> lines;
    bool begun_anew = false;
  };
  News poll();

 private:
  imgpack::FileSystem& fs_;
  const std::filesystem::path path_;
  uint64_t offset_ = 0;  // What was read: whole lines.
  std::string last_;     // Their last bytes, by which the file is known again.
};

}  // namespace imgtrain::serve
