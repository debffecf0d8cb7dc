#include "engine/model/portable/safetensors.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <limits>
#include <optional>
#include <utility>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
namespace json = boost::json;

constexpr uint64_t kLengthBytes = 8;
constexpr const char* kMetadataKey = "__metadata__";
constexpr const char* kChecksumKey = "xxh3";
constexpr const char* kNoChecksum = "0000000000000000";
constexpr size_t kReadPieceBytes = size_t{4} << 20;

struct TypeName {
  NumberType type;
  const char* name;
  size_t bytes;
};
constexpr std::array<TypeName, 13> kTypes = {{{NumberType::kBool, "BOOL", 1},
                                              {NumberType::kU8, "U8", 1},
                                              {NumberType::kI8, "I8", 1},
                                              {NumberType::kI16, "I16", 2},
                                              {NumberType::kU16, "U16", 2},
                                              {NumberType::kF16, "F16", 2},
                                              {NumberType::kBf16, "BF16", 2},
                                              {NumberType::kI32, "I32", 4},
                                              {NumberType::kU32, "U32", 4},
                                              {NumberType::kF32, "F32", 4},
                                              {NumberType::kI64, "I64", 8},
                                              {NumberType::kU64, "U64", 8},
                                              {NumberType::kF64, "F64", 8}}};

const TypeName& entry(NumberType type) {
  return *std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeName& t) { return t.type == type; });
}

// A number of the header that must be a non-negative integer.
std::optional<uint64_t> natural(const json::value& value) {
  if (value.is_uint64()) return value.get_uint64();
  if (value.is_int64() && value.get_int64() >= 0) return static_cast<uint64_t>(value.get_int64());
  return std::nullopt;
}

// Bytes of a tensor; nullopt if that does not fit 63 bits.
std::optional<uint64_t> size_of(NumberType type, const std::vector<int64_t>& shape) {
  uint64_t bytes = bytes_of(type);
  for (const int64_t n : shape) {
    const auto extent = static_cast<uint64_t>(n);
    if (extent != 0 && bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / extent) return std::nullopt;
    bytes *= extent;
  }
  return bytes;
}

[[noreturn]] void damaged(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorKind::kCorruption, "not a sound safetensors file: " + what, path, {},
              "take an older checkpoint, or copy the file again");
}

TensorHeader parse_tensor(const std::string& name, const json::value& value, const std::filesystem::path& path) {
  const auto refuse = [&](const std::string& what) { damaged(path, "tensor '" + name + "' " + what); };
  TensorHeader tensor;
  tensor.name = name;
  const json::object* fields = value.if_object();
  if (!fields) refuse("is not an object");
  const json::value* type = fields->if_contains("dtype");
  const json::value* shape = fields->if_contains("shape");
  const json::value* offsets = fields->if_contains("data_offsets");
  if (!type || !type->is_string() || !shape || !shape->is_array() || !offsets || !offsets->is_array() ||
      offsets->get_array().size() != 2)
    refuse("lacks dtype, shape or data_offsets");
  const auto known =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeName& t) { return type->get_string() == t.name; });
  if (known == kTypes.end())
    refuse("holds numbers of an unknown kind, '" + std::string(type->get_string()).substr(0, 32) + "'");
  tensor.type = known->type;
  if (shape->get_array().size() > kMaxTensorDimensions) refuse("has too many dimensions");
  for (const json::value& extent : shape->get_array()) {
    const auto n = natural(extent);
    if (!n || *n > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      refuse("has a dimension that is no size");
    tensor.shape.push_back(static_cast<int64_t>(*n));
  }
  const auto begin = natural(offsets->get_array()[0]), end = natural(offsets->get_array()[1]);
  if (!begin || !end || *begin > *end) refuse("has no sound data_offsets");
  tensor.offset = *begin;
  tensor.bytes = *end - *begin;
  const auto expected = size_of(tensor.type, tensor.shape);
  if (!expected || *expected != tensor.bytes)
    refuse("has a shape that asks for " + (expected ? std::to_string(*expected) : "too many") + " bytes and " +
           std::to_string(tensor.bytes) + " bytes of data");
  return tensor;
}

}  // namespace

size_t bytes_of(NumberType type) {
  return entry(type).bytes;
}
const char* name_of(NumberType type) {
  return entry(type).name;
}

TensorFileReader::TensorFileReader(imgpack::FileSystem& fs, const std::filesystem::path& path) : file_(fs.open(path)) {
  const uint64_t size = file_->size();
  if (size < kLengthBytes) damaged(path, "expected at least 8 bytes, found " + std::to_string(size));
  std::array<std::byte, kLengthBytes> length{};
  imgpack::read_exactly(*file_, 0, length);
  const uint64_t header_bytes = imgpack::load_u64(length.data());
  if (header_bytes > size - kLengthBytes || header_bytes > kMaxTensorFileHeaderBytes)
    damaged(path, "expected a header of at most " +
                      std::to_string(std::min(size - kLengthBytes, kMaxTensorFileHeaderBytes)) +
                      " bytes, found a length of " + std::to_string(header_bytes));
  header_.resize(header_bytes);
  imgpack::read_exactly(*file_, kLengthBytes, std::as_writable_bytes(std::span(header_)));
  parse(header_, kLengthBytes + header_bytes);
}

