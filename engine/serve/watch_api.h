// WatchApi: the routes of `imgtrain watch` and `imgtrain --dashboard`. Nothing can be changed through them.
//
//   GET  /  /assets/NAME   the page        GET /v1/run   RunView's object        GET /healthz
#pragma once

#include "engine/serve/http_handler.h"
#include "engine/serve/run_view.h"

namespace imgtrain::serve {

// Thread-safe.
class WatchApi : public HttpHandler {
 public:
  explicit WatchApi(RunView& view) : view_(view) {}  // It outlives this.
  void handle(HttpQuery query, Respond respond) override;

 private:
  HttpReply reply(const HttpQuery& query);

  RunView& view_;
};

}  // namespace imgtrain::serve
