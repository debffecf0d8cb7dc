// LiveFeed: live.jsonl of a run folder, what a running training tells those who watch it (engine/serve/run_view.h).
//
//   every event of metrics.jsonl, the moment it happens  ─┐
//   {"message_type": "line", "time": …, "text": …}        ├> live.jsonl   (begun anew by every process)
//   {"message_type": "machine", "time": …, "cpu": …}     ─┘
//
// metrics.jsonl is the record: published whole, with fsync, at checkpoints. This is none: appended without waiting for
// the disk, cut off by a crash, and no failure to write it disturbs the training.
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "engine/train/run/run_listener.h"
#include "format/file.h"

namespace imgtrain {

// Thread-safe. Throws nothing.
class LiveFeed {
 public:
  // Writes nothing before the folder is a run's: what comes earlier is kept for then.
  LiveFeed(imgpack::FileSystem& fs, std::filesystem::path run);

  void line(const std::string& jsonl);  // With its newline.
  void append(const char* type, const boost::json::object& fields);

 private:
  void write(const std::string& text);

  imgpack::FileSystem& fs_;
  const std::filesystem::path run_;
  std::mutex mutex_;  // Of what is below.
  std::string early_;
  std::unique_ptr<imgpack::WritableFile> file_;
  uint64_t bytes_ = 0;
  bool broken_ = false;
};

// {"message_type": type, "time": seconds since 1970, …fields} and a newline: a line of metrics.jsonl and live.jsonl.
std::string event_line(const char* type, const boost::json::object& fields);

// Passes everything on, and what is said to the feed too. As thread-safe as `inner` is.
class LiveListener : public RunListener {
 public:
  LiveListener(RunListener& inner, LiveFeed& feed) : inner_(inner), feed_(feed) {}
  void say(const std::string& line) override;
  void warn(const std::string& line) override;
  void begin_pass(const PassInfo& pass) override { inner_.begin_pass(pass); }
  void advance(uint64_t images) override { inner_.advance(images); }
  void note(const std::string& text) override { inner_.note(text); }
  void end_pass() override { inner_.end_pass(); }
  void opened(const std::filesystem::path& folder) override { inner_.opened(folder); }
  RunRequest take_request() override { return inner_.take_request(); }
  bool take_report_request() override { return inner_.take_report_request(); }

 private:
  RunListener& inner_;
  LiveFeed& feed_;
};

}  // namespace imgtrain
