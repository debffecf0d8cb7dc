#include "engine/serve/lambda_runtime.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include "engine/serve/problem.h"
#include "engine/train/run/http_exchange.h"
#include "format/base64.h"
#include "format/error.h"

namespace imgtrain::serve {

namespace beast = boost::beast;
namespace http = beast::http;
namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

namespace {

constexpr const char* kInvocation = "/2018-06-01/runtime/invocation/";
constexpr const char* kInitError = "/2018-06-01/runtime/init/error";
constexpr size_t kMaxEventBytes = size_t{32} << 20;  // Lambda's own limit is 6 MiB, or 20 of a stream.
constexpr std::chrono::milliseconds kLook{200};
constexpr std::chrono::seconds kAnswerTime{30};

HttpEndpoint endpoint_of(const std::string& api) {
  const auto endpoint = parse_http_endpoint("http://" + api);
  if (!endpoint) throw Error(ErrorKind::kUsage, "AWS_LAMBDA_RUNTIME_API: expected HOST:PORT, found '" + api + "'");
  return *endpoint;
}

struct Event {
  std::string id;
  std::string body;
};

// Waits for the next one, however long that takes. nullopt: told to stop. Throws Error(kIo).
std::optional<Event> next_event(const HttpEndpoint& endpoint, const LambdaOptions& options) {
  boost::asio::io_context context;
  beast::tcp_stream stream(context);
  beast::error_code failure;
  bool done = false;
  const auto finished = [&](beast::error_code error, auto&&...) {
    failure = error;
    done = true;
  };
  const auto stopping = [&] { return options.stop != nullptr && options.stop->load(); };
  // Runs a step to its end, or until somebody wants this to stop.
  const auto wait = [&] {
    while (!done && !stopping()) {
      context.restart();
      context.run_for(kLook);
    }
    if (!done) {
      stream.close();
      context.restart();
      context.run();
      return false;
    }
    done = false;
    if (failure)
      throw Error(ErrorKind::kIo,
                  "the Lambda runtime API at " + options.api + " does not answer: " + failure.message());
    return true;
  };
  boost::asio::ip::tcp::resolver resolver(context);
  const auto addresses = resolver.resolve(endpoint.host, endpoint.port, failure);
  if (failure) throw Error(ErrorKind::kIo, "cannot resolve " + options.api + ": " + failure.message());
  stream.async_connect(addresses, finished);
  if (!wait()) return std::nullopt;
  http::request<http::string_body> request(http::verb::get, std::string(kInvocation) + "next", 11);
  request.set(http::field::host, options.api);
  request.set(http::field::user_agent, "imgtrain");
  http::async_write(stream, request, finished);
  if (!wait()) return std::nullopt;
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxEventBytes);
  http::async_read(stream, buffer, parser, finished);
  if (!wait()) return std::nullopt;
  auto& response = parser.get();
  Event event{std::string(response["Lambda-Runtime-Aws-Request-Id"]), std::move(response.body())};
  if (response.result() != http::status::ok || event.id.empty())
    throw Error(ErrorKind::kIo, "the Lambda runtime API answered with status " + std::to_string(response.result_int()) +
                                    " and no event");
  return event;
}

HttpReply wait_for_answer(HttpHandler& handler, HttpQuery query) {
  const auto promise = std::make_shared<std::promise<HttpReply>>();
  handler.handle(std::move(query), [promise](HttpReply reply) { promise->set_value(std::move(reply)); });
  return promise->get_future().get();
}

std::string error_json(const std::string& type, const std::string& message) {
  return json::serialize(json::object{{"errorType", type}, {"errorMessage", message}});
}

std::string text(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool is_text(const std::string& content_type) {
  const std::string type = media_type(content_type);
  return type.rfind("text/", 0) == 0 || type == "application/json" || type == "application/problem+json" ||
         type == "image/svg+xml";
}

// What goes back for an event, and whether that is an error.
std::pair<std::string, bool> answer_to(HttpHandler& handler, const std::string& body) {
  boost::system::error_code failure;
  const json::value event = json::parse(body, failure);
  if (failure) return {error_json("BadEvent", "the event is no JSON: " + failure.message()), true};
  if (auto asked = query_of_event(event)) {
    if (const Refusal* refusal = std::get_if<Refusal>(&*asked))
      return {event_answer(problem(refusal->status, refusal->detail)), false};
    return {event_answer(wait_for_answer(handler, std::move(std::get<HttpQuery>(*asked)))), false};
  }
  const HttpReply reply = wait_for_answer(handler, {"POST", "/v1/predict", "application/json", body, {}});
  if (reply.status == 200) return {reply.body, false};
  const json::value problem = json::parse(reply.body, failure);
  const std::string detail = !failure && problem.is_object() ? text(problem.get_object(), "detail") : reply.body;
  return {error_json("Status" + std::to_string(reply.status), detail), true};
}

}  // namespace

std::optional<std::variant<HttpQuery, Refusal>> query_of_event(const json::value& event) {
  if (!event.is_object()) return std::nullopt;
  const json::object& object = event.get_object();
  const json::value* context = object.if_contains("requestContext");
  if (context == nullptr || !context->is_object()) return std::nullopt;
  const json::value* http_part = context->get_object().if_contains("http");
  if (http_part == nullptr || !http_part->is_object()) return std::nullopt;
  HttpQuery query;
  query.method = text(http_part->get_object(), "method");
  if (query.method == "HEAD") query.method = "GET";
  const std::string path = text(object, "rawPath"), parameters = text(object, "rawQueryString");
  if (!split_target(parameters.empty() ? path : path + "?" + parameters, query)) query.path = "?";
  if (const json::value* headers = object.if_contains("headers"); headers != nullptr && headers->is_object())
    query.content_type = text(headers->get_object(), "content-type");  // Their names come in lower case.
  query.body = text(object, "body");
  const json::value* encoded = object.if_contains("isBase64Encoded");
  if (encoded != nullptr && encoded->is_bool() && encoded->get_bool()) {
    auto body = imgpack::from_base64(query.body);
    if (!body) return Refusal{400, "the event's body is no base64, and isBase64Encoded says that it is"};
    query.body = std::move(*body);
  }
  return query;
}

std::string event_answer(const HttpReply& reply) {
  json::object headers{{"content-type", reply.content_type}};
  for (const auto& [name, value] : reply.headers) headers[name] = value;
  const bool plain = is_text(reply.content_type);
  return json::serialize(json::object{{"statusCode", reply.status},
                                      {"headers", std::move(headers)},
                                      {"body", plain ? reply.body : imgpack::to_base64(reply.body)},
                                      {"isBase64Encoded", !plain}});
}

uint64_t run_lambda(HttpHandler& handler, const LambdaOptions& options) {
  const HttpEndpoint endpoint = endpoint_of(options.api);
  uint64_t answered = 0;
  while (const auto event = next_event(endpoint, options)) {
    const auto [body, failed] = answer_to(handler, event->body);
    HttpRequest request;
    request.method = "POST";
    request.target = kInvocation + event->id + (failed ? "/error" : "/response");
    request.headers = {{"Content-Type", "application/json"}};
    if (failed) request.headers.emplace_back("Lambda-Runtime-Function-Error-Type", "Runtime.BadRequest");
    request.body = body;
    const auto taken = http_exchange(endpoint, request, kAnswerTime, kMaxEventBytes);
    const bool good = taken && taken->status < 300;
    if (good) {
      ++answered;
    } else if (options.warn) {
      options.warn("the answer to event " + event->id +
                   " was not taken: " + (taken ? "status " + std::to_string(taken->status) : std::string("no answer")));
    }
  }
  return answered;
}

void report_lambda_init_error(const std::string& api, const std::string& message) {
  const auto endpoint = parse_http_endpoint("http://" + api);
  if (!endpoint) return;
  HttpRequest request;
  request.method = "POST";
  request.target = kInitError;
  request.headers = {{"Content-Type", "application/json"}, {"Lambda-Runtime-Function-Error-Type", "Runtime.InitError"}};
  request.body = error_json("InitError", message);
  http_exchange(*endpoint, request, kAnswerTime, kMaxEventBytes);
}

}  // namespace imgtrain::serve
