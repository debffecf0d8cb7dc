#include "engine/model/portable/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "format/bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using imgpack::test::MemoryFileSystem;
using testing::ElementsAre;
using testing::Pair;

const std::filesystem::path kPath = "folder/w.safetensors";

template <typename Number>
std::vector<std::byte> numbers(std::initializer_list<Number> values) {
  std::vector<std::byte> bytes(values.size() * sizeof(Number));
  std::memcpy(bytes.data(), std::data(values), bytes.size());
  return bytes;
}

class SafetensorsTest : public testing::Test {
 protected:
  SafetensorsTest() { fs.make_directories("folder"); }

  void write_sample() {
    const auto weight = numbers<float>({1, 2, 3, 4, 5, 6}), bias = numbers<uint8_t>({7, 8, 9});
    const auto steps = numbers<int64_t>({42});
    write_tensor_file(fs, kPath,
                      {{"bias", NumberType::kU8, {3}, bias},
                       {"weight", NumberType::kF32, {2, 3}, weight},
                       {"steps", NumberType::kI64, {}, steps},
                       {"nothing", NumberType::kF32, {0, 4}, {}}},
                      {{"model", "resnet18"}, {"note", "quotes \" and \n lines"}});
  }

  // A file of another program: this header, then so many bytes.
  void write_foreign(const std::string& header, size_t data_bytes, uint64_t said_bytes = ~uint64_t{0}) {
    std::string bytes(8, '\0');
    const uint64_t length = said_bytes == ~uint64_t{0} ? header.size() : said_bytes;
    std::memcpy(bytes.data(), &length, 8);
    fs.set_bytes(kPath, bytes + header + std::string(data_bytes, 'x'));
  }
  void expect_refused(const std::string& header, size_t data_bytes, const std::string& part) {
    write_foreign(header, data_bytes);
    EXPECT_ERROR(TensorFileReader(fs, kPath), ErrorKind::kCorruption, part);
  }

  MemoryFileSystem fs;
};

TEST_F(SafetensorsTest, WhatWasWrittenIsReadWidestNumbersFirst) {
  write_sample();
  const TensorFileReader reader(fs, kPath);
  EXPECT_THAT(reader.metadata(), ElementsAre(Pair("model", "resnet18"), Pair("note", "quotes \" and \n lines")));
  std::vector<std::string> names;
  for (const TensorHeader& tensor : reader.tensors()) names.push_back(tensor.name);
  EXPECT_THAT(names, ElementsAre("steps", "weight", "nothing", "bias"));
  const TensorHeader& weight = reader.tensors()[1];
  EXPECT_EQ(weight.type, NumberType::kF32);
  EXPECT_THAT(weight.shape, ElementsAre(2, 3));
  EXPECT_EQ(weight.offset % 8, 0u);
  std::vector<float> values(6);
  reader.read(weight, std::as_writable_bytes(std::span(values)));
  EXPECT_THAT(values, ElementsAre(1, 2, 3, 4, 5, 6));
  ASSERT_TRUE(reader.has_checksum());
  reader.verify_checksum();
}

TEST_F(SafetensorsTest, TheSameTensorsGiveTheSameBytes) {
  write_sample();
  const std::string first = fs.bytes(kPath);
  write_sample();
  EXPECT_EQ(fs.bytes(kPath), first);
}

TEST_F(SafetensorsTest, EveryFlippedBitIsNoticed) {
  write_sample();
  const std::string sound = fs.bytes(kPath);
  for (size_t bit = 0; bit < sound.size() * 8; ++bit) {
    std::string damaged = sound;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    fs.set_bytes(kPath, damaged);
    bool noticed = false;
    try {
      const TensorFileReader reader(fs, kPath);
      // A flip inside the checksum's key makes this the file of another program, which has none.
      noticed = !reader.has_checksum();
      if (!noticed) reader.verify_checksum();
    } catch (const imgpack::Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCorruption);
      noticed = true;
    }
    EXPECT_TRUE(noticed) << "bit " << bit;
  }
}

