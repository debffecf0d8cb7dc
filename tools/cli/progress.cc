#include "tools/cli/progress.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tools/cli/units.h"

namespace imgpack::cli {
namespace {

constexpr double kRateWindow = 15;  // Seconds.
constexpr size_t kBarColumns = 20;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string rate_text(double per_second) {
  if (per_second >= 10) return format_count(static_cast<uint64_t>(per_second + 0.5));
  return format_real(std::round(per_second * 100) / 100);
}

}  // namespace

Progress::Progress(Console& console, ProgressOptions options) : console_(console), options_(std::move(options)) {
  if (!options_.now) options_.now = steady_seconds;
  started_ = options_.now();
  older_.at = newer_.at = started_;
  next_draw_ = started_ + (console_.is_terminal() ? options_.redraw_s : options_.log_interval_s);
}

Progress::~Progress() {
  console_.clear_bar();
}

void Progress::advance(uint64_t items, uint64_t bytes) {
  items_.fetch_add(items, std::memory_order_relaxed);
  bytes_.fetch_add(bytes, std::memory_order_relaxed);
  if (options_.quiet || options_.now() < next_draw_.load(std::memory_order_relaxed)) return;
  draw(false);
}

void Progress::set_note(std::string note) {
  const std::lock_guard lock(mutex_);
  note_ = std::move(note);
}

void Progress::finish() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(finished_, true)) return;
  }
  console_.clear_bar();
  if (!options_.quiet) draw(true);
}

std::string Progress::text() const {
  const std::lock_guard lock(mutex_);
  return line(options_.now(), false);
}

void Progress::draw(bool last) {
  // Whoever comes while a line is being drawn need not draw another.
  std::unique_lock lock(mutex_, std::defer_lock);
  if (last) {
    lock.lock();
  } else if (!lock.try_lock() || finished_) {
    return;
  }
  const double now = options_.now();
  if (!last && now < next_draw_.load()) return;
  next_draw_ = now + (console_.is_terminal() ? options_.redraw_s : options_.log_interval_s);
  if (now - newer_.at >= kRateWindow) {
    older_ = newer_;
    newer_ = {now, items_.load(), bytes_.load()};
  }
  const std::string words = line(now, last);
  if (last || !console_.is_terminal()) {
    console_.say(words);
    return;
  }
  std::string shown = bar() + words;
  // A line that wraps could not be erased.
  const size_t columns = console_.columns();
  if (shown.size() >= columns) shown = words;
  if (shown.size() >= columns) shown.resize(columns - 1);
  console_.show_bar(shown);
}

std::string Progress::bar() const {
  if (options_.total == 0) return "";
  const uint64_t done = std::min(options_.total, options_.done_before + items_.load());
  const size_t filled =
      static_cast<size_t>(static_cast<double>(done) / static_cast<double>(options_.total) * kBarColumns);
  std::string bar = "[" + std::string(filled, '=');
  if (filled < kBarColumns) bar += '>';
  bar.resize(1 + kBarColumns, ' ');
  return bar + "] ";
}

std::string Progress::line(double now, bool last) const {
  const uint64_t items = items_.load(), bytes = bytes_.load();
  const uint64_t done = options_.done_before + items;
  std::string text = options_.title;
  if (options_.total > 0) {
    const double share = static_cast<double>(std::min(done, options_.total)) / static_cast<double>(options_.total);
    text += "  " + std::to_string(static_cast<int>(share * 100)) + " %  " + format_count(done) + "/" +
            format_count(options_.total);
  } else {
    text += "  " + format_count(done);
  }
  text += " " + options_.unit;
  const Point since = last ? Point{started_, 0, 0} : older_;
  const double elapsed = now - since.at;
  const double rate = elapsed > 0 ? static_cast<double>(items - since.items) / elapsed : 0;
  if (elapsed > 0) text += "  " + rate_text(rate) + "/s";
  if (elapsed > 0 && bytes > 0) {
    text += "  " + format_bytes(static_cast<uint64_t>(static_cast<double>(bytes - since.bytes) / elapsed)) + "/s";
  }
  if (last) {
    text += "  in " + format_seconds(now - started_);
  } else if (options_.total > done && rate > 0) {
    text += "  ETA " + format_seconds(static_cast<double>(options_.total - done) / rate);
  }
  if (!note_.empty()) text += "  " + note_;
  return text;
}

}  // namespace imgpack::cli
