#include "format/ingest/archive_layout.h"

#include <algorithm>
#include <array>

#include "format/ingest/image_name.h"
#include "format/ingest/plain_text.h"

namespace imgpack::ingest {
namespace {

constexpr size_t kSearchDepth = 2;  // As for folders: split folders lie at most so deep.

constexpr std::array<std::string_view, 10> kExtensions = {".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tgz",
                                                          ".tbz2",   ".txz",     ".tzst",   ".tar",     ".zip"};

size_t extension_bytes(std::string_view name) {
  const std::string lowered = lower_case(name);
  for (const std::string_view extension : kExtensions) {
    if (lowered.size() > extension.size() && lowered.ends_with(extension)) return extension.size();
  }
  return 0;
}

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

// From component `first` on.
std::string rest_of(std::string_view path, const std::vector<std::string_view>& parts, size_t first) {
  return std::string(path.substr(static_cast<size_t>(parts[first].data() - path.data())));
}

std::string_view split_of(ArchiveRole role) {
  switch (role) {
    case ArchiveRole::kTrain:
      return "train";
    case ArchiveRole::kVal:
      return "val";
    case ArchiveRole::kTest:
      return "test";
    default:
      return "";
  }
}

// A validation or test image of ILSVRC that lies flat says by its name where it belongs.
std::string_view split_of_flat(std::string_view name) {
  if (!is_ilsvrc_name(name)) return "";
  return name.starts_with("ILSVRC2012_val_") ? "val" : "test";
}

}  // namespace

ArchiveRole role_of(std::string_view archive_name) {
  const std::string name = lower_case(last_component(archive_name));
  const auto has = [&](std::string_view word) { return name.find(word) != std::string::npos; };
  if (has("img_train_t3") || has("bbox_train") || has("bbox_test")) return ArchiveRole::kOther;
  if (has("bbox_val")) return ArchiveRole::kBoxes;
  if (has("img_train")) return ArchiveRole::kTrain;
  if (has("img_val")) return ArchiveRole::kVal;
  if (has("img_test")) return ArchiveRole::kTest;
  const std::string_view split = split_of_folder(archive_stem(name));
  if (split == "train") return ArchiveRole::kTrain;
  if (split == "val") return ArchiveRole::kVal;
  return split == "test" ? ArchiveRole::kTest : ArchiveRole::kPlain;
}

bool is_archive_name(std::string_view file_name) {
  return !file_name.empty() && file_name.front() != '.' && extension_bytes(file_name) > 0;
}

std::string archive_stem(std::string_view file_name) {
  const std::string_view name = last_component(file_name);
  return std::string(name.substr(0, name.size() - extension_bytes(name)));
}

std::optional<std::string> plain_path(std::string_view entry_name) {
  if (entry_name.empty() || entry_name.front() == '/' || entry_name.size() > kMaxPathBytes) return std::nullopt;
  std::string path;
  for (const std::string_view part : components(entry_name)) {
    if (part == "..") return std::nullopt;
    if (part.empty() || part == ".") continue;
    if (!path.empty()) path += '/';
    path += part;
  }
  return path;
}

bool is_hidden(std::string_view path) {
  const auto parts = components(path);
  return std::any_of(parts.begin(), parts.end(),
                     [](std::string_view part) { return part.starts_with('.') || part == "__MACOSX"; });
}

std::string mounted_path(const Mount& mount, const std::string& path) {
  const std::string_view first = std::string_view(path).substr(0, path.find('/'));
  const bool flat = path.find('/') == std::string::npos;
  if (mount.role == ArchiveRole::kBoxes) return mount.folder + "Annotations/CLS-LOC/" + (flat ? "val/" : "") + path;
  if (const std::string_view split = split_of(mount.role); !split.empty()) {
    // Some split archives hold the split's folder, some what is in it.
    if (split_of_folder(first) == split || first == "ILSVRC") return mount.folder + path;
    return mount.folder + std::string(split) + "/" + path;
  }
  if (!flat || !is_image_file(path)) return mount.folder + path;
  if (mount.folder.empty() || !mount.own_folder) {
    const std::string_view split = split_of_flat(path);
    if (!split.empty()) return mount.folder + std::string(split) + "/" + path;
  }
  return mount.folder + (mount.own_folder ? mount.stem + "/" : "") + path;
}

std::optional<PlaceGuess::Place> PlaceGuess::place(const std::string& path, uint64_t bytes) {
  const auto placed = [&](std::string split, std::string rest) -> std::optional<Place> {
    auto image = source_image(std::move(rest), bytes);
    if (!image) return std::nullopt;
    return Place{std::move(split), *std::move(image)};
  };
  if (!known_.empty()) {
    for (const auto& [folder, split] : known_) {
      if (path.size() > folder.size() && path.starts_with(folder)) return placed(split, path.substr(folder.size()));
    }
    return std::nullopt;
  }
  const auto parts = components(path);
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    if (parts[i] != "CLS-LOC") continue;
    const std::string_view split = split_of_folder(parts[i + 1]);
    if (!split.empty()) return placed(std::string(split), rest_of(path, parts, i + 2));
  }
  for (size_t i = 0; i + 1 < parts.size() && i <= kSearchDepth; ++i) {
    const std::string_view split = split_of_folder(parts[i]);
    if (!split.empty()) return placed(std::string(split), rest_of(path, parts, i + 1));
  }
  // Class folders: alone in the archive, or all in one folder of it.
  if (!class_depth_) class_depth_ = parts.size() > 2 ? parts.size() - 2 : 0;
  const size_t from = std::min(*class_depth_, parts.size() - 1);
  return placed("train", rest_of(path, parts, from));
}

}  // namespace imgpack::ingest
