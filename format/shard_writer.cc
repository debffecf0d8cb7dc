#include "format/shard_writer.h"

#include <algorithm>
#include <cstdio>
#include <tuple>
#include <utility>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"
#include "format/index_codec.h"
#include "format/record_header.h"
#include "format/shard_codec.h"

namespace imgpack {
namespace {

// Small pieces are collected to this size: a system call for each would cost more than copying it. A piece of
// kDirectBytes is written from where it lies.
constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr size_t kDirectBytes = size_t{64} << 10;

// Appends through a buffer, hashing what passes. The digest is taken while the bytes are in the cache.
class HashingFile {
 public:
  explicit HashingFile(std::unique_ptr<WritableFile> file) : file_(std::move(file)) { buffer_.reserve(kBufferBytes); }

  void append(std::span<const std::byte> bytes) {
    bytes_ += bytes.size();
    if (bytes.size() >= kDirectBytes) {
      flush();
      put(bytes);
      return;
    }
    while (!bytes.empty()) {
      const size_t room = std::min(bytes.size(), kBufferBytes - buffer_.size());
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(room));
      bytes = bytes.subspan(room);
      if (buffer_.size() == kBufferBytes) flush();
    }
  }
  void flush() {
    if (buffer_.empty()) return;
    put(buffer_);
    buffer_.clear();
  }
  WritableFile& file() { return *file_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t digest() const { return digest_.digest(); }  // Of what has been flushed.

 private:
  void put(std::span<const std::byte> bytes) {
    digest_.update(bytes);
    file_->append(bytes);
  }

  std::unique_ptr<WritableFile> file_;
  std::vector<std::byte> buffer_;
  ChecksumStream digest_;
  uint64_t bytes_ = 0;
};

}  // namespace

struct ShardWriter::State {
  FileSystem* fs = nullptr;
  std::filesystem::path target, temporary;
  ShardHeader header;
  std::unique_ptr<HashingFile> out;
  IndexColumns columns;
  uint64_t content = 0;
  uint64_t last_key = 0;
  bool finished = false;
  bool intact = true;  // False once a write has failed: what lies in the file is then unknown.

  void append(const RecordView& record, std::span<const std::byte> head);
};

ShardWriter::ShardWriter(FileSystem& fs, std::filesystem::path target, const ShardHeader& header)
    : state_(std::make_unique<State>()) {
  const std::vector<std::byte> bytes = encode_shard_header(header);
  state_->fs = &fs;
  state_->temporary = temporary_path(target);
  state_->target = std::move(target);
  state_->header = header;
  state_->out = std::make_unique<HashingFile>(fs.create(state_->temporary));
  state_->out->append(bytes);
}

ShardWriter::~ShardWriter() {
  if (state_->finished) return;
  state_->out.reset();
  remove_quietly(*state_->fs, state_->temporary);
}

void ShardWriter::append(const Record& record) {
  RecordView view;
  view.meta = record.meta;
  view.sections.reserve(record.sections.size());
  for (const Section& section : record.sections)
    view.sections.push_back({section.type, section.must_understand, checksum(section.bytes), section.bytes});
  state_->append(view, encode_record_header(view.meta, view.sections));
}

void ShardWriter::append_encoded(std::span<const std::byte> record) {
  const RecordView view = parse_record(record, state_->target, state_->out->bytes());
  state_->append(view, record.first(load(record, layout::record_header::kHeaderBytes)));
}

void ShardWriter::State::append(const RecordView& record, std::span<const std::byte> head) {
  if (finished || !intact) throw Error(ErrorKind::kInternal, "append to a shard that is finished or broken", target);
  const RecordMeta& meta = record.meta;
  const auto reject = [&](const std::string& what) {
    throw Error(ErrorKind::kInvalidInput, "cannot append '" + meta.name + "': " + what, target);
  };
  if (meta.id != sample_id(header.split, meta.name)) reject("its id is not that of its split and name");
  const uint64_t key = order_key(header.seed, meta.id);
  if (shard_of_key(key, header.shard_count) != header.number)
    reject("it belongs to shard " + std::to_string(shard_of_key(key, header.shard_count)));
  if (columns.size() != 0 && std::tie(key, meta.name) <= std::tie(last_key, columns.names.back()))
    reject("records must come in ascending order of their keys, each name once; the last one was '" +
           columns.names.back() + "'");

  const size_t record_bytes = load(head, layout::record_header::kRecordBytes);
  intact = false;
  out->append(head);
  for (const SectionView& section : record.sections) out->append(section.bytes);
  columns.append(meta, static_cast<uint32_t>(record_bytes), static_cast<uint32_t>(record.image().size()),
                 static_cast<uint32_t>(record.entropy_index().size()));
  content += content_digest(record);
  last_key = key;
  intact = true;
}

ShardSummary ShardWriter::finish() {
  State& state = *state_;
  if (state.finished || !state.intact)
    throw Error(ErrorKind::kInternal, "finish of a shard that is finished or broken", state.target);
  state.intact = false;
  HashingFile& out = *state.out;

  ShardFooter footer;
  footer.index_offset = out.bytes();
  footer.records = state.columns.size();
  footer.content = state.content;
  footer.plan_id = state.header.plan_id;
  footer.number = state.header.number;
  footer.shard_count = state.header.shard_count;
  const std::vector<std::byte> index = encode_index_block(state.columns);
  footer.index_bytes = index.size();
  out.append(index);
  out.append(encode_shard_footer(footer));
  out.flush();
  out.file().sync();
  out.file().close();
  state.fs->rename(state.temporary, state.target);
  state.finished = true;
  state.fs->sync_directory(state.target.parent_path());

  return {
      state.target.filename().string(), footer.records, out.bytes(), footer.index_offset, footer.content, out.digest()};
}

const IndexColumns& ShardWriter::columns() const {
  return state_->columns;
}

std::string shard_file_name(std::string_view split, uint32_t number) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "-%05u.ipk", number);
  return std::string(split) + digits;
}

}  // namespace imgpack
