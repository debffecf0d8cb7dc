#include "tests/support/simulated_disk.h"

#include <algorithm>
#include <chrono>

namespace imgpack::test {

class SimulatedDisk::Device {
 public:
  explicit Device(const DiskSpeed& speed) : speed_(speed) {}

  // Returns when the read is complete in virtual time.
  void read(uint64_t bytes) {
    const uint64_t ios = std::max<uint64_t>(1, (bytes + speed_.io_bytes - 1) / speed_.io_bytes);
    std::unique_lock lock(mutex_);
    bytes_free_ = std::max(bytes_free_, now_) + static_cast<double>(bytes) / speed_.bytes_per_second;
    ios_free_ = std::max(ios_free_, now_) + static_cast<double>(ios) / speed_.ios_per_second;
    const double done = std::max(bytes_free_, ios_free_) + speed_.latency_s;
    counters_.bytes += bytes;
    counters_.ios += ios;
    counters_.seconds = std::max(counters_.seconds, done);
    waiting_.insert(done);
    ++arrivals_;
    if (waiting_.size() == speed_.readers) advance();
    while (now_ < done) {
      const uint64_t seen = arrivals_;
      const bool moved = moved_.wait_for(lock, kQuiet, [&] { return now_ >= done || arrivals_ != seen; });
      if (!moved) advance();
    }
    waiting_.erase(waiting_.find(done));
  }

  DiskCounters counters() const {
    const std::lock_guard lock(mutex_);
    return counters_;
  }

 private:
  static constexpr std::chrono::milliseconds kQuiet{5};

  void advance() {
    now_ = std::max(now_, *waiting_.begin());
    moved_.notify_all();
  }

  const DiskSpeed speed_;
  mutable std::mutex mutex_;
  std::condition_variable moved_;
  double now_ = 0, bytes_free_ = 0, ios_free_ = 0;
  uint64_t arrivals_ = 0;
  std::multiset<double> waiting_;  // Completions.
  DiskCounters counters_;
};

class SimulatedDisk::File : public RandomAccessFile {
 public:
  File(std::unique_ptr<RandomAccessFile> file, std::shared_ptr<Device> device)
      : file_(std::move(file)), device_(std::move(device)) {}
  size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
    device_->read(out.size());
    return file_->read_at(offset, out);
  }
  uint64_t size() const override { return file_->size(); }
  const std::filesystem::path& path() const override { return file_->path(); }

 private:
  const std::unique_ptr<RandomAccessFile> file_;
  const std::shared_ptr<Device> device_;
};

SimulatedDisk::SimulatedDisk(FileSystem& inner, const DiskSpeed& speed)
    : inner_(inner), device_(std::make_shared<Device>(speed)) {}

SimulatedDisk::~SimulatedDisk() = default;

DiskCounters SimulatedDisk::counters() const {
  return device_->counters();
}

std::unique_ptr<RandomAccessFile> SimulatedDisk::open(const std::filesystem::path& path) {
  return std::make_unique<File>(inner_.open(path), device_);
}

}  // namespace imgpack::test
