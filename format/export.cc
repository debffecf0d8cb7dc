#include "format/export.h"

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <utility>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"
#include "format/shard_reader.h"
#include "format/staged_folder.h"
#include "format/strict_json.h"
#include "format/tar_writer.h"
#include "format/tfrecord_writer.h"

namespace imgpack {
namespace {

// One after another, each shard opened once where records are in order.
class RecordStream {
 public:
  RecordStream(FileSystem& fs, const Dataset& dataset) : fs_(fs), dataset_(dataset) {}
  RecordView read(const RecordRef& ref) {
    const std::pair<const SplitView*, uint32_t> shard{ref.split, ref.split->shard[ref.record]};
    if (!reader_ || shard != open_) {
      reader_ = std::make_unique<ShardReader>(fs_, dataset_.shard_path(ref.split->info.name, shard.second));
      open_ = shard;
    }
    return reader_->read(ref.record - ref.split->first_record[shard.second], buffer_);
  }

 private:
  FileSystem& fs_;
  const Dataset& dataset_;
  std::unique_ptr<ShardReader> reader_;
  std::pair<const SplitView*, uint32_t> open_{nullptr, 0};
  std::vector<std::byte> buffer_;
};

// Records [begin, end) that go into one file.
struct Piece {
  std::string split;
  size_t begin = 0, end = 0;
  uint32_t number = 0, of = 1;
};

std::vector<Piece> cut(const std::vector<RecordRef>& records, uint64_t file_bytes) {
  std::vector<Piece> pieces;
  uint64_t bytes = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const std::string& split = records[i].split->info.name;
    const uint64_t image = records[i].split->columns.image_bytes[records[i].record];
    const bool other_split = pieces.empty() || pieces.back().split != split;
    if (other_split || (bytes > 0 && bytes + image > file_bytes)) {
      pieces.push_back({split, i, i, other_split ? 0 : pieces.back().number + 1, 0});
      bytes = 0;
    }
    bytes += image;
    pieces.back().end = i + 1;
  }
  for (Piece& piece : pieces)
    piece.of = static_cast<uint32_t>(
        std::count_if(pieces.begin(), pieces.end(), [&](const Piece& one) { return one.split == piece.split; }));
  return pieces;
}

std::string digits(uint32_t number, size_t width) {
  const std::string text = std::to_string(number);
  return std::string(width - std::min(width, text.size()), '0') + text;
}

class Export {
 public:
  Export(FileSystem& fs, const Dataset& dataset, const std::vector<RecordRef>& records,
         const std::filesystem::path& out, const ExportOptions& options)
      : fs_(fs), dataset_(dataset), records_(records), options_(options), folder_(fs, out), stream_(fs, dataset) {}

  ExportReport run() {
    if (options_.format == ExportFormat::kImageFolder) {
      for (const RecordRef& ref : records_) write_file(ref);
    } else {
      for (const Piece& piece : cut(records_, options_.file_bytes)) {
        options_.format == ExportFormat::kWebDataset ? write_tar(piece) : write_tfrecord(piece);
        ++report_.files;
      }
    }
    std::string classes;
    for (const ClassInfo& one : dataset_.manifest().classes)
      classes += one.wnid + (one.names.empty() ? "" : " ") + one.names + "\n";
    folder_.write("classes.txt", as_bytes(classes));
    folder_.commit();
    return report_;
  }

 private:
  std::string wnid_of(int32_t label) const {
    const auto& classes = dataset_.manifest().classes;
    return label < 0 || static_cast<size_t>(label) >= classes.size() ? "" : classes[static_cast<size_t>(label)].wnid;
  }

  RecordView read(const RecordRef& ref) {
    RecordView record = stream_.read(ref);
    ++report_.records;
    report_.bytes += record.image().size();
    if (options_.on_record) options_.on_record(record.image().size());
    return record;
  }

