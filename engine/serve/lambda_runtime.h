// The AWS Lambda custom runtime: events in, answers out, through the same handler as the HTTP server.
//
//   GET  http://API/2018-06-01/runtime/invocation/next            waits for an event
//   POST http://API/2018-06-01/runtime/invocation/ID/response     or …/ID/error
//
// API is what Lambda puts into AWS_LAMBDA_RUNTIME_API. An event is a function URL's or API Gateway's (payload
// format 2.0), or, where somebody invokes the function directly, the JSON body of POST /v1/predict itself.
#pragma once

#include <atomic>
#include <boost/json/value.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "engine/serve/http_handler.h"
#include "engine/serve/predict_request.h"

namespace imgtrain::serve {

struct LambdaOptions {
  std::string api;                                    // `127.0.0.1:9001`
  std::function<void(const std::string&)> warn = {};  // Of events that could not be answered.
  const std::atomic<bool>* stop = nullptr;            // Looked at a few times a second. Null: never.
};

// Answers events until it is told to stop. Throws Error(kUsage) where `api` is no HOST:PORT, Error(kIo) where the
// runtime API does not answer. Returns how many events were answered.
uint64_t run_lambda(HttpHandler& handler, const LambdaOptions& options);

// Tells Lambda why the function cannot begin, so that it stands in the log of the invocation. Fails silently.
void report_lambda_init_error(const std::string& api, const std::string& message);

// The request of an event, or why it is none that a handler could answer (a body that is no base64 though the event
// says so); nullopt: the event is the body of POST /v1/predict.
std::optional<std::variant<HttpQuery, Refusal>> query_of_event(const boost::json::value& event);
// The answer as Lambda wants it: of an HTTP event {"statusCode", "headers", "body", "isBase64Encoded"}.
std::string event_answer(const HttpReply& reply);

}  // namespace imgtrain::serve
