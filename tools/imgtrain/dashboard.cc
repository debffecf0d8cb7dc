#include "tools/imgtrain/dashboard.h"

#include <chrono>
#include <exception>

#include "engine/serve/http_server.h"
#include "engine/serve/run_view.h"
#include "engine/serve/watch_api.h"
#include "format/file.h"

namespace imgtrain {

struct Dashboard::State {
  State(const std::filesystem::path& run, uint16_t port)
      : view(imgpack::posix_file_system(), run, std::nullopt), api(view), server(api, metrics, {}, "127.0.0.1", port) {}

  serve::RunView view;
  serve::WatchApi api;
  serve::ServerMetrics metrics;
  serve::HttpServer server;
};

Dashboard::Dashboard(const std::filesystem::path& run, uint16_t port,
                     const std::function<void(const std::string&)>& say,
                     const std::function<void(const std::string&)>& warn) {
  try {
    auto state = std::make_unique<State>(run, port);
    state->server.start();
    say("dashboard: " + state->server.url());
    state_ = std::move(state);
  } catch (const std::exception& error) {
    warn(std::string("no dashboard: ") + error.what());
  }
}

Dashboard::~Dashboard() {
  if (state_) state_->server.stop(std::chrono::milliseconds(200));
}

}  // namespace imgtrain
