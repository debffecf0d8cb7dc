#include "format/ingest/archive_source.h"

#include <algorithm>

#include "format/error.h"
#include "format/ingest/image_name.h"
#include "format/ingest/plain_text.h"
#include "format/ingest/source.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

constexpr size_t kExamples = 5;
constexpr uint64_t kNameOverhead = 128;
constexpr size_t kReadBytes = 1 << 20;
constexpr int kFolderDepth = 3;  // In which a folder beside archives is looked through for images and label files.

[[noreturn]] void fail(const std::string& message, const std::string& archive, const std::string& hint = {}) {
  throw Error(ErrorKind::kInvalidInput, message, archive, {}, hint);
}

std::string extension_of(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? "" : lower_case(name.substr(dot + 1));
}

// Files that may say something of labels; the 544,546 annotations of train say nothing that is asked for.
bool is_label_file(std::string_view file) {
  const std::string extension = extension_of(file);
  if (extension == "xml") return file.find("Annotations/CLS-LOC/val/") != std::string_view::npos;
  for (const char* known : {"csv", "tsv", "txt", "json", "mat", "sh"}) {
    if (extension == known) return true;
  }
  return false;
}

std::string kind_of_file(FileSystem& fs, const path& file) {
  const auto opened = fs.open(file);
  std::byte head[kArchiveHeadBytes];
  return archive_kind(std::span(head).first(opened->read_at(0, head)));
}

uint64_t size_of_file(FileSystem& fs, const path& file) {
  return fs.open(file)->size();
}

bool is_folder(FileSystem& fs, const path& given) {
  const path absolute = std::filesystem::absolute(given).lexically_normal();
  const path plain = absolute.has_filename() ? absolute : absolute.parent_path();
  if (!plain.has_relative_path()) return true;
  for (const DirectoryEntry& entry : fs.list(plain.parent_path())) {
    if (entry.name == plain.filename()) return entry.is_directory;
  }
  throw Error(ErrorKind::kIo, "no such file or folder", given);
}

// Whether there is an image, and which label files there are.
bool look_through(FileSystem& fs, const path& root, const path& below, int depth, std::vector<path>& texts) {
  for (const DirectoryEntry& entry : fs.list(below.empty() ? root : root / below)) {
    if (entry.name.front() == '.') continue;
    if (entry.is_directory) {
      if (depth > 0 && look_through(fs, root, below / entry.name, depth - 1, texts)) return true;
    } else if (is_image_file(entry.name)) {
      return true;
    } else if (is_label_file((below / entry.name).generic_string())) {
      texts.push_back(below / entry.name);
    }
  }
  return false;
}

void refuse_two_of_one_role(const ArchiveSet& set) {
  for (size_t i = 0; i < set.archives.size(); ++i) {
    for (size_t j = i + 1; j < set.archives.size(); ++j) {
      const ArchiveRole role = set.archives[i].role;
      if (role == ArchiveRole::kPlain || role != set.archives[j].role) continue;
      fail("two archives of one split lie here: " + set.archives[i].path.filename().string() + " and " +
               set.archives[j].path.filename().string(),
           set.root.string(), "move one of them away");
    }
  }
}

// One archive that is being read; below it, the one that it lies in.
struct Level {
  std::unique_ptr<ArchiveReader> reader;
  Mount mount;
};

// An archive within another, as the bytes of its entry.
class EntryStream : public ByteStream {
 public:
  EntryStream(ArchiveReader& outer, std::string name) : outer_(outer), name_(std::move(name)) {}
  size_t read(std::span<std::byte> out) override { return outer_.read(out); }
  const std::string& name() const override { return name_; }

 private:
  ArchiveReader& outer_;
  std::string name_;
};

// Counts what is read of a file.
class CountingStream : public ByteStream {
 public:
  CountingStream(std::unique_ptr<ByteStream> base, uint64_t& count) : base_(std::move(base)), count_(count) {}
  size_t read(std::span<std::byte> out) override {
    const size_t got = base_->read(out);
    count_ += got;
    return got;
  }
  uint64_t skip(uint64_t bytes) override {
    const uint64_t passed = base_->skip(bytes);
    count_ += passed;
    return passed;
  }
  uint64_t size() const override { return base_->size(); }
  void seek(uint64_t offset) override { base_->seek(offset); }
  const std::string& name() const override { return base_->name(); }

 private:
  std::unique_ptr<ByteStream> base_;
  uint64_t& count_;
};

}  // namespace

uint64_t ArchiveSet::bytes() const {
  uint64_t sum = 0;
  for (const ArchiveFile& archive : archives) sum += archive.bytes;
  return sum;
}

std::string ArchiveSet::description() const {
  std::string text;
  for (size_t i = 0; i < std::min(archives.size(), kExamples); ++i) {
    text += (i == 0 ? "" : ", ") + printable(archives[i].path.filename().string()) + " (" + archives[i].kind + ")";
  }
  if (archives.size() > kExamples) text += " and " + std::to_string(archives.size() - kExamples) + " more archives";
  return text;
}

