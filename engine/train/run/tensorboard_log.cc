#include "engine/train/run/tensorboard_log.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cmath>
#include <span>

namespace imgtrain {
namespace {

constexpr uint32_t kCastagnoli = 0x82f63b78;  // Reflected.
constexpr uint32_t kMaskDelta = 0xa282ead8;

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kCastagnoli : 0);
    table[i] = value;
  }
  return table;
}

// Protobuf wire format: a key is field number * 8 + wire type.
enum WireType : uint64_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
  out += static_cast<char>(value);
}

template <typename Integer>
void put_little_endian(std::string& out, Integer value) {
  for (size_t i = 0; i < sizeof(value); ++i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

void put_key(std::string& out, uint64_t field, WireType type) {
  put_varint(out, field << 3 | type);
}

void put_bytes(std::string& out, uint64_t field, std::string_view bytes) {
  put_key(out, field, kLengthDelimited);
  put_varint(out, bytes.size());
  out += bytes;
}

std::string event_head(double wall_time, uint64_t step) {
  std::string event;
  put_key(event, 1, kFixed64);
  put_little_endian(event, std::bit_cast<uint64_t>(wall_time));
  put_key(event, 2, kVarint);
  put_varint(event, step);
  return event;
}

std::string file_name(double wall_time) {
  char host[256] = {};
  if (::gethostname(host, sizeof(host) - 1) != 0 || host[0] == 0) host[0] = 'x';
  // Seconds with leading zeros: TensorBoard reads the files of a folder in the order of their names.
  std::string seconds = std::to_string(static_cast<uint64_t>(wall_time));
  if (seconds.size() < 10) seconds.insert(0, 10 - seconds.size(), '0');
  return "events.out.tfevents." + seconds + "." + host + "." + std::to_string(::getpid());
}

}  // namespace

uint32_t masked_crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = crc_table();
  uint32_t crc = 0xffffffff;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ (crc >> 8);
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + kMaskDelta;
}

std::string scalar_event(double wall_time, uint64_t step, std::string_view tag, float value) {
  std::string entry;
  put_bytes(entry, 1, tag);
  put_key(entry, 2, kFixed32);
  put_little_endian(entry, std::bit_cast<uint32_t>(value));
  std::string summary;
  put_bytes(summary, 1, entry);
  std::string event = event_head(wall_time, step);
  put_bytes(event, 5, summary);
  return event;
}

std::string start_event(double wall_time, uint64_t step) {
  constexpr uint64_t kStart = 1;
  std::string session;
  put_key(session, 1, kVarint);
  put_varint(session, kStart);
  std::string event = event_head(wall_time, step);
  put_bytes(event, 7, session);
  return event;
}

std::string version_event(double wall_time) {
  std::string event;
  put_key(event, 1, kFixed64);
  put_little_endian(event, std::bit_cast<uint64_t>(wall_time));
  put_bytes(event, 3, "brain.Event:2");
  return event;
}

std::string tfrecord(std::string_view data) {
  std::string length;
  put_little_endian(length, static_cast<uint64_t>(data.size()));
  std::string record = length;
  put_little_endian(record, masked_crc32c(length));
  record += data;
  put_little_endian(record, masked_crc32c(data));
  return record;
}

TensorBoardLog::TensorBoardLog(imgpack::FileSystem& fs, const std::filesystem::path& folder, double wall_time,
                               uint64_t step) {
  if (!fs.exists(folder)) fs.make_directories(folder);
  file_ = fs.create(folder / file_name(wall_time));
  pending_ = tfrecord(version_event(wall_time)) + tfrecord(start_event(wall_time, step));
  flush();
}

void TensorBoardLog::scalar(double wall_time, uint64_t step, std::string_view tag, double value) {
  pending_ += tfrecord(scalar_event(wall_time, step, tag, static_cast<float>(value)));
}

void TensorBoardLog::flush() {
  if (pending_.empty()) return;
  file_->append(std::as_bytes(std::span(pending_)));
  pending_.clear();
}

}  // namespace imgtrain
