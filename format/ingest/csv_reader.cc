#include "format/ingest/csv_reader.h"

#include <utility>

#include "format/error.h"

namespace imgpack::ingest {

CsvReader::CsvReader(std::string_view text, char separator, std::filesystem::path path)
    : rest_(text), separator_(separator), path_(std::move(path)) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (rest_.substr(0, byte_order_mark.size()) == byte_order_mark) rest_.remove_prefix(byte_order_mark.size());
}

void CsvReader::fail(const std::string& message) const {
  throw Error(ErrorKind::kInvalidInput, "line " + std::to_string(row_line_) + ": " + message, path_);
}

bool CsvReader::next(std::vector<std::string>& fields) {
  fields.clear();
  while (!rest_.empty() && (rest_.front() == '\n' || rest_.front() == '\r')) {
    if (rest_.front() == '\n') ++line_;
    rest_.remove_prefix(1);
  }
  if (rest_.empty()) return false;
  row_line_ = line_;
  while (true) {
    fields.push_back(!rest_.empty() && rest_.front() == '"' ? quoted_field() : plain_field());
    if (rest_.empty()) return true;
    const char ending = rest_.front();
    rest_.remove_prefix(1);
    if (ending == separator_) continue;
    if (ending == '\r' && !rest_.empty() && rest_.front() == '\n') rest_.remove_prefix(1);
    ++line_;
    return true;
  }
}

std::string CsvReader::quoted_field() {
  std::string field;
  rest_.remove_prefix(1);
  while (true) {
    const size_t quote = rest_.find('"');
    if (quote == std::string_view::npos) fail("a quote is opened and never closed");
    for (char letter : rest_.substr(0, quote)) line_ += letter == '\n' ? 1 : 0;
    field += rest_.substr(0, quote);
    rest_.remove_prefix(quote + 1);
    if (rest_.empty() || rest_.front() != '"') break;
    field += '"';
    rest_.remove_prefix(1);
  }
  if (!rest_.empty() && rest_.front() != separator_ && rest_.front() != '\n' && rest_.front() != '\r') {
    fail("text follows a closing quote");
  }
  if (field.find('\0') != std::string::npos) fail("a NUL byte: this is no text file");
  return field;
}

std::string CsvReader::plain_field() {
  const char ends[] = {separator_, '\n', '\r'};
  const size_t end = std::min(rest_.find_first_of(std::string_view(ends, sizeof ends)), rest_.size());
  std::string field(rest_.substr(0, end));
  rest_.remove_prefix(end);
  if (field.find('\0') != std::string::npos) fail("a NUL byte: this is no text file");
  return field;
}

}  // namespace imgpack::ingest
