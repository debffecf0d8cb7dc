#include "engine/train/layer_times.h"

#include <ATen/SequenceNumber.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>

#include "engine/model/batch_norm.h"

#ifdef IMGTRAIN_WITH_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <nvtx3/nvToolsExt.h>
#endif

namespace imgtrain {
namespace {

using torch::Tensor;
using torch::autograd::Node;
using torch::autograd::variable_list;
using Clock = std::chrono::steady_clock;

// Moments of one step, in the order of the device's work.
class Moments {
 public:
  explicit Moments(torch::Device device) : device_(device) {}

  size_t mark() {
#ifdef IMGTRAIN_WITH_CUDA
    if (device_.is_cuda()) {
      if (used_ == events_.size()) events_.emplace_back(cudaEventDefault);
      events_[used_].record(c10::cuda::getCurrentCUDAStream(device_.index()));
      return used_++;
    }
#endif
    times_.push_back(Clock::now());
    return times_.size() - 1;
  }
  // REQUIRES: wait() since the later mark.
  double seconds(size_t from, size_t to) const {
#ifdef IMGTRAIN_WITH_CUDA
    if (device_.is_cuda()) return events_[from].elapsed_time(events_[to]) / 1e3;
#endif
    return std::chrono::duration<double>(times_[to] - times_[from]).count();
  }
  void wait() const {
#ifdef IMGTRAIN_WITH_CUDA
    if (device_.is_cuda()) c10::cuda::device_synchronize();
#endif
  }
  void clear() {
    times_.clear();
    used_ = 0;
  }

 private:
  torch::Device device_;
  std::vector<Clock::time_point> times_;
  size_t used_ = 0;
#ifdef IMGTRAIN_WITH_CUDA
  std::vector<at::cuda::CUDAEvent> events_;
#endif
};

// A range of a name in NVIDIA's tools.
void push_range(torch::Device device, const std::string& name) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) nvtxRangePushA(name.c_str());
#endif
  (void)device;
  (void)name;
}
void pop_range(torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) nvtxRangePop();
#endif
  (void)device;
}

double bytes_of(const Tensor& t) {
  return static_cast<double>(t.numel()) * static_cast<double>(t.element_size());
}

std::string shape_of(const Tensor& output) {
  std::string text;
  for (int64_t i = 1; i < output.dim(); ++i) {
    if (i > 1) text += 'x';
    text += std::to_string(output.size(i));
  }
  return text;
}

struct Work {
  std::string kind;
  LayerWork forward, backward;
};

Work convolution_work(const Tensor& weight, const Tensor& x, const Tensor& y) {
  Work work;
  work.kind = "convolution " + std::to_string(weight.size(2)) + "x" + std::to_string(weight.size(3));
  // Weights are converted to the type of the arithmetic before.
  const double weights = static_cast<double>(weight.numel()) * static_cast<double>(y.element_size());
  const double flops = 2.0 * static_cast<double>(y.numel()) * static_cast<double>(weight.numel() / weight.size(0));
  work.forward = {0, bytes_of(x) + weights + bytes_of(y), flops};
  // The gradient of the weights reads x and dy; that of x, where it is wanted, reads the weights and dy.
  work.backward = {0, bytes_of(x) + bytes_of(y) + weights, flops};
  if (x.requires_grad()) {
    work.backward.bytes += weights + bytes_of(y) + bytes_of(x);
    work.backward.flops += flops;
  }
  return work;
}

// `forks`: its backward adds two gradients first.
Work norm_work(LayerKind kind, bool fused, bool forks, const Tensor& y) {
  const double map = bytes_of(y);
  // Reads and writes of a whole feature map (engine/kernels/batch_norm.h); the mask of an added shortcut is a bit.
  if (kind == LayerKind::kNorm) return {"batch norm", {0, 3 * map, 0}, {0, 5 * map, 0}};
  if (kind == LayerKind::kNormRelu)
    return {"batch norm + ReLU", {0, (fused ? 3 : 5) * map, 0}, {0, (fused ? 5 : 8) * map, 0}};
  const double mask = fused ? static_cast<double>(y.numel()) / 8 : 0;
  if (kind == LayerKind::kNormsAddRelu)
    return {"two batch norms + add + ReLU", {0, 5 * map + mask, 0}, {0, (forks ? 11 : 10) * map + mask, 0}};
  return {"batch norm + add + ReLU",
          {0, (fused ? 4 : 8) * map + mask, 0},
          {0,
           (!fused  ? 8
            : forks ? 7
                    : 6) *
                   map +
               mask,
           0}};
}

