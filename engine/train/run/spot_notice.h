// SpotNoticeWatcher: asks EC2's instance metadata service every few seconds whether this machine is about to be taken
// away, and tells its owner once.
//
//   PUT /latest/api/token  ->  GET /latest/meta-data/spot/instance-action                  404 | {"action", "time"}
//                              GET /latest/meta-data/events/recommendations/rebalance     404 | {"noticeTime"}
//
// The notice comes two minutes ahead, the rebalance hint earlier or not at all (EC2 guide, spot-instance-termination-
// notices). Where there is no such service the watcher ends in silence.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "engine/train/run/http_exchange.h"

namespace imgtrain {

struct SpotNotice {
  enum class Kind {
    kRebalance,     // The machine is likelier to be taken than others: a good time to save.
    kInterruption,  // It will be taken: `action` is terminate, stop or hibernate.
  };
  Kind kind = Kind::kInterruption;
  std::string action;
  std::string time;  // As EC2 gives it, `2026-11-23T10:20:30Z`.
};

struct SpotWatchOptions {
  std::string endpoint = "http://169.254.169.254";
  // The service was named on purpose: go on asking when it gives no answer.
  bool expected = false;
  bool disabled = false;
  std::chrono::milliseconds poll{5000};
  std::chrono::milliseconds timeout{1000};  // Of one exchange.
  std::chrono::seconds token_life{21600};
};

// From AWS_EC2_METADATA_SERVICE_ENDPOINT and AWS_EC2_METADATA_DISABLED.
SpotWatchOptions spot_watch_from_environment();

class SpotNoticeWatcher {
 public:
  // Both are called from the watcher's own thread: `notice` at most once for each kind, `warn` at most once while the
  // service gives no sensible answer.
  using NoticeHandler = std::function<void(const SpotNotice&)>;
  using Warn = std::function<void(const std::string&)>;

  // Throws Error(kUsage) for an endpoint that is no http:// URL.
  SpotNoticeWatcher(SpotWatchOptions options, NoticeHandler notice, Warn warn);
  ~SpotNoticeWatcher();  // Waits for an exchange in flight, `timeout` at most.
  SpotNoticeWatcher(const SpotNoticeWatcher&) = delete;
  SpotNoticeWatcher& operator=(const SpotNoticeWatcher&) = delete;

 private:
  void watch();
  bool sleep();  // False: the owner is ending.

  const SpotWatchOptions options_;
  const NoticeHandler notice_;
  const Warn warn_;
  HttpEndpoint endpoint_;
  std::mutex mutex_;
  std::condition_variable ending_changed_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace imgtrain
