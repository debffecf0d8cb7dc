// Ranks as real processes on this machine: Gloo over loopback, started with posix_spawn.
//
//   RankProcesses("test_model_program") . run(world, words, name) -> how each ended;  result(name, rank) -> its tensors
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/weights.h"
#include "format/file.h"

extern char** environ;

namespace imgtrain {

inline uint16_t free_port() {
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

class RankProcesses {
 public:
  // `program`: of the build, with its verb; it reads its place among the ranks from the environment.
  explicit RankProcesses(std::vector<std::string> program) : program_(std::move(program)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "ranks.XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~RankProcesses() { std::filesystem::remove_all(folder_); }

  RankProcesses(const RankProcesses&) = delete;
  RankProcesses& operator=(const RankProcesses&) = delete;

  // Runs the program in `world` processes, but for those of `absent`, and waits for all of them.
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
    std::vector<std::string> words = program_;
    words.insert(words.end(), {"--out", (folder_ / name).string()});
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
        ::posix_spawn(&pid, words[0].c_str(), &actions, nullptr, pointers(words).data(), pointers(variables).data()),
        0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }

  std::vector<std::string> program_;
  std::filesystem::path folder_;
};

// Largest relative difference (2-norm) over all tensors.
inline double difference(const TensorFile& a, const TensorFile& b) {
  double worst = 0;
  EXPECT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].first, b.tensors[i].first);
    const torch::Tensor x = a.tensors[i].second.to(torch::kDouble), y = b.tensors[i].second.to(torch::kDouble);
    const double norm = std::max(1e-12, x.norm().item<double>());
    worst = std::max(worst, (x - y).norm().item<double>() / norm);
  }
  return worst;
}

}  // namespace imgtrain
