// Rows of a CSV or TSV text, one at a time: RFC 4180 quoting, LF or CRLF, a byte-order mark, blank lines skipped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace imgpack::ingest {

// Memory: one row. Linear in the text's length whatever it holds.
class CsvReader {
 public:
  // `path` names the file in errors. REQUIRES: `text` outlives this.
  CsvReader(std::string_view text, char separator, std::filesystem::path path);

  // False: clean end. Throws Error(kInvalidInput) with the line for a quote that is never closed, text after a closing
  // quote, and a NUL byte.
  bool next(std::vector<std::string>& fields);
  uint64_t line() const { return row_line_; }  // Of the row returned last, from 1.

  [[noreturn]] void fail(const std::string& message) const;  // Names file and line of that row.

 private:
  std::string quoted_field();
  std::string plain_field();

  std::string_view rest_;
  char separator_;
  std::filesystem::path path_;
  uint64_t line_ = 1;
  uint64_t row_line_ = 0;
};

}  // namespace imgpack::ingest