bool ArchiveSet::is_seekable() const {
  return std::all_of(archives.begin(), archives.end(),
                     [](const ArchiveFile& archive) { return archive.kind == "tar" || archive.kind == "zip"; });
}

std::optional<ArchiveSet> find_archives(FileSystem& fs, const path& given) {
  ArchiveSet set;
  path root = std::filesystem::absolute(given).lexically_normal();
  if (!root.has_filename()) root = root.parent_path();
  set.root = root;
  if (!is_folder(fs, root)) {
    const std::string kind = kind_of_file(fs, root);
    if (kind.empty()) return std::nullopt;
    const ArchiveRole role = role_of(root.filename().string());
    if (role == ArchiveRole::kOther) {
      fail("archive is of another task than image classification", given.string(),
           "the training images are in ILSVRC2012_img_train.tar");
    }
    set.archives.push_back({root, role, size_of_file(fs, root), kind});
    return set;
  }
  for (const DirectoryEntry& entry : fs.list(root)) {
    if (entry.is_directory || !is_archive_name(entry.name)) continue;
    const ArchiveRole role = role_of(entry.name);
    if (role == ArchiveRole::kOther) {
      set.notes.push_back("passed over " + printable(entry.name) + ": it is of another task");
      continue;
    }
    const std::string kind = kind_of_file(fs, root / entry.name);
    if (kind.empty()) fail("not an archive, whatever its name says", (root / entry.name).string(), "move it away");
    set.archives.push_back({root / entry.name, role, entry.bytes, kind});
  }
  if (set.archives.empty() || look_through(fs, root, "", kFolderDepth, set.texts)) return std::nullopt;
  refuse_two_of_one_role(set);
  return set;
}

struct ArchiveWalk::State {
  FileSystem& fs;
  const ArchiveSet& set;
  const ArchiveLimits limits;
  ArchiveContents contents;
  std::vector<Level> levels;
  size_t next_archive = 0;
  uint64_t bytes_read = 0;
  uint64_t name_bytes = 0, text_bytes = 0;
  std::optional<uint64_t> size;  // Of the image at hand.
  bool pending = false;          // Its bytes have not been asked for.

  ArchiveReader& reader() { return *levels.back().reader; }
  std::string archive() const { return levels.back().reader->name(); }

  void hold_name(const std::string& name) {
    name_bytes += name.size() + kNameOverhead;
    if (name_bytes > limits.name_bytes) {
      fail("archive has too many files: their names take more than " + std::to_string(limits.name_bytes >> 20) + " MiB",
           archive());
    }
  }

  void ignore(const std::string& name) {
    ++contents.ignored_files;
    if (contents.ignored_examples.size() < kExamples) contents.ignored_examples.push_back(printable(name));
  }

  void open_next() {
    const ArchiveFile& file = set.archives[next_archive++];
    auto bytes = std::make_unique<CountingStream>(open_file_stream(fs, file.path), bytes_read);
    const bool several = set.archives.size() > 1;
    auto opened = std::make_unique<ArchiveReader>(std::move(bytes));
    levels.push_back({std::move(opened), {"", file.role, archive_stem(file.path.filename().string()), several}});
  }

  void open_inner(const std::string& where, const std::string& name) {
    if (levels.size() == kMaxArchiveDepth) {
      fail(
          "archives lie in archives more than " + std::to_string(kMaxArchiveDepth) + " levels deep: " + printable(name),
          archive());
    }
    const size_t slash = where.rfind('/');
    Mount mount{slash == std::string::npos ? "" : where.substr(0, slash + 1), role_of(name), archive_stem(name), true};
    if (contents.inner_archives.size() < kExamples) contents.inner_archives.push_back(printable(name));
    ++contents.inner_archive_count;
    if (mount.role == ArchiveRole::kOther) return ignore(name);
    auto bytes = std::make_unique<EntryStream>(reader(), archive() + "/" + printable(name));
    levels.push_back({std::make_unique<ArchiveReader>(std::move(bytes)), std::move(mount)});
  }

  std::vector<std::byte> read_file(const std::string& name, std::optional<uint64_t> told, uint64_t limit) {
    if (told && *told > limit) too_large(name, limit);
    std::vector<std::byte> bytes;
    size_t filled = 0;
    while (true) {
      // Grown as bytes come, so that a size that is only claimed costs nothing; by one byte more than is expected,
      // because only at its very end the archive's checksum of the file is compared.
      bytes.resize(std::min<uint64_t>(told.value_or(limit) + 1, filled + kReadBytes));
      const size_t got = reader().read(std::span(bytes).subspan(filled));
      if (got == 0) break;
      filled += got;
      if (filled > told.value_or(limit)) break;
    }
    bytes.resize(filled);
    if (filled > limit) too_large(name, limit);
    if (told && filled != *told) {
      fail("archive is damaged: expected " + std::to_string(*told) + " bytes of " + printable(name) + ", found " +
               (filled > *told ? "more" : std::to_string(filled)),
           archive());
    }
    return bytes;
  }

