#include "format/error.h"

#include <utility>

namespace imgpack {

Error::Error(ErrorKind kind, std::string message, std::filesystem::path path, std::optional<uint64_t> offset,
             std::string hint)
    : kind_(kind), message_(std::move(message)), path_(std::move(path)), offset_(offset), hint_(std::move(hint)) {
  if (!path_.empty()) {
    text_ = path_.string();
    if (offset_) text_ += "@" + std::to_string(*offset_);
    text_ += ": ";
  }
  text_ += message_;
  if (!hint_.empty()) text_ += (text_.ends_with('?') ? " Hint: " : ". Hint: ") + hint_;
}

}  // namespace imgpack