TEST_F(SafetensorsTest, EveryCutIsRefused) {
  write_sample();
  const std::string sound = fs.bytes(kPath);
  for (size_t length = 0; length < sound.size(); ++length) {
    fs.set_bytes(kPath, sound.substr(0, length));
    EXPECT_ERROR(TensorFileReader(fs, kPath), ErrorKind::kCorruption, "safetensors");
  }
}

TEST_F(SafetensorsTest, AFileOfAnotherProgramNeedsNoChecksum) {
  write_foreign(R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}   )", 4);
  const TensorFileReader reader(fs, kPath);
  EXPECT_FALSE(reader.has_checksum());
  EXPECT_EQ(reader.tensors().at(0).type, NumberType::kF16);
}

TEST_F(SafetensorsTest, HostileHeadersAreRefusedBeforeAnythingIsAllocated) {
  write_foreign("{}", 0, uint64_t{1} << 62);
  EXPECT_ERROR(TensorFileReader(fs, kPath), ErrorKind::kCorruption, "found a length of 4611686018427387904");
  fs.set_bytes(kPath, "short");
  EXPECT_ERROR(TensorFileReader(fs, kPath), ErrorKind::kCorruption, "at least 8 bytes");
  const std::string sound = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  expect_refused("[]", 0, "no JSON object");
  expect_refused("{", 0, "no JSON");
  expect_refused(std::string(1000, '[') + std::string(1000, ']'), 0, "no JSON");
  expect_refused(R"({"a":7})", 0, "is not an object");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2]}})", 8, "lacks");
  expect_refused(R"({"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})", 8, "unknown kind, 'F99'");
  expect_refused(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "no size");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}})", 8, "no size");
  expect_refused(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "asks for 12 bytes and 8");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "data_offsets");
  expect_refused(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,0]}})", 0,
                 "too many bytes");
  expect_refused(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
                 "dimensions");
  expect_refused("{\"a\":{" + sound + "}}", 9, "expected 8 bytes of tensors, found 9");
  expect_refused("{\"a\":{" + sound + "},\"b\":{" + sound + "}}", 8, "overlaps");
  expect_refused("{\"a\":{" + sound + R"(},"b":{"dtype":"U8","shape":[1],"data_offsets":[9,10]}})", 10, "leaves a gap");
  expect_refused(R"({"__metadata__":[]})", 0, "metadata is no object");
  expect_refused(R"({"__metadata__":{"a":1}})", 0, "metadata 'a' is no string");
  expect_refused(R"({"__metadata__":{"xxh3":"zz"}})", 0, "checksum");
}

TEST_F(SafetensorsTest, AFailedWriteLeavesTheOldFile) {
  write_sample();
  const std::string old = fs.bytes(kPath);
  const auto one = numbers<float>({1});
  EXPECT_ERROR(write_tensor_file(fs, "no-such-folder/w.safetensors", {{"a", NumberType::kF32, {1}, one}}),
               ErrorKind::kIo, "no-such-folder");
  EXPECT_ERROR(write_tensor_file(fs, kPath, {{"a", NumberType::kF32, {2}, one}}), ErrorKind::kInternal, "does not fit");
  EXPECT_ERROR(write_tensor_file(fs, kPath, {{"a", NumberType::kF32, {1}, one}, {"a", NumberType::kF32, {1}, one}}),
               ErrorKind::kInternal, "taken");
  EXPECT_EQ(fs.bytes(kPath), old);
  EXPECT_EQ(fs.list("folder").size(), 1u);
}

TEST_F(SafetensorsTest, APublishedFileSurvivesAPowerCut) {
  write_sample();
  const std::string written = fs.bytes(kPath);
  fs.crash();
  EXPECT_EQ(fs.bytes(kPath), written);
}

}  // namespace
}  // namespace imgtrain
