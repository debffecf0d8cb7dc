#include "engine/train/data_parallel.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <thread>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <utility>

#include "engine/data/batch_pipeline.h"
#include "engine/train/gradient_buckets.h"
#include "engine/train/rank_meeting.h"
#include "format/error.h"
#include "format/exit_code.h"

C10_DECLARE_int(caffe2_log_level);

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using torch::Tensor;

constexpr int kLogErrorsOnly = 2;  // In glog's scale.

// Runs after a parameter's gradient has been accumulated, on the thread and stream that did it.
class GradientReady : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit GradientReady(std::function<void()> ready) : ready_(std::move(ready)) {}
  void operator()(const Tensor&) override { ready_(); }

 private:
  std::function<void()> ready_;
};

class SingleProcess : public GradientSync {
 public:
  int rank() const override { return 0; }
  int world() const override { return 1; }
  void broadcast(const std::vector<Tensor>&) override {}
  void attach(const std::vector<Tensor>& parameters) override {
    parameters_ = parameters;
    zero_gradients();
    finish();
  }
  // No gradient at all instead of zeros: backward then hands its own tensors over instead of adding them to others,
  // which saves two passes over memory as large as the model (6 % of a step of ResNet-50 with 8 images).
  void zero_gradients() override {
    for (Tensor& parameter : parameters_) parameter.mutable_grad().reset();
  }
  void begin_backward(bool) override {}
  void finish() override {
    const torch::NoGradGuard no_grad;
    for (Tensor& parameter : parameters_) {
      Tensor& gradient = parameter.mutable_grad();
      if (!gradient.defined()) {
        gradient = torch::zeros_like(parameter);
      } else if (gradient.strides() != parameter.strides()) {
        // Autograd gives a gradient the parameter's layout, but for dimensions of one element, whose strides say
        // nothing.
        gradient = gradient.as_strided(parameter.sizes(), parameter.strides());
      }
    }
  }
  void all_reduce_sum(Tensor&) override {}
  void all_reduce_max(Tensor&) override {}
  void barrier() override {}
  std::string share(const std::string& text) override { return text; }
  void abort() override {}
  uint64_t bytes_per_step() const override { return 0; }
  void record(bool) override {}
  void enter(RankStage, std::function<double()>) override {}
  void at_step(uint64_t) override {}
  void require_all() override {}
  void fail(const Error&) override {}
  void finish_run() override {}

 private:
  std::vector<Tensor> parameters_;
};

// Where the process itself hangs, nothing is left to unwind; everything on disk is published by rename.
[[noreturn]] void end_process(const std::string& message, ErrorKind kind) {
  std::fprintf(stderr, "imgtrain: error: %s\n", message.c_str());
  std::fflush(stderr);
  std::_Exit(imgpack::exit_code(kind));
}

// How often a wait for an exchange looks whether a rank is lost.
constexpr std::chrono::milliseconds kLookEvery{250};
constexpr uint64_t kMaxSharedBytes = uint64_t{64} << 20;

class ManyProcesses : public GradientSync {
 public:
  ManyProcesses(const Launch& launch, Meeting meeting, const GradientSyncOptions& options)
      : launch_(launch),
        options_(options),
        store_(std::move(meeting.store)),
        backend_(std::move(meeting.backend)),
        gloo_(backend_->getBackendName() == c10d::GLOO_BACKEND_NAME),
        watch_(launch.rank, launch.world, std::move(meeting.host), std::move(meeting.board), watch_options()) {}

  ~ManyProcesses() override {
    for (const Tensor& parameter : parameters_) torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
    // Its destructor would wait for exchanges that nobody answers.
    if (failed_) static_cast<void>(backend_.release());
  }

  int rank() const override { return launch_.rank; }
  int world() const override { return launch_.world; }

  void broadcast(const std::vector<Tensor>& tensors) override {
    torch::NoGradGuard no_grad;
    guarded("broadcast from rank 0", [&] {
      for (const Tensor& tensor : tensors) {
        // Dense memory travels as it lies: rank 0's layout is every rank's.
        std::vector<Tensor> wire = {tensor.detach()};
        if (!tensor.is_non_overlapping_and_dense()) wire[0] = tensor.detach().contiguous();
        await(backend_->broadcast(wire));
        if (!wire[0].is_alias_of(tensor)) tensor.detach().copy_(wire[0]);
      }
    });
  }

  void attach(const std::vector<Tensor>& parameters) override {
    parameters_ = parameters;
    buckets_ = std::make_unique<GradientBuckets>(parameters, options_.first_bucket_bytes, options_.bucket_bytes);
    for (size_t i = 0; i < parameters.size(); ++i) {
      auto& bucket = buckets_->buckets()[buckets_->bucket_of(i)];
      torch::autograd::impl::set_post_acc_grad_hooks(
          parameters[i], std::make_unique<GradientReady>([this, &bucket] { gradient_is_ready(bucket); }));
    }
  }

  void zero_gradients() override {
    buckets_->zero();
    bytes_ = 0;  // Of a step that broke off.
  }