Work work_of(LayerKind kind, const torch::nn::Module* module, bool fused, at::TensorList inputs, const Tensor& y) {
  const Tensor& x = inputs[0];
  const double through = bytes_of(x) + bytes_of(y);
  switch (kind) {
    case LayerKind::kInput:
      return {"input", {0, through, 0}, {}};
    case LayerKind::kConvolution:
      return convolution_work(module->as<torch::nn::Conv2dImpl>()->weight, x, y);
    case LayerKind::kNorm:
    case LayerKind::kNormRelu:
    case LayerKind::kNormAddRelu:
    case LayerKind::kNormsAddRelu:
      return norm_work(kind, fused, y.grad_fn() != nullptr && y.grad_fn()->num_inputs() > 1, y);
    case LayerKind::kPool:
      return {"pooling", {0, through, 0}, {0, through, 0}};
    case LayerKind::kBlur:
      return {"blur",
              {0, through, 18.0 * static_cast<double>(y.numel())},
              {0, through, 18.0 * static_cast<double>(y.numel())}};
    case LayerKind::kClassifier: {
      const Tensor& weight = module->as<torch::nn::LinearImpl>()->weight;
      const double weights = static_cast<double>(weight.numel()) * static_cast<double>(y.element_size());
      const double flops = 2.0 * static_cast<double>(y.numel()) * static_cast<double>(weight.size(1));
      return {"classifier", {0, through + weights, flops}, {0, 2 * (through + weights), 2 * flops}};
    }
    case LayerKind::kLoss:
      break;
  }
  return {"loss", {0, bytes_of(x), 0}, {0, bytes_of(x), 0}};
}

}  // namespace

struct LayerTimes::State {
  struct Interval {
    size_t from, to;
  };
  struct Layer {
    ProfiledLayer facts;
    std::vector<Interval> forward, backward;                // Of the step that runs.
    std::vector<double> forward_seconds, backward_seconds;  // Of the steps so far.
  };
  struct Begun {
    size_t mark;
    LayerKind kind;
    const torch::nn::Module* module;
    std::string_view name;
    uint64_t sequence;
    bool fused;
    std::unique_ptr<at::RecordFunction> in_trace;
  };

  explicit State(torch::Device d) : device(d), moments(d) {}

  size_t index_of(const std::string& name) {
    const auto [at, is_new] = by_name.try_emplace(name, layers.size());
    if (is_new) {
      layers.emplace_back();
      layers.back().facts.name = name;
      layers.back().facts.calls = 0;
    }
    return at->second;
  }

  torch::Device device;
  std::mutex mutex;  // Of what hooks reach: moments and layers.
  Moments moments;
  std::vector<Layer> layers;
  std::map<std::string, size_t> by_name;
  std::map<const torch::nn::Module*, std::string> names;
  std::vector<Begun> open;
  LayerObserver* before = nullptr;
  size_t steps = 0;
  bool fused = false;
};

namespace {

// Hooks of one node of the graph; they share where it began.
template <class State>
struct NodeClock {
  std::shared_ptr<State> state;
  size_t layer;
  size_t begun = 0;
};

template <class State>
struct BeginNode : public torch::autograd::FunctionPreHook {
  explicit BeginNode(std::shared_ptr<NodeClock<State>> c) : clock(std::move(c)) {}
  variable_list operator()(const variable_list& gradients) override {
    State& state = *clock->state;
    const std::lock_guard<std::mutex> lock(state.mutex);
    push_range(state.device, state.layers[clock->layer].facts.name + " backward");
    clock->begun = state.moments.mark();
    return gradients;
  }
  std::shared_ptr<NodeClock<State>> clock;
};

template <class State>
struct EndNode : public torch::autograd::FunctionPostHook {
  explicit EndNode(std::shared_ptr<NodeClock<State>> c) : clock(std::move(c)) {}
  variable_list operator()(const variable_list& gradients, const variable_list&) override {
    State& state = *clock->state;
    const std::lock_guard<std::mutex> lock(state.mutex);
    state.layers[clock->layer].backward.push_back({clock->begun, state.moments.mark()});
    pop_range(state.device);
    return gradients;
  }
  std::shared_ptr<NodeClock<State>> clock;
};

// Clocks on every node that was made since `first` on this thread and that `node` leads to.
template <class State>
void clock_nodes(const std::shared_ptr<Node>& node, uint64_t first, const std::shared_ptr<State>& state, size_t layer,
                 std::unordered_set<Node*>& seen) {
  // Gradients of parameters are kept by nodes that belong to no time.
  if (!node || node->sequence_nr() < first || node->sequence_nr() == std::numeric_limits<uint64_t>::max() ||
      !seen.insert(node.get()).second)
    return;
  const auto clock = std::make_shared<NodeClock<State>>(NodeClock<State>{state, layer});
  node->add_pre_hook(std::make_unique<BeginNode<State>>(clock));
  node->add_post_hook(std::make_unique<EndNode<State>>(clock));
  for (const auto& edge : node->next_edges()) clock_nodes(edge.function, first, state, layer, seen);
}

}  // namespace

