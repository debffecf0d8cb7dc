#include "engine/train/run/local_ranks.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "format/error.h"

extern char** environ;

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using Clock = std::chrono::steady_clock;

constexpr const char* kLauncherVariable = "IMGTRAIN_LAUNCHER";
// What decides which rank a process is: a launcher of its own sets all of it.
constexpr std::string_view kOurs[] = {
    "RANK=",        "WORLD_SIZE=",        "LOCAL_RANK=",      "LOCAL_WORLD_SIZE=", "MASTER_ADDR=",
    "MASTER_PORT=", "IMGTRAIN_STORE_FD=", "IMGTRAIN_RUN_ID=", "TORCHELASTIC_",     "IMGTRAIN_LAUNCHER="};
// All ranks stop at the same step and wait for one checkpoint.
constexpr std::chrono::seconds kStopSeconds{300};
constexpr int kFailedStatus = 1 << 8;  // As waitpid() has an exit with 1.

[[noreturn]] void fail(const std::string& what, int reason) {
  throw Error(ErrorKind::kIo, what + ": " + std::generic_category().message(reason));
}

// A socket that listens on a port of the loopback interface that the kernel chose.
class MeetingPoint {
 public:
  MeetingPoint() : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (descriptor_ < 0 || ::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::listen(descriptor_, SOMAXCONN) != 0 ||
        ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      const int reason = errno;
      if (descriptor_ >= 0) ::close(descriptor_);
      fail("no port for the ranks to meet at", reason);
    }
    port_ = ntohs(address.sin_port);
  }
  ~MeetingPoint() { ::close(descriptor_); }
  MeetingPoint(const MeetingPoint&) = delete;
  MeetingPoint& operator=(const MeetingPoint&) = delete;
  int descriptor() const { return descriptor_; }
  int port() const { return port_; }

 private:
  int descriptor_;
  int port_ = 0;
};

// Keeps signals for sigtimedwait while it lives; the ranks get the mask from before.
class HeldSignals {
 public:
  HeldSignals() {
    sigemptyset(&held_);
    for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) sigaddset(&held_, signal);
    pthread_sigmask(SIG_BLOCK, &held_, &before_);
    // Where it is ignored, as some parents leave it, the kernel forgets how children ended.
    struct sigaction usual {};
    usual.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &usual, &child_before_);
  }
  ~HeldSignals() {
    sigaction(SIGCHLD, &child_before_, nullptr);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  const sigset_t& before() const { return before_; }
  // The next one, if any comes within a moment.
  std::optional<int> next() const {
    constexpr timespec kMoment{0, 200'000'000};
    const int signal = ::sigtimedwait(&held_, nullptr, &kMoment);
    return signal < 0 ? std::nullopt : std::optional(signal);
  }

 private:
  sigset_t held_, before_;
  struct sigaction child_before_ {};
};

struct Child {
  pid_t pid = -1;
  bool running = false;
};

std::vector<std::string> environment_of(int rank, int count, int port, int descriptor) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    bool ours = false;
    for (const std::string_view name : kOurs) ours = ours || text.starts_with(name);
    if (!ours) variables.emplace_back(text);
  }
  const std::string number = std::to_string(rank), world = std::to_string(count);
  for (const std::string& variable :
       {"RANK=" + number, "WORLD_SIZE=" + world, "LOCAL_RANK=" + number, "LOCAL_WORLD_SIZE=" + world,
        std::string("MASTER_ADDR=127.0.0.1"), "MASTER_PORT=" + std::to_string(port),
        kLauncherVariable + std::string("=") + std::to_string(::getpid())})
    variables.push_back(variable);
  if (rank == 0) variables.push_back("IMGTRAIN_STORE_FD=" + std::to_string(descriptor));
  return variables;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

class Ranks {
 public:
  explicit Ranks(const LocalRanks& options) : options_(options) {
    children_.resize(static_cast<size_t>(options.count));
  }
  ~Ranks() {
    for (Child& child : children_) {
      if (!child.running) continue;
      ::kill(child.pid, SIGKILL);
      ::waitpid(child.pid, nullptr, 0);
    }
  }
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  void start(const MeetingPoint& point, const sigset_t& mask) {
    for (int rank = 0; rank < options_.count; ++rank) start(rank, point, mask);
  }

