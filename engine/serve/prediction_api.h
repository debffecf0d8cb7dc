// PredictionApi: the routes of `imgtrain serve`.
//
//   request -> parse -> decode (threads of its own) -> Batcher -> answer as JSON
//
//   GET  /  /assets/NAME  /examples/N      the page
//   POST /v1/predict  /v1/explain          predictions; Grad-CAM as a picture
//   GET  /v1/model  /openapi.json  /healthz  /metrics
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "engine/serve/admission.h"
#include "engine/serve/batcher.h"
#include "engine/serve/examples.h"
#include "engine/serve/http_handler.h"
#include "engine/serve/prediction_service.h"
#include "engine/serve/server_metrics.h"

namespace imgtrain::serve {

struct ApiOptions {
  BatchOptions batch;
  size_t queue = 256;          // Images that are taken and not answered yet; beyond it 503.
  size_t request_images = 64;  // Of one request.
  size_t top = 5;              // Guesses where a request says nothing.
  size_t decode_threads = 1;
  std::vector<Example> examples;
};

// Thread-safe.
class PredictionApi : public HttpHandler {
 public:
  // `service` and `metrics` outlive this.
  PredictionApi(PredictionService& service, ServerMetrics& metrics, const ApiOptions& options);
  ~PredictionApi() override;  // stop().

  void handle(HttpQuery query, Respond respond) override;
  // Answers what was taken, then returns. No handle() after it.
  void stop();

 private:
  struct Call;
  struct Route;

  const Route* find_route(const std::string& path) const;
  HttpReply model_reply() const;
  HttpReply make_openapi_reply() const;
  HttpReply page_reply(const HttpQuery& query) const;
  HttpReply metrics_reply() const;
  void begin(std::shared_ptr<Call> call, HttpQuery query);
  void prepare(const std::shared_ptr<Call>& call, size_t index);
  void run(const std::shared_ptr<Call>& call);
  void answer_prediction(Call& call, PredictionResult result) const;
  void answer_explanation(Call& call, ExplainResult result) const;

  PredictionService& service_;
  ServerMetrics& metrics_;
  const ApiOptions options_;
  const ModelInfo info_;
  const HttpReply openapi_;
  Admission queue_;
  Batcher batcher_;
  boost::asio::thread_pool decoders_;
  bool stopped_ = false;
};

}  // namespace imgtrain::serve
