// The servers without a model, for tests that need a real one on loopback: the page, the routes and the limits are
// those of `imgtrain serve` and `imgtrain watch`; the "model" says which of three colours an image has most of.
//
//   test_serve_program serve PORT [LIMIT=VALUE…]
//     LIMIT: body connections queue pixels idle_ms receive_ms delay_ms
//   test_serve_program watch PORT RUN
//   test_serve_program lambda 0           with AWS_LAMBDA_RUNTIME_API
//
// Prints the URL, and ends with 0 on SIGTERM.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <span>
#include <string>
#include <thread>

#include "engine/serve/http_server.h"
#include "engine/serve/image_size.h"
#include "engine/serve/lambda_runtime.h"
#include "engine/serve/prediction_api.h"
#include "engine/serve/run_view.h"
#include "engine/serve/watch_api.h"
#include "format/error.h"
#include "format/ingest/image_kind.h"
#include "format/ingest/pixel_image.h"

namespace imgtrain::serve {
namespace {

namespace ingest = imgpack::ingest;

class ColourModel : public PredictionService {
 public:
  struct Image : PreparedImage {
    std::string file;
    double mean[3] = {};
  };

  ColourModel(uint64_t max_pixels, std::chrono::milliseconds delay) : max_pixels_(max_pixels), delay_(delay) {}

  ModelInfo info() const override { return {"colours", 3, 64, 72, "none", "", "cpu"}; }

  std::unique_ptr<PreparedImage> prepare(std::string_view bytes) override {
    const auto raw = std::as_bytes(std::span(bytes));
    require_pixels(raw, max_pixels_);
    const ingest::ImageKind kind = ingest::guess_kind(raw).kind;
    auto read = kind == ingest::ImageKind::kPng    ? ingest::read_png(raw)
                : kind == ingest::ImageKind::kWebp ? ingest::read_webp(raw)
                                                   : ingest::read_jpeg(raw);
    if (const auto* reason = std::get_if<ingest::Quarantine>(&read))
      throw imgpack::Error(imgpack::ErrorKind::kInvalidInput, reason->detail);
    const auto& pixels = std::get<ingest::PixelImage>(read);
    auto image = std::make_unique<Image>();
    image->file = bytes;
    for (uint32_t y = 0; y < pixels.height; ++y)
      for (uint32_t x = 0; x < pixels.width; ++x)
        for (int c = 0; c < 3; ++c)
          image->mean[c] += 1 + pixels.row(y)[pixels.channels * x + (pixels.channels == 3 ? c : 0)];
    return image;
  }

  std::vector<std::vector<Guess>> predict(const std::vector<const PreparedImage*>& images, size_t top) override {
    std::this_thread::sleep_for(delay_);
    std::vector<std::vector<Guess>> all;
    for (const PreparedImage* image : images) {
      const double* mean = static_cast<const Image*>(image)->mean;
      std::vector<Guess> guesses;
      for (int64_t c = 0; c < 3; ++c) guesses.push_back({c, "", kNames[c], mean[c] / (mean[0] + mean[1] + mean[2])});
      std::sort(guesses.begin(), guesses.end(),
                [](const Guess& a, const Guess& b) { return a.probability > b.probability; });
      guesses.resize(std::min(guesses.size(), top));
      all.push_back(std::move(guesses));
    }
    return all;
  }

  Picture explain(const PreparedImage& image, std::optional<int64_t> label) override {
    const auto& of = static_cast<const Image&>(image);
    const int64_t index = label ? *label : predict({&image}, 1)[0][0].index;
    const bool png = ingest::guess_kind(std::as_bytes(std::span(of.file))).kind == ingest::ImageKind::kPng;
    return {png ? "image/png" : "image/jpeg", of.file, index, kNames[index]};
  }

 private:
  static constexpr const char* kNames[] = {"mostly red", "mostly green", "mostly blue"};
  const uint64_t max_pixels_;
  const std::chrono::milliseconds delay_;
};

volatile std::sig_atomic_t stopped = 0;
std::atomic<bool> lambda_stopped{false};

void serve_until_stopped(HttpHandler& handler, ServerMetrics& metrics, const HttpLimits& limits, uint16_t port) {
  HttpServer server(handler, metrics, limits, "127.0.0.1", port);
  server.start();
  std::printf("%s\n", server.url().c_str());
  std::fflush(stdout);
  while (stopped == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  server.stop(std::chrono::seconds(10));
}

uint64_t number(const std::string& text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

int run(int argc, char** argv) {
  if (argc < 3) return 2;
  const auto port = static_cast<uint16_t>(number(argv[2]));
  ServerMetrics metrics;
  HttpLimits limits;
  if (std::string(argv[1]) == "watch") {
    RunView view(imgpack::posix_file_system(), argv[3], 2.5);
    WatchApi api(view);
    serve_until_stopped(api, metrics, limits, port);
    return 0;
  }
  std::map<std::string, uint64_t> given;
  for (int i = 3; i < argc; ++i) {
    const std::string word = argv[i];
    given[word.substr(0, word.find('='))] = number(word.substr(word.find('=') + 1));
  }
  const auto take = [&](const char* name, uint64_t otherwise) {
    return given.count(name) > 0 ? given[name] : otherwise;
  };
  limits.body_bytes = take("body", limits.body_bytes);
  limits.connections = take("connections", limits.connections);
  limits.idle = std::chrono::milliseconds(take("idle_ms", 30'000));
  limits.receive = std::chrono::milliseconds(take("receive_ms", 30'000));
  ApiOptions options;
  options.queue = take("queue", options.queue);
  options.decode_threads = 2;
  ColourModel model(take("pixels", 50'000'000), std::chrono::milliseconds(take("delay_ms", 0)));
  PredictionApi api(model, metrics, options);
  if (std::string(argv[1]) == "lambda") {
    run_lambda(api, {std::getenv("AWS_LAMBDA_RUNTIME_API"), {}, &lambda_stopped});
    return 0;
  }
  serve_until_stopped(api, metrics, limits, port);
  api.stop();
  return 0;
}

}  // namespace
}  // namespace imgtrain::serve

int main(int argc, char** argv) {
  const auto stop = [](int) {
    imgtrain::serve::stopped = 1;
    imgtrain::serve::lambda_stopped = true;
  };
  std::signal(SIGTERM, stop);
  std::signal(SIGINT, stop);
  try {
    return imgtrain::serve::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
