// Gradient exchange between real processes on this machine: Gloo over loopback, started with posix_spawn.
#include "engine/train/data_parallel.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/model/weights.h"
#include "format/file.h"
#include "tests/support/expect_error.h"

extern char** environ;

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using testing::HasSubstr;
using torch::Tensor;

uint16_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length), 0);
  ::close(socket);
  return ntohs(address.sin_port);
}

// How a rank ended, and what it said.
struct Ended {
  int status = -1;  // Exit code; minus the signal's number if one killed it.
  std::string errors;
};

class DataParallelTest : public testing::Test {
 protected:
  DataParallelTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ranks.XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~DataParallelTest() override { std::filesystem::remove_all(folder_); }

  // Runs `test_model_program ranks` in `world` processes and waits for all of them.
  std::vector<Ended> run(int world, const std::vector<std::string>& arguments, const std::string& name,
                         const std::vector<int>& absent = {}) {
    const std::string port = std::to_string(free_port());
    std::vector<std::pair<int, pid_t>> started;
    for (int rank = 0; rank < world; ++rank)
      if (std::find(absent.begin(), absent.end(), rank) == absent.end())
        started.emplace_back(rank, start(rank, world, port, arguments, name));
    std::vector<Ended> ended(static_cast<size_t>(world));
    for (const auto& [rank, pid] : started) {
      int status = 0;
      EXPECT_EQ(::waitpid(pid, &status, 0), pid);
      Ended& end = ended[static_cast<size_t>(rank)];
      end.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      std::ostringstream text;
      text << std::ifstream(errors_of(name, rank)).rdbuf();
      end.errors = text.str();
    }
    return ended;
  }

  void run_well(int world, const std::vector<std::string>& arguments, const std::string& name) {
    for (const Ended& end : run(world, arguments, name)) ASSERT_EQ(end.status, 0) << end.errors;
  }

  TensorFile result(const std::string& name, int rank) {
    return read_tensors(imgpack::posix_file_system(), folder_ / (name + "." + std::to_string(rank)));
  }

 private:
  std::filesystem::path errors_of(const std::string& name, int rank) const {
    return folder_ / (name + ".errors." + std::to_string(rank));
  }

  pid_t start(int rank, int world, const std::string& port, const std::vector<std::string>& arguments,
              const std::string& name) {
    const std::string program = TEST_BIN_DIR "/test_model_program", out = (folder_ / name).string();
    std::vector<std::string> words = {program, "ranks", "--out", out};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<std::string> variables = {"RANK=" + std::to_string(rank), "WORLD_SIZE=" + std::to_string(world),
                                          "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + port, "OMP_NUM_THREADS=1"};
    for (char** entry = environ; *entry; ++entry) variables.emplace_back(*entry);
    const auto pointers = [](std::vector<std::string>& texts) {
      std::vector<char*> list;
      for (std::string& text : texts) list.push_back(text.data());
      list.push_back(nullptr);
      return list;
    };
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const std::string errors = errors_of(name, rank).string();
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t pid = -1;
    EXPECT_EQ(
        ::posix_spawn(&pid, program.c_str(), &actions, nullptr, pointers(words).data(), pointers(variables).data()), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }

  std::filesystem::path folder_;
};

// Largest relative difference (2-norm) over all tensors.
double difference(const TensorFile& a, const TensorFile& b) {
  double worst = 0;
  EXPECT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].first, b.tensors[i].first);
    const Tensor x = a.tensors[i].second.to(torch::kDouble), y = b.tensors[i].second.to(torch::kDouble);
    const double norm = std::max(1e-12, x.norm().item<double>());
    worst = std::max(worst, (x - y).norm().item<double>() / norm);
  }
  return worst;
}

// Sums in another order, in double precision (see model_program.cc), three steps long. Wrong statistics, weights or
// gradients of one sample would show in the second digit.
constexpr double kTolerance = 1e-5;

TEST_F(DataParallelTest, TwoThreeAndFourRanksTrainTheModelOfOneProcess) {
  // Three groups, the last one smaller: two ranks get unequal shares, and of four ranks one has no samples at all.
  const std::vector<std::string> arguments = {"--batch", "11", "--group", "4"};
  run_well(1, arguments, "alone");
  const TensorFile alone = result("alone", 0);
  for (const int world : {2, 3, 4}) {
    const std::string name = "world" + std::to_string(world);
    run_well(world, arguments, name);
    const TensorFile first = result(name, 0);
    for (int rank = 1; rank < world; ++rank) EXPECT_EQ(difference(first, result(name, rank)), 0) << world << " ranks";
    EXPECT_LT(difference(alone, first), kTolerance) << world << " ranks";
  }
}

