#include "engine/serve/lines_tail.h"

#include <algorithm>
#include <span>

#include "format/error.h"

namespace imgtrain::serve {
namespace {

constexpr uint64_t kMaxRead = uint64_t{32} << 20;  // In one call.
constexpr size_t kKnownBytes = 256;

std::string read(const imgpack::RandomAccessFile& file, uint64_t offset, uint64_t bytes) {
  std::string text(bytes, '\0');
  text.resize(file.read_at(offset, std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace

LinesTail::News LinesTail::poll() {
  News news;
  if (!fs_.exists(path_)) {
    news.begun_anew = offset_ > 0;
    offset_ = 0;
    last_.clear();
    return news;
  }
  const auto file = fs_.open(path_);
  const uint64_t size = file->size();
  if (size < offset_ || read(*file, offset_ - last_.size(), last_.size()) != last_) {
    news.begun_anew = true;
    offset_ = 0;
    last_.clear();
  }
  const std::string text = read(*file, offset_, std::min(size - offset_, kMaxRead));
  size_t start = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', start)) {
    news.lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  // Something that is no file of lines is passed over, a piece at a time.
  if (start == 0 && text.size() == kMaxRead) start = text.size();
  offset_ += start;
  last_ = (last_ + text.substr(0, start));
  if (last_.size() > kKnownBytes) last_.erase(0, last_.size() - kKnownBytes);
  return news;
}

}  // namespace imgtrain::serve
