#include "engine/train/run/checkpoint_store.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <iterator>
#include <string_view>
#include <utility>

#include "engine/train/run/json_text.h"
#include "format/checksum.h"
#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;
using imgpack::Error;
using imgpack::ErrorKind;

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kStateSuffix = ".json";
constexpr std::string_view kDamagedSuffix = ".damaged";
constexpr const char* kBest = "best";
constexpr uint64_t kMaxPointerBytes = 4096;
constexpr const char* kFormat = "imgtrain checkpoint";
constexpr int64_t kVersion = 1;
constexpr uint64_t kMaxStateBytes = uint64_t{64} << 20;
constexpr size_t kReadBytes = size_t{4} << 20;
// What separates the checksum from the bytes that it covers: everything before it.
constexpr std::string_view kChecksumKey = ",\n  \"checksum\": \"";

std::string stem(uint64_t step) {
  std::string digits = std::to_string(step);
  digits.insert(0, digits.size() < 9 ? 9 - digits.size() : 0, '0');
  return std::string(kPrefix) + digits;
}

// The step in `step-000000500…`; nullopt for any other name. `rest` is what follows the digits.
std::optional<uint64_t> step_of(std::string_view name, std::string_view& rest) {
  if (name.substr(0, kPrefix.size()) != kPrefix) return std::nullopt;
  uint64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [after, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc()) return std::nullopt;
  rest = std::string_view(after, static_cast<size_t>(end - after));
  if (name.substr(0, name.size() - rest.size()) != stem(step)) return std::nullopt;
  return step;
}

struct FileFacts {
  uint64_t bytes = 0;
  uint64_t digest = 0;
};

FileFacts facts_of(imgpack::FileSystem& files, const fs::path& path) {
  const auto file = files.open(path);
  imgpack::ChecksumStream stream;
  std::vector<std::byte> buffer(kReadBytes);
  uint64_t offset = 0;
  while (offset < file->size()) {
    const size_t got = file->read_at(offset, buffer);
    if (got == 0) break;
    stream.update(std::span(buffer).first(got));
    offset += got;
  }
  return {offset, stream.digest()};
}

std::string with_checksum(const json::object& object) {
  std::string text = pretty_json(object);
  text.resize(text.size() - std::string_view("\n}\n").size());
  const std::string checksum = imgpack::to_hex(imgpack::checksum(text));
  return text + std::string(kChecksumKey) + checksum + "\"\n}\n";
}

json::object checked_state(const std::string& text, const fs::path& path) {
  const size_t at = text.rfind(kChecksumKey);
  if (at == std::string::npos)
    throw Error(ErrorKind::kCorruption, "checkpoint state ends early: it has no checksum", path);
  const std::string digits = text.substr(at + kChecksumKey.size(), 16);
  const auto stored = imgpack::parse_hex(digits);
  const uint64_t computed = imgpack::checksum(std::string_view(text).substr(0, at));
  if (!stored || !imgpack::same_checksum(*stored, computed) ||
      text.substr(at + kChecksumKey.size() + 16) != "\"\n}\n") {
    throw Error(ErrorKind::kCorruption,
                "checkpoint state checksum mismatch: expected " + digits + ", found " + imgpack::to_hex(computed),
                path);
  }
  boost::system::error_code failure;
  json::value value = json::parse(text, failure);
  if (failure || !value.is_object()) throw Error(ErrorKind::kCorruption, "checkpoint state is not a JSON object", path);
  return std::move(value.get_object());
}

// Complete epochs of a state that closes one; 0: it does not.
uint64_t closed_epoch(const json::object& state) {
  const json::value* position = state.if_contains("position");
  const json::object* at = position == nullptr ? nullptr : position->if_object();
  if (at == nullptr) return 0;
  const json::value *epoch = at->if_contains("epoch"), *batch = at->if_contains("batch");
  if (epoch == nullptr || batch == nullptr || !epoch->is_number() || *batch != json::value(0)) return 0;
  return epoch->to_number<uint64_t>();
}

}  // namespace

CheckpointStore::CheckpointStore(imgpack::FileSystem& fs, fs::path folder, int64_t keep, const KeepMore& more)
    : fs_(fs), folder_(std::move(folder)), keep_(static_cast<size_t>(std::max<int64_t>(keep, 1))), more_(more) {}

fs::path CheckpointStore::tensors_path(uint64_t step, const std::string& part) const {
  return folder_ / (stem(step) + "." + part + ".safetensors");
}