  void begin_backward(bool last_of_step) override {
    exchanging_ = last_of_step;
    next_ = 0;
    for (Bucket& bucket : buckets_->buckets()) bucket.pending = bucket.parameters;
  }

  void finish() override {
    // What backward did not reach (a block that stochastic depth left out, a rank without samples) goes now.
    while (next_ < buckets_->buckets().size()) send(buckets_->buckets()[next_++]);
    guarded("exchange of gradients", [&] {
      for (Bucket& bucket : buckets_->buckets()) {
        await(bucket.work);
        bucket.work.reset();
        if (bucket.wire.defined()) bucket.flat.copy_(bucket.wire);
      }
    });
    exchanging_ = false;
    next_ = 0;
    bytes_of_last_step_ = bytes_;
  }

  void all_reduce_sum(Tensor& tensor) override { all_reduce(tensor, c10d::ReduceOp::SUM); }
  void all_reduce_max(Tensor& tensor) override { all_reduce(tensor, c10d::ReduceOp::MAX); }

  // Not the backend's own: NCCL's would block a stream, not the process.
  void barrier() override {
    Tensor one = torch::ones({1}, buckets_ ? buckets_->buckets().front().flat.options() : barrier_options());
    all_reduce(one, c10d::ReduceOp::SUM);
    if (one.item<float>() != static_cast<float>(launch_.world))
      throw Error(ErrorKind::kInternal, "a barrier was reached by another number of ranks than there are");
  }

  std::string share(const std::string& text) override {
    torch::NoGradGuard no_grad;
    const torch::Device device = barrier_options().device();
    Tensor size = torch::full({1}, static_cast<int64_t>(text.size()), torch::dtype(torch::kLong).device(device));
    broadcast({size});
    const auto bytes = static_cast<uint64_t>(size.item<int64_t>());
    if (bytes > kMaxSharedBytes)
      throw Error(ErrorKind::kInternal, "rank 0 shares a text of " + std::to_string(bytes) + " bytes");
    Tensor letters = torch::empty({static_cast<int64_t>(bytes)}, torch::kByte);
    if (launch_.rank == 0) std::copy(text.begin(), text.end(), letters.mutable_data_ptr<uint8_t>());
    letters = letters.to(device);
    if (bytes > 0) broadcast({letters});
    letters = letters.cpu();
    const uint8_t* begin = letters.const_data_ptr<uint8_t>();
    return {begin, begin + bytes};
  }

  void abort() override { backend_->abort(); }
  uint64_t bytes_per_step() const override { return bytes_of_last_step_; }
  void record(bool on) override { recording_ = on; }

  void enter(RankStage stage, std::function<double()> read_seconds) override {
    watch_.enter(stage, std::move(read_seconds));
  }
  void at_step(uint64_t step) override { watch_.at_step(step); }
  void require_all() override {
    guarded("exchange between ranks", [&] { require_no_verdict(); });
  }
  void finish_run() override {
    if (!told_) watch_.finish();
    told_ = true;
  }
  void fail(const Error& error) override {
    if (told_) return;
    told_ = true;
    const bool follows = failed_ || watch_.verdict().has_value();
    failed_ = true;
    watch_.fail(error.kind(), error.what(), follows);
  }

 private:
  RankWatchOptions watch_options() {
    RankWatchOptions options;
    options.limits = options_.limits;
    options.serves_board = launch_.rank == 0 && !launch_.store_is_served;
    options.board_name = launch_.store_is_served ? "the launcher's meeting point at " + launch_.master_address + ":" +
                                                       std::to_string(launch_.master_port)
                                                 : rank_text(0, launch_.world) + " at " + launch_.master_address;
    // Refers to nothing of this: an abort of NCCL may outlast it, and wait for recorded steps to be given up besides.
    // On a thread of its own, as the watch has to go on watching.
    options.on_verdict = [warn = options_.warn, backend = backend_, gloo = gloo_](const Verdict& verdict) {
      if (warn) warn(verdict.message);
      if (!gloo) std::thread([backend] { backend->abort(); }).detach();
    };
    options.give_up = [prefix = rank_text(launch_.rank, launch_.world)](const Verdict& verdict) {
      end_process(prefix + ": " + verdict.message, verdict.kind);
    };
    return options;
  }

  // While it lives this rank is in communication.
  class Communicating {
   public:
    explicit Communicating(RankWatch& watch) : watch_(watch), before_(watch.stage()) {
      watch_.enter(RankStage::kCommunication);
    }
    ~Communicating() { watch_.enter(before_); }
    Communicating(const Communicating&) = delete;
    Communicating& operator=(const Communicating&) = delete;

   private:
    RankWatch& watch_;
    const RankStage before_;
  };

