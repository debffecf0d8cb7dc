// TensorBoardLog: scalar curves as a TensorBoard event file, written without TensorFlow.
//
//   FOLDER/events.out.tfevents.<seconds>.<host>.<pid>
//   file    = record*                     TFRecord framing (tensorflow/core/lib/io/record_writer.h)
//   record  = length u64 | masked CRC-32C of the length | Event, a protobuf | masked CRC-32C of it      little-endian
//   Event   = 1 wall_time double | 2 step int64 | 3 file_version string | 5 Summary | 7 SessionLog
//                                                                          (tensorflow/core/util/event.proto)
//
// Each start of a run writes a file of its own, which begins with a SessionLog START: TensorBoard then drops what an
// earlier file holds at or after that step, the work that was lost.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "format/file.h"

namespace imgtrain {

// CRC-32C (Castagnoli) rotated and offset as TFRecord stores it.
uint32_t masked_crc32c(std::string_view bytes);

// Events: one scalar; the point where a run starts or goes on; what begins a file.
std::string scalar_event(double wall_time, uint64_t step, std::string_view tag, float value);
std::string start_event(double wall_time, uint64_t step);
std::string version_event(double wall_time);
std::string tfrecord(std::string_view data);

// Not thread-safe. Throws Error(kIo).
class TensorBoardLog {
 public:
  // Makes the folder and the file. `wall_time`: seconds since 1970.
  TensorBoardLog(imgpack::FileSystem& fs, const std::filesystem::path& folder, double wall_time, uint64_t step);
  void scalar(double wall_time, uint64_t step, std::string_view tag, double value);
  void flush();  // What was added is in the file.

 private:
  std::unique_ptr<imgpack::WritableFile> file_;
  std::string pending_;
};

}  // namespace imgtrain