LayerTimes::LayerTimes(const torch::nn::Module& model, torch::Device device) : state_(std::make_shared<State>(device)) {
  for (const auto& item : model.named_modules({}, /*include_self=*/false))
    state_->names[item.value().get()] = item.key();
}

LayerTimes::~LayerTimes() = default;

void LayerTimes::begin_step() {
  state_->before = observe_layers(this);
}

void LayerTimes::end_step() {
  observe_layers(state_->before);
  state_->moments.wait();
  const std::lock_guard<std::mutex> lock(state_->mutex);
  for (State::Layer& layer : state_->layers) {
    const auto sum = [&](std::vector<State::Interval>& intervals) {
      double seconds = 0;
      for (const auto& interval : intervals) seconds += state_->moments.seconds(interval.from, interval.to);
      intervals.clear();
      return seconds;
    };
    layer.forward_seconds.push_back(sum(layer.forward));
    layer.backward_seconds.push_back(sum(layer.backward));
  }
  state_->moments.clear();
  ++state_->steps;
}

std::vector<ProfiledLayer> LayerTimes::layers() const {
  std::vector<ProfiledLayer> result;
  for (const State::Layer& layer : state_->layers) {
    ProfiledLayer facts = layer.facts;
    // A layer's calls, bytes and FLOPs have been added up over all steps.
    const auto steps = static_cast<double>(std::max<size_t>(1, state_->steps));
    facts.calls /= static_cast<int64_t>(steps);
    for (LayerWork* work : {&facts.forward, &facts.backward}) {
      work->bytes /= steps;
      work->flops /= steps;
    }
    if (!layer.forward_seconds.empty()) {
      facts.forward.seconds = spread_of(layer.forward_seconds).median;
      facts.backward.seconds = spread_of(layer.backward_seconds).median;
    }
    result.push_back(std::move(facts));
  }
  return result;
}

bool LayerTimes::fused() const {
  return state_->fused;
}

void LayerTimes::begin_layer(LayerKind kind, const torch::nn::Module* module, std::string_view name) {
  State& state = *state_;
  State::Begun begun;
  begun.kind = kind;
  begun.module = module;
  const auto named = state.names.find(module);
  // Both live longer than the trace's event, which keeps a view.
  begun.name = named != state.names.end() ? std::string_view(named->second) : name;
  begun.sequence = at::sequence_number::peek();
  begun.fused = false;
  push_range(state.device, std::string(begun.name));
  begun.in_trace = std::make_unique<at::RecordFunction>(at::RecordScope::USER_SCOPE);
  if (begun.in_trace->isActive()) begun.in_trace->before(begun.name);
  const std::lock_guard<std::mutex> lock(state.mutex);
  begun.mark = state.moments.mark();
  state.open.push_back(std::move(begun));
}

void LayerTimes::end_layer(at::TensorList inputs, const Tensor& output) {
  State& state = *state_;
  State::Begun begun = std::move(state.open.back());
  state.open.pop_back();
  size_t index = 0;
  {
    const std::lock_guard<std::mutex> lock(state.mutex);
    const size_t end = state.moments.mark();
    index = state.index_of(std::string(begun.name));
    State::Layer& layer = state.layers[index];
    layer.forward.push_back({begun.mark, end});
    if (const auto* norm = dynamic_cast<const BatchNorm2dImpl*>(begun.module); norm != nullptr)
      begun.fused = begun.kind != LayerKind::kNorm && norm->fuses(inputs[0]);
    state.fused = state.fused || begun.fused;
    Work work = work_of(begun.kind, begun.module, begun.fused, inputs, output);
    layer.facts.kind = std::move(work.kind);
    layer.facts.shape = shape_of(output);
    ++layer.facts.calls;
    layer.facts.forward.bytes += work.forward.bytes;
    layer.facts.forward.flops += work.forward.flops;
    layer.facts.backward.bytes += work.backward.bytes;
    layer.facts.backward.flops += work.backward.flops;
  }
  begun.in_trace.reset();
  pop_range(state.device);
  std::unordered_set<Node*> seen;
  if (output.defined()) clock_nodes(output.grad_fn(), begun.sequence, state_, index, seen);
}

}  // namespace imgtrain
