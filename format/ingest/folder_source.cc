#include "format/ingest/folder_source.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <map>
#include <optional>

#include "format/error.h"
#include "format/ingest/image_name.h"

namespace imgpack::ingest {
namespace {

namespace fs_path = std::filesystem;
using fs_path::path;

constexpr int kSearchDepth = 2;      // Folders below the one given in which a layout is looked for.
constexpr int kMaxFolderDepth = 16;  // Below a class folder: a loop of links ends here.
constexpr size_t kExamples = 5;      // Of ignored files that are named.

struct Layout {
  SourceKind kind = SourceKind::kClassFolders;
  path root;    // Of the source: what is reported and what label files lie beside.
  path folder;  // That holds the split folders or the class folders; root itself, or below it.
};

bool has_folder_inside(FileSystem& fs, const path& folder) {
  const auto entries = fs.list(folder);
  return std::any_of(entries.begin(), entries.end(), [](const DirectoryEntry& e) { return e.is_directory; });
}

// `train` can be a class beside `bus` and `car`: a single split folder among others must hold class folders.
bool has_split_folders(FileSystem& fs, const path& folder) {
  size_t splits = 0, others = 0;
  std::string last;
  for (const DirectoryEntry& entry : fs.list(folder)) {
    if (!entry.is_directory || entry.name.front() == '.') continue;
    const bool is_split = !split_of_folder(entry.name).empty();
    ++(is_split ? splits : others);
    if (is_split) last = entry.name;
  }
  return splits > 1 || (splits == 1 && (others == 0 || has_folder_inside(fs, folder / last)));
}

bool has_folder(FileSystem& fs, const path& parent, std::string_view name) {
  const auto entries = fs.list(parent);
  return std::any_of(entries.begin(), entries.end(),
                     [&](const DirectoryEntry& e) { return e.is_directory && e.name == name; });
}

// The Kaggle tree is known by its innermost folder, ILSVRC/Data/CLS-LOC, whatever part of it was named.
std::optional<Layout> kaggle_at(FileSystem& fs, const path& folder) {
  path at = folder;
  if (has_folder(fs, at, "ILSVRC")) at /= "ILSVRC";
  if (has_folder(fs, at, "Data")) at /= "Data";
  if (has_folder(fs, at, "CLS-LOC")) at /= "CLS-LOC";
  if (at.filename() != "CLS-LOC" || !has_split_folders(fs, at)) return std::nullopt;
  // Up again to the folder that the download was unpacked in.
  path root = at.parent_path();
  if (root.filename() == "Data") root = root.parent_path();
  if (root.filename() == "ILSVRC") root = root.parent_path();
  return Layout{SourceKind::kKaggle, root, at};
}

// Every layout at `folder` or, where there is none, in the folders below it.
void find_layouts(FileSystem& fs, const path& folder, int depth, std::vector<Layout>& found) {
  if (auto kaggle = kaggle_at(fs, folder)) {
    found.push_back(*std::move(kaggle));
    return;
  }
  if (has_split_folders(fs, folder)) {
    found.push_back({SourceKind::kSplitFolders, folder, folder});
    return;
  }
  if (depth == 0) return;
  for (const DirectoryEntry& entry : fs.list(folder)) {
    if (entry.is_directory && entry.name.front() != '.') find_layouts(fs, folder / entry.name, depth - 1, found);
  }
}

Layout recognise(FileSystem& fs, const path& folder) {
  std::vector<Layout> found;
  find_layouts(fs, folder, kSearchDepth, found);
  if (found.empty()) return {SourceKind::kClassFolders, folder, folder};
  if (found.size() > 1) {
    std::string list;
    for (size_t i = 0; i < std::min(found.size(), kExamples); ++i)
      list += (i == 0 ? "" : ", ") + found[i].folder.string();
    throw Error(ErrorKind::kInvalidInput, "several image sets lie here: expected one, found " + list, folder, {},
                "name the one to pack");
  }
  return found.front();
}

// What one class folder, or the split folder itself, holds.
struct Listing {
  std::vector<SourceImage> images;
  uint64_t ignored = 0;
  std::vector<std::string> ignored_examples;

