#include "format/ingest/byte_stream.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace imgpack::ingest {
namespace {

class FileStream : public ByteStream {
 public:
  FileStream(std::unique_ptr<RandomAccessFile> file, std::string name)
      : file_(std::move(file)), name_(std::move(name)) {}

  size_t read(std::span<std::byte> out) override {
    const size_t got = file_->read_at(at_, out);
    at_ += got;
    return got;
  }
  uint64_t skip(uint64_t bytes) override {
    const uint64_t passed = std::min(bytes, file_->size() - std::min(at_, file_->size()));
    at_ += passed;
    return passed;
  }
  uint64_t size() const override { return file_->size(); }
  void seek(uint64_t offset) override { at_ = offset; }
  const std::string& name() const override { return name_; }

 private:
  std::unique_ptr<RandomAccessFile> file_;
  std::string name_;
  uint64_t at_ = 0;
};

}  // namespace

uint64_t ByteStream::skip(uint64_t bytes) {
  std::vector<std::byte> waste(std::min<uint64_t>(bytes, 1 << 16));
  uint64_t passed = 0;
  while (passed < bytes) {
    const size_t got = read(std::span(waste).first(std::min<uint64_t>(waste.size(), bytes - passed)));
    if (got == 0) break;
    passed += got;
  }
  return passed;
}

std::unique_ptr<ByteStream> open_file_stream(FileSystem& fs, const std::filesystem::path& path) {
  return std::make_unique<FileStream>(fs.open(path), path.string());
}

std::span<const std::byte> PeekStream::peek(size_t bytes) {
  const size_t had = head_.size();
  if (had < used_ + bytes) {
    head_.resize(used_ + bytes);
    size_t filled = had;
    while (filled < head_.size()) {
      const size_t got = base_.read(std::as_writable_bytes(std::span(head_)).subspan(filled));
      if (got == 0) break;
      filled += got;
    }
    head_.resize(filled);
  }
  const auto left = std::as_bytes(std::span(head_)).subspan(used_);
  return left.first(std::min(bytes, left.size()));
}

size_t PeekStream::read(std::span<std::byte> out) {
  if (used_ == head_.size()) return base_.read(out);
  const size_t size = std::min(out.size(), head_.size() - used_);
  std::memcpy(out.data(), head_.data() + used_, size);
  used_ += size;
  return size;
}

uint64_t PeekStream::skip(uint64_t bytes) {
  const uint64_t held = std::min<uint64_t>(bytes, head_.size() - used_);
  used_ += held;
  return held == bytes ? held : held + base_.skip(bytes - held);
}

void PeekStream::seek(uint64_t offset) {
  used_ = head_.size();
  base_.seek(offset);
}

}  // namespace imgpack::ingest