fs::path CheckpointStore::state_path(uint64_t step) const {
  return folder_ / (stem(step) + std::string(kStateSuffix));
}

std::vector<uint64_t> CheckpointStore::steps() const {
  std::vector<uint64_t> found;
  if (!fs_.exists(folder_)) return found;
  for (const imgpack::DirectoryEntry& entry : fs_.list(folder_)) {
    std::string_view rest;
    const auto step = step_of(entry.name, rest);
    if (step && rest == kStateSuffix && !entry.is_directory) found.push_back(*step);
  }
  std::sort(found.begin(), found.end());
  return found;
}

void CheckpointStore::prepare() {
  fs_.make_directories(folder_);
  const std::vector<uint64_t> whole = steps();
  for (const imgpack::DirectoryEntry& entry : fs_.list(folder_)) {
    const std::string_view name = entry.name;
    const std::string_view temporary = imgpack::kTemporarySuffix;
    std::string_view rest;
    const auto step = step_of(name, rest);
    const bool is_temporary =
        name.size() > temporary.size() && name.substr(name.size() - temporary.size()) == temporary;
    const bool is_damaged =
        rest.size() >= kDamagedSuffix.size() && rest.substr(rest.size() - kDamagedSuffix.size()) == kDamagedSuffix;
    // Tensors whose state never came.
    const bool is_orphan = step && !is_damaged && !std::binary_search(whole.begin(), whole.end(), *step);
    if (is_temporary || is_orphan) fs_.remove(folder_ / entry.name);
  }
  closed_epochs_.clear();
  for (const uint64_t step : whole) {
    try {
      const json::object wrapped =
          checked_state(imgpack::read_text(fs_, state_path(step), kMaxStateBytes), state_path(step));
      const json::value* state = wrapped.if_contains("state");
      const uint64_t epoch = state != nullptr && state->is_object() ? closed_epoch(state->get_object()) : 0;
      if (epoch > 0) closed_epochs_[step] = epoch;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kCorruption) throw;  // A damaged one closes nothing; newest() speaks of it.
    }
  }
}

void CheckpointStore::publish(uint64_t step, const json::object& state, const std::vector<std::string>& parts) {
  json::object files;
  for (const std::string& part : parts) {
    const FileFacts facts = facts_of(fs_, tensors_path(step, part));
    files[part] = json::object{{"file", tensors_path(step, part).filename().string()},
                               {"bytes", facts.bytes},
                               {"xxh3_64", imgpack::to_hex(facts.digest)}};
  }
  const json::object wrapped{{"format", kFormat}, {"version", kVersion}, {"files", std::move(files)}, {"state", state}};
  imgpack::publish(fs_, state_path(step), with_checksum(wrapped));
  imgpack::publish(fs_, folder_ / "latest", stem(step) + "\n");
  if (const uint64_t epoch = closed_epoch(state)) {
    closed_epochs_[step] = epoch;
  } else {
    closed_epochs_.erase(step);
  }
  remove_surplus(step);
}

void CheckpointStore::remove_surplus(uint64_t step) {
  std::vector<uint64_t> all = steps();
  // A checkpoint from a later step belongs to a past that was given up; it is older in time than this one.
  for (const uint64_t other : all)
    if (other > step) remove(other);
  all.erase(std::upper_bound(all.begin(), all.end(), step), all.end());
  const std::optional<uint64_t> best_step = more_.best ? best() : std::nullopt;
  const auto last_closed = closed_epochs_.empty() ? closed_epochs_.end() : std::prev(closed_epochs_.end());
  for (size_t i = 0; i + keep_ < all.size(); ++i) {
    const auto closed = closed_epochs_.find(all[i]);
    const bool milestone = closed != closed_epochs_.end() && more_.every_epochs > 0 &&
                           closed->second % static_cast<uint64_t>(more_.every_epochs) == 0;
    const bool newest_closed = closed != closed_epochs_.end() && closed == last_closed;
    if (!milestone && !newest_closed && best_step != all[i]) remove(all[i]);
  }
}

void CheckpointStore::mark_best(uint64_t step) {
  imgpack::publish(fs_, folder_ / kBest, stem(step) + "\n");
}

std::optional<uint64_t> CheckpointStore::best() const {
  if (!fs_.exists(folder_ / kBest)) return std::nullopt;
  std::string name = imgpack::read_text(fs_, folder_ / kBest, kMaxPointerBytes);
  if (!name.empty() && name.back() == '\n') name.pop_back();
  std::string_view rest;
  const auto step = step_of(name, rest);
  return step && rest.empty() && fs_.exists(state_path(*step)) ? step : std::nullopt;
}

