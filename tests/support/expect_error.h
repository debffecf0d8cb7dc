// EXPECT_ERROR(statement, kind, part of the text): the statement throws an imgpack::Error of this kind whose whole
// line contains the part.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/error.h"

#define EXPECT_ERROR(statement, expected_kind, part)                                  \
  try {                                                                               \
    static_cast<void>(statement);                                                     \
    ADD_FAILURE() << #statement " did not throw";                                     \
  } catch (const ::imgpack::Error& error) {                                           \
    EXPECT_EQ(error.kind(), expected_kind) << error.what();                           \
    EXPECT_THAT(std::string(error.what()), ::testing::HasSubstr(part)) << #statement; \
  } catch (const std::exception& error) {                                             \
    ADD_FAILURE() << #statement " threw something else: " << error.what();            \
  }                                                                                   \
  static_assert(true, "needs a semicolon")
