// Archives that lie: none may write outside of the output folder, exhaust memory, hang or pass for whole.
#include <gmock/gmock.h>

#include "format/ingest/archive_reader.h"
#include "format/ingest/archive_source.h"
#include "tests/support/archives.h"
#include "tests/support/expect_error.h"

namespace imgpack::ingest {
namespace {

using test::gzipped;
using test::make_tar;
using test::make_zip;
using test::PackedFile;
using test::TarEnd;

class MaliciousArchive : public testing::Test {
 protected:
  // Names and sizes of all images, read through.
  std::vector<std::string> walk(const std::string& archive, const std::string& name = "x.tar",
                                const ArchiveLimits& limits = {}) {
    fs_.set_bytes("/a/" + name, archive);
    const auto set = find_archives(fs_, "/a/" + name);
    if (!set) throw Error(ErrorKind::kInvalidInput, "no archive");
    ArchiveWalk walk(fs_, *set, limits);
    std::vector<std::string> images;
    while (const auto index = walk.next()) {
      const size_t bytes = walk.read().size();
      images.push_back(walk.contents().images[*index].path + ":" + std::to_string(bytes));
    }
    return images;
  }
  void expect_refused(const std::string& archive, const std::string& why) {
    EXPECT_ERROR(walk(archive), ErrorKind::kInvalidInput, why);
  }