  // Runs an exchange. What it fails with says which rank is to blame, where that can be found out.
  template <typename Body>
  void guarded(const char* what, const Body& body) {
    if (recording_) {
      body();
      return;
    }
    try {
      body();
    } catch (const std::exception& error) {
      failed_ = true;
      const auto verdict = watch_.blame();
      throw Error(verdict ? verdict->kind : ErrorKind::kIo,
                  rank_text(launch_.rank, launch_.world) + ": " + what +
                      " failed: " + (verdict ? verdict->message : first_line(error)),
                  {}, {}, "the log of the rank to blame says more; the same command goes on from the last checkpoint");
    }
  }

  void require_no_verdict() const {
    if (const auto verdict = watch_.verdict()) throw std::runtime_error(verdict->message);
  }

  // Gloo cannot be told to give up: whoever waits for it looks up now and then. NCCL is aborted by the watch.
  void await(const c10::intrusive_ptr<c10d::Work>& work) {
    const Communicating scope(watch_);
    require_no_verdict();
    if (!gloo_) {
      work->wait();
      return;
    }
    while (true) {
      try {
        work->wait(kLookEvery);
        return;
      } catch (const std::exception&) {
        // It may have ended in the very moment in which patience did.
        if (work->isCompleted()) {
          work->wait();
          return;
        }
        if (watch_.verdict()) throw;
      }
    }
  }

  // Buckets go out in their order on every rank, whichever fills first: exchanges must match.
  void gradient_is_ready(Bucket& bucket) {
    if (!exchanging_) return;
    --bucket.pending;
    auto& buckets = buckets_->buckets();
    while (next_ < buckets.size() && buckets[next_].pending == 0) send(buckets[next_++]);
  }

  void send(Bucket& bucket) {
    guarded("exchange of gradients", [&] {
      if (options_.compress_bf16 && bucket.flat.scalar_type() != torch::kBFloat16)
        bucket.wire = bucket.flat.to(torch::kBFloat16);
      std::vector<Tensor> tensors = {bucket.wire.defined() ? bucket.wire : bucket.flat};
      bytes_ += tensors[0].nbytes();
      bucket.work = backend_->allreduce(tensors);
    });
  }

  void all_reduce(Tensor& tensor, c10d::ReduceOp::RedOpType op) {
    torch::NoGradGuard no_grad;
    guarded("exchange between ranks", [&] {
      c10d::AllreduceOptions options;
      options.reduceOp = op;
      std::vector<Tensor> tensors = {tensor};
      await(backend_->allreduce(tensors, options));
    });
  }

  torch::TensorOptions barrier_options() const {
    return gloo_ ? torch::TensorOptions(torch::kCPU) : torch::TensorOptions(torch::kCUDA);
  }

  const Launch launch_;
  const GradientSyncOptions options_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::Backend> backend_;
  const bool gloo_;
  std::vector<Tensor> parameters_;
  std::unique_ptr<GradientBuckets> buckets_;
  bool exchanging_ = false;
  size_t next_ = 0;                              // The next bucket to go out.
  uint64_t bytes_ = 0, bytes_of_last_step_ = 0;  // Sent in this step so far; in the one before.
  bool recording_ = false;
  std::atomic<bool> failed_{false};
  bool told_ = false;  // The others know how this rank ended.
  RankWatch watch_;    // Its threads look at what is above.
};

// The C++ interfaces used here change between releases: what was compiled against must be what runs.
void require_pinned_libtorch() {
  if (::aoti_torch_abi_version() == TORCH_ABI_VERSION) return;
  throw Error(ErrorKind::kUsage,
              std::string("another libtorch is loaded than this program was built with: expected ") + TORCH_VERSION, {},
              {}, "unset LD_LIBRARY_PATH, or build again against the libtorch that is to be used");
}

}  // namespace

double largest_over_ranks(GradientSync& sync, double number, torch::Device device) {
  const torch::NoGradGuard no_grad;
  Tensor largest = torch::full({1}, number, torch::dtype(torch::kFloat).device(device));
  sync.all_reduce_max(largest);
  // On CUDA it is here that the host waits for the others.
  sync.enter(RankStage::kCommunication);
  const double result = largest.item<double>();
  sync.enter(RankStage::kCompute);
  return result;
}

InputWait::InputWait(GradientSync& sync, const data::BatchPipeline& pipeline)
    : sync_(sync), exceptions_(std::uncaught_exceptions()) {
  sync_.enter(RankStage::kReading, [&pipeline] { return pipeline.stage_seconds().read; });
}

InputWait::~InputWait() {
  // Where the input failed, that is where this rank was.
  sync_.enter(std::uncaught_exceptions() > exceptions_ ? RankStage::kReading : RankStage::kCompute);
}

std::unique_ptr<GradientSync> make_gradient_sync(const Launch& launch, torch::Device device,
                                                 const GradientSyncOptions& options) {
  require_pinned_libtorch();
  // c10d logs each lost connection with a stack trace; our own message says it in a sentence.
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = kLogErrorsOnly;
  if (launch.world == 1) return std::make_unique<SingleProcess>();
  Meeting meeting = meet_ranks(launch, device, options.timeout);
  return std::make_unique<ManyProcesses>(launch, std::move(meeting), options);
}

}  // namespace imgtrain
