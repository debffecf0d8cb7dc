// The page of `imgtrain watch`, started by the training that it shows. It reads the run folder from a thread of its
// own: the training neither waits for it nor fails with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace imgtrain {

class Dashboard {
 public:
  // On loopback. Port 0: a free one. `tell` hears the URL, or why there is none (a port that is taken).
  Dashboard(const std::filesystem::path& run, uint16_t port, const std::function<void(const std::string&)>& say,
            const std::function<void(const std::string&)>& warn);
  ~Dashboard();

 private:
  struct State;
  std::unique_ptr<State> state_;  // Null: it could not start.
};

}  // namespace imgtrain
