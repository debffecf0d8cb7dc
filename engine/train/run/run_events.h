// RunEvents: every event of a run, to every place that was asked for.
//
//   append(type, fields) -> metrics.jsonl   (always; published whole at flush())
//                        -> tensorboard/    (its curves, at flush())
//                        -> an MLflow server (its curves, at once, from another thread)
//                        -> live.jsonl      (at once, for those who watch)
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "engine/train/run/live_feed.h"
#include "engine/train/run/metrics.h"
#include "engine/train/run/mlflow_sink.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/run_listener.h"
#include "engine/train/run/tensorboard_log.h"
#include "format/file.h"

namespace imgtrain {

// One thread.
class RunEvents {
 public:
  // Opens what `config` asks for. `fs` and `listener` outlive this. Throws Error(kIo), Error(kUsage).
  RunEvents(imgpack::FileSystem& fs, const std::filesystem::path& run, const RunConfig& config, RunListener& listener);

  void also_to(LiveFeed& live) { live_ = &live; }  // It outlives this.
  void append(const char* type, const boost::json::object& fields);
  void flush();                            // Throws Error(kIo).
  void finish(const std::string& status);  // MLflow's name for how it ended: FINISHED, KILLED, FAILED.

 private:
  imgpack::FileSystem& fs_;
  const std::filesystem::path run_;
  const bool tensorboard_wanted_;
  EventLog log_;
  LiveFeed* live_ = nullptr;                   // Null: nobody watches.
  std::optional<TensorBoardLog> tensorboard_;  // From the first event on, whose step it begins with.
  std::unique_ptr<MlflowSink> mlflow_;
};

}  // namespace imgtrain
