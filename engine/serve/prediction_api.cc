#include "engine/serve/prediction_api.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <mutex>
#include <optional>
#include <utility>

#include "engine/serve/assets.h"
#include "engine/serve/predict_request.h"
#include "engine/serve/problem.h"
#include "engine/train/run/json_text.h"
#include "format/error.h"
#include "format/utf8.h"

namespace imgtrain::serve {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

namespace {

constexpr const char* kPredict = "predict";
constexpr const char* kExplain = "explain";

HttpReply json_reply(const json::object& value, const char* route) {
  HttpReply reply;
  reply.content_type = "application/json";
  reply.body = compact_json(value) + "\n";
  reply.route = route;
  return reply;
}

HttpReply routed(HttpReply reply, const std::string& route) {
  reply.route = route;
  return reply;
}

// A whole number of microseconds, as milliseconds.
double milliseconds(double seconds) {
  return std::round(seconds * 1e6) / 1e3;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

json::object to_json(const Guess& guess) {
  json::object out{{"index", guess.index}};
  if (!guess.wnid.empty()) out["wnid"] = imgpack::to_printable_utf8(guess.wnid);
  out["name"] = imgpack::to_printable_utf8(guess.name);
  out["probability"] = guess.probability;
  return out;
}

std::string label_text(const std::string& text) {
  std::string out;
  for (const char letter : imgpack::to_printable_utf8(text)) {
    if (letter == '"' || letter == '\\') out += '\\';
    out += letter == '\n' ? ' ' : letter;
  }
  return out;
}

// A header holds visible ASCII only.
std::string header_text(const std::string& text) {
  std::string out;
  for (const char letter : text) out += letter >= ' ' && letter <= '~' ? letter : '?';
  return out;
}

std::string what_of(const std::exception_ptr& failed) {
  try {
    std::rethrow_exception(failed);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "unknown failure";
  }
}

}  // namespace

struct PredictionApi::Route {
  const char* path;
  const char* method;
  const char* name;
};

namespace {

constexpr std::string_view kAssets = "/assets/", kExamples = "/examples/";

}  // namespace

// What a request for predictions carries along.
struct PredictionApi::Call {
  bool explain = false;
  const char* route = kPredict;
  Respond respond;  // By answer().
  Clock::time_point arrived = Clock::now();
  PredictRequest request;
  std::optional<Admission::Place> place;
  Batcher::Images images;
  std::atomic<size_t> missing{0};  // Images that are not decoded yet.
  double decode_seconds = 0;
  std::mutex mutex;                                   // Below.
  std::optional<std::pair<size_t, Refusal>> refusal;  // Of the first image that has one.

  void answer(HttpReply reply) {
    reply.route = route;
    std::exchange(respond, {})(std::move(reply));
  }
};

PredictionApi::PredictionApi(PredictionService& service, ServerMetrics& metrics, const ApiOptions& options)
    : service_(service),
      metrics_(metrics),
      options_(options),
      info_(service.info()),
      openapi_(make_openapi_reply()),
      queue_(options.queue, [&metrics](int64_t change) { metrics.queued(change); }),
      batcher_(service, options.batch, [&metrics](size_t images, double seconds) { metrics.batch(images, seconds); }),
      decoders_(std::max<size_t>(1, options.decode_threads)) {}

PredictionApi::~PredictionApi() {
  stop();
}

void PredictionApi::stop() {
  if (std::exchange(stopped_, true)) return;
  decoders_.join();
  batcher_.stop();
}

const PredictionApi::Route* PredictionApi::find_route(const std::string& path) const {
  static constexpr Route kRoutes[] = {
      {"/", "GET", "page"},          {"/v1/predict", "POST", kPredict},   {"/v1/explain", "POST", kExplain},
      {"/v1/model", "GET", "model"}, {"/openapi.json", "GET", "openapi"}, {"/healthz", "GET", "healthz"},
      {"/metrics", "GET", "metrics"}};
  static constexpr Route kAsset = {"", "GET", "page"};
  for (const Route& route : kRoutes)
    if (path == route.path) return &route;
  const std::string_view whole = path;
  if (whole.substr(0, kAssets.size()) == kAssets) {
    const std::string_view name = whole.substr(kAssets.size());
    if (name.rfind("watch", 0) != 0 && find_asset(name) != nullptr) return &kAsset;
  }
  if (whole.substr(0, kExamples.size()) == kExamples) {
    const std::string_view number = whole.substr(kExamples.size());
    size_t index = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), index);
    if (error == std::errc() && end == number.data() + number.size() && index < options_.examples.size())
      return &kAsset;
  }
  return nullptr;
}

