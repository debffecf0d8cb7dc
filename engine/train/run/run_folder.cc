#include "engine/train/run/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cerrno>
#include <system_error>
#include <utility>

#include "engine/train/run/json_text.h"
#include "engine/train/run/run_extension.h"
#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

constexpr const char* kRunFile = "run.json";
constexpr const char* kConfigFile = "config.json";
constexpr const char* kResultFile = "result.json";
constexpr const char* kLockFile = ".lock";
constexpr uint64_t kMaxJsonBytes = uint64_t{16} << 20;

json::object read_json(imgpack::FileSystem& fs, const std::filesystem::path& path) {
  boost::system::error_code failure;
  json::value value = json::parse(imgpack::read_text(fs, path, kMaxJsonBytes), failure);
  if (failure || !value.is_object()) throw Error(ErrorKind::kCorruption, "expected a JSON object", path);
  return std::move(value.get_object());
}

std::string text_member(const json::object& object, const char* key, const std::filesystem::path& path) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string())
    throw Error(ErrorKind::kCorruption, "expected a text under '" + std::string(key) + "'", path);
  return std::string(value->get_string());
}

// What an unfinished start may have left: nothing that a person made.
bool is_leftover(const std::string& name) {
  const std::string_view suffix = imgpack::kTemporarySuffix;
  return name == kLockFile || name == kConfigFile ||
         (name.size() > suffix.size() && name.substr(name.size() - suffix.size()) == suffix);
}

}  // namespace

RunFolder::RunFolder(imgpack::FileSystem& fs, std::filesystem::path folder) : fs_(fs), folder_(std::move(folder)) {
  if (!fs_.exists(folder_)) fs_.make_directories(folder_);
  if (!fs_.exists(folder_ / kRunFile)) {
    for (const imgpack::DirectoryEntry& entry : fs_.list(folder_)) {
      if (is_leftover(entry.name)) continue;
      throw Error(ErrorKind::kInvalidInput,
                  "expected a run folder or an empty one, found other files ('" + entry.name + "')", folder_, {},
                  "choose another --out");
    }
  }
  lock();
  if (fs_.exists(folder_ / kRunFile))
    status_ = fs_.exists(folder_ / kResultFile) ? RunStatus::kFinished : RunStatus::kUnfinished;
}

RunFolder::~RunFolder() {
  if (lock_descriptor_ >= 0) ::close(lock_descriptor_);
}

// An advisory lock that the kernel drops with the process, however it ends: a killed run leaves nothing to clean up.
void RunFolder::lock() {
  const std::filesystem::path path = folder_ / kLockFile;
  lock_descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_descriptor_ < 0)
    throw Error(ErrorKind::kIo, "cannot create: " + std::generic_category().message(errno), path);
  if (::flock(lock_descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  const int reason = errno;
  ::close(std::exchange(lock_descriptor_, -1));
  if (reason == EWOULDBLOCK) {
    throw Error(ErrorKind::kInvalidInput, "another program is training into this folder", folder_, {},
                "wait for it, or choose another --out");
  }
  // Some network file systems know no locks. Training alone is still safe there.
  if (reason != ENOLCK && reason != EOPNOTSUPP)
    throw Error(ErrorKind::kIo, "cannot lock: " + std::generic_category().message(reason), path);
}

void RunFolder::require_same(const RunIdentity& asked) const {
  const RunConfig before = read_run_config(fs_, folder_);
  const std::vector<std::string> other = dataset_difference(asked), changed = differences(before, asked.config);
  if (other.empty() && changed.empty()) return;
  const bool extendable = other.empty() && beyond_extension(before, asked.config).empty();
  refuse(other, changed,
         extendable ? "give the same options to go on with it, --extend to change these on the way, another --out, or "
                      "--fresh"
                    : "give the same options to go on with it, another --out, or --fresh");
}

std::vector<std::string> RunFolder::extension(const RunIdentity& asked) const {
  const RunConfig before = read_run_config(fs_, folder_);
  const std::vector<std::string> other = dataset_difference(asked), beyond = beyond_extension(before, asked.config);
  if (!other.empty() || !beyond.empty())
    refuse(other, beyond, "--extend covers length, batch, learning rate and schedule; for others give another --out");
  return differences(before, asked.config);
}

void RunFolder::extend(const RunIdentity& identity) {
  // In this order: stopped in between, it is the old run, unfinished, and the same command goes on.
  fs_.remove(folder_ / kResultFile);
  fs_.sync_directory(folder_);
  imgpack::publish(fs_, folder_ / kConfigFile, pretty_json(to_json(identity.config)));
  status_ = RunStatus::kUnfinished;
}

std::vector<std::string> RunFolder::dataset_difference(const RunIdentity& asked) const {
  const std::string dataset = text_member(read_json(fs_, folder_ / kRunFile), "dataset_id", folder_ / kRunFile);
  if (dataset == asked.dataset_id) return {};
  return {"data set: " + dataset + " before, " + asked.dataset_id + " now"};
}

void RunFolder::refuse(const std::vector<std::string>& other, const std::vector<std::string>& changed,
                       const std::string& hint) const {
  std::string list;
  for (const std::vector<std::string>* lines : {&changed, &other})
    for (const std::string& line : *lines) list += "\n  " + line;
  throw Error(ErrorKind::kUsage, "this folder holds a run with another configuration:" + list + "\n", folder_, {},
              hint);
}

void RunFolder::begin(const RunIdentity& identity) {
  imgpack::publish(fs_, folder_ / kConfigFile, pretty_json(to_json(identity.config)));
  const json::object run{
      {"dataset_id", identity.dataset_id}, {"recipe", identity.recipe}, {"created_by", identity.created_by}};
  imgpack::publish(fs_, folder_ / kRunFile, pretty_json(run));
  status_ = RunStatus::kUnfinished;
}

void RunFolder::finish(const json::object& result) {
  imgpack::publish(fs_, folder_ / kResultFile, pretty_json(result));
  status_ = RunStatus::kFinished;
}

json::object RunFolder::result() const {
  return read_json(fs_, folder_ / kResultFile);
}

void RunFolder::publish_csv(const std::string& metrics_csv) const {
  imgpack::publish(fs_, folder_ / "metrics.csv", metrics_csv);
}

RunConfig read_run_config(imgpack::FileSystem& fs, const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kConfigFile;
  if (!fs.exists(path) || !fs.exists(folder / kRunFile)) {
    throw Error(ErrorKind::kInvalidInput, "expected a run folder (with run.json and config.json), found none", folder);
  }
  const ConfigLayer layer[] = {{path.string(), read_json(fs, path)}};
  return resolve(layer).values;
}

std::filesystem::path fresh_folder(imgpack::FileSystem& fs, const std::filesystem::path& folder) {
  if (!fs.exists(folder)) return folder;
  for (uint64_t number = 2;; ++number) {
    std::filesystem::path candidate = folder;
    candidate += "-";
    candidate += std::to_string(number);
    if (!fs.exists(candidate)) return candidate;
  }
}

}  // namespace imgtrain