TEST_F(DataParallelTest, SynchronizedBatchNormMakesTheBatchOneGroup) {
  run_well(1, {"--batch", "12", "--group", "12"}, "alone");
  run_well(2, {"--batch", "12", "--group", "4", "--synchronize"}, "two");  // 4 and 8 samples.
  EXPECT_LT(difference(result("alone", 0), result("two", 0)), kTolerance);
  EXPECT_EQ(difference(result("two", 0), result("two", 1)), 0);
}

TEST_F(DataParallelTest, Bfloat16GradientsTravelInTwoBytesEach) {
  run_well(2, {"--bf16", "--steps", "2"}, "half");
  const TensorFile half = result("half", 0);
  EXPECT_EQ(difference(half, result("half", 1)), 0);
  constexpr double kNumbers = 11'181'642;  // Parameters of a ResNet-18 with 10 classes; buckets add some padding.
  EXPECT_NEAR(std::stod(half.metadata.at("bytes_exchanged")), 2 * 2 * kNumbers, 0.001 * kNumbers);
}

TEST_F(DataParallelTest, ADeadRankEndsTheOthersWithAMessageLongBeforeTheTimeout) {
  const auto begin = std::chrono::steady_clock::now();
  const auto ended = run(3, {"--die", "1", "--timeout", "120"}, "dead");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
  EXPECT_EQ(ended[1].status, -SIGKILL);
  for (const int rank : {0, 2}) {
    EXPECT_EQ(ended[static_cast<size_t>(rank)].status, 1);
    EXPECT_THAT(ended[static_cast<size_t>(rank)].errors, HasSubstr("rank " + std::to_string(rank) + " of 3: exchange"));
  }
}

TEST_F(DataParallelTest, ARankThatNeverComesIsNamed) {
  const auto ended = run(3, {"--timeout", "4"}, "absent", {2});
  for (const int rank : {0, 1})
    EXPECT_THAT(ended[static_cast<size_t>(rank)].errors,
                HasSubstr("rank " + std::to_string(rank) + " of 3: not all ranks came within 4 s; missing: rank 2"));
}

TEST(GradientSync, APortInUseIsAnErrorWithAHint) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(socket, 1), 0);
  ASSERT_EQ(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length), 0);
  Launch launch;
  launch.world = 2;
  launch.master_port = ntohs(address.sin_port);
  GradientSyncOptions options;
  options.timeout = std::chrono::seconds(5);
  EXPECT_ERROR(make_gradient_sync(launch, torch::kCPU, options), ErrorKind::kIo, "MASTER_PORT");
  ::close(socket);
}

TEST(GradientSync, AloneEveryParameterHasAGradientWithItsStridesAndSeveralBackwardsAddUp) {
  ResNetOptions model_options;
  model_options.depth = 18;
  model_options.num_classes = 10;
  ResNet model(model_options);
  to_channels_last(*model);
  const auto sync = make_gradient_sync(Launch(), torch::kCPU);
  sync->attach(model->parameters());
  const auto expect_strides = [&] {
    for (const Tensor& p : model->parameters()) {
      ASSERT_TRUE(p.grad().defined());
      EXPECT_EQ(p.grad().strides(), p.strides());
    }
  };
  expect_strides();
  const Tensor images = torch::randn({2, 3, 32, 32});
  // Backward that reaches the stem alone: the others' gradients are zeros.
  sync->zero_gradients();
  model->children()[0]->as<torch::nn::Conv2d>()->forward(images).sum().backward();
  sync->finish();
  expect_strides();
  const Tensor once = model->parameters()[0].grad().clone();
  EXPECT_GT(once.abs().sum().item<double>(), 0);
  EXPECT_EQ(model->parameters().back().grad().abs().sum().item<double>(), 0);
  sync->zero_gradients();
  for (int i = 0; i < 2; ++i) model->children()[0]->as<torch::nn::Conv2d>()->forward(images).sum().backward();
  sync->finish();
  EXPECT_TRUE(torch::allclose(model->parameters()[0].grad(), 2 * once));
  sync->zero_gradients();
  model->forward(images).sum().backward();
  sync->finish();
  expect_strides();
}

}  // namespace
}  // namespace imgtrain
