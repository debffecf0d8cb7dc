#include "format/ingest/csv_reader.h"

#include <gmock/gmock.h>

#include "tests/support/expect_error.h"

namespace imgpack::ingest {
namespace {

using Rows = std::vector<std::vector<std::string>>;

Rows read(std::string_view text, char separator = ',') {
  CsvReader reader(text, separator, "labels.csv");
  Rows rows;
  for (std::vector<std::string> row; reader.next(row);) rows.push_back(row);
  return rows;
}

TEST(CsvReader, RowsEndInLfCrLfOrNothing) {
  EXPECT_EQ(read("a,b\nc,d\r\ne,f"), (Rows{{"a", "b"}, {"c", "d"}, {"e", "f"}}));
}

TEST(CsvReader, QuotedFieldsMayHoldSeparatorsQuotesAndLines) {
  EXPECT_EQ(read("\"a,b\",\"say \"\"hi\"\"\"\n\"x\ny\",z\n"), (Rows{{"a,b", "say \"hi\""}, {"x\ny", "z"}}));
}

TEST(CsvReader, EmptyFieldsAreFieldsAndBlankLinesAreNoRows) {
  EXPECT_EQ(read("a,\n\n\r\n,b\n"), (Rows{{"a", ""}, {"", "b"}}));
  EXPECT_EQ(read(""), Rows{});
  EXPECT_EQ(read("\n\n"), Rows{});
}

TEST(CsvReader, ByteOrderMarkIsNoPartOfTheFirstField) {
  EXPECT_EQ(read("\xEF\xBB\xBFImageId,x\n"), (Rows{{"ImageId", "x"}}));
}

TEST(CsvReader, TabsSeparateTsv) {
  EXPECT_EQ(read("a b\tc,d\n", '\t'), (Rows{{"a b", "c,d"}}));
}

TEST(CsvReader, LineNumbersCountLinesInsideQuotesAndBlankOnes) {
  CsvReader reader("\n\"a\nb\",c\nd,e\n", ',', "labels.csv");
  std::vector<std::string> row;
  ASSERT_TRUE(reader.next(row));
  EXPECT_EQ(reader.line(), 2u);
  ASSERT_TRUE(reader.next(row));
  EXPECT_EQ(reader.line(), 4u);
}

TEST(CsvReader, DamagedRowsAreNamedByTheirLine) {
  EXPECT_ERROR(read("a,b\n\"open,c\n"), ErrorKind::kInvalidInput,
               "labels.csv: line 2: a quote is opened and never closed");
  EXPECT_ERROR(read("\"a\"b,c\n"), ErrorKind::kInvalidInput, "line 1: text follows a closing quote");
  EXPECT_ERROR(read(std::string_view("a,b\0\n", 5)), ErrorKind::kInvalidInput, "line 1: a NUL byte");
}

}  // namespace
}  // namespace imgpack::ingest
