// The one exception type of the project. A function that can end in an expected way other than success returns a
// value that says so; Error is for the rest. It is caught once, in a program's main (tools/cli), and mapped there to
// an exit code.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>

namespace imgpack {

enum class ErrorKind {
  kUsage,               // The command line or the configuration is wrong. Exit code 2.
  kIo,                  // The operating system refused or failed: missing, unreadable, full. Exit code 1.
  kInvalidInput,        // A source, label file or setting is not what it must be. Exit code 1.
  kCorruption,          // Bytes of ours differ from what was written. Exit code 4.
  kUnsupportedVersion,  // A file of a newer format, or with a feature this build must understand. Exit code 5.
  kInterrupted,         // Stopped by a request, state saved. Exit code 75, or 130 on SIGINT.
  kInternal,            // A broken promise inside this program. Exit code 1.
};

// What failed, where, what was expected, what was found and what to try next:
//   train-00007.ipk@8192: record checksum mismatch: expected 9f3c01aa, found 9f3c01ab. Hint: imgpack repair DIR
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message, std::filesystem::path path = {}, std::optional<uint64_t> offset = {},
        std::string hint = {});

  const char* what() const noexcept override { return text_.c_str(); }  // The whole line as above.
  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }  // Without path, offset and hint.
  const std::filesystem::path& path() const { return path_; }
  std::optional<uint64_t> offset() const { return offset_; }
  const std::string& hint() const { return hint_; }

 private:
  ErrorKind kind_;
  std::string message_;
  std::filesystem::path path_;
  std::optional<uint64_t> offset_;
  std::string hint_;
  std::string text_;
};

}  // namespace imgpack
