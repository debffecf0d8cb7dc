// What tests need of the model from outside: run it on given weights and a given batch, and train it in several
// processes. Tensors go in and out as safetensors files.
//
//   test_model_program names DEPTH
//   test_model_program step DEPTH --weights W --batch B --out O [--group N] [--channels-last] [--double]
//   test_model_program rewrite IN OUT      reads a weight file and writes what it read
//   test_model_program summary DEPTH SIZE  JSON
//   test_model_program cam --weights W --batch B --out O [--layer L] [--predicted]
//   test_model_program ranks --out O [--steps N] [--batch N] [--group N] [--synchronize] [--bf16] [--timeout S] [--die
//   R]
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "engine/model/portable/summary.h"
#include "engine/model/resnet.h"
#include "engine/model/weights.h"
#include "engine/report/grad_cam.h"
#include "engine/train/data_parallel.h"
#include "format/error.h"
#include "format/file.h"

namespace imgtrain {
namespace {

using torch::Tensor;

// `--name value` pairs; a flag without a value is its own value.
class Options {
 public:
  Options(int count, char** words) {
    for (int i = 0; i < count; ++i) {
      const std::string name = words[i];
      const bool has_value = i + 1 < count && std::string(words[i + 1]).rfind("--", 0) != 0;
      values_[name] = has_value ? words[++i] : name;
    }
  }
  bool has(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name) const { return values_.at(name); }
  int64_t number(const std::string& name, int64_t fallback) const {
    return has(name) ? std::stoll(values_.at(name)) : fallback;
  }

 private:
  std::map<std::string, std::string> values_;
};

Tensor tensor_named(const TensorFile& file, const std::string& name) {
  const auto at =
      std::find_if(file.tensors.begin(), file.tensors.end(), [&](const auto& t) { return t.first == name; });
  if (at == file.tensors.end()) throw std::runtime_error("no tensor " + name);
  return at->second;
}

// One training step's forward and backward over groups of samples: the mean loss of the batch, and its gradients.
struct StepResult {
  Tensor logits;
  double loss = 0;
};

StepResult forward_backward(ResNet& model, BatchNormStatistics& statistics, const Tensor& images, const Tensor& labels,
                            int64_t group, int64_t global_batch, GradientSync& sync) {
  StepResult result;
  std::vector<Tensor> logits;
  statistics.begin_step();
  for (int64_t at = 0; at < images.size(0); at += group) {
    const int64_t n = std::min(group, images.size(0) - at);
    const Tensor out = model->forward(images.narrow(0, at, n));
    statistics.add_group(n);
    const Tensor loss =
        torch::nn::functional::cross_entropy(out, labels.narrow(0, at, n),
                                             torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum)) /
        static_cast<double>(global_batch);
    sync.begin_backward(at + n == images.size(0));
    loss.backward();
    result.loss += loss.item<double>();
    logits.push_back(out.detach());
  }
  sync.finish();
  sync.all_reduce_sum(statistics.sums());
  statistics.commit();
  if (!logits.empty()) result.logits = torch::cat(logits);
  return result;
}

ResNetOptions options_for(const std::string& depth) {
  ResNetOptions options;
  options.depth = std::stoi(depth);
  return options;
}

int names(const std::string& depth) {
  const ResNet model(options_for(depth));
  for (const auto& [name, tensor] : state_dict(*model)) {
    std::cout << name;
    for (const int64_t n : tensor.sizes()) std::cout << ' ' << n;
    std::cout << '\n';
  }
  return 0;
}

int rewrite(const std::string& in, const std::string& out) {
  auto& fs = imgpack::posix_file_system();
  const TensorFile file = read_tensors(fs, in);
  write_tensors(fs, out, file.tensors, file.metadata);
  return 0;
}

int summary(const std::string& depth, const std::string& size) {
  std::cout << to_json(summarize(options_for(depth), std::stoi(size), std::stoi(size))) << '\n';
  return 0;
}

int step(const std::string& depth, const Options& options) {
  auto& fs = imgpack::posix_file_system();
  const TensorFile weights = read_tensors(fs, options.text("--weights")),
                   batch = read_tensors(fs, options.text("--batch"));
  ResNetOptions model_options = options_of(weights, options.text("--weights"));
  if (model_options.depth != std::stoi(depth)) throw std::runtime_error("the weights are those of another depth");
  ResNet model(model_options);
  if (options.has("--double")) to_double(*model);
  load_state_dict(*model, weights, options.text("--weights"));
  Tensor images = tensor_named(batch, "images");
  if (options.has("--channels-last")) {
    to_channels_last(*model);
    images = images.contiguous(at::MemoryFormat::ChannelsLast);
  }
  NamedTensors out;
  model->eval();
  {
    torch::NoGradGuard no_grad;
    out.emplace_back("eval_logits", model->forward(images));
  }
  model->train();
  const auto sync = make_gradient_sync(Launch(), torch::kCPU);
  sync->attach(model->parameters());
  BatchNormStatistics statistics(*model);
  const StepResult result = forward_backward(model, statistics, images, tensor_named(batch, "labels"),
                                             options.number("--group", images.size(0)), images.size(0), *sync);
  out.emplace_back("train_logits", result.logits);
  out.emplace_back("loss", torch::tensor(result.loss, torch::kDouble));
  for (const auto& item : model->named_parameters()) out.emplace_back("grad/" + item.key(), item.value().grad());
  for (const auto& item : model->named_buffers()) out.emplace_back("buffer/" + item.key(), item.value());
  write_tensors(fs, options.text("--out"), out);
  return 0;
}

// Grad-CAM of `images` for their `labels`, or for the predicted classes.
int cam(const Options& options) {
  auto& fs = imgpack::posix_file_system();
  const TensorFile weights = read_tensors(fs, options.text("--weights")),
                   batch = read_tensors(fs, options.text("--batch"));
  ResNet model(options_of(weights, options.text("--weights")));
  load_state_dict(*model, weights, options.text("--weights"));
  model->eval();
  std::vector<int64_t> classes;
  if (!options.has("--predicted")) {
    const Tensor labels = tensor_named(batch, "labels");
    classes.assign(labels.const_data_ptr<int64_t>(), labels.const_data_ptr<int64_t>() + labels.numel());
  }
  const std::string layer = options.has("--layer") ? options.text("--layer") : kGradCamDefaultLayer;
  write_tensors(fs, options.text("--out"), {{"maps", grad_cam(model, tensor_named(batch, "images"), classes, layer)}});
  return 0;
}

// Trains a ResNet-18 for a few steps on made-up data, of which this rank takes its share of whole groups.
int ranks(const Options& options) {
  const Launch launch = launch_from_environment();
  GradientSyncOptions sync_options;
  sync_options.compress_bf16 = options.has("--bf16");
  sync_options.timeout = std::chrono::seconds(options.number("--timeout", 60));
  sync_options.bucket_bytes = 4 << 20;
  const auto sync = make_gradient_sync(launch, torch::kCPU, sync_options);

  ResNetOptions model_options;
  model_options.depth = 18;
  model_options.num_classes = 10;
  model_options.seed = static_cast<uint64_t>(launch.rank);  // Only rank 0's weights may survive the broadcast.
  ResNet model(model_options);
  // In double precision the order of sums hardly shows; in float it flips ReLUs near zero, and three steps later the
  // weights differ in their second digit, whoever computes them.
  to_double(*model);
  to_channels_last(*model);
  if (options.has("--synchronize"))
    synchronize_batch_norm(*model, [&](Tensor& tensor) { sync->all_reduce_sum(tensor); });
  std::vector<Tensor> everything;
  for (const auto& [name, tensor] : state_dict(*model)) everything.push_back(tensor);
  sync->broadcast(everything);
  sync->attach(model->parameters());
  BatchNormStatistics statistics(*model);
  torch::optim::SGD optimizer(model->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9).weight_decay(1e-4));