  [[noreturn]] void too_large(const std::string& name, uint64_t limit) {
    fail("file is too large: expected at most " + std::to_string(limit >> 20) + " MiB: " + printable(name), archive());
  }

  void keep_text(const std::string& where, const std::string& name, std::optional<uint64_t> told) {
    const auto bytes = read_file(name, told, limits.text_bytes - text_bytes);
    text_bytes += bytes.size();
    hold_name(where);
    const bool is_new =
        contents.texts.emplace(where, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())).second;
    if (!is_new) fail("two files of one name: " + printable(where), archive(), "remove one of them");
  }

  // Returns whether the entry is an image.
  bool take(const ArchiveEntry& entry) {
    const auto plain = plain_path(entry.name);
    if (!plain) {
      fail("archive has a name that leads out of it: " + printable(entry.name.substr(0, 256)), archive(),
           "this is no archive to trust");
    }
    if (plain->empty() || is_hidden(*plain)) {
      if (!plain->empty() && entry.type == EntryType::kFile) ignore(*plain);
      return false;
    }
    if (entry.type == EntryType::kLink) {
      fail("archive holds a link: " + printable(*plain) + " -> " + printable(entry.link_target.substr(0, 256)),
           archive(), "make it anew with `tar -h --hard-dereference`, or name the folder");
    }
    if (entry.type == EntryType::kOther) fail("archive holds a device or pipe: " + printable(*plain), archive());
    const std::string where = mounted_path(levels.back().mount, *plain);
    if (where.size() > 4096) fail("name is too long: " + printable(where.substr(0, 256)), archive());
    if (entry.type == EntryType::kFolder) {
      hold_name(where);
      contents.folders.push_back(where);
      return false;
    }
    const std::string name = plain->substr(plain->rfind('/') + 1);
    if (is_image_file(name) && levels.back().mount.role != ArchiveRole::kBoxes) {
      if (entry.size.value_or(0) > kMaxImageBytes) too_large(*plain, kMaxImageBytes);
      hold_name(where);
      contents.images.push_back({where, entry.size.value_or(0)});
      size = entry.size;
      pending = true;
      return true;
    }
    if (is_archive_name(name)) {
      open_inner(where, name);
    } else if (is_label_file(where)) {
      keep_text(where, *plain, entry.size);
    } else {
      ignore(*plain);
    }
    return false;
  }

  void add_loose_texts() {
    for (const path& text : set.texts) {
      const std::string where = text.generic_string();
      const uint64_t bytes = size_of_file(fs, set.root / text);
      text_bytes += bytes;
      if (text_bytes > limits.text_bytes) fail("label files are too large", (set.root / text).string());
      if (!contents.texts.emplace(where, read_text(fs, set.root / text, bytes)).second)
        fail("two files of one name: " + printable(where), set.root.string(), "remove one of them");
    }
  }
};

ArchiveWalk::ArchiveWalk(FileSystem& fs, const ArchiveSet& set, const ArchiveLimits& limits)
    : state_(new State{fs, set, limits, {}, {}, 0, 0, 0, 0, {}, false}) {}

ArchiveWalk::~ArchiveWalk() {
  // The inner ones read through the outer ones.
  while (!state_->levels.empty()) state_->levels.pop_back();
}

std::optional<size_t> ArchiveWalk::next() {
  State& s = *state_;
  if (s.pending) skip();
  while (true) {
    if (s.levels.empty()) {
      if (s.next_archive == s.set.archives.size()) {
        s.add_loose_texts();
        return std::nullopt;
      }
      s.open_next();
    }
    const auto entry = s.reader().next();
    if (!entry) {
      s.levels.pop_back();
    } else if (s.take(*entry)) {
      return s.contents.images.size() - 1;
    }
  }
}

std::vector<std::byte> ArchiveWalk::read() {
  State& s = *state_;
  s.pending = false;
  ArchivedImage& image = s.contents.images.back();
  auto bytes = s.read_file(image.path, s.size, kMaxImageBytes);
  image.bytes = bytes.size();
  return bytes;
}

void ArchiveWalk::skip() {
  State& s = *state_;
  if (s.size) {
    s.pending = false;
  } else {
    read();
  }
}

const ArchiveContents& ArchiveWalk::contents() const {
  return state_->contents;
}

ArchiveContents ArchiveWalk::take_contents() {
  return std::move(state_->contents);
}

uint64_t ArchiveWalk::bytes_read() const {
  return state_->bytes_read;
}

}  // namespace imgpack::ingest
