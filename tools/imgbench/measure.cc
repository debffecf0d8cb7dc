#include "tools/imgbench/measure.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "format/error.h"

namespace imgbench {
namespace {

double cpu_now() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

template <typename Value>
Spread over(const Measurement& measurement, Value value) {
  std::vector<double> values;
  for (const Repetition& repetition : measurement.repetitions) values.push_back(value(repetition));
  return spread_of(std::move(values));
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

Spread items_per_second(const Measurement& measurement) {
  return over(measurement, [](const Repetition& r) { return static_cast<double>(r.work.items) / r.wall_seconds; });
}

Spread items_per_cpu_second(const Measurement& measurement) {
  return over(measurement, [](const Repetition& r) { return static_cast<double>(r.work.items) / r.cpu_seconds; });
}

Spread bytes_per_second(const Measurement& measurement) {
  return over(measurement, [](const Repetition& r) { return static_cast<double>(r.work.bytes) / r.wall_seconds; });
}

Repetition measure_once(Workload& workload, double min_seconds) {
  using Clock = std::chrono::steady_clock;
  Repetition result;
  const double cpu = cpu_now();
  const auto start = Clock::now();
  do {
    const Work work = workload.run();
    result.work.items += work.items;
    result.work.bytes += work.bytes;
    result.wall_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  } while (result.wall_seconds < min_seconds);
  result.cpu_seconds = cpu_now() - cpu;
  return result;
}

void evict(const std::vector<std::filesystem::path>& files) {
  for (const std::filesystem::path& path : files) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    int failure = file < 0 ? errno : 0;
    if (file >= 0) {
      fdatasync(file);
      failure = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
      close(file);
    }
    if (failure != 0)
      throw imgpack::Error(imgpack::ErrorKind::kIo,
                           std::string("cannot evict the file from the page cache: ") + std::strerror(failure), path);
  }
}

}  // namespace imgbench