  void send(int signal) {
    for (const Child& child : children_)
      if (child.running) ::kill(child.pid, signal);
  }

  // Takes note of who has ended. The first that did not end well decides the exit code.
  void reap() {
    for (size_t rank = 0; rank < children_.size(); ++rank) {
      Child& child = children_[rank];
      int status = 0;
      if (!child.running) continue;
      const pid_t found = ::waitpid(child.pid, &status, WNOHANG);
      if (found == 0) continue;
      child.running = false;
      if (found < 0) status = kFailedStatus;  // Gone, and nobody knows how.
      const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      const int code = signal == SIGINT ? 130 : signal != 0 ? 1 : WEXITSTATUS(status);
      if (rank == 0 && code == 0) led_ = Clock::now();
      if (code == 0 || ended_) continue;
      code_ = code;
      ended_ = Clock::now();
      if (signal != 0 && signal != SIGINT) {
        options_.warn("rank " + std::to_string(rank) + " of " + std::to_string(options_.count) + " (process " +
                      std::to_string(child.pid) + ") was killed by signal " + std::to_string(signal) + " (" +
                      ::strsignal(signal) + (signal == SIGKILL ? "; the kernel does so when memory runs out)" : ")") +
                      ": the others end too");
      }
    }
  }

  bool running() const {
    for (const Child& child : children_)
      if (child.running) return true;
    return false;
  }

  // Those that outlive the first by too long are ended.
  void end_stragglers() {
    if (!running()) return;
    // Rank 0 has published the result: nothing that the others still do is worth more patience than a checkpoint.
    if (led_ && Clock::now() - *led_ > kStopSeconds) send(SIGKILL);
    if (!ended_) return;
    const bool stops = code_ == 75 || code_ == 130;
    const std::chrono::duration<double> grace =
        stops ? std::chrono::duration<double>(kStopSeconds) : std::chrono::duration<double>(options_.grace_seconds);
    if (Clock::now() - *ended_ > grace) send(SIGKILL);
  }

  int code() const { return code_; }

 private:
  void start(int rank, const MeetingPoint& point, const sigset_t& mask) {
    const std::string program = options_.program.empty() ? "/proc/self/exe" : options_.program;
    std::vector<std::string> words = {program};
    words.insert(words.end(), options_.arguments.begin(), options_.arguments.end());
    constexpr int kStoreDescriptor = 9;
    std::vector<std::string> variables = environment_of(rank, options_.count, point.port(), kStoreDescriptor);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    if (rank == 0) posix_spawn_file_actions_adddup2(&actions, point.descriptor(), kStoreDescriptor);
    sigset_t usual;
    sigemptyset(&usual);
    for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) sigaddset(&usual, signal);
    posix_spawnattr_setsigmask(&attributes, &mask);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    // Ctrl-C reaches a terminal's whole process group: a rank in it would get it twice, and twice means "at once".
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    Child& child = children_[static_cast<size_t>(rank)];
    const int error = ::posix_spawn(&child.pid, program.c_str(), &actions, &attributes, pointers(words).data(),
                                    pointers(variables).data());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) fail("cannot start rank " + std::to_string(rank), error);
    child.running = true;
  }

  const LocalRanks& options_;
  std::vector<Child> children_;
  std::optional<Clock::time_point> ended_;  // When the first ended that did not end well.
  std::optional<Clock::time_point> led_;    // When rank 0 ended well.
  int code_ = 0;
};

}  // namespace

int run_local_ranks(const LocalRanks& options) {
  const HeldSignals signals;
  Ranks ranks(options);
  {
    const MeetingPoint point;
    ranks.start(point, signals.before());
  }
  while (true) {
    ranks.reap();
    if (!ranks.running()) return ranks.code();
    ranks.end_stragglers();
    const auto signal = signals.next();
    if (signal && *signal != SIGCHLD) ranks.send(*signal);
  }
}

void tie_to_launcher() {
  const char* launcher = std::getenv(kLauncherVariable);
  if (launcher == nullptr) return;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  // It may have died before the line above.
  if (std::to_string(::getppid()) != launcher) ::raise(SIGTERM);
}

}  // namespace imgtrain
