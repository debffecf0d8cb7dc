#include "tests/support/archives.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace imgpack::test {
namespace {

constexpr size_t kBlock = 512;

std::string tar_header(const PackedFile& file) {
  std::string header(kBlock, '\0');
  header.replace(0, std::min<size_t>(file.name.size(), 100), file.name.substr(0, 100));
  header.replace(100, 7, "0000644");
  const uint64_t size = file.claimed_bytes.value_or(file.bytes.size());
  if (size < (1ull << 33)) {
    char octal[13];
    std::snprintf(octal, sizeof octal, "%011llo", static_cast<unsigned long long>(size));
    header.replace(124, 11, octal);
  } else {
    header[124] = static_cast<char>(0x80);
    for (int i = 0; i < 8; ++i) header[135 - i] = static_cast<char>(size >> (8 * i) & 0xff);
  }
  header.replace(136, 11, "00000000000");
  header[156] = file.type;
  header.replace(157, std::min<size_t>(file.link.size(), 100), file.link.substr(0, 100));
  header.replace(257, 8,
                 std::string("ustar\0"
                             "00",
                             8));
  header.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  char octal[8];
  std::snprintf(octal, sizeof octal, "%06o", sum);
  header.replace(148, 7, std::string(octal, 7));
  return header;
}

struct Deleter {
  void operator()(archive* writer) const { archive_write_free(writer); }
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

void check(int status, archive* writer) {
  if (status < ARCHIVE_WARN) throw std::runtime_error(archive_error_string(writer));
}

la_ssize_t append(archive*, void* out, const void* bytes, size_t size) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(bytes), size);
  return static_cast<la_ssize_t>(size);
}

std::string filtered(const std::string& bytes, int (*add_filter)(archive*)) {
  std::string out;
  const std::unique_ptr<archive, Deleter> writer(archive_write_new());
  check(add_filter(writer.get()), writer.get());
  check(archive_write_set_format_raw(writer.get()), writer.get());
  check(archive_write_set_bytes_in_last_block(writer.get(), 1), writer.get());
  check(archive_write_open(writer.get(), &out, nullptr, append, nullptr), writer.get());
  const std::unique_ptr<archive_entry, Deleter> entry(archive_entry_new());
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  check(archive_write_header(writer.get(), entry.get()), writer.get());
  archive_write_data(writer.get(), bytes.data(), bytes.size());
  check(archive_write_close(writer.get()), writer.get());
  return out;
}

}  // namespace

std::string make_tar(const std::vector<PackedFile>& files, TarEnd end) {
  std::string tar;
  for (const PackedFile& file : files) {
    tar += tar_header(file) + file.bytes;
    tar.resize((tar.size() + kBlock - 1) / kBlock * kBlock, '\0');
  }
  if (end == TarEnd::kMarked) tar.append(2 * kBlock, '\0');
  return tar;
}

std::string make_zip(const std::vector<PackedFile>& files, const std::string& password) {
  std::string out;
  const std::unique_ptr<archive, Deleter> writer(archive_write_new());
  check(archive_write_set_format_zip(writer.get()), writer.get());
  check(archive_write_set_bytes_in_last_block(writer.get(), 1), writer.get());
  if (!password.empty()) {
    check(archive_write_set_options(writer.get(), "zip:encryption=zipcrypt"), writer.get());
    check(archive_write_set_passphrase(writer.get(), password.c_str()), writer.get());
  }
  check(archive_write_open(writer.get(), &out, nullptr, append, nullptr), writer.get());
  for (const PackedFile& file : files) {
    const std::unique_ptr<archive_entry, Deleter> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), file.name.c_str());
    archive_entry_set_filetype(entry.get(), file.type == '5' ? AE_IFDIR : file.type == '2' ? AE_IFLNK : AE_IFREG);
    if (file.type == '2') archive_entry_set_symlink(entry.get(), file.link.c_str());
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(file.bytes.size()));
    check(archive_write_header(writer.get(), entry.get()), writer.get());
    if (!file.bytes.empty()) archive_write_data(writer.get(), file.bytes.data(), file.bytes.size());
  }
  check(archive_write_close(writer.get()), writer.get());
  return out;
}

std::string gzipped(const std::string& bytes) {
  return filtered(bytes, archive_write_add_filter_gzip);
}

std::string zstandard(const std::string& bytes) {
  return filtered(bytes, archive_write_add_filter_zstd);
}

std::vector<PackedFile> files_below(MemoryFileSystem& fs, const std::string& folder, const std::string& prefix) {
  std::vector<PackedFile> files;
  for (auto& [path, bytes] : fs.all_files()) {
    if (path.starts_with(folder + "/")) files.push_back({prefix + path.substr(folder.size() + 1), bytes});
  }
  return files;
}

}  // namespace imgpack::test