  void write_file(const RecordRef& ref) {
    const RecordView record = read(ref);
    const std::string path = folder_path_of(record.meta.name, wnid_of(record.meta.label));
    folder_.write(std::filesystem::path(ref.split->info.name) / path, record.image());
    ++report_.files;
  }

  void write_tar(const Piece& piece) {
    TarWriter tar(fs_, folder_.place(piece.split + "-" + digits(piece.number, 6) + ".tar"));
    for (size_t i = piece.begin; i < piece.end; ++i) {
      const RecordView record = read(records_[i]);
      std::string key = webdataset_key_of(record.meta.name);
      // Two names that differ in what a key leaves out.
      if (!keys_.insert(checksum(piece.split + "/" + key)).second) key += "-" + to_hex(record.meta.id);
      tar.add(key + ".jpg", record.image());
      if (record.meta.label >= 0) tar.add(key + ".cls", as_bytes(std::to_string(record.meta.label)));
      tar.add(key + ".json", as_bytes("{\"name\": " + json_quote(record.meta.name) +
                                      ", \"wnid\": " + json_quote(wnid_of(record.meta.label)) +
                                      ", \"label\": " + std::to_string(record.meta.label) +
                                      ", \"width\": " + std::to_string(record.meta.width) +
                                      ", \"height\": " + std::to_string(record.meta.height) + "}"));
    }
    tar.finish();
  }

  void write_tfrecord(const Piece& piece) {
    TfRecordWriter file(fs_, folder_.place(piece.split + "-" + digits(piece.number, 5) + "-of-" + digits(piece.of, 5)));
    for (size_t i = piece.begin; i < piece.end; ++i) {
      const RecordView record = read(records_[i]);
      const bool gray = (record.meta.flags & kRecordGray) != 0;
      file.add(ExampleBuilder()
                   .bytes("image/encoded", record.image())
                   .text("image/format", "JPEG")
                   .text("image/colorspace", gray ? "Grayscale" : "RGB")
                   .integer("image/channels", gray ? 1 : 3)
                   .integer("image/height", record.meta.height)
                   .integer("image/width", record.meta.width)
                   .text("image/filename", record.meta.name)
                   .integer("image/class/label", record.meta.label)
                   .text("image/class/synset", wnid_of(record.meta.label))
                   .message());
    }
    file.finish();
  }

  FileSystem& fs_;
  const Dataset& dataset_;
  const std::vector<RecordRef>& records_;
  const ExportOptions& options_;
  StagedFolder folder_;
  RecordStream stream_;
  ExportReport report_;
  std::unordered_set<uint64_t> keys_;  // Checksums of the keys of all tars.
};

}  // namespace

std::optional<ExportFormat> parse_export_format(std::string_view name) {
  if (name == "imagefolder") return ExportFormat::kImageFolder;
  if (name == "webdataset") return ExportFormat::kWebDataset;
  if (name == "tfrecord") return ExportFormat::kTfRecord;
  return std::nullopt;
}

std::string folder_path_of(std::string_view name, std::string_view wnid) {
  const std::string folder = wnid.empty() ? std::string() : std::string(wnid) + "/";
  return name.starts_with(folder) ? std::string(name) : folder + std::string(name);
}

std::string webdataset_key_of(std::string_view name) {
  const size_t slash = name.rfind('/') == std::string_view::npos ? 0 : name.rfind('/') + 1;
  const size_t dot = name.rfind('.');
  std::string key(dot != std::string_view::npos && dot > slash ? name.substr(0, dot) : name);
  std::replace(key.begin() + static_cast<ptrdiff_t>(slash), key.end(), '.', '_');
  return key;
}

ExportReport export_records(FileSystem& fs, const Dataset& dataset, const std::vector<RecordRef>& records,
                            const std::filesystem::path& out, const ExportOptions& options) {
  return Export(fs, dataset, records, out, options).run();
}

}  // namespace imgpack