void TensorFileReader::parse(const std::string& header, uint64_t data_begin) {
  boost::system::error_code error;
  const json::value parsed = json::parse(header, error);
  if (error) damaged(path(), "its header is no JSON (" + error.message() + ")");
  const json::object* root = parsed.if_object();
  if (!root) damaged(path(), "its header is no JSON object");
  for (const auto& [key, value] : *root) {
    if (key != kMetadataKey) {
      tensors_.push_back(parse_tensor(key, value, path()));
      continue;
    }
    const json::object* pairs = value.if_object();
    if (!pairs) damaged(path(), "its metadata is no object");
    for (const auto& [name, text] : *pairs) {
      if (!text.is_string()) damaged(path(), "metadata '" + std::string(name) + "' is no string");
      metadata_.emplace(name, text.get_string());
    }
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorHeader& a, const TensorHeader& b) {
    return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
  });
  uint64_t at = 0;
  for (TensorHeader& tensor : tensors_) {
    if (tensor.offset != at)
      damaged(path(), "tensor '" + tensor.name + "' overlaps its neighbour or leaves a gap: expected offset " +
                          std::to_string(at) + ", found " + std::to_string(tensor.offset));
    at += tensor.bytes;  // No overflow: offset + bytes is the end that the header gave, a 64-bit number.
    tensor.offset += data_begin;
  }
  if (at != file_->size() - data_begin)
    damaged(path(), "expected " + std::to_string(at) + " bytes of tensors, found " +
                        std::to_string(file_->size() - data_begin));

  if (const auto stored = metadata_.find(kChecksumKey); stored != metadata_.end()) {
    const auto digest = imgpack::parse_hex(stored->second);
    const size_t digits = header_.find("\"" + std::string(kChecksumKey) + "\":\"" + stored->second + "\"");
    if (!digest || digits == std::string::npos) damaged(path(), "its checksum is not 16 hexadecimal digits");
    header_.replace(digits + std::string(kChecksumKey).size() + 4, 16, kNoChecksum);
    has_checksum_ = true;
    checksum_ = *digest;
    metadata_.erase(stored);
  }
}

void TensorFileReader::verify_checksum() const {
  imgpack::ChecksumStream stream;
  stream.update(imgpack::as_bytes(header_));
  std::vector<std::byte> piece(kReadPieceBytes);
  for (uint64_t at = kLengthBytes + header_.size(); at < file_->size();) {
    const auto part = std::span(piece).first(std::min<uint64_t>(piece.size(), file_->size() - at));
    imgpack::read_exactly(*file_, at, part);
    stream.update(part);
    at += part.size();
  }
  if (!imgpack::same_checksum(checksum_, stream.digest()))
    throw Error(
        ErrorKind::kCorruption,
        "checksum mismatch: expected " + imgpack::to_hex(checksum_) + ", found " + imgpack::to_hex(stream.digest()),
        path(), {},
        "take an older checkpoint, or copy the file again (a program that rewrites such a file must drop the "
        "metadata key xxh3)");
}

void TensorFileReader::read(const TensorHeader& tensor, std::span<std::byte> out) const {
  if (out.size() != tensor.bytes)
    throw Error(ErrorKind::kInternal, "a tensor is read into memory of another size: expected " +
                                          std::to_string(tensor.bytes) + " bytes, found " + std::to_string(out.size()));
  imgpack::read_exactly(*file_, tensor.offset, out);
}

void write_tensor_file(imgpack::FileSystem& fs, const std::filesystem::path& path, std::vector<TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorToWrite& a, const TensorToWrite& b) { return bytes_of(a.type) > bytes_of(b.type); });
  json::object pairs, root;
  pairs[kChecksumKey] = kNoChecksum;
  for (const auto& [key, value] : metadata) {
    if (!pairs.emplace(key, value).second) throw Error(ErrorKind::kInternal, "metadata key is taken: '" + key + "'");
  }
  root[kMetadataKey] = std::move(pairs);
  uint64_t at = 0;
  for (const TensorToWrite& tensor : tensors) {
    const auto expected = size_of(tensor.type, tensor.shape);
    if (!expected || *expected != tensor.bytes.size())
      throw Error(ErrorKind::kInternal, "tensor '" + tensor.name + "' has a shape that does not fit its bytes");
    json::array shape(tensor.shape.begin(), tensor.shape.end());
    json::object fields = {{"dtype", name_of(tensor.type)},
                           {"shape", std::move(shape)},
                           {"data_offsets", json::array{at, at + tensor.bytes.size()}}};
    if (!root.emplace(tensor.name, std::move(fields)).second)
      throw Error(ErrorKind::kInternal, "tensor name is taken: '" + tensor.name + "'");
    at += tensor.bytes.size();
  }
  std::string header = json::serialize(root);
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > kMaxTensorFileHeaderBytes) throw Error(ErrorKind::kInternal, "the header is too large", path);

  imgpack::ChecksumStream stream;
  stream.update(imgpack::as_bytes(header));
  for (const TensorToWrite& tensor : tensors) stream.update(tensor.bytes);
  const std::string place = "\"" + std::string(kChecksumKey) + "\":\"";
  header.replace(header.find(place) + place.size(), 16, imgpack::to_hex(stream.digest()));

  const std::filesystem::path temporary = imgpack::temporary_path(path);
  try {
    const auto file = fs.create(temporary);
    std::array<std::byte, kLengthBytes> length{};
    imgpack::store_u64(length.data(), header.size());
    file->append(length);
    file->append(imgpack::as_bytes(header));
    for (const TensorToWrite& tensor : tensors) file->append(tensor.bytes);
    file->sync();
    file->close();
    fs.rename(temporary, path);
  } catch (...) {
    imgpack::remove_quietly(fs, temporary);
    throw;
  }
  fs.sync_directory(path.parent_path());
}

}  // namespace imgtrain