void PredictionApi::handle(HttpQuery query, Respond respond) {
  const Route* route = find_route(query.path);
  if (route == nullptr) {
    respond(problem(404, "there is nothing here; / is the page, /openapi.json describes what else there is"));
    return;
  }
  if (query.method != route->method) {
    HttpReply reply = problem(405, "expected " + std::string(route->method));
    reply.headers.emplace_back("Allow", std::string(route->method) == "GET" ? "GET, HEAD" : route->method);
    respond(routed(std::move(reply), route->name));
    return;
  }
  const std::string name = route->name;
  if (name == kPredict || name == kExplain) {
    auto call = std::make_shared<Call>();
    call->explain = name == kExplain;
    call->route = call->explain ? kExplain : kPredict;
    call->respond = std::move(respond);
    // Parsing takes long enough to be kept from the thread of the connections.
    boost::asio::post(decoders_,
                      [this, call, query = std::move(query)]() mutable { begin(std::move(call), std::move(query)); });
    return;
  }
  if (name == "model") {
    respond(model_reply());
  } else if (name == "openapi") {
    respond(openapi_);
  } else if (name == "healthz") {
    respond(json_reply({{"status", "ok"}}, "healthz"));
  } else if (name == "metrics") {
    respond(metrics_reply());
  } else {
    respond(page_reply(query));
  }
}

HttpReply PredictionApi::page_reply(const HttpQuery& query) const {
  const std::string_view path = query.path;
  if (path == "/") return asset_reply("index.html");
  if (path.substr(0, kAssets.size()) == kAssets) return asset_reply(path.substr(kAssets.size()));
  const std::string_view number = path.substr(kExamples.size());
  size_t index = 0;
  std::from_chars(number.data(), number.data() + number.size(), index);
  const Example& example = options_.examples[index];
  HttpReply reply;
  reply.content_type = example.content_type;
  reply.body = example.bytes;
  reply.route = "page";
  return reply;
}

HttpReply PredictionApi::model_reply() const {
  json::array examples;
  for (size_t i = 0; i < options_.examples.size(); ++i) {
    examples.push_back(json::object{{"name", imgpack::to_printable_utf8(options_.examples[i].name)},
                                    {"path", "examples/" + std::to_string(i)}});
  }
  return json_reply({{"model", info_.name},
                     {"classes", info_.classes},
                     {"size", info_.size},
                     {"resize", info_.resize},
                     {"weights", imgpack::to_printable_utf8(info_.weights)},
                     {"digest", info_.digest},
                     {"device", info_.device},
                     {"max_images", options_.request_images},
                     {"examples", std::move(examples)}},
                    "model");
}

// The document says what this model and this server take.
HttpReply PredictionApi::make_openapi_reply() const {
  HttpReply reply = asset_reply("openapi.json");
  json::value document = json::parse(reply.body);
  document.at_pointer("/paths/~1v1~1predict/post/parameters/0/schema/maximum") = info_.classes;
  const int64_t top = std::min<int64_t>(static_cast<int64_t>(options_.top), info_.classes);
  document.at_pointer("/paths/~1v1~1predict/post/parameters/0/schema/default") = top;
  document.at_pointer("/components/schemas/PredictRequest/properties/top/default") = top;
  document.at_pointer("/paths/~1v1~1explain/post/parameters/0/schema/maximum") = info_.classes - 1;
  document.at_pointer("/components/schemas/PredictRequest/properties/top/maximum") = info_.classes;
  document.at_pointer("/components/schemas/PredictRequest/properties/images/maxItems") = options_.request_images;
  reply.body = pretty_json(document);
  reply.route = "openapi";
  return reply;
}

HttpReply PredictionApi::metrics_reply() const {
  HttpReply reply;
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  reply.body = metrics_.text("name=\"" + label_text(info_.name) + "\",weights=\"" + label_text(info_.weights) +
                             "\",device=\"" + label_text(info_.device) + "\"");
  reply.route = "metrics";
  return reply;
}