  void ignore(const std::string& name) {
    ++ignored;
    if (ignored_examples.size() < kExamples) ignored_examples.push_back(printable(name));
  }
};

void add_file(const std::string& relative, const DirectoryEntry& entry, const path& folder, Listing& listing) {
  if (!is_image_file(entry.name)) {
    listing.ignore(relative);
    return;
  }
  if (entry.bytes > kMaxImageBytes) {
    throw Error(
        ErrorKind::kInvalidInput,
        "file is too large for an image: expected at most 1 GiB, found " + std::to_string(entry.bytes) + " bytes",
        folder / entry.name);
  }
  auto image = source_image(relative, entry.bytes);
  if (!image) throw Error(ErrorKind::kInvalidInput, "file name is too long", folder / entry.name);
  listing.images.push_back(*std::move(image));
}

void list_below(FileSystem& fs, const path& folder, const std::string& relative, int depth, Listing& listing) {
  if (depth > kMaxFolderDepth) {
    throw Error(ErrorKind::kInvalidInput,
                "folders are nested too deeply: expected at most " + std::to_string(kMaxFolderDepth) +
                    " levels; is there a link that leads back up?",
                folder);
  }
  for (const DirectoryEntry& entry : fs.list(folder)) {
    const std::string name = relative + "/" + entry.name;
    if (!entry.is_directory) {
      add_file(name, entry, folder, listing);
    } else if (entry.name.front() == '.') {
      listing.ignore(name);
    } else {
      list_below(fs, folder / entry.name, name, depth + 1, listing);
    }
  }
}

void merge(Listing&& from, SourceScan& scan, SourceSplit& split) {
  std::move(from.images.begin(), from.images.end(), std::back_inserter(split.images));
  scan.ignored_files += from.ignored;
  for (std::string& name : from.ignored_examples) {
    if (scan.ignored_examples.size() < kExamples) scan.ignored_examples.push_back(std::move(name));
  }
}

void sort_and_check(SourceSplit& split, const path& folder) {
  std::sort(split.images.begin(), split.images.end(),
            [](const SourceImage& a, const SourceImage& b) { return a.name() < b.name(); });
  for (size_t i = 1; i < split.images.size(); ++i) {
    const SourceImage &a = split.images[i - 1], &b = split.images[i];
    if (a.name() == b.name()) {
      throw Error(ErrorKind::kInvalidInput,
                  "two files for one image: " + printable(a.path) + " and " + printable(b.path), folder, {},
                  "remove one of them");
    }
  }
  for (const SourceImage& image : split.images) split.bytes += image.bytes;
}

void scan_split(FileSystem& fs, const path& folder, SourceSplit& split, SourceScan& scan) {
  Listing flat;
  for (const DirectoryEntry& entry : fs.list(folder)) {
    if (!entry.is_directory) {
      add_file(entry.name, entry, folder, flat);
    } else if (entry.name.front() == '.') {
      flat.ignore(entry.name);
    } else {
      split.class_folders.push_back(entry.name);
    }
  }
  std::vector<Listing> listings(split.class_folders.size());
  tbb::parallel_for(size_t{0}, listings.size(), [&](size_t i) {
    list_below(fs, folder / split.class_folders[i], split.class_folders[i], 0, listings[i]);
  });
  for (size_t i = 0; i < listings.size(); ++i) {
    if (listings[i].images.empty()) {
      throw Error(ErrorKind::kInvalidInput,
                  "class folder has no image: expected at least one .JPEG, .jpg, .png, .webp or .bmp file",
                  folder / split.class_folders[i], {}, "fill the folder from the download, or remove it");
    }
    merge(std::move(listings[i]), scan, split);
  }
  merge(std::move(flat), scan, split);
  sort_and_check(split, folder);
}

std::string describe(const Layout& layout) {
  switch (layout.kind) {
    case SourceKind::kKaggle:
      return "Kaggle or torrent tree (ILSVRC/Data/CLS-LOC)";
    case SourceKind::kSplitFolders:
      return "split folders (train, val, test)";
    case SourceKind::kClassFolders:
      return "class folders (one split: train)";
    case SourceKind::kList:
      break;
  }
  return "";
}

// (split, folder) pairs in the order train, val, test.
std::vector<std::pair<std::string, path>> split_folders(FileSystem& fs, const Layout& layout, SourceScan& scan) {
  if (layout.kind == SourceKind::kClassFolders) return {{"train", layout.folder}};
  std::map<std::string, path> found;
  for (const DirectoryEntry& entry : fs.list(layout.folder)) {
    const std::string split(entry.is_directory ? split_of_folder(entry.name) : "");
    if (split.empty()) {
      if (entry.is_directory) scan.ignored_folders.push_back(printable(entry.name));
      continue;
    }
    const auto [at, is_new] = found.emplace(split, layout.folder / entry.name);
    if (!is_new) {
      throw Error(ErrorKind::kInvalidInput,
                  "two folders for one split: " + at->second.filename().string() + " and " + entry.name, layout.folder,
                  {}, "keep one of them");
    }
  }
  std::vector<std::pair<std::string, path>> ordered;
  for (const char* split : {"train", "val", "test"}) {
    if (const auto at = found.find(split); at != found.end()) ordered.emplace_back(split, at->second);
  }
  return ordered;
}

class FolderReader : public ImageReader {
 public:
  FolderReader(FileSystem& fs, path root) : fs_(fs), root_(std::move(root)) {}