  test::MemoryFileSystem fs_;
};

TEST_F(MaliciousArchive, NamesThatLeadOutAreRefused) {
  for (const char* name : {"../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "a/..", "../LOC_val_solution.csv"}) {
    expect_refused(make_tar({{name, "x"}}), "name that leads out of it");
    expect_refused(make_zip({{name, "x"}}), "name that leads out of it");
  }
  // Within an archive within an archive, too.
  expect_refused(make_tar({{"a.tar", make_tar({{"../b.jpg", "x"}})}}), "name that leads out of it");
}

TEST_F(MaliciousArchive, LinksAndDevicesAreRefused) {
  expect_refused(make_tar({{"a.jpg", "", '2', "/etc/passwd"}}), "holds a link: a.jpg -> /etc/passwd");
  expect_refused(make_tar({{"a.jpg", "", '1', "../../etc/passwd"}}), "holds a link");
  expect_refused(make_tar({{"train", "", '2', "/data"}}), "holds a link");
  expect_refused(make_zip({{"a.jpg", "", '2', "/etc/passwd"}}), "holds a link");
  expect_refused(make_tar({{"a.jpg", "", '3'}}), "holds a device or pipe");
  expect_refused(make_tar({{"a.jpg", "", '6'}}), "holds a device or pipe");
}

TEST_F(MaliciousArchive, SizesThatAreOnlyClaimedCostNothing) {
  expect_refused(make_tar({{"a.jpg", "x", '0', "", 1ull << 40}}), "file is too large: expected at most 1024 MiB");
  expect_refused(make_tar({{"a.jpg", "x", '0', "", 1ull << 29}}), "damaged or cut off");
  expect_refused(make_tar({{"a.csv", "x", '0', "", 1ull << 33}}), "file is too large");
  expect_refused(make_tar({{"a.bin", "x", '0', "", 1ull << 62}}), "damaged or cut off");
}

TEST_F(MaliciousArchive, MoreNamesOrLabelsThanMayBeHeldAreRefused) {
  std::vector<PackedFile> files;
  for (int i = 0; i < 100; ++i) files.push_back({"a/" + std::string(80, 'x') + std::to_string(i) + ".jpg", "y"});
  const std::string names = make_tar(files);
  // About 88 + 128 bytes each.
  EXPECT_EQ(walk(names, "x.tar", {.name_bytes = 25'000}).size(), 100u);
  EXPECT_ERROR(walk(names, "x.tar", {.name_bytes = 20'000}), ErrorKind::kInvalidInput, "archive has too many files");
  const std::string labels =
      make_tar({{"a.csv", std::string(600, 'x')}, {"b.csv", std::string(600, 'y')}, {"c.jpg", "z"}});
  EXPECT_EQ(walk(labels, "x.tar", {.text_bytes = 1200}).size(), 1u);
  EXPECT_ERROR(walk(labels, "x.tar", {.text_bytes = 1199}), ErrorKind::kInvalidInput, "too large");
}

TEST_F(MaliciousArchive, ArchivesNestedTooDeeplyAreRefused) {
  std::string inner = make_tar({{"a/b.jpg", "x"}});
  for (size_t depth = 1; depth < kMaxArchiveDepth; ++depth) inner = gzipped(make_tar({{"x.tar.gz", inner}}));
  EXPECT_THAT(walk(inner), testing::ElementsAre("a/b.jpg:1"));
  expect_refused(make_tar({{"x.tar", inner}}), "levels deep");
}

TEST_F(MaliciousArchive, BytesThatUnpackToFarTooMuchAreABomb) {
  // 64 MiB of zeros in 64 KiB, as often as it takes: the guard is a ratio beyond the first 256 MiB.
  const std::string member = gzipped(std::string(64 << 20, '\0'));
  std::string bomb = gzipped(make_tar({{"a.bin", std::string(512, 'x'), '0', "", 1ull << 40}}, TarEnd::kCutOff));
  for (int i = 0; i < 5; ++i) bomb += member;
  expect_refused(bomb, "unpacks to more than 250 times its size");
}

// Whatever happens to its bytes, an archive is refused, or it gives exactly what it gave.
TEST_F(MaliciousArchive, CutOffAtEveryLengthIsAnError) {
  const std::vector<PackedFile> files = {{"a/1.jpg", std::string(700, 'x')}, {"a/2.jpg", "y"}, {"LOC_x.csv", "z"}};
  const std::string tar = make_tar(files), zip = make_zip(files);
  for (const std::string& whole : {tar, gzipped(tar), test::zstandard(tar), zip, make_tar({{"a.tar", tar}})}) {
    const auto images = walk(whole);
    ASSERT_EQ(images.size(), 2u);
    for (size_t length = 0; length<whole.size(); length += whole.size()> 2000 ? 61 : 1) {
      try {
        EXPECT_EQ(walk(whole.substr(0, length)), images);
        // The second block of a tar's end marker may be missing, and a zip's directory, which comes after all files.
        EXPECT_TRUE(length + 1024 > whole.size() || whole == zip) << "cut at " << length << " of " << whole.size();
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInvalidInput) << error.what();
      }
    }
  }
  expect_refused(make_tar(files, TarEnd::kCutOff), "ends without an end marker");
}

TEST_F(MaliciousArchive, FlippedBitsOfCompressedArchivesNeverPassSilently) {
  const std::vector<PackedFile> files = {{"a/1.jpg", std::string(300, 'x')}, {"a/2.jpg", "yz"}};
  const std::string gzip = gzipped(make_tar(files)), zip = make_zip(files);
  for (const std::string& whole : {gzip, zip}) {
    const auto bytes_of = [&](const std::string& archive) {
      fs_.set_bytes("/a/x", archive);
      const auto set = find_archives(fs_, "/a/x");
      if (!set) throw Error(ErrorKind::kInvalidInput, "no archive");
      ArchiveWalk walk(fs_, *set);
      std::string all;
      while (walk.next()) {
        for (const std::byte b : walk.read()) all += static_cast<char>(b);
      }
      return all;
    };
    const std::string images = bytes_of(whole);
    for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
      std::string damaged = whole;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
      try {
        const std::string got = bytes_of(damaged);
        // In a field that means nothing, such as the time. Names in a zip's directory have no checksum.
        EXPECT_TRUE(got == images || (whole == zip && images.find(got) != std::string::npos)) << bit;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInvalidInput) << error.what();
      }
    }
  }
}

TEST_F(MaliciousArchive, EncryptedZipIsSaidToBeOne) {
  expect_refused(make_zip({{"a/1.jpg", "x"}}, "secret"), "archive is encrypted: a/1.jpg");
}

TEST_F(MaliciousArchive, WhatIsNoArchiveIsSaidToBeNone) {
  EXPECT_ERROR(walk(make_tar({{"train.tar", "this is text"}})), ErrorKind::kInvalidInput, "not an archive");
  EXPECT_ERROR(walk(make_tar({{"train.tar", ""}})), ErrorKind::kInvalidInput, "archive is empty");
  EXPECT_ERROR(walk(gzipped("this is text")), ErrorKind::kInvalidInput, "expected a tar in the gz data");
  EXPECT_ERROR(walk(gzipped(gzipped(make_tar({{"a/b.jpg", "x"}})))), ErrorKind::kInvalidInput, "expected a tar");
}

TEST_F(MaliciousArchive, ConcatenatedTarsAreReadToTheirEnd) {
  const std::string two = make_tar({{"a/1.jpg", "x"}}) + make_tar({{"a/2.jpg", "y"}});
  EXPECT_THAT(walk(two), testing::ElementsAre("a/1.jpg:1", "a/2.jpg:1"));
  expect_refused(make_tar({{"a/1.jpg", "x"}}) + "trailing rubbish that is no tar" + std::string(481, 'x'), "damaged");
}

TEST_F(MaliciousArchive, HiddenFilesAreNoImagesAndDeepNamesHaveALimit) {
  EXPECT_TRUE(walk(make_tar({{"__MACOSX/a/._1.jpg", "x"}, {"a/.1.jpg", "x"}, {".git/1.jpg", "x"}})).empty());
  std::string inner = make_tar({{std::string(90, 'a') + ".jpg", "x"}});
  std::string deep;
  for (int i = 0; i < 3; ++i) deep += std::string(30, 'd') + "/";
  EXPECT_EQ(walk(make_tar({{deep + "x.tar", inner}})).size(), 1u);
}

TEST_F(MaliciousArchive, NamesInOtherEncodingsAreKeptAsTheyAre) {
  EXPECT_THAT(walk(make_tar({{"caf\xc3\xa9/1.jpg", "x"}})), testing::ElementsAre("caf\xc3\xa9/1.jpg:1"));
  EXPECT_THAT(walk(make_tar({{"caf\xe9/1.jpg", "x"}})), testing::ElementsAre("caf\xe9/1.jpg:1"));
}

}  // namespace
}  // namespace imgpack::ingest