void PredictionApi::begin(std::shared_ptr<Call> call, HttpQuery query) {
  RequestLimits limits;
  limits.images = options_.request_images;
  limits.top = options_.top;
  limits.classes = info_.classes;
  limits.explain = call->explain;
  auto parsed = parse_predict_request(query, limits);
  if (const Refusal* refusal = std::get_if<Refusal>(&parsed)) {
    call->answer(problem(refusal->status, refusal->detail));
    return;
  }
  call->request = std::move(std::get<PredictRequest>(parsed));
  const size_t count = call->request.images.size();
  auto place = queue_.enter(count);
  if (!place) {
    metrics_.rejected("queue");
    call->answer(problem(503, "too many images are waiting; come again in a moment"));
    return;
  }
  call->place.emplace(std::move(*place));
  call->images.resize(count);
  call->missing = count;
  for (size_t i = 1; i < count; ++i) boost::asio::post(decoders_, [this, call, i] { prepare(call, i); });
  prepare(call, 0);
}

void PredictionApi::prepare(const std::shared_ptr<Call>& call, size_t index) {
  std::optional<Refusal> refusal;
  try {
    call->images[index] = service_.prepare(call->request.images[index]);
  } catch (const imgpack::Error& error) {
    const bool ours = error.kind() != imgpack::ErrorKind::kInvalidInput &&
                      error.kind() != imgpack::ErrorKind::kCorruption &&
                      error.kind() != imgpack::ErrorKind::kUnsupportedVersion;
    refusal = Refusal{ours ? 500u : 422u, error.what()};
  } catch (const std::exception& error) {
    refusal = Refusal{500, error.what()};
  }
  call->request.images[index] = std::string();  // The file is not needed any more.
  if (refusal) {
    const std::lock_guard lock(call->mutex);
    if (!call->refusal || index < call->refusal->first) call->refusal.emplace(index, std::move(*refusal));
  }
  if (--call->missing == 0) run(call);
}

void PredictionApi::run(const std::shared_ptr<Call>& call) {
  call->decode_seconds = seconds_since(call->arrived);
  if (call->refusal) {
    const auto& [index, refusal] = *call->refusal;
    const std::string which = call->images.size() > 1 ? "images[" + std::to_string(index) + "]: " : "";
    call->place.reset();
    call->answer(problem(refusal.status, which + refusal.detail));
    return;
  }
  if (call->explain) {
    batcher_.explain(std::move(call->images.front()), call->request.label, [this, call](ExplainResult result) {
      call->place.reset();
      answer_explanation(*call, std::move(result));
    });
    return;
  }
  batcher_.predict(std::move(call->images), call->request.top, [this, call](PredictionResult result) {
    call->place.reset();
    answer_prediction(*call, std::move(result));
  });
}

void PredictionApi::answer_prediction(Call& call, PredictionResult result) const {
  if (result.failed) {
    call.answer(problem(500, what_of(result.failed)));
    return;
  }
  json::array predictions;
  for (const std::vector<Guess>& guesses : result.guesses) {
    json::array list;
    for (const Guess& guess : guesses) list.push_back(to_json(guess));
    predictions.push_back(json::object{{"guesses", std::move(list)}});
  }
  call.answer(json_reply({{"model", info_.name},
                          {"predictions", std::move(predictions)},
                          {"milliseconds",
                           {{"decode", milliseconds(call.decode_seconds)},
                            {"wait", milliseconds(result.wait_seconds)},
                            {"model", milliseconds(result.model_seconds)},
                            {"total", milliseconds(seconds_since(call.arrived))}}},
                          {"batch", result.largest_batch}},
                         call.route));
}

void PredictionApi::answer_explanation(Call& call, ExplainResult result) const {
  if (result.failed) {
    call.answer(problem(500, what_of(result.failed)));
    return;
  }
  HttpReply reply;
  reply.content_type = result.picture.content_type;
  reply.body = std::move(result.picture.bytes);
  reply.headers.emplace_back("X-Class-Index", std::to_string(result.picture.index));
  reply.headers.emplace_back("X-Class-Name", header_text(result.picture.name));
  reply.headers.emplace_back("Server-Timing", "decode;dur=" + number_text(milliseconds(call.decode_seconds)) +
                                                  ", wait;dur=" + number_text(milliseconds(result.wait_seconds)) +
                                                  ", model;dur=" + number_text(milliseconds(result.model_seconds)));
  call.answer(std::move(reply));
}

}  // namespace imgtrain::serve