CheckpointStore::Found CheckpointStore::read(uint64_t step) const {
  const fs::path path = state_path(step);
  const json::object wrapped = checked_state(imgpack::read_text(fs_, path, kMaxStateBytes), path);
  const auto member = [&](const char* key) -> const json::value& {
    const json::value* value = wrapped.if_contains(key);
    if (value == nullptr)
      throw Error(ErrorKind::kCorruption, "checkpoint state has no '" + std::string(key) + "'", path);
    return *value;
  };
  if (member("format") != json::value(kFormat))
    throw Error(ErrorKind::kCorruption, "this is no checkpoint of imgtrain", path);
  if (member("version") != json::value(kVersion)) {
    throw Error(
        ErrorKind::kUnsupportedVersion,
        "checkpoint version: expected " + std::to_string(kVersion) + ", found " + compact_json(member("version")), path,
        {}, "use the program that wrote it");
  }
  Found found{step, path, {}, {}};
  if (!member("files").is_object() || !member("state").is_object())
    throw Error(ErrorKind::kCorruption, "checkpoint state is not laid out as it must be", path);
  found.state = member("state").get_object();
  for (const auto& [part, value] : member("files").get_object()) {
    const fs::path tensors = tensors_path(step, std::string(part));
    if (!fs_.exists(tensors)) throw Error(ErrorKind::kCorruption, "tensors of the checkpoint are missing", tensors);
    const FileFacts facts = facts_of(fs_, tensors);
    const json::object* stored = value.if_object();
    const json::value* bytes = stored == nullptr ? nullptr : stored->if_contains("bytes");
    const json::value* digest = stored == nullptr ? nullptr : stored->if_contains("xxh3_64");
    if (bytes == nullptr || digest == nullptr || !digest->is_string())
      throw Error(ErrorKind::kCorruption, "checkpoint state is not laid out as it must be", path);
    const std::string size_found = std::to_string(facts.bytes);
    if (compact_json(*bytes) != size_found) {
      throw Error(ErrorKind::kCorruption,
                  "tensors of the checkpoint have another size: expected " + compact_json(*bytes) + " bytes, found " +
                      size_found,
                  tensors);
    }
    const auto expected = imgpack::parse_hex(std::string_view(digest->get_string()));
    if (!expected || !imgpack::same_checksum(*expected, facts.digest)) {
      throw Error(ErrorKind::kCorruption,
                  "tensors of the checkpoint: checksum mismatch: expected " + std::string(digest->get_string()) +
                      ", found " + imgpack::to_hex(facts.digest),
                  tensors);
    }
    found.parts.emplace_back(part);
  }
  return found;
}

std::optional<CheckpointStore::Found> CheckpointStore::newest(const Warn& warn,
                                                              const std::function<bool(const Found&)>& accept) {
  const std::vector<uint64_t> all = steps();
  for (auto step = all.rbegin(); step != all.rend(); ++step) {
    try {
      Found found = read(*step);
      if (!accept || accept(found)) return found;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kCorruption) throw;
      warn(std::string("damaged checkpoint set aside, going back to the one before it: ") + error.what());
      set_aside(*step);
    }
  }
  return std::nullopt;
}

// The state goes first: without it the tensors are no checkpoint any more.
void CheckpointStore::set_aside(uint64_t step) {
  const auto renamed = [](fs::path path) { return path += std::string(kDamagedSuffix); };
  fs_.rename(state_path(step), renamed(state_path(step)));
  for (const imgpack::DirectoryEntry& entry : fs_.list(folder_)) {
    std::string_view rest;
    if (step_of(entry.name, rest) == step && rest.find(kDamagedSuffix) == std::string_view::npos)
      fs_.rename(folder_ / entry.name, renamed(folder_ / entry.name));
  }
}

void CheckpointStore::remove(uint64_t step) {
  closed_epochs_.erase(step);
  fs_.remove(state_path(step));
  for (const imgpack::DirectoryEntry& entry : fs_.list(folder_)) {
    std::string_view rest;
    if (step_of(entry.name, rest) == step && rest.find(kDamagedSuffix) == std::string_view::npos)
      fs_.remove(folder_ / entry.name);
  }
}

}  // namespace imgtrain