  const int64_t batch = options.number("--batch", 12), group = options.number("--group", 4);
  const int64_t groups = (batch + group - 1) / group;
  const int64_t begin = std::min(batch, groups * launch.rank / launch.world * group);
  const int64_t end = std::min(batch, groups * (launch.rank + 1) / launch.world * group);
  const int64_t local_group = options.has("--synchronize") ? std::max<int64_t>(1, end - begin) : group;
  auto generator = at::detail::createCPUGenerator(1);
  double loss = 0;
  for (int64_t i = 0; i < options.number("--steps", 3); ++i) {
    const Tensor images = torch::randn({batch, 3, 32, 32}, generator).to(torch::kDouble),
                 labels = torch::randint(0, 10, {batch}, generator);
    if (i == 1 && options.number("--die", -1) == launch.rank) ::kill(::getpid(), SIGKILL);
    sync->zero_gradients();
    Tensor local_loss = torch::tensor(forward_backward(model, statistics, images.narrow(0, begin, end - begin),
                                                       labels.narrow(0, begin, end - begin), local_group, batch, *sync)
                                          .loss,
                                      torch::kDouble);
    sync->all_reduce_sum(local_loss);
    loss = local_loss.item<double>();
    optimizer.step();
  }
  sync->barrier();
  NamedTensors out = state_dict(*model);
  out.emplace_back("loss", torch::tensor(loss, torch::kDouble));
  write_tensors(imgpack::posix_file_system(), options.text("--out") + "." + std::to_string(launch.rank), out,
                {{"bytes_per_step", std::to_string(sync->bytes_per_step())}});
  return 0;
}

int run(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "names" && argc == 3) return names(argv[2]);
  if (verb == "rewrite" && argc == 4) return rewrite(argv[2], argv[3]);
  if (verb == "summary" && argc == 4) return summary(argv[2], argv[3]);
  if (verb == "step" && argc > 3) return step(argv[2], Options(argc - 3, argv + 3));
  if (verb == "cam") return cam(Options(argc - 2, argv + 2));
  if (verb == "ranks") return ranks(Options(argc - 2, argv + 2));
  std::cerr << "usage: test_model_program names|step|rewrite|summary|cam|ranks …\n";
  return 2;
}

}  // namespace
}  // namespace imgtrain

int main(int argc, char** argv) {
  try {
    return imgtrain::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