  std::vector<std::byte> read(const SourceSplit& split, const SourceImage& image) override {
    const auto file = fs_.open(root_ / split.folder / image.path);
    // The file may have changed since it was listed: what is there now is what is read, within the same limit.
    if (file->size() > kMaxImageBytes) throw Error(ErrorKind::kIo, "file is too large for an image", file->path());
    std::vector<std::byte> bytes(file->size());
    bytes.resize(file->read_at(0, bytes));
    return bytes;
  }

 private:
  FileSystem& fs_;
  path root_;
};

}  // namespace

SourceScan scan_folder(FileSystem& fs, const path& given) {
  // Without a trailing slash, so that file names and parents are what they seem.
  path folder = fs_path::absolute(given).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  if (!fs.exists(folder)) throw Error(ErrorKind::kIo, "no such folder", given);
  const Layout layout = recognise(fs, folder);

  SourceScan scan;
  scan.kind = layout.kind;
  scan.description = describe(layout);
  scan.root = layout.root;
  if (layout.kind == SourceKind::kKaggle) {
    scan.label_folders = {layout.root, layout.folder.parent_path().parent_path()};
  } else {
    scan.label_folders = {layout.root};
  }
  if (layout.folder != folder && folder != layout.root) scan.label_folders.push_back(folder);
  for (const auto& [name, split_folder] : split_folders(fs, layout, scan)) {
    SourceSplit split;
    split.name = name;
    split.folder = split_folder.lexically_relative(layout.root).generic_string();
    if (split.folder == ".") split.folder.clear();
    scan_split(fs, split_folder, split, scan);
    if (!split.images.empty()) scan.splits.push_back(std::move(split));
  }
  if (scan.splits.empty()) {
    throw Error(ErrorKind::kInvalidInput,
                "no image found: expected ILSVRC/Data/CLS-LOC, train/ and val/, or class folders with images", folder);
  }
  return scan;
}

fs_path::path class_folder_root(FileSystem& fs, const path& folder) {
  std::vector<Layout> found;
  find_layouts(fs, folder, kSearchDepth, found);
  if (!found.empty()) return folder;
  path root = folder;
  for (int depth = 0; depth < kMaxFolderDepth; ++depth) {
    const auto entries = fs.list(root);
    if (entries.size() != 1 || !entries.front().is_directory) break;
    const path inner = root / entries.front().name;
    // A single class folder is a class, not a wrapping.
    if (!has_folder_inside(fs, inner)) break;
    root = inner;
  }
  return root;
}

std::unique_ptr<ImageReader> make_folder_reader(FileSystem& fs, const path& root) {
  return std::make_unique<FolderReader>(fs, root);
}

}  // namespace imgpack::ingest
