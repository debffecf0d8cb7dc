// MlflowSink: the curves of a run on an MLflow tracking server, through its REST API (version 2.0), from a thread of
// its own: training never waits for the server, and a server that fails costs curves, not the run.
//
//   log()  -> queue (bounded) -> thread: experiment by name -> run created or continued -> runs/log-batch
//   <run folder>/mlflow.json     which run of which server this is; a resumed run goes on with it
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/train/run/http_exchange.h"
#include "format/file.h"

namespace imgtrain {

struct MlflowOptions {
  std::string uri;         // `http://127.0.0.1:5000`
  std::string experiment;  // Made where it is missing.
  std::string run_name;
  std::vector<std::pair<std::string, std::string>> parameters;  // Sent once, when the run is made.
  std::filesystem::path record;                                 // mlflow.json of the run folder.
  std::chrono::milliseconds timeout{5000};                      // Of one exchange.
  std::chrono::milliseconds retry{5000};                        // Between attempts while the server gives no answer.
};

struct MlflowMetric {
  std::string key;
  double value = 0;
  int64_t time_ms = 0;  // Since 1970.
  uint64_t step = 0;
};

class MlflowSink {
 public:
  // Called from the sink's thread, once for each spell of failure.
  using Warn = std::function<void(const std::string&)>;

  // Throws Error(kUsage) for a URI that is not http://HOST:PORT. `fs` outlives this.
  MlflowSink(imgpack::FileSystem& fs, MlflowOptions options, Warn warn);
  // Sends what is queued, for as long as one exchange may take, and gives up on the rest, with a warning.
  ~MlflowSink();
  MlflowSink(const MlflowSink&) = delete;
  MlflowSink& operator=(const MlflowSink&) = delete;

  void log(std::vector<MlflowMetric> metrics);  // Any thread; returns at once.
  void finish(const std::string& status);       // FINISHED, KILLED or FAILED: sent after everything logged before.

 private:
  struct Refused {
    std::string what;
    bool for_good = false;  // The server understood and said no: asking again changes nothing.
  };
  void work();
  bool take(std::vector<MlflowMetric>& batch, std::string& status);
  void send(const std::vector<MlflowMetric>& batch, const std::string& status);
  void ensure_run();
  std::string experiment_id();
  std::string create_run(const std::string& experiment);
  // Answer as text; throws Refused.
  std::string call(const char* method, const std::string& target, const std::string& body) const;

  imgpack::FileSystem& fs_;
  const MlflowOptions options_;
  const Warn warn_;
  HttpEndpoint endpoint_;
  std::string run_id_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<MlflowMetric> queue_;
  uint64_t dropped_ = 0;
  std::string status_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace imgtrain
