// imgtrain serve: a trained model behind an HTTP server, or as an AWS Lambda function.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <thread>

#include "engine/predict/predictor.h"
#include "engine/predict/served_model.h"
#include "engine/serve/examples.h"
#include "engine/serve/http_server.h"
#include "engine/serve/lambda_runtime.h"
#include "engine/serve/prediction_api.h"
#include "format/error.h"
#include "format/file.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgtrain/model_options.h"
#include "tools/imgtrain/server_options.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;
using imgpack::Error;
using imgpack::ErrorKind;

serve::ApiOptions api_options(const cli::Arguments& arguments) {
  serve::ApiOptions options;
  options.batch.max_batch = arguments.number("max-batch", 1, 4096);
  options.batch.max_delay =
      std::chrono::microseconds(static_cast<int64_t>(1000 * arguments.real("max-delay", 0, 10'000)));
  options.queue = arguments.number("queue", 1, 1 << 20);
  options.request_images = arguments.number("request-images", 1, 4096);
  if (options.request_images > options.queue)
    throw Error(ErrorKind::kUsage, "--request-images: expected at most --queue, " + std::to_string(options.queue));
  const uint64_t decoders = arguments.number("decode-threads", 0, 1024);
  options.decode_threads = decoders > 0 ? decoders : std::max(1u, std::thread::hardware_concurrency());
  if (const auto folder = arguments.find("examples"))
    options.examples = serve::read_examples(imgpack::posix_file_system(), *folder,
                                            [](const std::string& line) { cli::console().warn(line); });
  return options;
}

ServedModelOptions served_model_options(const cli::Arguments& arguments) {
  return {arguments.number("max-pixels", 1), arguments.text("layer")};
}

int serve_lambda(const cli::Arguments& arguments) {
  const char* api_address = std::getenv("AWS_LAMBDA_RUNTIME_API");
  if (api_address == nullptr)
    throw Error(ErrorKind::kUsage, "--lambda: AWS_LAMBDA_RUNTIME_API is not set: this runs inside AWS Lambda");
  const auto warn = [](const std::string& line) { cli::console().warn(line); };
  std::optional<Predictor> predictor;
  std::optional<ServedModel> model;
  serve::ServerMetrics metrics;
  std::optional<serve::PredictionApi> api;
  // Only until the first event is asked for: what fails later is no failure to begin, and Lambda refuses the report.
  try {
    predictor.emplace(imgpack::posix_file_system(), arguments.positional("MODEL"), predictor_options(arguments), warn);
    model.emplace(*predictor, served_model_options(arguments));
    serve::ApiOptions options = api_options(arguments);
    options.batch.max_delay = std::chrono::microseconds(0);  // Events come one at a time.
    api.emplace(*model, metrics, options);
  } catch (const std::exception& error) {
    serve::report_lambda_init_error(api_address, error.what());
    throw;
  }
  serve::run_lambda(*api, {api_address, warn, &cli::stop_flag()});
  api->stop();
  cli::throw_if_stopped("every event that was taken is answered");
  return cli::kExitOk;
}

int run(const cli::Arguments& arguments) {
  if (arguments.has("lambda")) return serve_lambda(arguments);
  const serve::ApiOptions options = api_options(arguments);
  const serve::HttpLimits limits = http_limits(arguments);
  const Predictor predictor(imgpack::posix_file_system(), arguments.positional("MODEL"), predictor_options(arguments),
                            [](const std::string& line) { cli::console().warn(line); });
  ServedModel model(predictor, served_model_options(arguments));
  model.warm_up();
  serve::ServerMetrics metrics;
  serve::PredictionApi api(model, metrics, options);
  serve::HttpServer server(api, metrics, limits, arguments.text("address"), port_of(arguments));
  server.start();
  const serve::ModelInfo info = model.info();
  announce(arguments, server,
           info.name + ", " + std::to_string(info.classes) + " classes, " + info.weights + ", " + info.device);
  wait_for_stop();
  const bool all = server.stop(std::chrono::seconds(arguments.number("grace", 0, 3600)));
  api.stop();
  cli::throw_if_stopped(all ? "every request that was taken is answered" : "requests were cut off after --grace");
  return cli::kExitOk;
}

}  // namespace

cli::Verb serve_verb() {
  cli::Verb verb;
  verb.name = "serve";
  verb.summary = "serve a trained model: a page, a JSON API, or a Lambda function";
  verb.description =
      "Starts an HTTP server on this machine alone (--address says otherwise) and prints its URL. The page takes an "
      "image by drop, paste, file or example and shows the likeliest classes and what speaks for them (Grad-CAM). "
      "POST /v1/predict and /v1/explain do the same for programs; /openapi.json describes them. /healthz and /metrics "
      "(Prometheus) are for those who run it.\n\n"
      "Images that arrive together go through the model together. Everything that a client decides has a limit; beyond "
      "the queue it is told to come again (503). It speaks plain HTTP and knows no users: put a proxy with TLS before "
      "it where others can reach it.\n\n"
      "SIGTERM and Ctrl-C let running requests finish.";
  verb.positionals = {model_positional()};
  cli::append(verb.options, server_options("8080"));
  const std::vector<cli::Option> own = {
      {.name = "examples", .value = "DIR", .help = "JPEG, PNG and WebP files that the page offers to try, 24 at most."},
      {.name = "lambda",
       .value = "",
       .help = "Answer events of AWS Lambda (custom runtime, AWS_LAMBDA_RUNTIME_API) instead of listening."},
      {.name = "layer",
       .value = "NAME",
       .help = "Stage that Grad-CAM looks at; earlier ones are finer.",
       .default_value = "layer4",
       .choices = {"layer1", "layer2", "layer3", "layer4"}},
      {.name = "max-batch", .value = "N", .help = "Images that go through the model at once.", .default_value = "16"},
      {.name = "max-delay",
       .value = "MS",
       .help = "Milliseconds that an image waits for others to fill its batch.",
       .default_value = "2"},
      {.name = "queue",
       .value = "N",
       .help = "Images that are taken and not answered yet; more are turned away with 503.",
       .default_value = "256"},
      {.name = "request-images", .value = "N", .help = "Images of one request.", .default_value = "64"},
      {.name = "max-pixels",
       .value = "N",
       .help = "Pixels of one image; larger ones are refused before they are decoded.",
       .default_value = "50000000"},
      {.name = "decode-threads",
       .value = "N",
       .help = "Threads that decode images; 0: as many as cores.",
       .default_value = "0"},
      {.name = "grace",
       .value = "SECONDS",
       .help = "How long running requests have to finish once the server is told to stop.",
       .default_value = "10"},
  };
  for (const cli::Option& option : own) verb.options.push_back(option);
  for (cli::Option& option : predictor_options()) {
    option.group = "MODEL";
    verb.options.push_back(std::move(option));
  }
  verb.options.push_back(cli::json_option());
  verb.options.push_back(cli::quiet_option());
  verb.examples = {
      {"imgtrain serve runs/r1", "a page on http://127.0.0.1:8080/"},
      {"curl --data-binary @cat.jpg -H Content-Type:image/jpeg :8080/v1/predict", "the likeliest classes as JSON"},
      {"imgtrain serve runs/r1 --address 0.0.0.0 --port 7860 --examples pictures", "for others on the network"}};
  verb.exit_status = cli::usual_exit_status({{4, "the weights are damaged"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
